"""tanh in the form that XLA's CPU compiler vectorizes, against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax.nn.activations import BOUND, tanh
from tests import quick

# Every magnitude of float32, and the range in which tanh changes, up to beyond BOUND.
POINTS = np.unique(
    np.float32(
        np.concatenate(
            [np.geomspace(1e-38, 1e38, 20_001), np.linspace(0.0, 12.0, 200_001)]
        )
    )
)


def test_float32_is_within_3e_7_of_the_exact_value_everywhere():
    points = np.concatenate([-POINTS[::-1], POINTS])
    got = np.float64(quick.optimized(tanh)(points))
    error = np.abs(got - np.tanh(np.float64(points)))
    assert error.max() < 3e-7
    # The relative error is as small, except where float32 flushes to zero.
    normal = np.abs(points) > 1e-35
    assert (error[normal] < 3e-7 * np.abs(np.tanh(np.float64(points[normal])))).all()


def test_it_is_odd_bounded_and_increasing_within_rounding():
    got = np.asarray(quick.optimized(tanh)(POINTS))
    np.testing.assert_array_equal(quick.optimized(tanh)(-POINTS), -got)
    assert got[0] >= 0
    assert (np.diff(np.float64(got)) > -4e-7).all()
    assert (got <= 1 + 2.5e-7).all()
    past = POINTS > BOUND
    assert len(np.unique(got[past])) == 1
    assert abs(got[past][0] - 1) < 2.5e-7


def test_nan_stays_nan_and_infinity_is_one():
    got = tanh(jnp.asarray([np.nan, np.inf, -np.inf, 0.0], jnp.float32))
    assert np.isnan(got[0])
    np.testing.assert_allclose(got[1:], [1.0, -1.0, 0.0], atol=2.5e-7)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16, jnp.float64])
@pytest.mark.parametrize("shape", [(), (7,), (2, 3)])
def test_dtype_and_shape_are_kept(dtype, shape, x64):
    xs = jnp.linspace(-3.0, 3.0, 7)[: int(np.prod(shape, dtype=int))]
    xs = xs.reshape(shape).astype(dtype)
    got = tanh(xs)
    assert (got.dtype, got.shape) == (dtype, shape)
    rounding = float(jnp.finfo(dtype).eps)
    exact = np.tanh(np.float64(xs))
    np.testing.assert_allclose(np.float64(got), exact, atol=2.5 * rounding)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_gradient_is_one_minus_the_square_for_finite_differences(dtype, x64):
    points = np.linspace(-9.0, 9.0, 1001)
    exact = (np.tanh(points + 1e-6) - np.tanh(points - 1e-6)) / 2e-6
    xs = jnp.asarray(points, dtype)
    tolerance = 1e-6 if dtype == jnp.float32 else 1e-9
    slopes = quick.optimized(jax.vmap(jax.grad(tanh)))(xs)
    assert slopes.dtype == dtype
    np.testing.assert_allclose(slopes, exact, atol=tolerance)
    along = jax.jvp(tanh, (xs,), (2 * jnp.ones_like(xs),))[1]
    np.testing.assert_allclose(along, 2 * exact, atol=2 * tolerance)


def test_on_other_backends_it_is_jnp_tanh(monkeypatch):
    xs = jnp.asarray(POINTS)
    assert (tanh(xs) != jnp.tanh(xs)).any()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    np.testing.assert_array_equal(tanh(xs), jnp.tanh(xs))
