"""Each regularization of the language model acts where it should, and nowhere else."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax.models.language_model import LanguageModel
from seqjax.nn.mixture_softmax import mixture_latents, mixture_log_softmax
from tests.parameters import drawn

V, T, B, H, E = 11, 6, 3, 5, 4
CELL = seqjax.Stack((seqjax.LSTM(7), seqjax.LSTM(H)))
PLAIN = LanguageModel(V, CELL, E)
OFF = {
    "input_dropout": 0.0,
    "output_dropout": 0.0,
    "embed_dropout": 0.0,
    "weight_dropout": 0.0,
    "activation_penalty": 0.0,
    "temporal_penalty": 0.0,
    "mixtures": None,
    "latent_dropout": 0.0,
}
WINDOW = jnp.asarray(np.random.default_rng(0).integers(0, V, (T + 1, B)))
KEY = jax.random.key(5)


def loss_and_gradient(model, key=KEY, mask=None):
    params = drawn(model.init)

    def loss(params):
        (total, count), _ = model.loss(params, WINDOW, key, mask=mask)
        return total, count

    return jax.value_and_grad(loss, has_aux=True)(params)


def same(a, b):
    return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


def test_all_off_is_the_plain_model():
    assert set(OFF) <= {field.name for field in dataclasses.fields(LanguageModel)}
    off = dataclasses.replace(PLAIN, **OFF)
    assert same(loss_and_gradient(off), loss_and_gradient(PLAIN))


@pytest.mark.parametrize(
    "on",
    [
        {"input_dropout": 0.5},
        {"output_dropout": 0.5},
        {"embed_dropout": 0.5},
        {"weight_dropout": 0.5},
        {"activation_penalty": 2.0},
        {"temporal_penalty": 2.0},
    ],
    ids=str,
)
def test_each_acts_in_training_alone(on):
    model = dataclasses.replace(PLAIN, **on)
    assert same(loss_and_gradient(model, None), loss_and_gradient(PLAIN, None))
    ((loss, _), gradient), ((plain, _), of_plain) = map(
        loss_and_gradient, (model, PLAIN)
    )
    assert not same(gradient, of_plain)
    is_penalty = next(iter(on)).endswith("penalty")
    assert (float(loss) == float(plain)) == is_penalty


def test_rates_of_their_own_replace_the_common_one():
    common = dataclasses.replace(PLAIN, dropout=0.5)
    own = dataclasses.replace(PLAIN, dropout=0.1, input_dropout=0.5, output_dropout=0.5)
    assert same(loss_and_gradient(common), loss_and_gradient(own))


@pytest.mark.parametrize("masked", [False, True])
def test_penalties_add_their_gradients(masked):
    """That of AR is on the outputs after dropout, that of TAR on those before it."""
    mask = jnp.arange(T)[:, None] < jnp.asarray([T, 2, 4]) if masked else None
    model = dataclasses.replace(PLAIN, output_dropout=0.5)
    both = dataclasses.replace(model, activation_penalty=2.0, temporal_penalty=3.0)
    params = drawn(model.init)

    def penalized(params):
        state = model.initial_state((B,))
        (total, _), _ = model.loss(params, WINDOW, KEY, mask=mask)
        dropped = model.outputs(params, WINDOW[:-1], state, KEY)[1]
        ys = dataclasses.replace(model, output_dropout=0.0).outputs(
            params, WINDOW[:-1], state, KEY
        )[1]
        here = jnp.ones((T, B)) if mask is None else mask.astype(float)
        squares = (dropped**2).sum(-1) * here
        changes = ((ys[1:] - ys[:-1]) ** 2).sum(-1) * here[1:] * here[:-1]
        return total + 2.0 / H * squares.sum() + 3.0 / H * changes.sum()

    wanted = jax.grad(penalized)(params)
    _, found = loss_and_gradient(both, mask=mask)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), found, wanted
    )


def test_one_mask_of_the_weights_serves_a_whole_minibatch():
    """Equal sequences have equal outputs, at any step and in any row."""
    model = dataclasses.replace(PLAIN, weight_dropout=0.5)
    tokens = jnp.full((T, B), 3)
    params = drawn(model.init)
    _, ys = model.outputs(params, tokens, model.initial_state((B,)), KEY)
    np.testing.assert_allclose(ys, jnp.broadcast_to(ys[:, :1], ys.shape), atol=1e-6)


MIXTURE = LanguageModel(V, CELL, E, tie_embeddings=True, mixtures=3, latent_dropout=0.3)


def test_a_mixture_reads_the_outputs_of_the_layers():
    params, state = drawn(MIXTURE.init), MIXTURE.initial_state((B,))
    _, ys = seqjax.unroll(CELL, params.cell, params.embed[WINDOW[:-1]])
    latents = mixture_latents(params.out.mixture, ys)
    softmax = seqjax.nn.DenseParams(params.embed.T, params.out.softmax)
    expected = mixture_log_softmax(*latents, softmax)
    _, log_probs = MIXTURE.apply(params, WINDOW[:-1], state)
    np.testing.assert_allclose(log_probs, expected, atol=1e-6)
    (total, _), _ = MIXTURE.loss(params, WINDOW)
    of_labels = jnp.take_along_axis(expected, WINDOW[1:, :, None], -1)
    np.testing.assert_allclose(total, -of_labels.sum(), rtol=1e-5)


def test_latent_dropout_is_the_same_in_apply_and_in_loss():
    params, state = drawn(MIXTURE.init), MIXTURE.initial_state((B,))
    _, log_probs = MIXTURE.apply(params, WINDOW[:-1], state, KEY)
    (total, _), _ = MIXTURE.loss(params, WINDOW, KEY)
    of_labels = jnp.take_along_axis(log_probs, WINDOW[1:, :, None], -1)
    np.testing.assert_allclose(total, -of_labels.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"weight_dropout": 1.0}, r"weight_dropout must be in \[0, 1\), got 1.0"),
        ({"input_dropout": -0.1}, r"input_dropout must be in \[0, 1\), got -0.1"),
        ({"temporal_penalty": -1}, "temporal_penalty must not be negative, got -1"),
        ({"mixtures": 0}, "mixtures must be at least 1, got 0"),
        ({"mixtures": 2, "clusters": (3,)}, "exclude each other"),
        ({"tie_embeddings": True}, "output_size, got 4 and 5"),
    ],
)
def test_wrong_settings_are_refused(options, named):
    with pytest.raises(ValueError, match=named):
        LanguageModel(V, CELL, E, **options)
