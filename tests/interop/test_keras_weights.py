"""Weights from and to Keras 3: the same outputs and gradients."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax import interop
from tests import equality
from tests.parameters import drawn

# Of Keras's own variables.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")
D, H, T, B = 3, 4, 6, 5
KINDS = {
    "SimpleRNN": (seqjax.RNN(H), {}),
    "relu": (seqjax.RNN(H, "relu"), {"activation": "relu"}),
    "GRU": (seqjax.GRU(H), {}),
    "textbook": (seqjax.GRU(H, reset_after=False), {"reset_after": False}),
    "LSTM": (seqjax.LSTM(H), {}),
}
CLASSES = {"relu": "SimpleRNN", "textbook": "GRU"}
XS = np.random.default_rng(0).normal(size=(B, T, D)).astype(np.float32)


def keras():
    os.environ["KERAS_BACKEND"] = "jax"
    return pytest.importorskip("keras")


def layer_of(kind, both=False, **options):
    """A built layer whose weights, also the biases, are drawn."""
    library, options = keras(), KINDS[kind][1] | options
    layer = getattr(library.layers, CLASSES.get(kind, kind))(
        H, return_sequences=True, **options
    )
    if both:
        layer = library.layers.Bidirectional(layer)
    layer.build(XS.shape)
    rng = np.random.default_rng(2)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.get_weights()])
    return layer


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_gradients_are_those_of_keras(kind, both):
    """In float32: its tanh is of float32 whatever the dtype of the layer."""
    layer = layer_of(kind, both)
    cell, params = interop.from_keras(layer)
    own = KINDS[kind][0]
    assert cell == (seqjax.Bidirectional(own) if both else own)
    weights = np.random.default_rng(1).normal(size=(B, T, cell.output_size))
    weights = weights.astype(np.float32)

    def theirs(variables, xs):
        ys, _ = layer.stateless_call(variables, layer.non_trainable_variables, xs)
        return jnp.sum(weights * ys)

    def ours(params, xs):
        ys = seqjax.unroll(cell, params, jnp.swapaxes(xs, 0, 1))[1]
        return jnp.sum(weights * jnp.swapaxes(ys, 0, 1))

    variables = [v.value for v in layer.trainable_variables]
    value, (of_variables, of_xs) = jax.value_and_grad(theirs, (0, 1))(variables, XS)
    found, (gradients, of_our_xs) = jax.value_and_grad(ours, (0, 1))(params, XS)
    np.testing.assert_allclose(found, value, rtol=1e-5)
    np.testing.assert_allclose(of_our_xs, of_xs, rtol=1e-4, atol=1e-5)
    converted = interop.from_keras(of_variables)[1]
    equality.assert_close(gradients, converted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_round_trip_is_exact_and_keras_takes_it(kind, both):
    own = KINDS[kind][0]
    cell = seqjax.Bidirectional(own) if both else own
    params = drawn(lambda key: cell.init(key, D))
    arrays = interop.to_keras(cell, params)
    activation = getattr(own, "activation", "tanh")
    again, restored = interop.from_keras(arrays, activation=activation)
    assert again == cell
    equality.assert_same(restored, params)
    layer = layer_of(kind, both)
    layer.set_weights(arrays)
    equality.assert_same(interop.from_keras(layer)[1], params)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_without_biases(kind):
    layer = layer_of(kind, use_bias=False)
    cell, params = interop.from_keras(layer)
    assert cell == KINDS[kind][0]
    xs = jnp.asarray(XS.swapaxes(0, 1))
    ys = seqjax.unroll(cell, params, xs)[1]
    np.testing.assert_allclose(ys.swapaxes(0, 1), layer(XS), atol=1e-5)


def test_a_list_of_layers_is_a_stack():
    layers = [layer_of("LSTM"), layer_of("GRU")]
    cell, params = interop.from_keras(layers, dropout=0.1)
    assert cell == seqjax.Stack((seqjax.LSTM(H), seqjax.GRU(H)), dropout=0.1)
    for layer, own in zip(layers, params, strict=True):
        equality.assert_same(interop.from_keras(layer)[1], own)
    lists = interop.to_keras(cell, params)
    for own, arrays in zip(params, lists, strict=True):
        equality.assert_same(interop.from_keras(arrays)[1], own)


SETTINGS = {
    "go_backwards": ("GRU", {"go_backwards": True}),
    "recurrent_activation must be sigmoid": (
        "LSTM",
        {"recurrent_activation": "hard_sigmoid"},
    ),
    "activation must be tanh": ("LSTM", {"activation": "relu"}),
}


@pytest.mark.parametrize("sentence", SETTINGS)
def test_settings_that_no_cell_has_are_refused(sentence):
    kind, options = SETTINGS[sentence]
    layer = layer_of(kind, **options)
    with pytest.raises(ValueError, match=sentence):
        interop.from_keras(layer)


def test_a_merge_that_is_not_had_is_refused():
    library = keras()
    layer = library.layers.Bidirectional(library.layers.GRU(H), merge_mode="ave")
    layer.build(XS.shape)
    with pytest.raises(ValueError, match="merge_mode must be concat or sum, got ave"):
        interop.from_keras(layer)


MISTAKES = {
    "2 or 3 arrays of a direction were expected": [np.ones((D, 4 * H))],
    r"recurrent_kernel must be \[H, G\*H\] .* got \[4, 8\]": [
        np.ones((D, 8)),
        np.ones((H, 8)),
    ],
    r"kernel must be \[any, 16\], got \[16, 3\]": [
        np.ones((16, D)),
        np.ones((H, 16)),
        np.ones(16),
    ],
    r"bias must be \[16\], got \[2, 16\]": [
        np.ones((D, 16)),
        np.ones((H, 16)),
        np.ones((2, 16)),
    ],
}


@pytest.mark.parametrize("sentence", MISTAKES)
def test_weights_that_do_not_fit_are_named(sentence):
    with pytest.raises(ValueError, match=sentence):
        interop.from_keras(MISTAKES[sentence])
