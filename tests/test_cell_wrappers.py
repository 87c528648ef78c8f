"""Zoneout and weight normalization against NumPy, and under the engine."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax.cell_protocol import Noisy
from seqjax.cells import LSTMState
from tests import references

T, B, D, H = 6, 3, 4, 5


def inputs(dtype=None):
    return jnp.asarray(np.random.default_rng(0).normal(size=(T, B, D)), dtype)


def zoned_step(params, state, x, masks):
    """Krueger et al. 2017: the state before where the mask is 1."""
    new, _ = references.lstm_step(params, state, x)
    h, c = (m * a + (1 - m) * b for m, a, b in zip(masks, state, new, strict=True))
    return (h, c), h


def zoned(params, masks):
    """Outputs [T, B, H] of an LSTM whose units keep their values by masks [T, B, H]."""
    params = [np.asarray(p, np.float64) for p in params]
    xs, ys = np.asarray(inputs(), np.float64), np.zeros((T, B, H))
    for b in range(B):
        state = np.zeros(H), np.zeros(H)
        for t in range(T):
            now = [np.broadcast_to(m, (T, B, H))[t, b] for m in masks]
            state, ys[t, b] = zoned_step(params, state, xs[t, b], now)
    return ys


def test_zoneout_keeps_units_in_training_and_mixes_otherwise(key, x64):
    cell = seqjax.Zoneout(seqjax.LSTM(H), rates=(0.2, 0.6))
    params = cell.init(key, D, dtype=jnp.float64)
    masks = [np.asarray(m) for m in cell.noise(jax.random.key(7), T, (B,))]
    assert [m.shape for m in masks] == [(T, B, H)] * 2
    assert 0 < masks[0].mean() < masks[1].mean() < 1
    _, ys = seqjax.unroll(cell, params, inputs(), key=jax.random.key(7))
    np.testing.assert_allclose(ys, zoned(params, masks), atol=1e-12)
    _, ys = seqjax.unroll(cell, params, inputs())
    np.testing.assert_allclose(ys, zoned(params, [0.2, 0.6]), atol=1e-12)


@pytest.mark.parametrize("checkpoint_every", [None, 4])
def test_zoneout_is_the_same_in_every_loop(checkpoint_every, key, x64):
    cell = seqjax.Stack((seqjax.Zoneout(seqjax.LSTM(H), (0.3,)),) * 2, dropout=0.2)
    params = cell.init(key, D, dtype=jnp.float64)
    lengths = jnp.asarray([6, 0, 4])

    def loss(params, fused, checkpoint_every=None):
        _, ys = seqjax.unroll(
            cell,
            params,
            inputs(),
            lengths=lengths,
            key=jax.random.key(1),
            fused=fused,
            checkpoint_every=checkpoint_every,
        )
        return (ys**2 * jnp.arange(1.0, T + 1)[:, None, None]).sum()

    expected, wanted = jax.value_and_grad(loss)(params, fused=False)
    got, found = jax.value_and_grad(loss)(params, True, checkpoint_every)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), found, wanted
    )


def test_both_directions_draw_different_masks(key):
    cell = seqjax.Bidirectional(seqjax.Zoneout(seqjax.RNN(H), (0.5,)), merge="concat")
    params = cell.init(key, D)
    params = (params[0], params[0])
    xs = jnp.ones((T, B, D))
    _, ys = seqjax.unroll(cell, params, xs, key=jax.random.key(0))
    assert not np.allclose(ys[:, :, :H], ys[::-1, :, H:])
    _, ys = seqjax.unroll(cell, params, xs)
    np.testing.assert_allclose(ys[:, :, :H], ys[::-1, :, H:], atol=1e-6)


def test_both_directions_draw_masks_on_a_gpu_too(key, monkeypatch):
    """There both run in one loop, which draws none."""
    cell = seqjax.Bidirectional(seqjax.Zoneout(seqjax.RNN(H), (0.5,)))
    params, draw = cell.init(key, D), jax.random.key(0)
    _, expected = seqjax.unroll(cell, params, inputs(), key=draw)
    monkeypatch.setattr("seqjax.recurrence.on_gpu", lambda: True)
    _, ys = seqjax.unroll(cell, params, inputs(), key=draw)
    np.testing.assert_allclose(ys, expected, atol=1e-6)


def test_the_noise_of_a_truncated_cell_is_that_of_its_cell(key):
    cell = seqjax.Zoneout(seqjax.LSTM(H), (0.5,))
    params, ones = cell.init(key, D), jnp.ones(T)
    _, expected = seqjax.unroll(cell, params, inputs(), key=jax.random.key(3))
    _, ys = seqjax.truncation.truncated_unroll(
        cell, params, inputs(), ones, key=jax.random.key(3)
    )
    np.testing.assert_allclose(ys, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("rates", "named"),
    [((1.0,), r"must be in \[0, 1\), got 1.0"), ((0.1,) * 3, "2 parts of the state")],
)
def test_wrong_rates_are_refused(rates, named):
    with pytest.raises(ValueError, match=named):
        seqjax.Zoneout(seqjax.LSTM(H), rates)


def test_zoneout_refuses_a_cell_whose_output_is_no_state(key):
    class Doubled(seqjax.RNN):
        def step(self, params, state, z, dot=jnp.dot):
            h, y = super().step(params, state, z, dot)
            return h, 2 * y

    cell = seqjax.Zoneout(Doubled(H), (0.1,))
    with pytest.raises(TypeError, match="y of a Doubled is no part of its state"):
        cell.step(cell.init(key, D), jnp.zeros(H), Noisy(jnp.zeros(H), [jnp.zeros(H)]))


def test_weight_norm_is_a_cell_of_the_normalized_weights(key, x64):
    cell = seqjax.WeightNorm(seqjax.LSTM(H))
    params = cell.init(key, D, dtype=jnp.float64)
    _, plain = seqjax.unroll(cell.cell, params.cell, inputs())
    _, ys = seqjax.unroll(cell, params, inputs())
    np.testing.assert_allclose(ys, plain, atol=1e-12)  # the lengths are those drawn

    lengths = [2.0 * a + 1 for a in params.lengths]
    w = [
        np.asarray(v) / np.linalg.norm(v, axis=0) * np.asarray(a)
        for v, a in zip(params.cell[:2], lengths, strict=True)
    ]
    zeros = [LSTMState(np.zeros(H), np.zeros(H))] * B
    _, expected = references.unroll(
        references.lstm_step, [*w, params.cell.b], inputs(), zeros, [T] * B
    )
    scaled = params._replace(
        cell=params.cell._replace(w_h=7 * params.cell.w_h), lengths=lengths
    )
    _, ys = seqjax.unroll(cell, scaled, inputs())
    np.testing.assert_allclose(ys, expected, atol=1e-12)


def test_gradients_through_normalized_weights_are_those_of_a_plain_loop(key, x64):
    cell = seqjax.WeightNorm(seqjax.GRU(H))
    params = cell.init(key, D, dtype=jnp.float64)

    def loss(params, fused):
        return (seqjax.unroll(cell, params, inputs(), fused=fused)[1] ** 3).sum()

    found, wanted = (jax.grad(loss)(params, fused) for fused in (True, False))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), found, wanted
    )


def test_weight_norm_needs_a_matrix(key):
    class Scale(seqjax.RNN):
        def init(self, key, input_size, dtype=jnp.float32):
            return (jnp.zeros(self.hidden_size),)

    with pytest.raises(ValueError, match="a Scale has no matrix to normalize"):
        seqjax.WeightNorm(Scale(H)).init(key, D)
