"""Heads against formulas in plain Python, and fed-back forecasts against loops."""

import math
import statistics

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from seqjax.nn import forecast_heads
from seqjax.nn.forecast_heads import POINT, Gaussian, Quantiles, feed_back, roll_out

HEADS = {"point": POINT, "gaussian": Gaussian(0.8), "quantiles": Quantiles(0.8)}
every_head = pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)


def draw(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def one_loss(name, outputs, y):
    """The loss of one value, by its definition."""
    if name == "point":
        return (y - outputs[0]) ** 2
    if name == "gaussian":
        density = statistics.NormalDist(outputs[0], math.sqrt(math.exp(outputs[1])))
        return -math.log(density.pdf(y))
    return sum(
        q * (y - f) if y >= f else (1 - q) * (f - y)
        for q, f in zip((0.1, 0.5, 0.9), outputs, strict=True)
    )


@pytest.mark.parametrize("name", HEADS)
def test_losses_are_their_definitions(name, x64):
    head = HEADS[name]
    outputs, targets = draw(5, 3, 2, head.size), draw(5, 3, 2, seed=1)
    total, count = head.loss(outputs, targets)
    want = [
        one_loss(name, outputs[i].tolist(), float(targets[i]))
        for i in np.ndindex(targets.shape)
    ]
    assert float(total) == pytest.approx(sum(want), rel=1e-12)
    assert float(count) == 30


@every_head
def test_gradients_of_the_losses(head, x64):
    outputs, targets = draw(4, 2, head.size), draw(4, 2, seed=1)
    check_grads(lambda o: head.loss(o, targets)[0], (outputs,), 1, atol=1e-5)


@every_head
def test_rescaled_outputs_forecast_rescaled_values(head, x64):
    outputs, shift, scale = draw(6, 3, head.size), draw(3), jnp.exp(draw(3, seed=2))
    plain = head.forecast(outputs)
    scaled = head.forecast(head.rescale(outputs, shift, scale))
    for a, b in zip(scaled, plain, strict=True):
        if b is not None:
            np.testing.assert_allclose(a, b * scale + shift, rtol=1e-10)


def test_the_interval_of_the_gaussian_has_its_coverage():
    head = Gaussian(0.8)
    outputs = jnp.asarray([[2.0, math.log(9.0)]])
    mean, lower, upper = head.forecast(outputs)
    dist = statistics.NormalDist(2.0, 3.0)
    assert float(mean[0]) == 2.0
    assert dist.cdf(float(upper[0])) == pytest.approx(0.9, abs=1e-6)
    assert dist.cdf(float(lower[0])) == pytest.approx(0.1, abs=1e-6)
    draws = head.draw(jax.random.key(0), jnp.tile(outputs, (20000, 1)))
    assert float(draws.mean()) == pytest.approx(2.0, abs=0.1)
    assert float(draws.std()) == pytest.approx(3.0, abs=0.1)


def test_the_pinball_loss_has_its_minimum_at_the_quantiles(x64):
    values = np.random.default_rng(0).exponential(size=999)
    head = Quantiles(0.8)
    grid = np.linspace(0, 4, 801)

    def loss_at(level, f):
        outputs = jnp.full((999, 3), 0.0).at[:, level].set(f)
        return head.loss(outputs, jnp.asarray(values))[0]

    for level, q in enumerate((0.1, 0.5, 0.9)):
        losses = jax.vmap(lambda f, level=level: loss_at(level, f))(jnp.asarray(grid))
        best = grid[int(jnp.argmin(losses))]
        assert best == pytest.approx(np.quantile(values, q), abs=0.01)


def test_crossing_quantiles_are_sorted():
    found = Quantiles().forecast(jnp.asarray([[3.0, 1.0, 2.0]]))
    assert [float(a[0]) for a in (found.lower, found.mean, found.upper)] == [1, 2, 3]


@pytest.mark.parametrize("coverage", [0, 1, -0.1, 1.5])
def test_a_coverage_outside_zero_to_one_is_refused(coverage):
    for head in (Gaussian, Quantiles):
        with pytest.raises(ValueError, match=r"coverage must be in \(0, 1\)"):
            head(coverage)


# ---------------------------------------------------------------- fed back


def advance(carry, value):
    """An AR(2) process, x_t = 0.6 x_{t-1} - 0.2 x_{t-2} + 0.1, with variance 0.25."""
    mean = 0.6 * value - 0.2 * carry + 0.1
    log_var = jnp.full_like(mean, math.log(0.25))
    return value, jnp.stack([mean, log_var], axis=-1)


def start(history):
    return history[-2], history[-1]


def test_roll_out_is_a_loop(x64):
    history = draw(3, 4, 2)
    outputs, values = roll_out(advance, *start(history), 5, Gaussian())
    xs = [*np.asarray(history)]
    for t in range(5):
        xs.append(0.6 * xs[-1] - 0.2 * xs[-2] + 0.1)
        np.testing.assert_allclose(values[t], xs[-1], rtol=1e-12)
    np.testing.assert_allclose(outputs[..., 0], values, rtol=1e-12)


def test_intervals_of_fed_back_forecasts_grow_as_in_theory():
    """The error of an AR(2) forecast h steps ahead has variance s^2 sum psi_i^2."""
    history = jnp.asarray([[0.3], [-0.5]])
    key, head = jax.random.key(0), Gaussian(0.9)
    found = feed_back(start, advance, history, 6, head, key, num_paths=20000)
    psi = [1.0, 0.6]
    for _ in range(4):
        psi.append(0.6 * psi[-1] - 0.2 * psi[-2])
    std = 0.5 * np.sqrt(np.cumsum(np.square(psi)))
    z = statistics.NormalDist().inv_cdf(0.95)
    np.testing.assert_allclose(found.upper[:, 0] - found.mean[:, 0], z * std, rtol=0.05)
    np.testing.assert_allclose(found.mean[:, 0] - found.lower[:, 0], z * std, rtol=0.05)


def test_without_a_key_there_is_no_interval():
    history = jnp.asarray([[0.3], [-0.5]])
    found = feed_back(start, advance, history, 3, Gaussian())
    assert found.lower is None and found.upper is None


def test_normalizations_of_a_history(x64):
    history = draw(5, 3, 2)
    for normalize in (
        forecast_heads.by_nothing,
        forecast_heads.by_last,
        forecast_heads.by_window,
    ):
        shift, scale = normalize(history)
        assert shift.shape == scale.shape == (3, 2)
    shift, scale = forecast_heads.by_window(history)
    np.testing.assert_allclose(shift, np.mean(history, axis=0))
    np.testing.assert_allclose(scale**2, np.var(history, axis=0) + 1e-5)
    np.testing.assert_array_equal(forecast_heads.by_last(history)[0], history[-1])
