"""dL/ds_t for every step, against Jacobians by hand and by `jax.jacobian`."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax.gradient_flow import state_gradients
from seqjax.truncation import truncated_unroll
from tests import equality
from tests.parameters import drawn

T, B, D, H = 5, 2, 3, 4
gradients_of = jax.jit(state_gradients, static_argnums=(0, 3))
CELLS = {"rnn": seqjax.RNN(H), "gru": seqjax.GRU(H), "lstm": seqjax.LSTM(H)}
every_cell = pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)


def inputs(cell):
    xs = np.random.default_rng(0).normal(size=(T, B, D))
    return drawn(cell.init, D, dtype=np.float64), xs


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
    params, xs = inputs(cell)
    w_x, w_h, b = (np.asarray(p) for p in params)
    found = np.asarray(gradients_of(cell, params, xs, loss_of_the_last)[0])
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
    params, xs = inputs(cell)
    found, by_params = gradients_of(cell, params, xs, loss_of_the_last)
    found = jax.device_get(found)

    def rest(state, begin, params=params):
        for x in xs[begin:]:
            state, _ = cell.step(params, state, cell.project(params, x[None])[0])
        return loss_of_the_last(state)

    unroll = jax.jit(partial(seqjax.unroll, cell))
    jacobian = jax.jit(jax.jacobian(rest), static_argnums=1)
    start = jax.tree.map(lambda s: s.astype(jnp.float64), cell.initial_state((B,)))
    assert_close(
        by_params, jax.jit(jax.jacobian(lambda p: rest(start, 0, p)))(params), 1e-9
    )
    for t in (0, 2, T - 1):
        state, _ = unroll(params, xs[: t + 1])
        want = jacobian(state, t + 1)
        assert_close(jax.tree.map(lambda g: g[t], found), want, 1e-9)  # noqa: B023


@every_cell
def test_factors_multiply_along_the_backward_pass(cell, x64):
    params, xs = inputs(cell)
    factors = jnp.array([5.0, 0.5, 2.0, 0.0, 3.0])
    full, _ = gradients_of(cell, params, xs, loss_of_the_last)
    found, by_params = gradients_of(cell, params, xs, loss_of_the_last, factors)
    full, found = jax.device_get((full, found))
    for t, product in enumerate([0.0, 0.0, 0.0, 3.0, 1.0]):
        want = jax.tree.map(lambda g: product * g[t], full)  # noqa: B023
        assert_close(jax.tree.map(lambda g: g[t], found), want)  # noqa: B023
    expected = jax.grad(
        lambda p: loss_of_the_last(truncated_unroll(cell, p, xs, factors)[0])
    )
    assert_close(by_params, jax.jit(expected)(params))
