"""Dynamic evaluation: training goes on while a text is read."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqjax.models.language_model import LanguageModel, LanguageModelParams
from seqjax.recurrence import initial_state

RULES = ("sgd", "rms")


@dataclasses.dataclass(frozen=True)
class Dynamic:
    """How the parameters follow a text, and return to those that were trained.

    After the loss of a window is known, its gradient g changes the parameters p:

        p = p - learning_rate * g + decay * (p0 - p)                  for sgd
        p = p - learning_rate * g / (r + epsilon) + back * (p0 - p)   for rms
        back = min(decay * r / mean(r), 1)

    where p0 are the trained parameters, and r the roots of the mean squares of the
    gradients of training minibatches (`mean_squares`), whose mean is over all
    parameters.

    Args:
      rule: "sgd" or "rms".
      learning_rate: at least 0.
      decay: in [0, 1].
      epsilon: of rms.

    Raises:
      ValueError: for another rule, or a number out of bounds.

    Example:
      >>> dynamic = Dynamic("sgd", learning_rate=0.5, decay=0.1)
      >>> p, p0, g = jnp.array(2.0), jnp.array(1.0), jnp.array(1.0)
      >>> round(dynamic.update(p, p0, g).item(), 4)
      1.4

    Source: Krause et al., "Dynamic evaluation of neural sequence models", 2018,
    arXiv:1709.07432, section 4.
    """

    rule: str
    learning_rate: float
    decay: float = 0.0
    epsilon: float = 2e-5

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f'Dynamic: rule must be "sgd" or "rms", got {self.rule!r}')
        if self.learning_rate < 0 or not 0 <= self.decay <= 1:
            raise ValueError(
                f"Dynamic: learning_rate must not be negative and decay in [0, 1], got "
                f"{self.learning_rate} and {self.decay}"
            )

    def update(
        self, params: Any, trained: Any, gradient: Any, squares: Any = None
    ) -> Any:
        """The parameters after a window.

        Args:
          params: those before it.
          trained: p0.
          gradient: of the mean loss of the window.
          squares: from `mean_squares`, for rms.
        """
        rate, decay = self.learning_rate, self.decay
        if self.rule == "sgd":
            return jax.tree.map(
                lambda p, p0, g: p - rate * g + decay * (p0 - p),
                params,
                trained,
                gradient,
            )
        roots = jax.tree.map(jnp.sqrt, squares)
        leaves = jax.tree.leaves(roots)
        mean = sum(r.sum() for r in leaves) / sum(r.size for r in leaves)
        mean = jnp.where(mean > 0, mean, 1.0)

        def of_leaf(p: Any, p0: Any, g: Any, r: Any) -> Any:
            back = jnp.minimum(decay * r / mean, 1.0)
            return p - rate * g / (r + self.epsilon) + back * (p0 - p)

        return jax.tree.map(of_leaf, params, trained, gradient, roots)


def mean_squares(
    model: LanguageModel,
    params: LanguageModelParams,
    tokens: jax.Array,
    starts: np.ndarray,
    num_steps: int,
) -> LanguageModelParams:
    """The mean squares of the gradients of training minibatches, without dropout.

    Args:
      model: the model.
      params: its parameters, which do not change.
      tokens: the training text, integers [N].
      starts: a plan [n, B] of minibatches, see `batching.sequential_partition`; the
        state is carried from one to the next.
      num_steps: T.

    Returns:
      A pytree like params.

    Example:
      >>> model = seqjax.LanguageModel(vocab_size=5, cell=seqjax.GRU(4))
      >>> params, tokens = model.init(jax.random.key(0)), jnp.arange(41) % 5
      >>> starts = np.array([[0, 20], [10, 30]])
      >>> squares = mean_squares(model, params, tokens, starts, num_steps=10)
      >>> squares.out.b.shape
      (5,)
    """

    def loss(params: Any, window: jax.Array, state: Any) -> Any:
        (total, count), state = model.loss(params, window, state=state)
        return total / count, state

    @jax.jit
    def run(params: Any, tokens: jax.Array, starts: jax.Array) -> Any:
        def body(carry: Any, begin: jax.Array) -> Any:
            state, sums = carry
            window = tokens.at[begin + steps].get(mode="clip")
            g, state = jax.grad(loss, has_aux=True)(params, window, state)
            return (state, jax.tree.map(lambda s, g: s + g**2, sums, g)), None

        steps = jnp.arange(num_steps + 1, dtype=jnp.int32)[:, None]
        state = initial_state(model.cell, params.cell, starts.shape[1:])
        sums = jax.tree.map(jnp.zeros_like, params)
        (_, sums), _ = jax.lax.scan(body, (state, sums), starts)
        return jax.tree.map(lambda s: s / len(starts), sums)

    return run(params, tokens, jnp.asarray(starts, jnp.int32))
