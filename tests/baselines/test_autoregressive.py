"""Seasonal naive, linear autoregression and the MLP, each against a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.baselines.autoregressive import MLP, LinearAR, LinearParams, SeasonalNaive
from seqjax.nn.forecast_heads import Gaussian, Quantiles, by_last
from tests.gradients import assert_finite_differences
from tests.parameters import drawn

fuzz = settings(deadline=None, max_examples=10)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@fuzz
@given(period=st.integers(1, 7), horizon=st.integers(1, 20))
def test_the_seasonal_naive_repeats_the_last_season(period, horizon):
    xs = list(draw(period))
    for _ in range(horizon):
        xs.append(xs[-period])
    history = jnp.asarray(xs[:period], jnp.float32)[:, None]
    forecast = jax.jit(SeasonalNaive(period).forecast, static_argnums=2)
    found = forecast(None, history, horizon).mean
    np.testing.assert_allclose(found[:, 0], xs[period:], rtol=1e-6)


@pytest.mark.parametrize("horizon", [1, 3])
@pytest.mark.parametrize("tau", [1, 4])
def test_least_squares_solves_the_normal_equations(tau, horizon):
    values = np.cumsum(draw(60, 2), axis=0)
    params = LinearAR(tau, horizon).fit(values)
    assert params.w.shape == (2, tau, horizon) and params.b.shape == (2, horizon)
    for d in range(2):
        for h in range(horizon):
            rows = range(60 - tau - horizon + 1)
            a = np.array([[*values[i : i + tau, d], 1.0] for i in rows])
            y = np.array([values[i + tau + h, d] for i in rows])
            want = np.linalg.solve(a.T @ a, a.T @ y)
            got = [*params.w[d, :, h], params.b[d, h]]
            np.testing.assert_allclose(got, want, rtol=1e-7)


def test_least_squares_finds_the_true_recurrence(x64):
    """sin(w t) = 2 cos(w) sin(w (t-1)) - sin(w (t-2))."""
    values = np.sin(0.3 * np.arange(400))[:, None]
    model = LinearAR(2)
    params = model.fit(values[:100])
    np.testing.assert_allclose(params.w[0, :, 0], [-1, 2 * np.cos(0.3)], rtol=1e-9)
    found = model.forecast(params, jnp.asarray(values[98:100]), 300).mean
    np.testing.assert_allclose(found, values[100:], atol=1e-6)


def test_fewer_windows_than_coefficients_are_fitted_exactly(x64):
    values = draw(30, 1)
    model = LinearAR(tau=20, horizon=2)
    params = model.fit(values)
    for i in range(9):
        found = model.forecast(params, jnp.asarray(values[i : i + 20]), 2).mean
        np.testing.assert_allclose(found, values[i + 20 : i + 22], atol=1e-9)


@pytest.mark.parametrize("outputs", [1, 6])
def test_linear_forecasts_are_the_loop(outputs, x64):
    tau, horizon = 3, 6
    params = LinearParams(draw(2, tau, outputs) * 0.4, draw(2, outputs, seed=1))
    history = draw(tau, 5, 2, seed=2)
    found = LinearAR(tau, outputs).forecast(params, jnp.asarray(history), horizon).mean
    assert found.shape == (horizon, 5, 2)
    for b, d in np.ndindex(5, 2):
        xs = list(history[:, b, d])
        for h in range(horizon):
            past, k = (xs[-tau:], 0) if outputs == 1 else (xs[:tau], h)
            xs.append(past @ params.w[d, :, k] + params.b[d, k])
        np.testing.assert_allclose(found[:, b, d], xs[tau:], rtol=1e-10)


def test_the_linear_loss_is_the_squared_error(x64):
    params = LinearParams(draw(2, 3, 2) * 0.4, draw(2, 2, seed=1))
    window = jnp.asarray(draw(5, 4, 2, seed=2))
    model = LinearAR(tau=3, horizon=2)
    total, count = model.loss(params, window)
    errors = model.forecast(params, window[:3], 2).mean - window[3:]
    assert float(total) == pytest.approx(float((errors**2).sum()), rel=1e-10)
    assert float(count) == 16


def numpy_mlp(params, past):
    hidden = np.maximum(past @ np.asarray(params.hidden.w) + params.hidden.b, 0)
    return hidden @ np.asarray(params.out.w) + params.out.b


@pytest.mark.parametrize("outputs", [1, 4])
def test_mlp_forecasts_are_the_loop(outputs, x64, key):
    model = MLP(tau=3, horizon=outputs, hidden_size=5, normalize=by_last)
    params = drawn(model.init, dtype=jnp.float64)
    history = draw(3, 5, 2)
    found = model.forecast(params, jnp.asarray(history), 4).mean
    assert found.shape == (4, 5, 2)
    for b, d in np.ndindex(5, 2):
        xs = list(history[:, b, d])
        while len(xs) < 3 + 4:
            past = np.array(xs[-3:])
            xs += list(numpy_mlp(params, past - past[-1]) + past[-1])
        np.testing.assert_allclose(found[:, b, d], xs[3:], rtol=1e-9)


def test_the_mlps_loss_is_of_the_rows_after_the_history(x64, key):
    model = MLP(tau=3, horizon=2, hidden_size=5)
    params = drawn(model.init, dtype=jnp.float64)
    window = draw(5, 4, 2)
    total, count = model.loss(params, jnp.asarray(window))
    errors = [
        numpy_mlp(params, window[:3, b, d]) - window[3:, b, d]
        for b, d in np.ndindex(4, 2)
    ]
    assert float(total) == pytest.approx(float(np.sum(np.square(errors))), rel=1e-10)
    assert float(count) == 16
    assert_finite_differences(lambda p: model.loss(p, window)[0], (params,))


def test_the_textbooks_mlp_has_xavier_weights(key):
    params = MLP(tau=64, hidden_size=200).init(key)
    bound = np.sqrt(6 / (64 + 200))
    w = np.asarray(params.hidden.w)
    assert np.abs(w).max() <= bound
    assert w.std() == pytest.approx(bound / np.sqrt(3), rel=0.03)
    assert not np.any(params.hidden.b) and not np.any(params.out.b)


def test_intervals_and_invalid_horizons(key):
    history = jnp.asarray(draw(4, 3, 2), jnp.float32)
    at_once = MLP(4, 5, head=Quantiles())
    found = jax.jit(at_once.forecast, static_argnums=2)(drawn(at_once.init), history, 5)
    found = jax.device_get(found)
    assert (found.lower <= found.mean).all() and (found.mean <= found.upper).all()
    with pytest.raises(ValueError, match="5 steps at once, not 6"):
        at_once.forecast(drawn(at_once.init), history, 6)
    back = MLP(4, head=Gaussian())
    forecast = jax.jit(back.forecast, static_argnums=2)
    found = jax.device_get(forecast(drawn(back.init), history, 5, key))
    assert found.lower.shape == (5, 3, 2) and (found.lower < found.upper).all()
    with pytest.raises(ValueError, match="cannot be fed back"):
        MLP(4, head=Quantiles())
