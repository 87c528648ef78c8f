"""Both directions of a cell in one loop, for GPUs: three fifths of the kernels.

A step of a loop costs about as much as its launches. `jax.vmap` makes one product of
the two directions' products, and one of their weight gradients' after the loop. On a
CPU two loops are as fast.
"""

from typing import Any

import jax
import jax.numpy as jnp

from seqjax.cell_protocol import Cell, Params, State
from seqjax.engine.run_cell import run_cell


def run_both(
    cell: Cell,
    params: tuple[Params, Params],
    xs: jax.Array,
    state: tuple[State, State],
    reverse: bool,
    valid: jax.Array | None,
    **options: Any,
) -> tuple[tuple[State, State], tuple[jax.Array, jax.Array]]:
    """`run_cell` for both directions of a `Bidirectional`.

    The direction that runs backward reads its inputs in reversed order.

    Args:
      cell: a plain cell.
      params, state: pairs, of the forward and of the backward direction.
      xs, valid: as `run_cell`.
      reverse: exchange the two directions.
      **options: fused and checkpoint_every, as `run_cell`.

    Returns:
      (states, ys): pairs.
    """
    backward = (reverse, not reverse)

    def stack(*pair: jax.Array) -> jax.Array:
        return jnp.stack(pair)

    def directed(a: jax.Array) -> jax.Array:
        return jnp.stack([a[::-1] if flip else a for flip in backward])

    def run(params: Params, xs: jax.Array, state: State, valid: Any) -> Any:
        options_of_both = {"valid": valid, "reverse": False, "on_gpu": True, **options}
        return run_cell(cell, params, xs, state, **options_of_both)

    state, ys = jax.vmap(run)(
        jax.tree.map(stack, *params),
        directed(xs),
        jax.tree.map(stack, *state),
        None if valid is None else directed(valid),
    )
    forward, last = (jax.tree.map(lambda a, i=i: a[i], state) for i in (0, 1))
    ys_f, ys_b = (ys[i][::-1] if flip else ys[i] for i, flip in enumerate(backward))
    return (forward, last), (ys_f, ys_b)
