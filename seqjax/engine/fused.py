"""The fused loop under `unroll` and its backward pass, for any step that uses `dot`.

`jax.grad` of a scan carries every weight gradient through the loop: each step makes a
small product and reads and writes the whole sum. Here the forward pass keeps the
products and the states, the backward pass computes the cotangent of every product, and
each weight gradient is one product over all T after the loop:

    p[t] = v[t] @ w                                           in the loop, once
    dw   = reshape(v, [T*B, H]).T @ reshape(dp, [T*B, G])     after the loop

The backward pass recomputes the pointwise rest of a step from p[t], which costs less
than to store it. `tracing.py` finds how a step uses its weights:

- A leaf of xs that is only ever added to a product shares its memory. The forward pass
  adds p[t] into xs[t]. The backward pass writes their cotangent there, which is the
  same for both.
- A bias that is only ever added to a product costs nothing in the backward loop: its
  gradient is the sum of the product's cotangent. The gradients of parameters with
  other uses are carried through the loop.
- What the loop reads and writes lies in buffers [T, ...] (`buffers.py`).

A product that cannot be deferred, because it is inside the step's own control flow or
its matrix changes over time, belongs to the pointwise rest. A step is traced several
times and its pointwise rest runs twice, so use `fused=False` to print from a step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.engine import buffers, checks, tracing
from seqjax.engine.planned_step import ByProduct, Leaves, PlannedStep, replace_leaves
from seqjax.nn.layers import matmul_gradient


def scan(
    step: Callable[..., tuple[Any, Any]],
    params: Any,
    xs: Any,
    state: Any,
    num_steps: int,
    reverse: bool = False,
    gate_size: int | None = None,
) -> tuple[Any, Any]:
    """`lax.scan` of a step with weights, with deferred weight gradients.

        state, ys[t] = step(params, state, xs[t], dot)   for t = 0 .. T-1

    Args:
      step: the step. It gets `dot(v [..., H], w [H, G])` and has `layers.matmul` as its
        default. `lax.scan` runs a step that the fused loop does not support: one that
        closes over values that are differentiated or vmapped, changes the form of the
        state, or returns anything but one array as y.
      params: a pytree of arrays.
      xs: a pytree of arrays [T, ...].
      state: a pytree of arrays, of any dtype.
      num_steps: T, at least 1.
      reverse: run from the last step to the first.
      gate_size: width of one gate, a hint to read rows gate by gate.

    Returns:
      (state, ys), as `lax.scan`.

    Raises:
      TypeError: for forward-mode differentiation (raised by jax) and for second
        derivatives. Both need a plain loop.
    """
    x = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)
    if not tracing.is_supported(step, params, state, x):
        checks.check_step(step, params, xs, state)
        return lax.scan(partial(step, params), state, xs, num_steps, reverse=reverse)
    definitions: list[Any] = [jax.tree.structure(tree) for tree in (params, xs, state)]
    params_def, xs_def, state_def = definitions

    def flat_step(
        params: Leaves, state: Leaves, x: Leaves, product: tracing.Product
    ) -> tuple[Leaves, jax.Array]:
        new_state, y = step(
            params_def.unflatten(params),
            state_def.unflatten(state),
            xs_def.unflatten(x),
            tracing.numbered(product),
        )
        return state_def.flatten_up_to(new_state), y

    leaves = [jax.tree.leaves(tree) for tree in (params, xs, state)]
    plan = tracing.plan(flat_step, leaves[0], leaves[2], jax.tree.leaves(x))
    loop = _Loop(PlannedStep(flat_step, plan, gate_size), reverse, num_steps)
    run = jax.custom_vjp(lambda *leaves: loop.forward(leaves, save=False)[0])
    run.defvjp(lambda *leaves: loop.forward(leaves, save=True), loop.backward)
    last, ys = run(*leaves)
    return state_def.unflatten(last), ys


class _Saved(NamedTuple):
    """What the forward pass keeps for the backward pass."""

    params: Leaves
    xs: Leaves  # with the products that share their memory added
    start: Leaves  # the state before the first step
    products: ByProduct  # [T, ...], those that do not share the memory of xs
    states: dict[int, jax.Array]  # state leaf -> its values after every step [T, ...]


class _Loop(NamedTuple):
    """The forward and the backward pass over T steps."""

    step: PlannedStep
    reverse: bool
    num_steps: int

    def forward(
        self, leaves: tuple[Leaves, Leaves, Leaves], save: bool
    ) -> tuple[tuple[Leaves, jax.Array], _Saved]:
        """((state, ys), saved); without `save`, saved lacks products and states.

        Args:
          leaves: of params, xs and the initial state.
          save: whether a backward pass follows.
        """
        params, xs, start = leaves
        plan, step = self.step.plan, self.step
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
            t = self.num_steps - 1 - i if self.reverse else i
            row = step.read_inputs(params, xs, t)
            products = step.products(params, state, row, ws)
            xs = list(xs)
            for k, j in shared.items():
                xs[j] = buffers.write(xs[j], buffers.read(xs[j], t) + products[k], t)
                products[k] = jnp.zeros_like(products[k])
            row = step.read_inputs(params, xs, t)
            state, y = step.values(params, state, row, products)
            values = (products, dict(enumerate(state)), {0: y})
            return (
                state,
                xs,
                [buffers.write_all(b, v, t) for b, v in zip(kept, values, strict=True)],
            )

        carry = (start, xs, self._empty_buffers(start, save))
        state, xs, kept = lax.fori_loop(0, self.num_steps, body, carry)
        products, states, ys = kept
        ys = ys[0] if plan.output is None else states[plan.output]
        return (state, ys), _Saved(params, xs, start, products, states)

    def _empty_buffers(self, start: Leaves, save: bool) -> list[dict[int, jax.Array]]:
        """Buffers for products, for states and, unless y is a state, for y."""
        plan, empty = self.step.plan, partial(buffers.empty, self.num_steps)
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
        self, residuals: _Saved, cotangents: tuple[Leaves, jax.Array]
    ) -> tuple[list, list, list]:
        """Cotangents of params, xs and the initial state; None for integers."""
        plan, saved = self.step.plan, _Saved(*_differentiable_once(residuals))
        params, xs, start = saved.params, saved.xs, saved.start
        of_params, of_xs, of_state = map(tracing.float_indices, (params, xs, start))
        ws, pull_weights = jax.vjp(
            lambda floats: self.step.weights(
                replace_leaves(params, of_params, floats), xs, start
            ),
            [params[i] for i in of_params],
        )
        before = self._states_before(saved)
        d_state, d_others, d_xs, d_products, operands = self._loop_backward(
            saved, before, ws, *cotangents
        )
        d_products |= {k: d_xs[j] for k, j in plan.inputs.items()}
        operands |= {k: before[i] for k, i in plan.state_operands.items()}
        (d_params,) = pull_weights(
            {
                k: matmul_gradient(operands[k], d).astype(ws[k].dtype)
                for k, d in d_products.items()
            }
        )
        d_params = replace_leaves([None] * len(params), of_params, d_params)
        self._add_gradients(d_params, params, d_others, d_products, d_xs)
        return (
            d_params,
            replace_leaves([None] * len(xs), of_xs, [d_xs[j] for j in of_xs]),
            replace_leaves([None] * len(start), of_state, d_state),
        )

    def _states_before(self, saved: _Saved) -> dict[int, jax.Array]:
        """State leaf -> its values before every step, for leaves that change."""
        before = {
            i: buffers.shift(s, saved.start[i], self.reverse)
            for i, s in saved.states.items()
            if not self.step.plan.constant[i]
        }
        return lax.optimization_barrier(before)

    def _loop_backward(
        self,
        saved: _Saved,
        before: dict[int, jax.Array],
        ws: ByProduct,
        d_state: Leaves,
        d_ys: jax.Array,
    ) -> tuple[Leaves, Leaves, Leaves, ByProduct, ByProduct]:
        """Cotangents of the state, of plan.others, of xs and of the products.

        The last of the results are the left operands of the products, except those
        that are states. The cotangents of xs and products overwrite their buffers.
        """
        step, plan, params = self.step, self.step.plan, saved.params
        transposed = {k: _transposed(w, plan.products[k]) for k, w in ws.items()}
        float_xs = tracing.float_indices(saved.xs)

        def body(i: jax.Array, carry: tuple) -> tuple:
            d_state, d_others, xs, products, operands = carry
            t = i if self.reverse else self.num_steps - 1 - i
            state = [
                buffers.read(before[i], t) if i in before else s
                for i, s in enumerate(saved.start)
            ]
            row, values = self._read_saved(params, xs, products, t)
            cts = (d_state, buffers.read(d_ys, t))
            d_params, d_state, d_x, d_values, vs = step.vjp(
                params, state, row, values, cts, transposed
            )
            d_x = [
                buffers.write(xs[j], d, t) for j, d in zip(float_xs, d_x, strict=True)
            ]
            return (
                d_state,
                [a + b for a, b in zip(d_others, d_params, strict=True)],
                replace_leaves(xs, float_xs, d_x),
                buffers.write_all(products, d_values, t),
                buffers.write_all(operands, vs, t),
            )

        own = {k: v for k, v in plan.operands.items() if k not in plan.state_operands}
        carry = (
            [d_state[i] for i in tracing.float_indices(saved.start)],
            [jnp.zeros_like(params[i]) for i in plan.others],
            saved.xs,
            saved.products,
            {k: buffers.empty(self.num_steps, v) for k, v in own.items()},
        )
        return lax.fori_loop(0, self.num_steps, body, carry)

    def _read_saved(
        self, params: Leaves, xs: Leaves, products: ByProduct, t: jax.Array
    ) -> tuple[Leaves, ByProduct]:
        """xs[t] with biases, and the products of step t, for the backward pass.

        A product that shares the memory of xs is zero here: xs[t] includes it.
        """
        step = self.step
        # All rows are read before any is written. Else XLA copies whole buffers.
        several = len(tracing.float_indices(xs)) + len(products) > 1
        values = {
            k: jnp.zeros(p.shape, p.dtype)
            if k in step.plan.inputs
            else buffers.read(products[k], t, step.gate_size, materialize=several)
            for k, p in step.plan.products.items()
        }
        row = step.read_inputs(params, xs, t, materialize=several)
        return lax.optimization_barrier((row, values)) if several else (row, values)

    def _add_gradients(
        self,
        d_params: list,
        params: Leaves,
        d_others: Leaves,
        d_products: ByProduct,
        d_xs: Leaves,
    ) -> None:
        """Add the gradients of uses outside of products to `d_params`, in place."""
        plan = self.step.plan
        for i, d in zip(plan.others, d_others, strict=True):
            d_params[i] += d
        sums = {i: d_products[k] for i, k in plan.biases.items()}
        sums |= {i: d_xs[j] for i, j in plan.input_biases.items()}
        for i, d in sums.items():
            d_params[i] += d.sum(range(d.ndim - params[i].ndim))


@jax.custom_vjp
def _differentiable_once(residuals: _Saved) -> _Saved:
    return residuals


def _refuse(residuals: Any) -> NoReturn:
    raise TypeError(
        "the fused loop has no second derivatives: call unroll(..., fused=False)"
    )


_differentiable_once.defvjp(_refuse, _refuse)


def _transposed(w: jax.Array, product: jax.ShapeDtypeStruct) -> Callable[[], jax.Array]:
    """A function of no arguments for the loop to call: () -> w.T.

    w.T is laid out in memory before the loop, unless the product has a single row,
    which reads w faster as it is.
    """
    if product.size == product.shape[-1]:
        return lambda: w.T
    laid_out = lax.optimization_barrier(w.T)
    return lambda: laid_out
