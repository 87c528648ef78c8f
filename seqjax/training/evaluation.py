"""Evaluation of a language model over a whole text."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqjax.nn.masks import as_lengths
from seqjax.training.step import Carry, Params


def windows(tokens: jax.Array, starts: jax.Array, num_steps: int) -> jax.Array:
    """Windows of num_steps + 1 tokens from each start.

    Positions past the end of `tokens` repeat the last token; mask them.

    Args:
      tokens: integers [N].
      starts: integers [B] in 0 .. N.
      num_steps: T.

    Returns:
      [T + 1, B] in the dtype of the tokens.

    Raises:
      ValueError: if starts are not integers in 0 .. N.

    Example:
      >>> windows(jnp.arange(10, 16), jnp.array([0, 4]), num_steps=2).tolist()
      [[10, 14], [11, 15], [12, 15]]
    """
    starts = as_lengths(starts, len(tokens), name="starts")
    positions = starts + jnp.arange(num_steps + 1, dtype=jnp.int32)[:, None]
    return tokens.at[positions].get(mode="clip")


def make_evaluate(
    loss_fn: Callable[
        [Params, Carry, jax.Array, jax.Array],
        tuple[tuple[jax.Array, jax.Array], Carry],
    ],
    initial_carry: Callable[[tuple[int, ...]], Carry],
    num_steps: int,
) -> Callable[[Params, jax.Array, jax.Array, jax.Array], tuple[float, float]]:
    """Evaluation over a whole text, with the state carried from window to window.

    Args:
      loss_fn: (params, carry, window [T + 1, B], mask [T, B]) -> ((total, count),
        carry).
      initial_carry: (batch_shape) -> carry.
      num_steps: T.

    Returns:
      evaluate(params, tokens, starts, ends) -> (total, count), sums over all windows of
      the plan `data.batching.whole_text(...)`, as floats.

    Example:
      >>> from seqjax.data.batching import whole_text
      >>> def loss_fn(params, carry, window, mask):  # a guess among `params` tokens
      ...     losses = jnp.full(mask.shape, jnp.log(params))
      ...     return seqjax.nn.masks.masked_total(losses, mask), carry
      >>> evaluate = make_evaluate(loss_fn, lambda batch_shape: None, num_steps=3)
      >>> tokens, plan = jnp.arange(10) % 4, whole_text(10, num_rows=2, num_steps=3)
      >>> total, count = evaluate(4.0, tokens, *plan)
      >>> count, round(total / count, 4)  # all tokens but the first, ln 4
      (9.0, 1.3863)
    """

    @jax.jit
    def totals(
        params: Params, tokens: jax.Array, starts: jax.Array, ends: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        def body(carry: Carry, begin: jax.Array) -> tuple[Carry, Any]:
            window = windows(tokens, begin, num_steps)
            positions = begin + jnp.arange(num_steps, dtype=jnp.int32)[:, None]
            (total, count), carry = loss_fn(params, carry, window, positions < ends)
            return carry, (total, count)

        starts = as_lengths(starts, len(tokens), name="starts")
        ends = as_lengths(ends, len(tokens), starts.shape[1:], "ends", "starts")
        carry = initial_carry(starts.shape[1:])
        return jax.lax.scan(body, carry, starts)[1]

    def evaluate(
        params: Params, tokens: jax.Array, starts: jax.Array, ends: jax.Array
    ) -> tuple[float, float]:
        total, count = (np.asarray(x) for x in totals(params, tokens, starts, ends))
        return float(total.sum(dtype=np.float64)), float(count.sum(dtype=np.float64))

    return evaluate
