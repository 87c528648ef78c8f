"""A scan that may stop before its last step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.backend import on_gpu

Carry = Any  # a pytree
Body = Callable[[jax.Array, Carry], tuple[Carry, jax.Array]]


def scan_until(
    body: Body,
    carry: Carry,
    num_steps: int,
    is_done: Callable[[Carry], jax.Array],
    fill: int,
) -> tuple[Carry, jax.Array]:
    """Call `body(t, carry) -> (carry, row)` for t = 0, 1, ... until `is_done(carry)`.

    On a GPU, where the next kernels wait for the answer of `is_done`, it is tested at
    every fourth step only. Further calls of `body`, also with t >= num_steps, must then
    leave alone what counts.

    Args:
      body: called at most `num_steps` times, or up to the next multiple of 4.
      carry: a pytree of arrays.
      num_steps: L, the maximum number of steps.
      is_done: carry -> bool, whether to stop.
      fill: the rows of steps that were not taken.

    Returns:
      (carry, rows [L, ...]).
    """
    steps_per_test = 4 if on_gpu() else 1
    rounded = num_steps + -num_steps % steps_per_test
    _, row = jax.eval_shape(body, jnp.zeros((), jnp.int32), carry)
    rows = jnp.full((rounded, *row.shape), fill, row.dtype)

    def one_step(_: Any, loop: Any) -> Any:
        t, carry, rows = loop
        carry, row = body(t, carry)
        return t + 1, carry, lax.dynamic_update_index_in_dim(rows, row, t, axis=0)

    def steps(loop: Any) -> Any:
        if steps_per_test == 1:
            return one_step(0, loop)
        return lax.fori_loop(0, steps_per_test, one_step, loop)

    _, carry, rows = lax.while_loop(
        lambda loop: (loop[0] < num_steps) & ~is_done(loop[1]),
        steps,
        (jnp.zeros((), jnp.int32), carry, rows),
    )
    return carry, rows[:num_steps]
