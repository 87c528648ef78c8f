"""Dropped weights, dropped words and penalties against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax.nn.regularization import (
    activation_penalty,
    drop_connect,
    drop_words,
    temporal_penalty,
)

T, B, D, H = 6, 3, 4, 8
CELL = seqjax.Stack((seqjax.LSTM(H), seqjax.GRU(H)))


def inputs():
    return jnp.asarray(np.random.default_rng(0).normal(size=(T, B, D)))


def ratio(dropped, w):
    return np.round(np.asarray(dropped / w), 5)


def test_drop_connect_drops_recurrent_weights_alone(key):
    params = CELL.init(key, D)
    dropped = drop_connect(jax.random.key(1), params, 0.25)
    masks = [ratio(d.w_h, p.w_h) for d, p in zip(dropped, params, strict=True)]
    for mask in masks:
        assert set(mask.ravel()) == {0, np.float32(4 / 3).round(5)}
    assert not np.array_equal(masks[0][:, : 3 * H], masks[1])  # a mask for each layer
    for d, p in zip(dropped, params, strict=True):
        assert all(a is b for a, b in zip(d, p, strict=True) if a.shape != p.w_h.shape)


def test_drop_connect_without_a_key_or_a_rate_changes_nothing(key):
    params = CELL.init(key, D)
    assert drop_connect(None, params, 0.5) is params
    assert drop_connect(key, params, 0.0) is params


def test_drop_connect_refuses_parameters_without_recurrent_weights(key):
    with pytest.raises(ValueError, match='whose names begin with "w_h"'):
        drop_connect(key, {"w_x": jnp.ones((2, 2)), "w_h": jnp.ones(2)}, 0.5)


@pytest.mark.parametrize("cell", [seqjax.LSTM(H), seqjax.MogrifierLSTM(H)], ids=str)
def test_dropped_weights_are_those_of_every_step(cell, key, x64):
    """The outputs, step by step, are those of the matrix with zeros in it."""
    params = cell.init(key, D, dtype=jnp.float64)
    dropped = drop_connect(jax.random.key(1), params, 0.5)
    state = jax.tree.map(jnp.float64, cell.initial_state((B,)))
    zs = cell.project(dropped, inputs())
    w_h = np.where(np.asarray(dropped.w_h) == 0, 0.0, 2 * np.asarray(params.w_h))
    by_hand = params._replace(w_h=jnp.asarray(w_h))
    expected = []
    for z in zs:
        state, y = cell.step(by_hand, state, z)
        expected.append(y)
    _, ys = seqjax.unroll(cell, dropped, inputs())
    np.testing.assert_allclose(ys, expected, atol=1e-12)
    _, plain = seqjax.unroll(cell, params, inputs())
    assert np.abs(plain[1:] - ys[1:]).max() > 1e-3  # after the first step, whose h is 0


def test_the_gradient_of_a_dropped_weight_is_zero(key):
    params = CELL.init(key, D)

    def loss(params):
        dropped = drop_connect(jax.random.key(1), params, 0.5)
        return (seqjax.unroll(CELL, dropped, inputs())[1] ** 2).sum()

    dropped, found = (
        drop_connect(jax.random.key(1), params, 0.5),
        jax.grad(loss)(params),
    )
    for d, g in zip(dropped, found, strict=True):
        assert np.array_equal(np.asarray(d.w_h) == 0, np.asarray(g.w_h) == 0)


def test_a_word_is_dropped_wherever_it_occurs():
    tokens = np.random.default_rng(0).integers(0, 20, (30, 4))
    xs = jnp.ones((30, 4, 3)) * (1.0 + tokens[..., None])
    dropped = np.asarray(drop_words(jax.random.key(0), xs, tokens, 20, 0.5) / xs)
    factors = {}
    for token, row in zip(tokens.ravel(), dropped.reshape(-1, 3), strict=True):
        assert len(set(row)) == 1
        assert factors.setdefault(token, row[0]) == row[0]
    assert set(factors.values()) == {0, 2}
    assert drop_words(None, xs, tokens, 20, 0.5) is xs


@pytest.mark.parametrize("masked", [False, True])
def test_penalties_are_sums_over_positions_of_means_over_units(masked):
    rng = np.random.default_rng(0)
    ys, lengths = rng.normal(size=(T, B, H)), [6, 2, 0]
    mask = np.arange(T)[:, None] < np.asarray(lengths) if masked else None
    squares = changes = 0.0
    for b in range(B):
        for t in range(lengths[b] if masked else T):
            squares += np.dot(ys[t, b], ys[t, b]) / H
            change = ys[t, b] - ys[t - 1, b]
            changes += np.dot(change, change) / H if t else 0
    np.testing.assert_allclose(activation_penalty(jnp.asarray(ys), mask), squares, 1e-6)
    np.testing.assert_allclose(temporal_penalty(jnp.asarray(ys), mask), changes, 1e-6)
