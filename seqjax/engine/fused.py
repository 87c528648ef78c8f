"""The fused loop under `unroll` and its backward pass, for any step that uses `dot`.

`jax.grad` of a scan carries every weight gradient through the loop: each step makes a
small product and reads and writes the whole sum. Here the forward pass keeps the
products and the states, the backward pass computes the cotangent of every product, and
each weight gradient is one product over all T after the loop:

    p[t] = v[t] @ w                                           in the loop, once
    dw   = reshape(v, [T*B, H]).T @ reshape(dp, [T*B, G])     after the loop

The backward pass recomputes the pointwise rest of a step from p[t], which costs less
than to store it. `tracing.py` finds how a step uses its weights:

- A leaf of xs that is only ever added to a product is kept as their sum, and its
  cotangent is the product's.
- A bias that is only ever added to a product costs nothing in the backward loop: its
  gradient is the sum of the product's cotangent. The gradients of parameters with
  other uses are carried through the loop.
- The loops themselves are in `cpu_loop.py` and `gpu_loop.py`.

A product that cannot be deferred, because it is inside the step's own control flow or
its matrix changes over time, belongs to the pointwise rest. A step is traced several
times and its pointwise rest runs twice, so use `fused=False` to print from a step.
"""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.engine import buffers, checks, cpu_loop, gpu_loop, tracing
from seqjax.engine.planned_step import Leaves, Loop, PlannedStep, replace_leaves
from seqjax.nn.layers import matmul_gradient


def scan(
    step: Callable[..., tuple[Any, Any]],
    params: Any,
    xs: Any,
    state: Any,
    num_steps: int,
    reverse: bool = False,
    gate_size: int | None = None,
    on_gpu: bool = False,
    axis: int = 0,
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
      gate_size: width of one gate, a hint on how rows lie in memory.
      on_gpu: run the form of the loop for GPUs, `gpu_loop`, instead of `cpu_loop`. Both
        are right on any device.
      axis: of time in xs and ys. Arrays that have it elsewhere need not be transposed
        on a CPU.

    Returns:
      (state, ys), as `lax.scan`.

    Raises:
      TypeError: for forward-mode differentiation (raised by jax) and for second
        derivatives. Both need a plain loop.
    """
    x = jax.eval_shape(partial(jax.tree.map, partial(buffers.first, axis=axis)), xs)
    is_supported = tracing.is_supported(step, params, state, x)
    if axis and (on_gpu or not is_supported):
        xs = jax.tree.map(lambda x: jnp.moveaxis(x, axis, 0), xs)
        last, ys = scan(step, params, xs, state, num_steps, reverse, gate_size, on_gpu)
        return last, jnp.moveaxis(ys, 0, axis)
    if not is_supported:
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
    loop = Loop(PlannedStep(flat_step, plan, gate_size, axis), reverse, num_steps)
    form = gpu_loop if on_gpu else cpu_loop
    run = jax.custom_vjp(lambda *leaves: form.forward(loop, leaves, save=False)[0])
    run.defvjp(
        lambda *leaves: form.forward(loop, leaves, save=True),
        partial(_backward, form, loop),
    )
    last, ys = run(*leaves)
    return state_def.unflatten(last), ys


def _backward(
    form: ModuleType, loop: Loop, residuals: Any, cotangents: tuple[Leaves, jax.Array]
) -> tuple[list, list, list]:
    """Cotangents of params, xs and the initial state; None for integers."""
    plan, saved = loop.step.plan, _differentiable_once(residuals)
    params, xs, start = saved.params, saved.xs, saved.start
    of_params, of_xs, of_state = map(tracing.float_indices, (params, xs, start))
    ws, pull_weights = jax.vjp(
        lambda floats: loop.step.weights(
            replace_leaves(params, of_params, floats), xs, start
        ),
        [params[i] for i in of_params],
    )
    found = form.backward(loop, saved, ws, cotangents)
    (of_weights,) = pull_weights(
        {
            k: matmul_gradient(found.operands[k], d).astype(ws[k].dtype)
            for k, d in found.products.items()
        }
    )
    d_params = replace_leaves([None] * len(params), of_params, of_weights)
    sums = {i: found.products[k] for i, k in plan.biases.items()}
    sums |= {i: found.xs[j] for i, j in plan.input_biases.items()}
    for i, d in zip(plan.others, found.others, strict=True):
        d_params[i] += d
    for i, d in sums.items():
        d_params[i] += d.sum(range(d.ndim - params[i].ndim))
    return (
        d_params,
        replace_leaves([None] * len(xs), of_xs, [found.xs[j] for j in of_xs]),
        replace_leaves([None] * len(start), of_state, found.state),
    )


@jax.custom_vjp
def _differentiable_once(residuals: Any) -> Any:
    return residuals


def _refuse(residuals: Any) -> NoReturn:
    raise TypeError(
        "the fused loop has no second derivatives: call unroll(..., fused=False), or "
        "use the RNN of flax itself"
    )


_differentiable_once.defvjp(_refuse, _refuse)
