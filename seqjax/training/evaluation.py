"""Evaluation of a language model over a whole text."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqjax.nn.masks import as_lengths
from seqjax.training.step import Carry, Params


def windows(tokens: jax.Array, starts: jax.Array, num_steps: int) -> jax.Array:
    """Windows of num_steps + 1 tokens from each start: [N], [B] -> [T + 1, B].

    Positions past the end of `tokens` repeat the last token; mask them.
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
