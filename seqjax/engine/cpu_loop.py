"""The fused loop for CPUs: each array in a buffer of its own, rows written in place.

A leaf of xs that is only ever added to a product shares its memory. The forward pass
adds p[t] into xs[t]. The backward pass writes their cotangent there, which is the same
for both.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.engine import buffers, tracing
from seqjax.engine.planned_step import (
    ByProduct,
    Cotangents,
    Leaves,
    Loop,
    PlannedStep,
    replace_leaves,
    transposed_once,
)
from seqjax.mesh_axes import vary_alike


class Saved(NamedTuple):
    """What the forward pass keeps for the backward pass."""

    params: Leaves
    xs: Leaves  # with the products that share their memory added
    start: Leaves  # the state before the first step
    products: ByProduct  # [T, ...], those that do not share the memory of xs
    states: dict[int, jax.Array]  # state leaf -> its values after every step [T, ...]


def forward(
    loop: Loop, leaves: tuple[Leaves, Leaves, Leaves], save: bool
) -> tuple[tuple[Leaves, jax.Array], Saved]:
    """((state, ys), saved); without `save`, saved lacks products and states.

    Args:
      loop: the step, and how it is run.
      leaves: of params, xs and the initial state.
      save: whether a backward pass follows.
    """
    params, xs, start = leaves
    plan, step, axis = loop.step.plan, loop.step, loop.step.axis
    ws = step.weights(params, xs, start)
    # Sums of several gates are written even if the backward pass does not need
    # them: the step then reads them back gate by gate.
    shared = {
        k: j
        for k, j in plan.inputs.items()
        if save or xs[j].shape[-1] != step.gate_size
    }

    def body(i: jax.Array, carry: tuple) -> tuple:
        state, xs, kept = carry
        t = loop.time(i)
        row = step.read_inputs(params, xs, t)
        products = step.products(params, state, row, ws)
        xs = list(xs)
        for k, j in shared.items():
            xs[j] = buffers.write(
                xs[j], buffers.read(xs[j], t, axis=axis) + products[k], t, axis
            )
            products[k] = jnp.zeros_like(products[k])
        row = step.read_inputs(params, xs, t)
        state, y = step.values(params, state, row, products)
        values = (products, dict(enumerate(state)), {0: y})
        return (
            state,
            xs,
            [
                buffers.write_all(b, v, t, axis)
                for b, v in zip(kept, values, strict=True)
            ],
        )

    carry = vary_alike(start, xs, _empty_buffers(loop, start, save))
    state, xs, kept = lax.fori_loop(0, loop.num_steps, body, carry)
    products, states, ys = kept
    ys = ys[0] if plan.output is None else states[plan.output]
    return (state, ys), Saved(params, xs, start, products, states)


def _empty_buffers(loop: Loop, start: Leaves, save: bool) -> list[dict[int, jax.Array]]:
    """Buffers for products, for states and, unless y is a state, for y."""
    plan = loop.step.plan
    empty = partial(buffers.empty, loop.num_steps, axis=loop.step.axis)
    products = [k for k in plan.products if save and k not in plan.inputs]
    states = [
        i
        for i, is_constant in enumerate(plan.constant)
        if i == plan.output or (save and not is_constant)
    ]
    return [
        {k: empty(plan.products[k]) for k in products},
        {i: empty(start[i]) for i in states},
        {} if plan.output is not None else {0: empty(plan.y)},
    ]


def backward(
    loop: Loop, saved: Saved, ws: ByProduct, cotangents: tuple[Leaves, jax.Array]
) -> Cotangents:
    """The cotangents of a run of the loop.

    Those of xs and of products overwrite their buffers.

    Args:
      loop: the step, and how it is run.
      saved: of the forward pass.
      ws: the right operands of the products.
      cotangents: of the state and of ys.
    """
    step, plan, params = loop.step, loop.step.plan, saved.params
    axis = step.axis
    d_state, d_ys = cotangents
    before = _states_before(loop, saved)
    transposed = {k: transposed_once(w, plan.products[k]) for k, w in ws.items()}
    float_xs = tracing.float_indices(saved.xs)

    def body(i: jax.Array, carry: tuple) -> tuple:
        d_state, d_others, xs, products, operands = carry
        t = loop.time(loop.num_steps - 1 - i)
        state = [
            buffers.read(before[i], t, axis=axis) if i in before else s
            for i, s in enumerate(saved.start)
        ]
        row, values = _read_saved(step, params, xs, products, t)
        cts = (d_state, buffers.read(d_ys, t, axis=axis))
        d_params, d_state, d_x, d_values, vs = step.vjp(
            params, state, row, values, cts, transposed
        )
        d_x = [
            buffers.write(xs[j], d, t, axis) for j, d in zip(float_xs, d_x, strict=True)
        ]
        return (
            d_state,
            [a + b for a, b in zip(d_others, d_params, strict=True)],
            replace_leaves(xs, float_xs, d_x),
            buffers.write_all(products, d_values, t, axis),
            buffers.write_all(operands, vs, t, axis),
        )

    own = {k: v for k, v in plan.operands.items() if k not in plan.state_operands}
    carry = vary_alike(
        [d_state[i] for i in tracing.float_indices(saved.start)],
        [jnp.zeros_like(params[i]) for i in plan.others],
        saved.xs,
        saved.products,
        {k: buffers.empty(loop.num_steps, v, axis) for k, v in own.items()},
    )
    d_state, d_others, d_xs, d_products, operands = lax.fori_loop(
        0, loop.num_steps, body, carry
    )
    d_products |= {k: d_xs[j] for k, j in plan.inputs.items()}
    operands |= {k: before[i] for k, i in plan.state_operands.items()}
    return Cotangents(d_state, d_others, d_xs, d_products, operands)


def _states_before(loop: Loop, saved: Saved) -> dict[int, jax.Array]:
    """State leaf -> its values before every step, for leaves that change."""
    before = {
        i: buffers.shift(s, saved.start[i], loop.reverse, loop.step.axis)
        for i, s in saved.states.items()
        if not loop.step.plan.constant[i]
    }
    return lax.optimization_barrier(before)


def _read_saved(
    step: PlannedStep, params: Leaves, xs: Leaves, products: ByProduct, t: jax.Array
) -> tuple[Leaves, ByProduct]:
    """xs[t] with biases, and the products of step t, for the backward pass.

    A product that shares the memory of xs is zero here: xs[t] includes it.
    """
    # All rows are read before any is written. Else XLA copies whole buffers.
    several = len(tracing.float_indices(xs)) + len(products) > 1
    values = {
        k: jnp.zeros(p.shape, p.dtype)
        if k in step.plan.inputs
        else buffers.read(
            products[k], t, step.gate_size, materialize=several, axis=step.axis
        )
        for k, p in step.plan.products.items()
    }
    row = step.read_inputs(params, xs, t, materialize=several)
    return lax.optimization_barrier((row, values)) if several else (row, values)
