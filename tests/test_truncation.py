"""Truncated backpropagation: the values of unroll, the gradients that are wanted."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax.truncation import (
    fixed_factors,
    random_factors,
    state_gradients,
    truncated_unroll,
)

T, B, D, H = 5, 2, 3, 4
CELLS = {
    "rnn": seqjax.RNN(H),
    "gru": seqjax.GRU(H),
    "lstm": seqjax.LSTM(H),
    "stack": seqjax.Stack((seqjax.GRU(H), seqjax.LSTM(H))),
}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


def inputs(cell):
    k_params, k_xs = jax.random.split(jax.random.key(0))
    return cell.init(k_params, D), jax.random.normal(k_xs, (T, B, D))


def gradients(cell, factors):
    """Of a loss that reads all outputs, by the parameters."""
    params, xs = inputs(cell)
    weights = jnp.cos(jnp.arange(T * B * H, dtype=jnp.float32)).reshape(T, B, H)

    def loss(params):
        if factors is None:
            return jnp.sum(weights * seqjax.unroll(cell, params, xs)[1])
        return jnp.sum(weights * truncated_unroll(cell, params, xs, factors)[1])

    return jax.grad(loss)(params)


def assert_close(a, b, tolerance=1e-5):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


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
    weights = jnp.cos(jnp.arange(T * B * H, dtype=jnp.float32)).reshape(T, B, H)

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
    of_factors = jax.jit(lambda factors: gradients(cell, factors))
    expected = jax.tree.map(jnp.zeros_like, gradients(cell, None))
    for kept in itertools.product((0, 1), repeat=T):  # all that can be drawn
        probability = np.prod([keep if k else 1 - keep for k in kept])
        drawn = of_factors(jnp.asarray(kept, jnp.float32) / keep)
        expected = jax.tree.map(lambda e, g: e + probability * g, expected, drawn)  # noqa: B023
    assert_close(expected, gradients(cell, None), 1e-4)


def test_a_truncated_gradient_differs():
    full, cut = (gradients(CELLS["rnn"], f) for f in (None, fixed_factors(T, 2)))
    assert max(float(jnp.max(jnp.abs(a - b))) for a, b in zip(full, cut, strict=True))


def test_factors_drawn_have_mean_one_and_two_values():
    factors = random_factors(jax.random.key(0), 100_000, 0.8)
    np.testing.assert_allclose(np.unique(factors), [0, 1.25])
    np.testing.assert_allclose(factors.mean(), 1, atol=0.01)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="period of at least 1"):
        fixed_factors(5, 0)
    for keep in (0, 1.5):
        with pytest.raises(ValueError, match="probability"):
            random_factors(jax.random.key(0), 5, keep)
    both = seqjax.Bidirectional(seqjax.GRU(H))
    for cell in (both, seqjax.Stack((seqjax.GRU(H), both))):
        with pytest.raises(ValueError, match="one direction"):
            truncated_unroll(cell, None, jnp.zeros((T, B, D)), jnp.ones(T))


@every_cell
def test_no_factors_are_unroll_itself(cell):
    params, xs = inputs(cell)
    want = seqjax.unroll(cell, params, xs)
    assert_close(truncated_unroll(cell, params, xs, None), want, 0)


# ---------------------------------------------------------------- dL/dh_t


def reads_the_last(state):
    """A loss whose gradient is not the same for all units."""
    weights = jnp.cos(jnp.arange(B * H, dtype=jnp.float32)).reshape(B, H)
    h = state.h if hasattr(state, "h") else state
    return jnp.sum(weights.astype(h.dtype) * jnp.sin(h))


def test_state_gradients_are_products_of_jacobians(x64):
    """Of the RNN: dL/dh_{t-1} = w_h diag(1 - h_t^2) dL/dh_t, one sequence, one step."""
    cell = seqjax.RNN(H)
    params, xs = jax.tree.map(lambda a: a.astype(jnp.float64), inputs(cell))
    w_x, w_h, b = (np.asarray(p) for p in params)
    found, _ = state_gradients(cell, params, xs, reads_the_last)
    for i in range(B):
        h, hs = np.zeros(H), []
        for x in np.asarray(xs)[:, i]:
            h = np.tanh(x @ w_x + h @ w_h + b)
            hs.append(h)
        weights = np.cos(np.arange(B * H, dtype=np.float32)).reshape(B, H)[i]
        gradient = weights * np.cos(hs[-1])
        for t in reversed(range(T)):
            np.testing.assert_allclose(found[t, i], gradient, rtol=1e-6, atol=1e-9)
            gradient = w_h @ ((1 - hs[t] ** 2) * gradient)


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_state_gradients_are_those_of_going_on_from_a_state(name, x64):
    """jax.jacobian of the rest of the sequence, by the state it starts from."""
    cell = CELLS[name]
    params, xs = jax.tree.map(lambda a: a.astype(jnp.float64), inputs(cell))
    found, by_params = state_gradients(cell, params, xs, reads_the_last)

    def rest(state, begin, params=params):
        for x in xs[begin:]:
            state, _ = cell.step(params, state, cell.project(params, x[None])[0])
        return reads_the_last(state)

    start = jax.tree.map(lambda s: s.astype(jnp.float64), cell.initial_state((B,)))
    assert_close(by_params, jax.jacobian(lambda p: rest(start, 0, p))(params), 1e-9)
    for t in (0, 2, T - 1):
        state, _ = seqjax.unroll(cell, params, xs[: t + 1])
        want = jax.jacobian(rest)(state, t + 1)
        assert_close(jax.tree.map(lambda g: g[t], found), want, 1e-9)  # noqa: B023


@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_factors_multiply_up_on_the_way_back(name):
    cell = CELLS[name]
    params, xs = inputs(cell)
    factors = jnp.array([5.0, 0.5, 2.0, 0.0, 3.0])
    full, _ = state_gradients(cell, params, xs, reads_the_last)
    found, by_params = state_gradients(cell, params, xs, reads_the_last, factors)
    for t, product in enumerate([0.0, 0.0, 0.0, 3.0, 1.0]):
        want = jax.tree.map(lambda g: product * g[t], full)  # noqa: B023
        assert_close(jax.tree.map(lambda g: g[t], found), want)  # noqa: B023
    expected = jax.grad(
        lambda p: reads_the_last(truncated_unroll(cell, p, xs, factors)[0])
    )(params)
    assert_close(by_params, expected)
