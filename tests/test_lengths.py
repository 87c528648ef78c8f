"""Lengths of every integer dtype, everywhere; others are refused by name."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax import models
from seqjax.audio import augmentation, features
from seqjax.audio.front_end import FrontEnd
from seqjax.baselines import hmm
from seqjax.baselines.emissions import CategoricalEmission
from seqjax.nn.masks import as_lengths, valid_steps
from seqjax.structured import ctc, linear_chain
from tests.equality import assert_same

T, B, D = 300, 3, 2  # more steps than the largest uint8
LENGTHS = [0, 5, 120]
SHORT = np.asarray([0, 1, 2], np.uint8)
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
XS = jnp.asarray(RNG.normal(size=(T, B, D)), jnp.float32)
LOGITS = jnp.asarray(RNG.normal(size=(T, B, 3)), jnp.float32)
TOKENS = jnp.asarray(RNG.integers(0, 3, (T, B)))
LABELS = jnp.asarray([[1, 1, 2], [2, 1, 1]])
PAIRS = jnp.asarray(RNG.normal(size=(3, 3)), jnp.float32)
GRU = seqjax.GRU(2)
HMM = hmm.HMM(3, CategoricalEmission(3))


def made(model):
    """A model with parameters that compile nothing."""
    shapes = jax.eval_shape(model.init, KEY)
    return model, jax.tree.map(values_of_shape, shapes)


def values_of_shape(shape):
    values = np.sin(np.arange(shape.size, dtype=shape.dtype))
    return jnp.asarray(values.reshape(shape.shape))


def classify(pooling, lengths):
    model, params = made(models.Classifier(3, 2, GRU, 2, pooling=pooling))
    return model.apply(params, TOKENS, lengths)


def tagger_loss(logits, tags, lengths):
    model, params = made(models.Tagger(3, ("a", "b", "c"), GRU, 2))
    return model.loss_of_logits(params, logits, tags, lengths)


def tag(lengths):
    model, params = made(models.Tagger(3, ("a", "b", "c"), GRU, 2))
    loss = model.loss_of_logits(params, LOGITS, TOKENS, lengths)
    return loss, model.predict(params, LOGITS, lengths)


def tag_characters(lengths):
    model, params = made(models.Tagger(3, ("a", "b"), GRU, 2, num_chars=3))
    chars, words = TOKENS[:, None], TOKENS[:1]
    inputs = models.TaggerInputs(words, jnp.ones(B, int), chars, lengths[None])
    return model.apply(params, inputs)


def recognize(lengths):
    model, params = made(models.CTCModel(3, GRU, D, stacking=2))
    logits, steps = model.apply(params, XS, lengths)
    return steps, ctc.loss(logits, steps, LABELS, SHORT)


def translate(lengths):
    model, params = made(models.Seq2Seq(3, 3, GRU, (GRU,), 2))
    return model.loss(params, (TOKENS, lengths, TOKENS[:4], SHORT))


GRU_PARAMS = jax.tree.map(values_of_shape, jax.eval_shape(lambda: GRU.init(KEY, D)))
SUBJECTS = {
    "unroll": lambda n: seqjax.unroll(GRU, GRU_PARAMS, XS, lengths=n),
    "reverse": lambda n: seqjax.unroll(GRU, GRU_PARAMS, XS, None, n, True),
    "log_partition": lambda n: linear_chain.log_partition(LOGITS, PAIRS, n),
    "viterbi": lambda n: linear_chain.viterbi(LOGITS, PAIRS, n),
    "sample": lambda n: linear_chain.sample(KEY, LOGITS, PAIRS, n),
    "hmm_filter": lambda n: HMM.filter(HMM.init(KEY), TOKENS, n),
    "baum_welch": lambda n: HMM.baum_welch_step(HMM.init(KEY), TOKENS[None], n[None]),
    "ctc_loss": lambda n: ctc.loss(LOGITS, n, LABELS, SHORT),
    "ctc_greedy": lambda n: ctc.greedy(LOGITS, n),
    "ctc_beam": lambda n: ctc.beam_search(LOGITS, n, 2),
    **{f"classifier_{p}": partial(classify, p) for p in ("last", "max", "mean")},
    "tagger": tag,
    "tagger_characters": tag_characters,
    "ctc_model": recognize,
    "seq2seq": translate,
    "deltas": lambda n: features.deltas(XS, n),
    "normalize": lambda n: features.normalize(XS, n),
    "front_end": lambda n: FrontEnd(8000, 24, 8).apply(XS[..., 0], n),
    "spec_augment": lambda n: augmentation.spec_augment(KEY, XS, n, 2, 40, 1),
    "spectral_tilt": lambda n: augmentation.spectral_tilt(KEY, XS, n, 0.1),
}
every_subject = pytest.mark.parametrize("run", SUBJECTS.values(), ids=SUBJECTS)
INTEGERS = [*(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))]


@every_subject
def test_small_integers_as_lengths_are_int32(run):
    both = jax.jit(lambda n: (run(n), run(n.astype(jnp.int32))))
    assert_same(*both(jnp.asarray(LENGTHS, jnp.uint8)))


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("num_steps", [120, 300])
def test_lengths_of_every_integer_dtype(dtype, num_steps):
    lengths = np.asarray(LENGTHS, dtype)
    want = np.arange(num_steps)[:, None] < np.asarray(LENGTHS)
    for known in (lengths, LENGTHS, jnp.asarray(LENGTHS)):
        assert as_lengths(known, num_steps).dtype == jnp.int32
        np.testing.assert_array_equal(valid_steps(num_steps, known), want)
    with jax.enable_x64(True):
        unknown = jax.jit(valid_steps, static_argnums=0)(num_steps, lengths)
    np.testing.assert_array_equal(unknown, want)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_unknown_lengths_are_clipped(dtype):
    """Within jit no error can name them."""
    info = np.iinfo(dtype)
    lengths = np.asarray([info.min, 3, info.max], dtype)
    with jax.enable_x64(True):
        found = jax.jit(as_lengths, static_argnums=1)(lengths, 100)
        assert found.tolist() == [0, 3, 100]
        with pytest.raises(ValueError, match=r"must be in 0 .. T = 100, got -?\d+"):
            as_lengths(jnp.asarray(lengths), 100)


@every_subject
@pytest.mark.parametrize(
    ("lengths", "sentence"),
    [
        (jnp.ones(B, bool), "must be integers, got bool"),
        (jnp.ones(B), "must be integers, got float32"),
        (np.ones(B + 1, int), rf"must be of the batch shape of \w+, .*{B + 1}"),
        (np.array([0, -1, 5]), "must be in 0 .. T = .*, got -1"),
        (np.array([0, 5, T + 1]), f"must be in 0 .. T = {T}, got {T + 1}"),
    ],
    ids=["bool", "float", "shape", "negative", "above"],
)
def test_lengths_that_do_not_fit_are_refused(run, lengths, sentence):
    with pytest.raises(ValueError, match=f"(lengths|num_samples) {sentence}"):
        run(lengths)
