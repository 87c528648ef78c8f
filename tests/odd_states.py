"""More unusual cells: their inputs, their states and control flow.

They are written like those of `odd_cells.py`.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from tests import odd_cells
from tests.odd_cells import B, H, W, zeros

ODD = {}
odd = partial(odd_cells.odd, cells=ODD)


def two(batch_shape):
    return zeros(batch_shape), zeros(batch_shape)


# How the input is used.


@odd(w=W)
def input_used_elsewhere(params, h, z, dot):
    h = jnp.tanh(z + dot(h, params.w)) + 0.3 * z
    return h, h


@odd(w=W, g=(H,))
def straight_through_input(params, h, z, dot):
    h = jnp.tanh(z + dot(h, params.w) + lax.stop_gradient(z * params.g))
    return h, h


@odd(w=W)
def stopped_input(params, h, z, dot):
    h = jnp.tanh(lax.stop_gradient(z) + dot(h, params.w))
    return h, h


@odd(w=W, v=W)
def input_multiplied(params, h, z, dot):
    h = jnp.tanh(dot(z, params.v) + dot(h, params.w))
    return h, h


def project_to_a_dict(params, xs):
    z = xs @ params.w_x
    return {
        "a": z,
        "b": jnp.sin(z),
        "gates": jnp.concatenate([z, z * z, jnp.cos(z)], axis=-1),
        "position": jnp.cumsum(jnp.ones(xs.shape[:-1], int), axis=0),
        "unused": z,
    }


@odd(project=project_to_a_dict, w=W, v=(H, 3 * H))
def input_of_several_leaves(params, h, z, dot):
    i, f, g = jnp.split(z["gates"] + dot(h, params.v), 3, axis=-1)
    a = jnp.where(z["position"][..., None] % 2 == 0, z["a"] + dot(h, params.w), i)
    h = jnp.tanh(a * f + jnp.sin(g) * (z["b"] + dot(a, params.w)))
    return h, h


@odd(w=W, b=(H,), c=(H,))
def bias_of_the_input(params, h, z, dot):
    h = jnp.tanh(params.b + z) * jnp.cos(dot(h, params.w) + params.c)
    return h, h


@odd(w=W, row=(1, H), one=(1,), none=(), each=(B, H))
def biases_of_the_input_of_every_shape(params, h, z, dot):
    z = z + params.row + params.one + params.none + params.each
    h = jnp.tanh(z) * jnp.cos(dot(h, params.w))
    return h, h


@odd(project=project_to_a_dict, w=W, b=(H,))
def bias_of_two_inputs_and_a_product(params, h, z, dot):
    h = jnp.tanh(z["a"] + dot(h, params.w) + z["b"] + params.b)
    return h, h


@odd(project=project_to_a_dict, w=W, b=(H,))
def bias_of_two_inputs(params, h, z, dot):
    h = jnp.tanh(z["a"] + z["b"] + params.b) * jnp.cos(dot(h, params.w))
    return h, h


@odd(project=project_to_a_dict, w=W, b=(H,))
def bias_added_to_two_inputs(params, h, z, dot):
    h = jnp.tanh(z["a"] + params.b) * jnp.cos(z["b"] + params.b) + dot(h, params.w)
    return h, h


@odd(project=project_to_a_dict, w=W, integers=(B,))
def integers_added_to_integers(params, h, z, dot):
    odd = (z["position"] + params.integers) % 2 == 1
    h = jnp.where(odd[..., None], jnp.tanh(z["a"] + dot(h, params.w)), h)
    return h, h


# What the state contains.


def start_counting(batch):
    return {
        "h": zeros(batch),
        "count": jnp.zeros(batch, int),
        "on": jnp.ones(batch) > 0,
    }


@odd(start=start_counting, w=W)
def integers_and_booleans_in_the_state(params, state, z, dot):
    h, count, on = state["h"], state["count"], state["on"]
    new = jnp.tanh(z + dot(h, params.w)) * count[..., None].astype(h.dtype)
    h = jnp.where(on[..., None], new, 0.5 * h)
    return {"h": h, "count": count + 1, "on": ~on}, h


def start_with_keys(batch):
    return zeros(batch), jax.random.split(jax.random.key(3), batch)


@odd(start=start_with_keys, w=W)
def random_keys_in_the_state(params, state, z, dot):
    h, keys = state
    noise = jax.vmap(lambda key: jax.random.normal(key, (H,), z.dtype))(keys)
    h = jnp.tanh(z + dot(h, params.w) + noise)
    return (h, jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)), h


@odd(start=two, w=W)
def mask_in_the_state(params, state, z, dot):
    h, mask = state
    h = jnp.tanh(z + dot(h * mask, params.w))
    return (h, mask), h


@odd(w=W, mask=(B, H))
def mask_in_the_parameters(params, h, z, dot):
    h = jnp.tanh(z + dot(h * params.mask, params.w))
    return h, h


@odd(start=lambda batch: (zeros(batch), zeros(batch, 3)), w=W, v=(3, H))
def context_that_is_multiplied(params, state, z, dot):
    h, context = state
    h = jnp.tanh(z + dot(h, params.w) + dot(context, params.v))
    return (h, context), h


@odd(start=two, w=W)
def output_that_is_a_constant_leaf(params, state, z, dot):
    h, context = state
    return (jnp.tanh(z + dot(h + context, params.w)), context), context


@odd(start=two, w=W)
def input_of_the_step_before(params, state, z, dot):
    h, before = state
    h = jnp.tanh(z + dot(h, params.w) * dot(before, params.w))
    return (h, z), h


@odd(start=two, w=W)
def leaf_that_is_reset_to_zero(params, state, z, dot):
    h, once = state
    h = jnp.tanh(z + dot(h, params.w) + once)
    return (h, jnp.zeros_like(once)), h


@odd(start=two, w=W)
def leaves_that_are_exchanged(params, state, z, dot):
    older, newer = state
    return (newer, jnp.tanh(z + dot(older, params.w) + newer)), older


@odd(start=two, w=W)
def leaf_in_the_state_twice(params, state, z, dot):
    h, again = state
    h = jnp.tanh(z + dot(h, params.w) + dot(again, params.w))
    return (h, h), h


@odd(start=lambda batch: (zeros(batch), zeros(batch, 7)), w=(7, H), v=(H, 7))
def output_narrower_than_the_memory(params, state, z, dot):
    h, c = state
    c = jnp.tanh(dot(h, params.v) + 0.5 * c)
    h = jnp.sin(z + dot(c, params.w))
    return (h, c), h


# Where the product is computed.


@odd(w=W, v=W)
def product_in_cond(params, h, z, dot):
    p = lax.cond(
        jnp.sum(h) > 0, lambda: dot(h, params.w), lambda: dot(h * h, params.w) + 1.0
    )
    h = jnp.tanh(z + p + dot(h, params.v))
    return h, h


@odd(w=W, v=W)
def product_in_scan(params, h, z, dot):
    def inner(h, _):
        return jnp.tanh(z + dot(h, params.w)), None

    h = lax.scan(inner, h, length=2)[0] + dot(h, params.v)
    return h, h


@odd(w=W, v=W)
def product_in_jit(params, h, z, dot):
    h = jax.jit(lambda h: jnp.tanh(z + dot(h, params.w)))(h) + dot(h, params.v)
    return h, h


@odd(w=W, v=W)
def product_in_checkpoint(params, h, z, dot):
    h = jax.checkpoint(lambda h: jnp.tanh(z + dot(h, params.w)))(h) + dot(h, params.v)
    return h, h


@odd(w=W, v=W)
def product_in_vmap(params, h, z, dot):
    h = jnp.tanh(z + jax.vmap(lambda h: dot(h, params.w))(h)) + dot(h, params.v)
    return h, h


@odd(w=W, v=W)
def product_in_grad(params, h, z, dot):
    def energy(h):
        return jnp.sum(jnp.sin(dot(h, params.w)))

    h = jnp.tanh(z - jax.grad(energy)(h) + dot(h, params.v))
    return h, h


@odd(w=W, v=W)
def product_in_a_custom_vjp(params, h, z, dot):
    @jax.custom_vjp
    def clipped(p, v):
        return dot(p, v)

    clipped.defvjp(
        lambda p, v: (dot(p, v), (p, v)),
        lambda saved, ct: (jnp.clip(ct, -0.1, 0.1) @ saved[1].T, saved[0].T @ ct),
    )
    h = jnp.tanh(z + clipped(h, params.w)) + dot(h, params.v)
    return h, h


@odd(start=two, w=W, peep=(H,))
def peepholes(params, state, z, dot):
    h, c = state
    c = jax.nn.sigmoid(z + dot(h, params.w) + params.peep * c) * jnp.cos(c)
    return (jnp.tanh(c), c), jnp.tanh(c)
