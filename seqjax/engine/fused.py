"""The loop under `unroll` and its backward pass, for any step that uses `dot`.

`jax.grad` of a scan carries every weight gradient through the loop: a small product and
a read and write of the whole sum at each step. Here the way forward keeps the products
and the states, the way back finds the cotangent of every product, and after it each
weight gradient is one product over all T:

    p[t] = v[t] @ w                                 in the loop, once, never again
    dw   = reshape(v, [T*B, H]).T @ reshape(dp, [T*B, G])            after the loop

The pointwise rest of a step is computed anew from p[t] on the way back, which costs
less than to keep it. How a step uses its weights is found by tracing it (`tracing.py`):

- An entry of xs that is only ever added to a product shares its memory: p[t] is added
  into xs[t] on the way forward, and on the way back their cotangent, which is one and
  the same, is written there.
- A bias that is only ever added to a product costs nothing on the way back: its
  gradient is the sum of the product's cotangent. Other parameters have theirs carried.
- What is read and written in the loop lies in buffers [T, ...] (`buffers.py`).

A product that cannot be deferred (within control flow of the step's own, or by a matrix
that changes over time) belongs to the pointwise rest. A step is traced several times,
and that rest runs twice: to print from a step, take the plain loop.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.engine import buffers, tracing
from seqjax.nn.layers import matmul, matmul_gradient


def scan(step, params, xs, state, num_steps, reverse=False, width=None):
    """`lax.scan` of a step with weights, differentiated as above.

        state, ys[t] = step(params, state, xs[t], dot)   for t = 0 .. T-1

    Args:
      step: a function as above; `dot(v [..., H], w [H, G])` is `layers.matmul` to it.
        One that is not of this form is left to `lax.scan`: if it closes over what is
        differentiated or mapped, changes the form of the state, or y is not one array.
      params: any pytree of arrays.
      xs: any pytree of arrays [T, ...].
      state: any pytree of arrays; what is not float is carried along.
      num_steps: T, at least 1.
      reverse: whether to go from the last step to the first.
      width: of a gate, to read rows gate by gate.

    Returns:
      (state, ys) as `lax.scan`.

    Raises:
      TypeError: for forward-mode differentiation (by jax) and for second derivatives;
        both need a plain loop.
    """
    x = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)
    if not tracing.is_of_the_form(step, params, state, x):
        plain = partial(step, params)
        return lax.scan(plain, state, xs, num_steps, reverse=reverse)
    params, params_def = jax.tree.flatten(params)
    xs, xs_def = jax.tree.flatten(xs)
    state, state_def = jax.tree.flatten(state)

    def flat_step(params, state, x, product):
        new_state, y = step(
            params_def.unflatten(params),
            state_def.unflatten(state),
            xs_def.unflatten(x),
            tracing.numbered(product),
        )
        return state_def.flatten_up_to(new_state), y

    plan = tracing.plan(flat_step, params, state, jax.tree.leaves(x))
    loop = _Loop(flat_step, plan, reverse, width, num_steps)
    run = jax.custom_vjp(lambda *args: loop.forward(*args, save=False)[0])
    run.defvjp(lambda *args: loop.forward(*args, save=True), loop.backward)
    state, ys = run(params, xs, state)
    return state_def.unflatten(state), ys


class _Loop(NamedTuple):
    """Both ways. Leaves are in lists; buffers [T, ...] in dicts by product or leaf."""

    step: Callable
    plan: tracing.Plan
    reverse: bool
    width: int | None
    num_steps: int

    def forward(self, params, xs, start, save):
        """((state, ys), what `backward` needs); without `save` only ys is kept."""
        plan, step = self.plan, self.step
        ws = self._weights(params, xs, start)
        # A row of one gate is as fast to read where it lies, if it need not be kept.
        entries = {
            k: j
            for k, j in plan.entries.items()
            if save or xs[j].shape[-1] != self.width
        }

        def body(i, carry):
            state, xs, kept = carry
            t = self.num_steps - 1 - i if self.reverse else i
            row = self._row(params, xs, t)
            products = self._multiply(params, state, row, ws)
            xs = list(xs)
            for k, j in entries.items():
                xs[j] = buffers.write(xs[j], buffers.read(xs[j], t) + products[k], t)
                products[k] = jnp.zeros_like(products[k])
            row = self._row(params, xs, t)
            leaves = (self._without_biases(params), state, row)
            state, y, _ = tracing.replay(step, *leaves, products)
            values = (products, dict(enumerate(state)), {0: y})
            return (
                state,
                xs,
                [buffers.write_all(b, v, t) for b, v in zip(kept, values, strict=True)],
            )

        empty = partial(buffers.empty, self.num_steps)
        kept_products = [k for k in plan.products if save and k not in plan.entries]
        kept_states = [
            i
            for i, same in enumerate(plan.constant)
            if i == plan.output or (save and not same)
        ]
        kept = [
            {k: empty(plan.products[k]) for k in kept_products},
            {i: empty(start[i]) for i in kept_states},
            {} if plan.output is not None else {0: empty(plan.y)},
        ]
        state, xs, kept = lax.fori_loop(0, self.num_steps, body, (start, xs, kept))
        products, states, ys = kept
        ys = ys[0] if plan.output is None else states[plan.output]
        return (state, ys), (params, xs, start, products, states)

    def backward(self, residuals, cotangents):
        """Cotangents of params, xs and the state at the start."""
        plan = self.plan
        params, xs, start, products, states = _differentiated_once(residuals)
        d_state, d_ys = cotangents
        float_params, float_xs, float_state = map(tracing.floats, (params, xs, start))
        ws, pull_weights = jax.vjp(
            lambda leaves: self._weights(_put(params, float_params, leaves), xs, start),
            [params[i] for i in float_params],
        )
        transposed = {k: _transposed(w, plan.products[k]) for k, w in ws.items()}
        before = {
            i: buffers.shift(s, start[i], self.reverse)
            for i, s in states.items()
            if not plan.constant[i]
        }
        before = lax.optimization_barrier(before)
        # Read all before any is written, or XLA copies whole buffers at each step.
        several = len(float_xs) + len(products) > 1

        def body(i, carry):
            d_state, d_others, xs, products, operands = carry
            t = i if self.reverse else self.num_steps - 1 - i
            state = [
                buffers.read(before[i], t) if i in before else s
                for i, s in enumerate(start)
            ]
            made = {
                k: jnp.zeros(p.shape, p.dtype)
                if k in plan.entries
                else buffers.read(products[k], t, self.width, apart=several)
                for k, p in plan.products.items()
            }
            row = self._row(params, xs, t, apart=several)
            if several:
                row, made = lax.optimization_barrier((row, made))
            args = (self._without_biases(params), state, row, made)
            cts = (d_state, buffers.read(d_ys, t))
            d_params, d_state, d_x, d_made, vs = self._pull(args, cts, transposed)
            d_x = [
                buffers.write(xs[j], d, t) for j, d in zip(float_xs, d_x, strict=True)
            ]
            return (
                d_state,
                [a + b for a, b in zip(d_others, d_params, strict=True)],
                _put(xs, float_xs, d_x),
                buffers.write_all(products, d_made, t),
                buffers.write_all(operands, vs, t),
            )

        own = {k: v for k, v in plan.operands.items() if k not in plan.states}
        carry = (
            [d_state[i] for i in float_state],
            [jnp.zeros_like(params[i]) for i in plan.others],
            xs,
            products,
            {k: buffers.empty(self.num_steps, v) for k, v in own.items()},
        )
        carry = lax.fori_loop(0, self.num_steps, body, carry)
        d_state, d_others, d_xs, d_products, operands = carry
        d_products |= {k: d_xs[j] for k, j in plan.entries.items()}
        operands |= {k: before[i] for k, i in plan.states.items()}
        (d_params,) = pull_weights(
            {
                k: matmul_gradient(operands[k], d).astype(ws[k].dtype)
                for k, d in d_products.items()
            }
        )
        d_params = _put([None] * len(params), float_params, d_params)
        self._add_gradients(d_params, params, d_others, d_products, d_xs)
        return (
            d_params,
            _put([None] * len(xs), float_xs, [d_xs[j] for j in float_xs]),
            _put([None] * len(start), float_state, d_state),
        )

    def _add_gradients(self, d_params, params, d_others, d_products, d_xs):
        """Those of the parameters outside the products, to `d_params` in place."""
        plan = self.plan
        for i, d in zip(plan.others, d_others, strict=True):
            d_params[i] += d
        sums = {i: d_products[k] for i, k in plan.biases.items()}
        sums |= {i: d_xs[j] for i, j in plan.entry_biases.items()}
        for i, d in sums.items():
            d_params[i] += d.sum(range(d.ndim - params[i].ndim))

    def _weights(self, params, xs, state):
        """The right operands of the products; XLA drops the rest of this step."""
        ws = {}

        def product(k, v, w):
            ws[k] = w
            return matmul(v, w)

        self.step(params, state, [x[0] for x in xs], product)
        return {k: ws[k] for k in self.plan.products}

    def _multiply(self, params, state, x, ws):
        """The products of a step, biases added; XLA drops what they do not need."""
        products = {}

        def product(k, v, w):
            if k not in ws:
                return matmul(v, w)
            biases = (params[i] for i, j in self.plan.biases.items() if j == k)
            products[k] = sum(biases, start=matmul(v, ws[k]))
            return products[k]

        self.step(self._without_biases(params), state, x, product)
        return products

    def _pull(self, args, cotangents, transposed):
        """Cotangents of plan.others, state, x and products, and the left operands."""
        params, state, x, products = args
        places = (self.plan.others, tracing.floats(state), tracing.floats(x))

        def run(params_, state_, x_, products):
            leaves = map(_put, (params, state, x), places, (params_, state_, x_))
            new_state, y, operands = tracing.replay(
                *(self.step, *leaves, products),
                known=lambda k, v, p: _known(v, transposed[k](), p),
            )
            return ([new_state[i] for i in places[1]], y), operands

        args = (
            [a[i] for i in p] for a, p in zip((params, state, x), places, strict=True)
        )
        _, vjp, operands = jax.vjp(run, *args, products, has_aux=True)
        return *vjp(cotangents), operands

    def _without_biases(self, params):
        biases = (*self.plan.biases, *self.plan.entry_biases)
        return _put(params, biases, [jnp.zeros_like(params[i]) for i in biases])

    def _row(self, params, xs, t, apart=False):
        """xs[t], biases added."""
        row = []
        for place, x in enumerate(xs):
            of_x = [params[i] for i, j in self.plan.entry_biases.items() if j == place]
            row.append(buffers.read(x, t, self.width, of_x, apart))
        return row


@jax.custom_vjp
def _known(v, w_t, p):
    """p = v @ w_t.T, which is known."""
    return p


_known.defvjp(lambda v, w_t, p: (p, w_t), lambda w_t, dp: (matmul(dp, w_t), None, dp))


@jax.custom_vjp
def _differentiated_once(residuals):
    return residuals


def _refuse(residuals):
    raise TypeError(
        "the fused backward pass cannot itself be differentiated: "
        "call unroll(..., fused=False) for second derivatives"
    )


_differentiated_once.defvjp(_refuse, _refuse)


def _put(leaves, places, values):
    """A list with other values in some places."""
    leaves = list(leaves)
    for i, value in zip(places, values, strict=True):
        leaves[i] = value
    return leaves


def _transposed(w, product):
    """() -> w.T, to be called in the loop: laid out before it, but for a single row."""
    if product.size == product.shape[-1]:
        return lambda: w.T
    laid_out = lax.optimization_barrier(w.T)
    return lambda: laid_out
