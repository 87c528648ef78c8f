"""Truncated backpropagation: the values of `unroll`, and the gradients it defines."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax.truncation import (
    fixed_factors,
    random_factors,
    truncated_unroll,
)
from tests import equality
from tests.parameters import drawn

T, B, D, H = 5, 2, 3, 4
CELLS = {
    "rnn": seqjax.RNN(H),
    "gru": seqjax.GRU(H),
    "lstm": seqjax.LSTM(H),
    "stack": seqjax.Stack((seqjax.GRU(H), seqjax.LSTM(H))),
    "nested": seqjax.Stack((seqjax.Stack((seqjax.LSTM(3),)), seqjax.GRU(H))),
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


def inputs(cell):
    xs = np.random.default_rng(1).normal(size=(T, B, D))
    return drawn(cell.init, D), jnp.asarray(xs, jnp.float32)


@partial(jax.jit, static_argnums=0)
def gradients(cell, factors):
    """Gradients of a loss of all outputs with respect to the parameters."""
    params, xs = inputs(cell)
    weights = np.cos(np.arange(T * B * H, dtype=np.float32)).reshape(T, B, H)

    def loss(params):
        if factors is None:
            return jnp.sum(weights * seqjax.unroll(cell, params, xs)[1])
        return jnp.sum(weights * truncated_unroll(cell, params, xs, factors)[1])

    return jax.grad(loss)(params)


def assert_close(got, want, tolerance=1e-5):
    equality.assert_close(got, want, rtol=tolerance, atol=tolerance)


@every_cell
@pytest.mark.parametrize("factor", [0.0, 1.0, 3.0])
def test_values_are_those_of_unroll(cell, factor):
    params, xs = inputs(cell)
    factors = jnp.full(T, factor)
    want = seqjax.unroll(cell, params, xs)
    assert_close(truncated_unroll(cell, params, xs, factors), want, 0)


@every_cell
def test_factors_of_one_are_full_backpropagation(cell):
    assert_close(gradients(cell, jnp.ones(T)), gradients(cell, None))


@every_cell
@pytest.mark.parametrize("period", [1, 2, 3])
def test_fixed_truncation_is_segments_with_a_constant_state(cell, period):
    params, xs = inputs(cell)
    weights = np.cos(np.arange(T * B * H, dtype=np.float32)).reshape(T, B, H)

    def loss(params):
        total, state = 0.0, cell.initial_state((B,))
        for t in range(0, T, period):
            state, ys = seqjax.unroll(cell, params, xs[t : t + period], state)
            state = jax.lax.stop_gradient(state)
            total += jnp.sum(weights[t : t + period] * ys)
        return total

    want = jax.grad(loss)(params)
    assert_close(gradients(cell, fixed_factors(T, period)), want)


@every_cell
@pytest.mark.parametrize("keep", [0.5, 0.9])
def test_the_expected_gradient_of_random_truncation_is_the_full_one(cell, keep):
    full = gradients(cell, None)
    expected = jax.tree.map(np.zeros_like, jax.device_get(full))
    for kept in itertools.product((0, 1), repeat=T):  # every possible draw
        probability = np.prod([keep if k else 1 - keep for k in kept])
        one = jax.device_get(gradients(cell, np.float32(kept) / np.float32(keep)))
        expected = jax.tree.map(lambda e, g: e + probability * g, expected, one)  # noqa: B023
    assert_close(expected, full, 1e-4)


def test_a_truncated_gradient_differs():
    full, cut = (gradients(CELLS["rnn"], f) for f in (None, fixed_factors(T, 2)))
    assert max(float(jnp.max(jnp.abs(a - b))) for a, b in zip(full, cut, strict=True))


def test_random_factors_have_mean_one_and_two_values():
    factors = random_factors(jax.random.key(0), 100_000, 0.8)
    np.testing.assert_allclose(np.unique(factors), [0, 1.25])
    np.testing.assert_allclose(factors.mean(), 1, atol=0.01)


def test_invalid_arguments_are_refused():
    with pytest.raises(ValueError, match="period must be at least 1, got 0"):
        fixed_factors(5, 0)
    for keep in (0, 1.5):
        with pytest.raises(ValueError, match=f"probability in .0, 1., got {keep}"):
            random_factors(jax.random.key(0), 5, keep)
    both = seqjax.Bidirectional(seqjax.GRU(H))
    for cell in (both, seqjax.Stack((seqjax.GRU(H), both))):
        with pytest.raises(ValueError, match="must not be bidirectional"):
            truncated_unroll(cell, None, jnp.zeros((T, B, D)), jnp.ones(T))


@every_cell
def test_without_factors_it_is_unroll(cell):
    params, xs = inputs(cell)
    want = seqjax.unroll(cell, params, xs)
    assert_close(truncated_unroll(cell, params, xs, None), want, 0)


def test_the_initial_state_has_the_dtype_of_the_parameters(x64):
    cell = CELLS["lstm"]
    params, xs = jax.tree.map(lambda a: a.astype(jnp.float64), inputs(cell))
    want = seqjax.unroll(cell, params, xs)
    found = truncated_unroll(cell, params, xs, jnp.ones(T))
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype(jnp.float64)}
    assert_close(found, want, 1e-12)


@pytest.mark.parametrize("period", [1, 2, T])
@pytest.mark.parametrize("name", ["lstm", "stack"])
def test_the_gradient_of_a_given_state_is_that_of_the_first_segment(name, period):
    """The factor of step 0 is 1: no truncation lies between the state and step 0."""
    cell = CELLS[name]
    params, xs = inputs(cell)
    state = jax.tree.map(lambda s: s + 0.3, cell.initial_state((B,)))

    def of_start(run, num_steps):
        def loss(state):
            return jnp.sum(jnp.sin(run(state)[1][:num_steps]))

        return jax.grad(loss)(state)

    factors = fixed_factors(T, period)
    found = of_start(lambda s: truncated_unroll(cell, params, xs, factors, s), T)
    want = of_start(lambda s: seqjax.unroll(cell, params, xs, s), period)
    assert_close(found, want)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(found))


@every_cell
def test_factors_are_constants(cell):
    params, xs = inputs(cell)

    def loss(factors):
        return jnp.sum(truncated_unroll(cell, params, xs, factors)[1] ** 2)

    assert not jax.grad(loss)(jnp.full(T, 0.5)).any()
