"""dL/ds_t for every step, against Jacobians by hand and by `jax.jacobian`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax.gradient_flow import state_gradients
from seqjax.truncation import truncated_unroll
from tests import equality

T, B, D, H = 5, 2, 3, 4
CELLS = {"rnn": seqjax.RNN(H), "gru": seqjax.GRU(H), "lstm": seqjax.LSTM(H)}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


def inputs(cell):
    k_params, k_xs = jax.random.split(jax.random.key(0))
    return cell.init(k_params, D), jax.random.normal(k_xs, (T, B, D))


def assert_close(got, want, tolerance=1e-5):
    equality.assert_close(got, want, rtol=tolerance, atol=tolerance)


def loss_of_the_last(state):
    """A loss whose gradient differs between units."""
    weights = jnp.cos(jnp.arange(B * H, dtype=jnp.float32)).reshape(B, H)
    h = state.h if hasattr(state, "h") else state
    return jnp.sum(weights.astype(h.dtype) * jnp.sin(h))


def test_state_gradients_are_products_of_jacobians(x64):
    """For an RNN: dL/dh_{t-1} = w_h diag(1 - h_t^2) dL/dh_t, in a loop."""
    cell = seqjax.RNN(H)
    params, xs = jax.tree.map(lambda a: a.astype(jnp.float64), inputs(cell))
    w_x, w_h, b = (np.asarray(p) for p in params)
    found, _ = state_gradients(cell, params, xs, loss_of_the_last)
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


@every_cell
def test_state_gradients_are_jacobians_of_the_rest_of_the_sequence(cell, x64):
    """With respect to the state that the rest starts from, by jax.jacobian."""
    params, xs = jax.tree.map(lambda a: a.astype(jnp.float64), inputs(cell))
    found, by_params = state_gradients(cell, params, xs, loss_of_the_last)

    def rest(state, begin, params=params):
        for x in xs[begin:]:
            state, _ = cell.step(params, state, cell.project(params, x[None])[0])
        return loss_of_the_last(state)

    start = jax.tree.map(lambda s: s.astype(jnp.float64), cell.initial_state((B,)))
    assert_close(by_params, jax.jacobian(lambda p: rest(start, 0, p))(params), 1e-9)
    for t in (0, 2, T - 1):
        state, _ = seqjax.unroll(cell, params, xs[: t + 1])
        want = jax.jacobian(rest)(state, t + 1)
        assert_close(jax.tree.map(lambda g: g[t], found), want, 1e-9)  # noqa: B023


@every_cell
def test_factors_multiply_along_the_backward_pass(cell):
    params, xs = inputs(cell)
    factors = jnp.array([5.0, 0.5, 2.0, 0.0, 3.0])
    full, _ = state_gradients(cell, params, xs, loss_of_the_last)
    found, by_params = state_gradients(cell, params, xs, loss_of_the_last, factors)
    for t, product in enumerate([0.0, 0.0, 0.0, 3.0, 1.0]):
        want = jax.tree.map(lambda g: product * g[t], full)  # noqa: B023
        assert_close(jax.tree.map(lambda g: g[t], found), want)  # noqa: B023
    expected = jax.grad(
        lambda p: loss_of_the_last(truncated_unroll(cell, p, xs, factors)[0])
    )(params)
    assert_close(by_params, expected)
