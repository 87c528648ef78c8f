"""Recurrent forecasters, against a loop over single sequences."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax.baselines.autoregressive import MLP, LinearAR, LinearParams, SeasonalNaive
from seqjax.models import DirectForecaster, RecursiveForecaster
from seqjax.nn.forecast_heads import (
    Gaussian,
    Quantiles,
    by_last,
    by_window,
    forecast_all,
)
from tests import references
from tests.gradients import assert_finite_differences

TAU, HORIZON, COLUMNS = 6, 3, 2
GRU, LSTM = seqjax.GRU(4), seqjax.LSTM(4)
SIZES = (TAU, HORIZON, COLUMNS)
MODELS = {
    "latent": RecursiveForecaster(GRU, *SIZES),
    "latent_alone": RecursiveForecaster(LSTM, *SIZES, "independent", normalize=by_last),
    "latent_gaussian": RecursiveForecaster(
        GRU, *SIZES, head=Gaussian(), normalize=by_window
    ),
    "latent_unforced": RecursiveForecaster(GRU, *SIZES, teacher_forcing=False),
    "encoder_decoder": RecursiveForecaster(GRU, *SIZES, separate_decoder=True),
    "encoder_decoder_deep": RecursiveForecaster(
        seqjax.Stack((GRU, LSTM)),
        *SIZES,
        "independent",
        separate_decoder=True,
        normalize=by_window,
    ),
    "direct": DirectForecaster(GRU, *SIZES),
    "direct_alone": DirectForecaster(
        LSTM, *SIZES, "independent", normalize=by_last, segment=3
    ),
    "direct_segments": DirectForecaster(GRU, *SIZES, segment=2, head=Gaussian()),
    "direct_quantiles": DirectForecaster(
        seqjax.RNN(4), *SIZES, "independent", head=Quantiles(), normalize=by_window
    ),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def loss_of(model, params, window):
    """(total, count), compiled, which is faster than op by op."""
    return jax.jit(model.loss)(params, window)


def forecast_of(model, params, history):
    """The forecasts' means, compiled."""
    return jax.jit(lambda p, h: model.forecast(p, h, HORIZON).mean)(params, history)


def draw(model, batch_shape=(3,), seed=0):
    """Parameters and a window [tau + horizon, ..., D], all varied, float64."""
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda p: jnp.asarray(rng.normal(size=p.shape) * 0.6),
        jax.eval_shape(model.init, jax.random.key(0)),
    )
    window = jnp.asarray(rng.normal(size=(TAU + HORIZON, *batch_shape, COLUMNS)))
    return params, window


@every_model
def test_a_batch_gives_the_numbers_of_each_sequence_alone(model, x64):
    params, window = draw(model, (2, 1))
    total, count = loss_of(model, params, window)
    assert float(count) == HORIZON * 2 * COLUMNS
    together = forecast_of(model, params, window[:TAU])
    assert together.shape == (HORIZON, 2, 1, COLUMNS)
    alone = 0.0
    for i in range(2):
        one = window[:, i, 0]
        alone += float(loss_of(model, params, one)[0])
        found = forecast_of(model, params, one[:TAU])
        np.testing.assert_allclose(together[:, i, 0], found, atol=1e-12)
    assert float(total) == pytest.approx(alone, rel=1e-10)


@every_model
def test_the_whole_history_is_read(model, x64):
    params, window = draw(model)
    seen = jax.jit(jax.grad(lambda w: model.loss(params, w)[0]))(window)
    assert np.abs(seen[:TAU]).max(axis=(1, 2)).min() > 0


@pytest.mark.parametrize("name", ["latent", "encoder_decoder"])
def test_a_teacher_forced_forecast_does_not_see_its_own_row(name, x64):
    """(y - f)^2 has the second difference 2 d^2 in y only if f does not depend on y.

    y is the last row, so that no later forecast reads it.
    """
    model, delta = MODELS[name], 3.0
    params, window = draw(model)
    for horizon in (1, HORIZON):
        short = dataclasses.replace(model, horizon=horizon)
        last = TAU + horizon - 1
        low, middle, high = (
            float(
                loss_of(short, params, window[: last + 1].at[last, 0, 0].add(step))[0]
            )
            for step in (-delta, 0.0, delta)
        )
        assert low - 2 * middle + high == pytest.approx(2 * delta**2, rel=1e-9)


def cell_step(cell):
    return {
        seqjax.GRU: references.gru_step,
        seqjax.LSTM: references.lstm_step,
        seqjax.RNN: references.rnn_step,
    }[type(cell)]


def zero_state(cell):
    zeros = np.zeros(cell.hidden_size)
    return (zeros, zeros) if isinstance(cell, seqjax.LSTM) else zeros


def in_numpy(params):
    return [np.asarray(p) for p in params]


@pytest.mark.parametrize(
    ("cell", "separate", "forced"),
    [
        (GRU, False, True),
        (GRU, False, False),
        (LSTM, True, True),
        (seqjax.RNN(4), True, False),
    ],
    ids=["latent", "latent_unforced", "encoder_decoder", "encoder_decoder_unforced"],
)
def test_recursive_is_the_loop(cell, separate, forced, x64):
    model = RecursiveForecaster(
        cell, *SIZES, separate_decoder=separate, teacher_forcing=forced
    )
    params, window = draw(model)
    step, total = cell_step(cell), 0.0
    encoder = in_numpy(params.cell)
    decoder = in_numpy(params.decoder) if separate else encoder
    found = forecast_of(model, params, window[:TAU])
    for b in range(3):
        xs = np.asarray(window[:, b])
        state = zero_state(cell)
        for t in range(TAU - 1):
            state, _ = step(encoder, state, xs[t])
        free, taught, x_free, x_taught = state, state, xs[TAU - 1], xs[TAU - 1]
        for t in range(HORIZON):
            free, h = step(decoder, free, x_free)
            x_free = h @ np.asarray(params.out.w) + np.asarray(params.out.b)
            np.testing.assert_allclose(found[t, b], x_free, atol=1e-12)
            taught, h = step(decoder, taught, x_taught)
            forecast = h @ np.asarray(params.out.w) + np.asarray(params.out.b)
            forecast = forecast if forced else x_free
            total += np.sum((forecast - xs[TAU + t]) ** 2)
            x_taught = xs[TAU + t]
    assert float(loss_of(model, params, window)[0]) == pytest.approx(total, rel=1e-10)


@pytest.mark.parametrize(
    ("channels", "segment"),
    [("joint", 1), ("joint", 3), ("independent", 2), ("independent", 6)],
)
def test_direct_is_the_loop(channels, segment, x64):
    model = DirectForecaster(GRU, *SIZES, channels, normalize=by_last, segment=segment)
    params, window = draw(model)
    found = forecast_of(model, params, window[:TAU])
    w, b = in_numpy(params.out)
    for i in range(3):
        xs = np.asarray(window[:TAU, i])
        level = xs[-1]
        groups = [[0, 1]] if channels == "joint" else [[0], [1]]
        for group in groups:
            h = np.zeros(4)
            for t in range(0, TAU, segment):
                x = (xs - level)[t : t + segment][:, group].reshape(-1)
                h, _ = references.gru_step(in_numpy(params.cell), h, x)
            out = (h @ w + b).reshape(len(group), HORIZON).T + level[group]
            np.testing.assert_allclose(found[:, i, group], out, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["latent_gaussian", "latent_unforced", "direct_alone", "direct_quantiles"]
)
def test_gradients(name, x64):
    model = MODELS[name]
    params, window = draw(model, (2,))
    loss = lambda p: model.loss(p, window)[0]  # noqa: E731
    assert_finite_differences(loss, (params,), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["latent_alone", "direct_alone"])
def test_normalized_forecasts_follow_the_level(name, x64):
    model = MODELS[name]
    params, window = draw(model)
    plain = forecast_of(model, params, window[:TAU])
    lifted = forecast_of(model, params, window[:TAU] + 50.0)
    np.testing.assert_allclose(lifted, plain + 50.0, atol=1e-9)


@pytest.mark.parametrize("name", ["direct_alone", "latent_alone"])
def test_independent_columns_do_not_affect_each_other(name, x64):
    model = MODELS[name]
    params, window = draw(model)
    plain = forecast_of(model, params, window[:TAU])
    moved = forecast_of(model, params, window[:TAU].at[..., 0].add(1.0))
    np.testing.assert_array_equal(moved[..., 1], plain[..., 1])
    assert (moved[..., 0] != plain[..., 0]).all()


def test_dropout_needs_a_key_and_changes_the_loss(x64, key):
    model = DirectForecaster(GRU, *SIZES, dropout=0.5)
    params, window = draw(model)
    losses = {float(jax.jit(model.loss)(params, window, k)[0]) for k in (None, key)}
    assert len(losses) == 2


@pytest.mark.parametrize(
    "model",
    [
        SeasonalNaive(HORIZON),
        LinearAR(TAU),
        MLP(TAU, head=Gaussian()),
        MODELS["latent_gaussian"],
        MODELS["direct_quantiles"],
    ],
    ids=lambda model: type(model).__name__,
)
def test_every_model_forecasts_from_its_history_alone(model, key):
    """Later rows may hold any values."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, COLUMNS)).astype(np.float32)
    params = None
    if isinstance(model, LinearAR):
        params = LinearParams(jnp.full((COLUMNS, TAU, 1), 0.1), jnp.zeros((COLUMNS, 1)))
    elif hasattr(model, "init"):
        params = model.init(key)
    origins, cut = np.arange(TAU, 40), 25
    later = values.copy()
    later[cut:] += 7.0
    one, other = (
        forecast_all(model, params, jnp.asarray(v), origins, HORIZON, key, 8)
        for v in (values, later)
    )
    for a, b in zip(one, other, strict=True):
        if a is not None:
            assert a.shape == (HORIZON, len(origins), COLUMNS)
            known = origins <= cut
            np.testing.assert_array_equal(a[:, known], b[:, known])
            assert (a[:, ~known] != b[:, ~known]).any()


BAD = {
    "bidirectional": (
        lambda: DirectForecaster(seqjax.Bidirectional(GRU), *SIZES),
        "backward half would read the values",
    ),
    "segment": (
        lambda: DirectForecaster(GRU, *SIZES, segment=4),
        "a segment must divide tau",
    ),
    "quantiles": (
        lambda: RecursiveForecaster(GRU, *SIZES, head=Quantiles()),
        "fed back",
    ),
    "channels": (lambda: DirectForecaster(GRU, *SIZES, "apart"), "channels must be"),
    "tau": (lambda: RecursiveForecaster(GRU, 1, 2, 3), "tau must be at least 2"),
}


@pytest.mark.parametrize(("make", "sentence"), BAD.values(), ids=BAD)
def test_invalid_settings_raise(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
