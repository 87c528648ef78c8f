"""The fused loop for GPUs, where a step costs what its kernels cost to launch.

- All that a step keeps lies side by side in one row, so that one kernel writes it.
- The right operands of products are padded once, before the loop, to sizes that the
  products of a GPU take as they are. Without this, XLA pads them at every step.
- A product's cotangent waits for the next step of the backward pass and is there
  multiplied first. The rest of the step then needs no result of a product, and is
  pointwise.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.engine import buffers, tracing
from seqjax.engine.aligned import aligned_size, pad, unpad
from seqjax.engine.buffers import Layout
from seqjax.engine.planned_step import (
    ByProduct,
    Cotangents,
    Leaves,
    Loop,
    transposed_once,
)
from seqjax.mesh_axes import vary_alike
from seqjax.nn.layers import matmul

Row = tuple[str, int]  # ("products", k), ("states", i), ("ys", 0) and so on


class Saved(NamedTuple):
    """What the forward pass keeps for the backward pass."""

    params: Leaves
    xs: Leaves  # of what is only added to a product, the first step alone
    start: Leaves  # the state before the first step
    rows: list[jax.Array]  # of `_kept`; products with what is only added to them


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
    plan, step = loop.step.plan, loop.step._replace(gate_size=None)
    ws = {
        k: pad(w.T, aligned_size(len(w))).T
        for k, w in step.weights(params, xs, start).items()
    }
    layout = _kept(loop, start, save)

    def body(i: jax.Array, carry: tuple) -> tuple:
        state, rows = carry
        t = loop.time(i)
        row = step.read_inputs(params, xs, t)
        products = step.products(params, state, row, ws)
        for k, j in plan.inputs.items():
            products[k] += row[j]
            row[j] = jnp.zeros_like(row[j])
        state, y = step.values(params, state, row, products)
        values = _named(products=products, states=dict(enumerate(state)), ys={0: y})
        return state, layout.write(rows, values, t)

    carry = vary_alike(start, layout.empty(loop.num_steps))
    state, rows = lax.fori_loop(0, loop.num_steps, body, carry)
    y = ("ys", 0) if plan.output is None else ("states", plan.output)
    added = plan.inputs.values()
    kept_xs = [x[:1] if j in added else x for j, x in enumerate(xs)]
    return (state, layout.split(rows)[y]), Saved(params, kept_xs, start, rows)


def backward(
    loop: Loop, saved: Saved, ws: ByProduct, cotangents: tuple[Leaves, jax.Array]
) -> Cotangents:
    """The cotangents of a run of the loop.

    Args:
      loop: the step, and how it is run.
      saved: of the forward pass.
      ws: the right operands of the products.
      cotangents: of the state and of ys.
    """
    plan, xs = loop.step.plan, saved.xs
    before = _states_before(loop, saved)
    d_state, d_others, found = _loop_backward(loop, saved, before, ws, *cotangents)
    d_products = {
        k: unpad(found["products", k], p.shape[-1], _gates(p, loop.step.gate_size))
        for k, p in plan.products.items()
    }
    shared = {j: d_products[k] for k, j in plan.inputs.items()}
    d_xs = [shared.get(j, found.get(("xs", j), x)) for j, x in enumerate(xs)]
    operands = {
        k: before[plan.state_operands[k]]
        if k in plan.state_operands
        else found["operands", k]
        for k in plan.products
    }
    return Cotangents(d_state, d_others, d_xs, d_products, operands)


def _loop_backward(
    loop: Loop,
    saved: Saved,
    before: dict[int, jax.Array],
    ws: ByProduct,
    d_state: Leaves,
    d_ys: jax.Array,
) -> tuple[Leaves, Leaves, dict[Row, jax.Array]]:
    """Cotangents of the state and of plan.others, and the rows of `_results`."""
    params, xs, start, kept = saved
    plan, step = loop.step.plan, loop.step._replace(gate_size=None)
    float_state, float_xs = map(tracing.float_indices, (start, xs))
    layout, results = _kept(loop, start, save=True), _results(loop, xs)
    gates = {k: _gates(p, loop.step.gate_size) for k, p in plan.products.items()}

    def aligned(k: int, d: jax.Array) -> jax.Array:
        return pad(d, results.rows["products", k].shape[-1], gates[k])

    transposed = {
        k: transposed_once(aligned(k, w), plan.products[k]) for k, w in ws.items()
    }
    at_once = {k: w for k, w in transposed.items() if k not in plan.state_operands}

    def multiplied(d_state: Leaves, waiting: ByProduct) -> Leaves:
        """The cotangents of the state, with those by way of the products."""
        d_state = list(d_state)
        for k, d in waiting.items():
            i = float_state.index(plan.state_operands[k])
            d_state[i] += matmul(d, transposed[k]()).astype(d_state[i].dtype)
        return d_state

    def body(i: jax.Array, carry: tuple) -> tuple:
        d_state, d_others, waiting, rows = carry
        t = loop.time(loop.num_steps - 1 - i)
        state = [
            buffers.read(before[i], t) if i in before else s
            for i, s in enumerate(start)
        ]
        row, values = step.read_inputs(params, xs, t), layout.read(kept, t)
        for j in plan.inputs.values():
            row[j] = jnp.zeros_like(row[j])
        products: ByProduct = {k: values["products", k] for k in plan.products}
        cts = (multiplied(d_state, waiting), buffers.read(d_ys, t))
        d_params, d_state, d_x, d_products, vs = step.vjp(
            params, state, row, products, cts, at_once, gates
        )
        # The barrier keeps XLA from computing them twice and then copying the state.
        d_products = lax.optimization_barrier(
            {k: aligned(k, d) for k, d in d_products.items()}
        )
        d_xs = dict(zip(float_xs, d_x, strict=True))
        values = _named(products=d_products, xs=d_xs, operands=vs)
        return (
            d_state,
            [a + b for a, b in zip(d_others, d_params, strict=True)],
            {k: d_products[k] for k in waiting},
            results.write(rows, values, t),
        )

    none_waits = {k: results.rows["products", k] for k in plan.state_operands}
    carry = vary_alike(
        [d_state[i] for i in float_state],
        [jnp.zeros_like(params[i]) for i in plan.others],
        {k: jnp.zeros(p.shape, p.dtype) for k, p in none_waits.items()},
        results.empty(loop.num_steps),
    )
    d_state, d_others, waiting, rows = lax.fori_loop(0, loop.num_steps, body, carry)
    return multiplied(d_state, waiting), d_others, results.split(rows)


def _states_before(loop: Loop, saved: Saved) -> dict[int, jax.Array]:
    """State leaf -> its values before every step, for leaves that change."""
    plan, layout = loop.step.plan, _kept(loop, saved.start, save=True)
    return {
        i: buffers.shift(states, saved.start[i], loop.reverse)
        for (name, i), states in layout.split(saved.rows).items()
        if name == "states" and not plan.constant[i]
    }


def _kept(loop: Loop, start: Leaves, save: bool) -> Layout[Row]:
    """The layout of products and states and, unless y is a state, of y."""
    plan = loop.step.plan
    states = {
        i: jax.ShapeDtypeStruct(start[i].shape, start[i].dtype)
        for i, is_constant in enumerate(plan.constant)
        if i == plan.output or (save and not is_constant)
    }
    return Layout.of(
        _named(
            products=plan.products if save else {},
            states=states,
            ys={} if plan.output is not None else {0: plan.y},
        )
    )


def _results(loop: Loop, xs: Leaves) -> Layout[Row]:
    """The layout of cotangents of padded products and of xs, and of left operands."""
    plan = loop.step.plan
    products = {}
    for k, p in plan.products.items():
        size = aligned_size(p.shape[-1], _gates(p, loop.step.gate_size))
        products[k] = jax.ShapeDtypeStruct((*p.shape[:-1], size), p.dtype)
    return Layout.of(
        _named(
            products=products,
            xs={
                j: jax.ShapeDtypeStruct(xs[j].shape[1:], xs[j].dtype)
                for j in tracing.float_indices(xs)
                if j not in plan.inputs.values()
            },
            operands={
                k: v for k, v in plan.operands.items() if k not in plan.state_operands
            },
        )
    )


def _gates(product: jax.ShapeDtypeStruct, gate_size: int | None) -> int:
    """The number of gates of a product; 1 if its width is no multiple of theirs."""
    width = product.shape[-1]
    return width // gate_size if gate_size and width % gate_size == 0 else 1


def _named(**parts: Mapping[int, Any]) -> dict[Row, Any]:
    """One dict, with (name, key) for the keys of each part."""
    return {(name, k): v for name, part in parts.items() for k, v in part.items()}
