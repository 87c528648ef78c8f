"""Dense, embedding and dropout, against NumPy and against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax.nn import layers

every_shape = pytest.mark.parametrize("shape", [(), (4,), (3, 2), (2, 3, 2)])


@every_shape
def test_dense_is_a_product_and_a_sum(shape):
    rng = np.random.default_rng(0)
    xs, w, b = (rng.normal(size=s) for s in ((*shape, 5), (5, 7), (7,)))
    params = layers.DenseParams(jnp.float32(w), jnp.float32(b))
    ys = layers.dense(params, jnp.float32(xs))
    assert ys.shape == (*shape, 7)
    np.testing.assert_allclose(ys, np.einsum("...d,dh->...h", xs, w) + b, atol=1e-5)


@pytest.mark.parametrize("input_size", [1, 16, 400])
def test_dense_init_is_uniform_up_to_one_over_root_d(key, input_size):
    params = layers.dense_init(key, input_size, 6400 // input_size)
    assert params.w.shape == (input_size, 6400 // input_size)
    assert params.b.shape == (6400 // input_size,)
    assert not params.b.any()
    assert_uniform(params.w, input_size**-0.5)


def test_dense_init_takes_an_initializer(key):
    def ramp(key, shape, dtype):
        return jnp.arange(np.prod(shape), dtype=dtype).reshape(shape)

    params = layers.dense_init(key, 3, 2, w_init=ramp)
    np.testing.assert_array_equal(params.w, [[0, 1], [2, 3], [4, 5]])
    np.testing.assert_array_equal(params.b, [0, 0])


def test_embed_init_is_uniform_up_to_a_tenth(key):
    table = layers.embed_init(key, 80, 80)
    assert table.shape == (80, 80)
    assert_uniform(table, 0.1)


def assert_uniform(values, bound):
    """6400 draws of U(-bound, bound): range, both ends and moments."""
    values = np.asarray(values, np.float64).ravel() / bound
    assert np.abs(values).max() <= 1 + 1e-7
    assert values.min() < -0.99
    assert values.max() > 0.99
    assert abs(np.mean(values)) < 5 * np.sqrt(1 / 3 / 6400)
    assert abs(np.mean(values**2) - 1 / 3) < 5 * np.sqrt(4 / 45 / 6400)


@pytest.mark.parametrize("dtype", [None, jnp.float32, jnp.bfloat16])
def test_parameters_have_the_given_dtype(key, dtype):
    options = {} if dtype is None else {"dtype": dtype}
    params = (
        layers.dense_init(key, 5, 7, **options),
        layers.embed_init(key, 5, 7, **options),
    )
    want = dtype or jnp.float32
    assert [p.dtype for p in jax.tree.leaves(params)] == [want] * 3


@pytest.mark.parametrize("init", [layers.dense_init, layers.embed_init])
def test_the_key_determines_the_parameters(key, init):
    keys = [key, key, jax.random.key(1)]
    one, again, two = (jax.tree.leaves(init(k, 5, 7))[0] for k in keys)
    np.testing.assert_array_equal(one, again)
    assert np.all(one != two)


@every_shape
def test_embed_selects_rows(shape):
    rng = np.random.default_rng(1)
    table = rng.normal(size=(9, 4)).astype(np.float32)
    tokens = rng.integers(9, size=shape)
    vectors = layers.embed(jnp.asarray(table), jnp.asarray(tokens, jnp.int32))
    np.testing.assert_array_equal(vectors, np.take(table, tokens, axis=0))


def test_the_gradient_of_a_row_is_summed_over_its_uses():
    tokens = jnp.asarray([[2, 0, 2], [2, 3, 0]])
    weights = jnp.asarray([[1.0, 10.0, 100.0], [1000.0, 7.0, 20.0]])

    def loss(table):
        return jnp.sum(weights[..., None] * layers.embed(table, tokens))

    grads = jax.grad(loss)(jnp.ones((5, 2)))
    np.testing.assert_array_equal(grads[:, 0], [30, 0, 1101, 7, 0])
    np.testing.assert_array_equal(grads[:, 1], grads[:, 0])


def varied(shape, dtype=jnp.float32):
    """Random numbers, none of them zero."""
    rng = np.random.default_rng(2)
    return jnp.asarray(rng.choice([-1, 1], shape) * rng.uniform(1, 2, shape), dtype)


def test_without_key_or_rate_there_is_no_dropout(key):
    xs = varied((3, 5))
    np.testing.assert_array_equal(layers.dropout(None, xs, 0.9), xs)
    np.testing.assert_array_equal(layers.dropout(key, xs, 0.0), xs)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75, 0.9])
def test_dropout_zeroes_the_rate_and_scales_the_rest(key, rate, dtype):
    xs = varied((50, 4, 100), dtype)
    ys = layers.dropout(key, xs, rate)
    assert ys.dtype == dtype
    kept = np.asarray(ys != 0)
    scaled = np.asarray(xs / jnp.asarray(1 - rate, dtype))
    np.testing.assert_array_equal(np.asarray(ys)[kept], scaled[kept])
    sigma = np.sqrt(rate * (1 - rate) / xs.size)
    assert abs(np.mean(~kept) - rate) < 5 * sigma
    # No row, column or time step is dropped as a whole.
    for axes in ((0, 1), (0, 2), (1, 2)):
        shares = kept.mean(axis=axes)
        spread = np.sqrt(rate * (1 - rate) * shares.size / xs.size)
        assert np.abs(shares - (1 - rate)).max() < 5 * spread


@pytest.mark.parametrize("rate", [0.2, 0.8])
def test_dropout_keeps_the_mean(key, rate):
    xs = jnp.asarray([-3.0, 0.5, 2.0, 100.0])
    ys = layers.dropout(key, jnp.broadcast_to(xs, (20_000, 4)), rate)
    sigma = np.abs(xs) * np.sqrt(rate / (1 - rate) / 20_000)
    assert np.all(np.abs(np.asarray(ys, np.float64).mean(axis=0) - xs) < 5 * sigma)


def test_the_key_determines_the_dropout(key):
    xs = varied((40, 50))
    one, two = (layers.dropout(k, xs, 0.5) != 0 for k in jax.random.split(key))
    again = layers.dropout(jax.random.split(key)[0], xs, 0.5) != 0
    np.testing.assert_array_equal(one, again)
    assert abs(np.mean(one == two) - 0.5) < 5 * 0.5 / np.sqrt(2000)  # unrelated


def test_gradients_pass_where_values_pass(key):
    xs = varied((6, 7))
    grads = jax.grad(lambda xs: jnp.sum(layers.dropout(key, xs, 0.6)))(xs)
    np.testing.assert_allclose(grads * xs, layers.dropout(key, xs, 0.6), rtol=1e-6)
