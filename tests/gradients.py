"""Gradients, compared with finite differences, and of `unroll` in two ways."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import seqjax
from tests import equality, quick
from tests.parameters import drawn, is_float

# LLVM's optimizations are slow, and jaxlib 0.10 miscompiles some plain scans with them.
compiled = partial(jax.jit, compiler_options=quick.OPTIONS)


def assert_finite_differences(loss, args, atol=1e-5, rtol=1e-5, eps=1e-4):
    """The gradient of a loss along a random direction is its difference quotient.

    `jax.test_util.check_grads` does the same in three programs and many operations.
    """
    run = compiled(jax.value_and_grad(loss, tuple(range(len(args)))))
    assert_differences(run, args, atol, rtol, eps)


def assert_differences(run, args, atol=1e-5, rtol=1e-5, eps=1e-4):
    """As `assert_finite_differences`, for a compiled function (value, gradients)."""
    rng = np.random.default_rng(0)
    direction = jax.tree.map(lambda a: rng.normal(size=a.shape), args)

    def moved(eps):
        return jax.tree.map(lambda a, d: np.asarray(a) + eps * d, args, direction)

    gradient = jax.device_get(run(*args)[1])
    products = jax.tree.map(lambda g, d: np.sum(g * d), gradient, direction)
    plus, minus = (float(run(*moved(e))[0]) for e in (eps, -eps))
    want = (plus - minus) / (2 * eps)
    got = sum(jax.tree.leaves(products))
    np.testing.assert_allclose(got, want, atol=atol, rtol=rtol)


def inputs(cell, num_steps=6, batch_shape=(4,), input_size=3, dtype=jnp.float64):
    """Parameters, inputs [T, ..., D] and a state, all of them random."""
    rng = np.random.default_rng(0)

    def vary(s):
        if is_float(s):
            return jnp.asarray(rng.normal(size=s.shape), dtype)
        if s.dtype == bool:
            return jnp.asarray(rng.random(s.shape) < 0.5)
        return s + 3 if jnp.issubdtype(s.dtype, jnp.integer) else s

    params = drawn(cell.init, input_size, dtype=dtype)
    xs = jnp.asarray(rng.normal(size=(num_steps, *batch_shape, input_size)), dtype)
    return params, xs, jax.tree.map(vary, cell.initial_state(batch_shape))


def outputs_and_gradients(cell, params, xs, state, *args, **options):
    """(state, ys), and the gradients of every float in params, xs and state.

    The loss has another derivative for each element of each output.
    """
    leaves, tree = jax.tree.flatten((params, xs, state))
    indices = [i for i, leaf in enumerate(leaves) if is_float(leaf)]

    def run(floats):
        full = list(leaves)
        for i, value in zip(indices, floats, strict=True):
            full[i] = value
        outputs = seqjax.unroll(cell, *tree.unflatten(full), *args, **options)
        return [a for a in jax.tree.leaves(outputs) if is_float(a)], outputs

    floats, pull, outputs = jax.vjp(run, [leaves[i] for i in indices], has_aux=True)
    cotangents = [
        jnp.sin(jnp.arange(a.size, dtype=a.dtype) + i).reshape(a.shape)
        for i, a in enumerate(floats)
    ]
    return outputs, *pull(cotangents)


def both_ways(calls, one, other):
    """{name: (outputs and gradients with options `one`, those with `other`)}.

    All calls, {name: (cell, params, xs, state, lengths, reverse)}, compile as one
    program, which takes a third of the time. A call that raises has its error as value.
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
    """A result of `both_ways` is equal in structure, dtypes and values."""
    if isinstance(pair, Exception):
        raise pair
    got, want = pair
    assert [g.dtype for g in jax.tree.leaves(got)] == [
        w.dtype for w in jax.tree.leaves(want)
    ]
    equality.assert_close(got, want, rtol=tolerance, atol=tolerance)
