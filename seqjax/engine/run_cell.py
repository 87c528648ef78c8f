"""Run one cell over a sequence: padding, held states, segments, and the choice of loop.

`unroll` checks its arguments and calls `run_cell` once for every cell of a network.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.cell_protocol import Cell, Dot, Noisy, Params, State
from seqjax.engine import fused as fused_loop
from seqjax.engine.checks import check_step
from seqjax.nn.layers import matmul

_config: Any = jax.config  # jax declares its settings at run time


# jit, so that an `unroll` outside of jit compiles once per shape and not at each call.
@partial(
    jax.jit,
    static_argnames=("cell", "reverse", "fused", "checkpoint_every", "on_gpu", "axis"),
)
def run_cell(
    cell: Cell,
    params: Params,
    xs: jax.Array,
    state: State,
    valid: jax.Array | None,
    reverse: bool,
    fused: bool,
    checkpoint_every: int | None,
    on_gpu: bool,
    axis: int = 0,
    noise: Any = None,
) -> tuple[State, jax.Array]:
    """`unroll` for a single cell.

    Args:
      cell, params, xs, state, reverse, fused, checkpoint_every: as `unroll`.
      valid: booleans [T, ...], False at padding steps; None if there is no padding.
      on_gpu: build the loop in the form for GPUs.
      axis: of time in xs and ys. If it is not 0, valid, checkpoint_every and noise are
        None.
      noise: a pytree of arrays [T, ...] that the cell drew; the steps get it with z.

    Returns:
      (state, ys): the state after the last step, and ys [T, ..., output_size].
    """

    def run(state: State, inputs: tuple) -> tuple[State, jax.Array]:
        xs, valid, noise = inputs
        if valid is not None:
            # Zeros keep a nan in the padding from the weights: 0 * nan is nan.
            xs = _where(valid, xs, jnp.zeros_like(xs))
        zs = cell.project(params, xs)
        if noise is not None:
            zs = Noisy(zs, noise)
        return _scan(
            cell, params, zs, xs.shape[axis], state, valid, reverse, fused, on_gpu, axis
        )

    if checkpoint_every is None:
        return run(state, (xs, valid, noise))
    return _scan_segments(
        jax.checkpoint(run), state, (xs, valid, noise), reverse, checkpoint_every
    )


def _scan(
    cell: Cell,
    params: Params,
    zs: Any,
    num_steps: int,
    state: State,
    valid: jax.Array | None,
    reverse: bool,
    fused: bool,
    on_gpu: bool,
    axis: int = 0,
) -> tuple[State, jax.Array]:
    def step(
        params: Params, state: State, inputs: tuple, dot: Dot = matmul
    ) -> tuple[State, jax.Array]:
        z, valid = inputs
        new_state, y = cell.step(params, state, z, dot=dot)
        if valid is not None:
            new_state = jax.tree.map(partial(_hold, valid), new_state, state)
            y = _where(valid, y, jnp.zeros_like(y))
        return new_state, y

    xs = (zs, valid)
    # With jit disabled, `tracing` cannot tell a step's own control flow from the step.
    if fused and num_steps > 0 and not _config.jax_disable_jit:
        gate_size = getattr(cell, "gate_size", None)
        return fused_loop.scan(
            step, params, xs, state, num_steps, reverse, gate_size, on_gpu, axis
        )
    if axis:
        xs = jax.tree.map(lambda x: jnp.moveaxis(x, axis, 0), xs)
        last, ys = _scan(
            cell, params, xs[0], num_steps, state, None, reverse, fused, on_gpu
        )
        return last, jnp.moveaxis(ys, 0, axis)
    check_step(step, params, xs, state)
    return lax.scan(partial(step, params), state, xs, reverse=reverse)


def _scan_segments(
    run: Callable[[State, tuple], tuple[State, jax.Array]],
    state: State,
    inputs: tuple,
    reverse: bool,
    size: int,
) -> tuple[State, jax.Array]:
    """Call `run` for `size` steps at a time; the last segment of inputs is shorter."""
    num_steps = len(jax.tree.leaves(inputs)[0])
    whole = num_steps - num_steps % size
    segments = jax.tree.map(
        lambda x: x[:whole].reshape(whole // size, size, *x.shape[1:]), inputs
    )  # [T, ...] -> [T/size, size, ...]
    rest = jax.tree.map(lambda x: x[whole:], inputs)
    if reverse:
        state, last = run(state, rest)
        state, ys = lax.scan(run, state, segments, reverse=True)
    else:
        state, ys = lax.scan(run, state, segments)
        state, last = run(state, rest)
    return state, jnp.concatenate([ys.reshape(whole, *ys.shape[2:]), last])


def _hold(valid: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    """The new state where valid, else the old one.

    A leaf that the step returns unchanged stays the same object, so that the fused
    loop sees that it is constant.
    """
    return old if new is old else _where(valid, new, old)


def _where(valid: jax.Array, new: jax.Array, old: jax.Array) -> jax.Array:
    """Select per batch element: valid [...] against new and old [..., features]."""
    valid = valid.reshape(valid.shape + (1,) * (new.ndim - valid.ndim))
    return jnp.where(valid, new, old)
