"""Outputs and gradients of `unroll`, to hold one way of computing them to another."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import seqjax
from tests import quick

# LLVM's optimizations take long, and with them jaxlib 0.10 gets some plain scans wrong.
compiled = partial(jax.jit, compiler_options=quick.OPTIONS)


def inputs(cell, num_steps=6, batch_shape=(4,), input_size=3, dtype=jnp.float64):
    """Parameters, inputs [T, ..., D] and a state, all of them varied."""
    rng = np.random.default_rng(0)

    def vary(s):
        if is_float(s):
            return jnp.asarray(rng.normal(size=s.shape), dtype)
        if s.dtype == bool:
            return jnp.asarray(rng.random(s.shape) < 0.5)
        return s + 3 if jnp.issubdtype(s.dtype, jnp.integer) else s

    params = cell.init(jax.random.key(0), input_size)
    params = jax.tree.map(lambda p: p.astype(dtype) if is_float(p) else p, params)
    xs = jnp.asarray(rng.normal(size=(num_steps, *batch_shape, input_size)), dtype)
    return params, xs, jax.tree.map(vary, cell.initial_state(batch_shape))


def outputs_and_gradients(cell, params, xs, state, *args, **options):
    """(state, ys), and gradients for every float in params, xs and state.

    They are those of a loss that feels each output differently.
    """
    leaves, tree = jax.tree.flatten((params, xs, state))
    places = [i for i, leaf in enumerate(leaves) if is_float(leaf)]

    def run(floats):
        full = list(leaves)
        for i, value in zip(places, floats, strict=True):
            full[i] = value
        outputs = seqjax.unroll(cell, *tree.unflatten(full), *args, **options)
        return [a for a in jax.tree.leaves(outputs) if is_float(a)], outputs

    floats, pull, outputs = jax.vjp(run, [leaves[i] for i in places], has_aux=True)
    cotangents = [
        jnp.sin(jnp.arange(a.size, dtype=a.dtype) + i).reshape(a.shape)
        for i, a in enumerate(floats)
    ]
    return outputs, *pull(cotangents)


def both_ways(calls, one, other):
    """{name: (outputs and gradients with options `one`, those with `other`)}.

    All calls, {name: (cell, params, xs, state, lengths, reverse)}, are compiled as one
    program, in a third of the time. An error is kept as what the call gave.
    """
    static = {name: (cell, reverse) for name, (cell, *_, reverse) in calls.items()}
    arrays = {name: call[1:-1] for name, call in calls.items()}
    errors = {}

    @compiled
    def run(arrays):
        results = {}
        for name, (cell, reverse) in static.items():
            call = partial(outputs_and_gradients, cell, *arrays[name], reverse)
            try:
                results[name] = call(**one), call(**other)
            except Exception as error:
                errors[name] = error
        return results

    return run(arrays) | errors


def assert_both_same(pair, tolerance=1e-10):
    """What `both_ways` gave is equal in structure, dtypes and values."""
    if isinstance(pair, Exception):
        raise pair
    got, want = pair
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert g.dtype == w.dtype
        if jnp.issubdtype(g.dtype, jax.dtypes.prng_key):
            g, w = jax.random.key_data(g), jax.random.key_data(w)
        np.testing.assert_allclose(g, w, rtol=tolerance, atol=tolerance)


def is_float(a):
    return jnp.issubdtype(a.dtype, jnp.floating)
