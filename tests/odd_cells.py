"""Unusual cells that test the fused loop: how they use their weights.

Each is a case that is easy to get wrong when weight gradients are deferred. A cell is
written as a function step(params, state, z, dot) with the shapes of its parameters.
`w_x` projects the inputs, unless `project` is given. `ODD` maps names to cells. The
cases of inputs, states and control flow are in `odd_states.py`.
"""

import collections
import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

H, B = 5, 4
W = (H, H)
ODD = {}


def zeros(batch_shape, width=H):
    return jnp.zeros((*batch_shape, width))


def product_of_inputs(params, xs):
    return xs @ params.w_x


@dataclasses.dataclass(frozen=True)
class Odd:
    run: Callable
    shapes: tuple
    start: Callable
    project: Callable
    output_size: int = H
    gate_size: int = H

    def init(self, key, input_size):
        shapes = {"w_x": (input_size, H), **dict(self.shapes)}
        keys = jax.random.split(key, len(shapes))
        values = [
            jnp.arange(shape[0])
            if name == "integers"
            else 0.6 * jax.random.normal(k, shape)
            for k, (name, shape) in zip(keys, shapes.items(), strict=True)
        ]
        return collections.namedtuple("Params", shapes)(*values)

    def initial_state(self, batch_shape=()):
        return self.start(batch_shape)

    def step(self, params, state, z, dot=jnp.dot):
        return self.run(params, state, z, dot)


def odd(cells=ODD, start=zeros, project=product_of_inputs, **shapes):
    """A decorator that turns a step into a cell and adds it to `cells`."""

    def add(run):
        cells[run.__name__] = Odd(run, tuple(shapes.items()), start, project)
        return run

    return add


# How a weight is used.


@odd(w=W)
def weight_of_two_products(params, h, z, dot):
    h = jnp.tanh(z + dot(h, params.w) * dot(h * h, params.w))
    return h, h


@odd(w=(H, 2))
def weight_and_its_transpose(params, h, z, dot):
    h = jnp.tanh(z + dot(jnp.sin(dot(h, params.w)), params.w.T))
    return h, h


@odd(w=(H, 2 * H))
def weight_in_halves(params, h, z, dot):
    w_gate, w = jnp.split(params.w, 2, axis=-1)
    h = jax.nn.sigmoid(dot(h, w_gate)) * jnp.tanh(z + dot(h, w))
    return h, h


@odd(w=W)
def part_of_a_weight(params, h, z, dot):
    h = jnp.tanh(z + dot(h[..., :2], params.w[1:3]) * params.w[0])
    return h, h


@odd(v=W, g=(H,))
def weight_normalization(params, h, z, dot):
    w = params.g * params.v / jnp.linalg.norm(params.v, axis=0)
    h = jnp.tanh(z + dot(h, w))
    return h, h


@odd(a=(H, 2), b=(2, H))
def weight_that_is_a_product(params, h, z, dot):
    h = jnp.tanh(z + dot(h, dot(params.a, params.b)))
    return h, h


@odd()
def weight_that_is_a_constant(params, h, z, dot):
    h = jnp.tanh(z + dot(h, np.sin(np.arange(H * H, dtype=float)).reshape(W)))
    return h, h


@odd(w=W)
def weight_that_depends_on_the_state(params, h, z, dot):
    h = jnp.tanh(z + dot(h, params.w * jnp.mean(h)) + dot(h, params.w))
    return h, h


@odd(w=W)
def weight_that_depends_on_the_input(params, h, z, dot):
    h = jnp.tanh(z + dot(h, params.w * jnp.mean(z)) + dot(h, params.w))
    return h, h


@odd(w=W, v=(H,), u=(2, H, H))
def weights_that_are_not_matrices(params, h, z, dot):
    gate = jax.nn.sigmoid(dot(h, params.v))[..., None]
    h = jnp.tanh(z + gate * dot(h, params.w) + dot(h, params.u).sum(-2))
    return h, h


@odd(u=(H,), unused=W)
def no_product_at_all(params, h, z, dot):
    h = jnp.tanh(z + h * params.u)
    return h, h


# How a product is used.


@odd(w=W)
def scaled_product(params, h, z, dot):
    h = jnp.tanh(z + 2 * dot(h, params.w))
    return h, h


@odd(w=W)
def subtracted_product(params, h, z, dot):
    h = jnp.tanh(z - dot(h, params.w))
    return h, h


@odd(w=W)
def product_used_twice(params, h, z, dot):
    p = dot(h, params.w)
    h = jnp.tanh(z + p + p) * jnp.cos(p)
    return h, h


@odd(w=W, v=W)
def product_of_a_product(params, h, z, dot):
    h = jnp.sin(dot(jnp.tanh(z + dot(h, params.w)), params.v))
    return h, h


@odd(w=W, v=W)
def sum_of_two_products(params, h, z, dot):
    h = jnp.tanh(z + (dot(h, params.w) + dot(h * h, params.v)))
    return h, h


@odd(w=W)
def product_that_is_the_output(params, h, z, dot):
    p = dot(h, params.w)
    return jnp.tanh(z + p), p


@odd(w=W)
def product_that_is_not_used(params, h, z, dot):
    dot(z, params.w)
    h = jnp.tanh(z + h)
    return h, h


@odd(w=W)
def straight_through_product(params, h, z, dot):
    p = dot(h, params.w)
    h = jnp.tanh(z + p + lax.stop_gradient(jnp.sign(p) - p))
    return h, h


@odd(w=W, v=W)
def stopped_product(params, h, z, dot):
    h = jnp.tanh(z + lax.stop_gradient(dot(h, params.w)) + dot(h, params.v))
    return h, h


@odd(w=W, v=(H,))
def product_without_a_batch(params, h, z, dot):
    h = jnp.tanh(z + h * (params.v + dot(params.v, params.w)))
    return h, h


# How a bias is used.


@odd(w=W, b=(H,))
def bias_added_twice(params, h, z, dot):
    h = jnp.tanh(z + dot(h, params.w) + params.b + params.b)
    return h, h


@odd(w=W, b=(H,))
def bias_used_elsewhere(params, h, z, dot):
    h = jnp.tanh(z + dot(h, params.w) + params.b) * jax.nn.sigmoid(params.b)
    return h, h


@odd(w=W, b=(H,))
def bias_used_in_a_weight(params, h, z, dot):
    h = jnp.tanh(z + dot(h, params.w * params.b) + params.b)
    return h, h


@odd(w=W, v=W, b=(H,))
def bias_of_two_products(params, h, z, dot):
    first = jnp.tanh(z + dot(h, params.w) + params.b)
    h = jnp.sin(dot(first, params.v) + params.b)
    return h, h


@odd(w=W, v=W, b=(H,), c=(H,))
def biases_in_a_chain(params, h, z, dot):
    inner = jnp.tanh(dot(h, params.w) + params.b + z)
    h = jnp.sin(params.c + dot(inner, params.v) + params.b * params.c)
    return h, h


@odd(w=W, row=(1, H), one=(1,), none=(), each=(B, H))
def biases_of_every_shape(params, h, z, dot):
    p = dot(h, params.w) + params.row
    h = jnp.tanh(z + (p + params.one) + params.none + params.each)
    return h, h


@odd(w=W, b=(B, H))
def bias_that_makes_one_row_many(params, h, z, dot):
    h = jnp.tanh(dot(h[:1], params.w) + params.b + z)
    return h, h


@odd(w=W, b=(H,))
def stopped_bias(params, h, z, dot):
    h = jnp.tanh(z + dot(h, params.w) + lax.stop_gradient(params.b))
    return h, h


# What a hint may say.


@odd(w=W)
def gates_that_do_not_divide(params, h, z, dot):
    h = jnp.tanh(z + dot(h, params.w))
    return h, h


ODD["gates_that_do_not_divide"] = dataclasses.replace(
    ODD["gates_that_do_not_divide"], gate_size=2
)
