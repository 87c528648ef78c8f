"""Weights from and to haiku: the same outputs and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax import interop
from tests import equality
from tests.parameters import drawn

D, H, T, B = 3, 4, 6, 5
KINDS = {
    "LSTM": seqjax.LSTM(H),
    "GRU": seqjax.GRU(H, reset_after=False),
    "VanillaRNN": seqjax.RNN(H, "relu"),
}


@pytest.mark.parametrize("name", KINDS)
def test_outputs_and_gradients_are_haikus_and_a_round_trip_is_exact(name, x64):
    haiku = pytest.importorskip("haiku")
    cell = KINDS[name]
    weights = np.random.default_rng(1).normal(size=(T, B, H))

    def unrolled(xs):
        core = getattr(haiku, name)(H)
        return haiku.dynamic_unroll(core, xs, core.initial_state(B))[0]

    module = haiku.without_apply_rng(haiku.transform(unrolled))
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(T, B, D)))
    theirs = drawn(lambda key: module.init(key, xs), dtype=jnp.float64)
    found, params = interop.from_haiku(theirs)
    assert found == cell

    def loss(run, params, xs):
        return jnp.sum(weights * run(params, xs))

    def ours(params, xs):
        return seqjax.unroll(cell, params, xs)[1]

    value, of_xs = jax.value_and_grad(loss, 2)(module.apply, theirs, xs)
    again, of_our_xs = jax.value_and_grad(loss, 2)(ours, params, xs)
    np.testing.assert_allclose(again, value, rtol=1e-12)
    np.testing.assert_allclose(of_our_xs, of_xs, rtol=1e-10, atol=1e-12)
    # A gradient of weights goes the way of the weights, but for the 1 that is added.
    of_theirs = jax.grad(loss, 1)(module.apply, theirs, xs)
    gradients = jax.grad(loss, 1)(ours, params, xs)
    zeros = jax.tree.map(jnp.zeros_like, theirs)
    added = interop.from_haiku(zeros)[1]
    converted = jax.tree.map(jnp.subtract, interop.from_haiku(of_theirs)[1], added)
    if name == "VanillaRNN":  # two biases with equal gradients
        converted = converted._replace(b=converted.b / 2)
    equality.assert_close(gradients, converted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_a_round_trip(name):
    """Exact, but for the forget gate's bias, from which 1 is subtracted."""
    cell = KINDS[name]
    params = drawn(lambda key: cell.init(key, D))
    again, restored = interop.from_haiku(interop.to_haiku(cell, params))
    assert again == cell
    if name == "LSTM":
        kept = np.r_[:H, 2 * H : 4 * H]
        np.testing.assert_array_equal(restored.b[kept], params.b[kept])
        np.testing.assert_allclose(restored.b, params.b, atol=2**-23)
        restored = restored._replace(b=params.b)
    equality.assert_same(restored, params)


LINEAR = {"w": np.ones((D + H, 4 * H)), "b": np.ones(4 * H)}
MISTAKES = {
    r"from_haiku: w_h is missing; there is nothing": {},
    r"from_haiku: linear.w must be \[D \+ H, 4H\], got \[7, 15\]": {
        "lstm/linear": {"w": np.ones((7, 15)), "b": np.ones(15)}
    },
    r"from_haiku: linear.b must be \[16\], got \[3\]": {
        "lstm/linear": LINEAR | {"b": np.ones(3)}
    },
    r"from_haiku: linear_2.w: unknown": {
        "lstm/linear": LINEAR,
        "lstm/linear_2": {"w": np.ones(2)},
    },
    r"from_haiku: w_i must be \[any, 12\], got \[3, 11\]": {
        "gru": {"w_i": np.ones((3, 11)), "w_h": np.ones((4, 12)), "b": np.ones(12)}
    },
}


@pytest.mark.parametrize("sentence", MISTAKES)
def test_weights_that_do_not_fit_are_named(sentence):
    with pytest.raises(ValueError, match=sentence):
        interop.from_haiku(MISTAKES[sentence])


@pytest.mark.parametrize("cell", [seqjax.GRU(H), seqjax.RNN(H)], ids=repr)
def test_what_haiku_does_not_have_is_refused(cell):
    with pytest.raises(ValueError, match="to_haiku: an LSTM, a GRU with reset_after"):
        interop.to_haiku(cell, drawn(lambda key: cell.init(key, D)))
