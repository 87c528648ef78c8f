"""The loss of every token of a text, read by a model that may adapt to it."""

import dataclasses
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from seqjax.adaptation.cache import Cache, Memory
from seqjax.adaptation.dynamic import Dynamic
from seqjax.adaptation.windows import Windows
from seqjax.models.language_model import LanguageModel, LanguageModelParams
from seqjax.recurrence import initial_state

WINDOWS_OF_A_CALL = 64  # compiled calls end so that an interrupt is soon noticed


class _Carry(NamedTuple):
    """What one window passes to the next."""

    params: LanguageModelParams
    state: Any
    memory: Memory | None


@dataclasses.dataclass(frozen=True)
class Reader:
    """A model that reads one text from its begin to its end.

    Without a cache and dynamic evaluation the losses are those of `model.loss`.

    Args:
      model: the model.
      cache: a Cache of the outputs of its last layer; None has none.
      dynamic: how its parameters follow the text; None keeps them.

    Example:
      >>> from seqjax.adaptation.windows import text_windows
      >>> model = seqjax.LanguageModel(vocab_size=5, cell=seqjax.GRU(4))
      >>> params, tokens = model.init(jax.random.key(0)), np.arange(41) % 5
      >>> reader = Reader(model, Cache(size=20), Dynamic("sgd", learning_rate=0.1))
      >>> reader.losses(params, text_windows(tokens, num_steps=10)).shape
      (40,)
    """

    model: LanguageModel
    cache: Cache | None = None
    dynamic: Dynamic | None = None

    def losses(
        self, params: LanguageModelParams, windows: Windows, squares: Any = None
    ) -> np.ndarray:
        """The loss -log p of every scored token, in order: [M] in nats.

        Args:
          params: the trained parameters.
          windows: the text.
          squares: from `mean_squares`, for dynamic evaluation by rms.

        Raises:
          ValueError: if the squares are missing.
        """
        if self.dynamic is not None and self.dynamic.rule == "rms" and squares is None:
            raise ValueError("dynamic evaluation by rms needs mean squares")
        found = list(self._calls(params, windows, squares))
        return np.concatenate(found)[windows.scored]

    def _calls(
        self, params: LanguageModelParams, windows: Windows, squares: Any
    ) -> Iterator[np.ndarray]:
        """The losses [k, T] of k windows after the others."""
        memory = None
        if self.cache is not None:
            dtype = jnp.result_type(*jax.tree.leaves(params))
            size = self.model.cell.output_size
            memory = self.cache.initial_memory(size, dtype)
        carry = _Carry(params, self._initial_state(params), memory)
        number = len(windows.tokens)
        # Windows of no steps fill the last call: one shape is one program.
        missing = -number % WINDOWS_OF_A_CALL
        windows = Windows(
            *(np.pad(a, [(0, missing)] + [(0, 0)] * (a.ndim - 1)) for a in windows)
        )
        for begin in range(0, number, WINDOWS_OF_A_CALL):
            part = Windows(*(a[begin : begin + WINDOWS_OF_A_CALL] for a in windows))
            carry, losses = self._run(params, carry, part, squares)
            yield np.asarray(losses)[: number - begin]

    def _initial_state(self, params: LanguageModelParams) -> Any:
        return initial_state(self.model.cell, params.cell, (1,))

    @partial(jax.jit, static_argnums=0)
    def _run(
        self, trained: Any, carry: _Carry, windows: Windows, squares: Any
    ) -> tuple[_Carry, jax.Array]:
        def body(carry: _Carry, window: Windows) -> tuple[_Carry, jax.Array]:
            return self._read(trained, carry, window, squares)

        return jax.lax.scan(body, carry, jax.tree.map(jnp.asarray, windows))

    def _read(
        self, trained: Any, carry: _Carry, window: Windows, squares: Any
    ) -> tuple[_Carry, jax.Array]:
        """The losses [T] of a window, and the carry after it."""
        initial = self._initial_state(trained)
        state = jax.tree.map(partial(jnp.where, window.begins), initial, carry.state)
        inputs, labels = window.tokens[:-1], window.tokens[1:]

        def loss(params: Any) -> tuple[jax.Array, Any]:
            after, ys = self.model.outputs(
                params, inputs[:, None], state, lengths=window.lengths[None]
            )
            log_probs = jax.nn.log_softmax(self.model.logits(params, ys)[:, 0])
            of_labels = jnp.take_along_axis(log_probs, labels[:, None], -1)[:, 0]
            losses = jnp.where(window.scored, -of_labels, 0.0)
            count = jnp.maximum(window.scored.sum(), 1).astype(losses.dtype)
            return losses.sum() / count, (after, ys[:, 0], losses)

        params, memory = carry.params, carry.memory
        if self.dynamic is None:
            _, (after, ys, losses) = loss(params)
        else:
            gradient, (after, ys, losses) = jax.grad(loss, has_aux=True)(params)
            new = self.dynamic.update(params, trained, gradient, squares)
            counts = window.scored.any()
            params = jax.tree.map(partial(jnp.where, counts), new, params)
        if self.cache is not None:
            assert memory is not None
            log_p = self.cache.mix(memory, ys, labels, -losses)
            losses = jnp.where(window.scored, -log_p, 0.0)
            memory = self.cache.remember(memory, ys, labels, window.lengths)
        return _Carry(params, after, memory), losses
