"""Empty batches and sequences without steps: an empty result, or one clear error."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax import decoding, models
from seqjax.audio import features
from seqjax.audio.front_end import FrontEnd
from seqjax.baselines import hmm
from seqjax.baselines.emissions import CategoricalEmission
from seqjax.structured import ctc, linear_chain
from tests.equality import assert_same
from tests.law_cells import ALL

B, D = 3, 2
KEY = jax.random.key(0)
LOGITS, XS = jnp.zeros((4, B, 3)), jnp.zeros((4, B, D))
TOKENS, PAIRS = jnp.ones((4, B), int), jnp.zeros((3, 3))
LABELS = jnp.asarray([[1, 1, 2], [2, 1, 1]])
NO_LENGTHS = jnp.zeros(0, jnp.int32)
GRU = seqjax.GRU(2)
HMM = hmm.HMM(3, CategoricalEmission(3))
every_cell = pytest.mark.parametrize("cell", ALL.values(), ids=ALL)


def bigram(state, token):
    return state, jnp.zeros((3, 3))[token]


SEARCHES = {
    "beam_search": partial(decoding.beam_search, beam_size=2),
    "greedy": decoding.greedy,
    "exhaustive": decoding.exhaustive,
    "sample": lambda step, state, **o: decoding.sample(step, state, KEY, **o),
}
OPTIONS = {"bos": 0, "eos": 2, "max_length": 3}


def of_nothing(model, *inputs):
    """The outputs of a model for empty inputs."""
    return model.apply(model.init(KEY), *inputs)


def no_tokens(num_steps):
    return jnp.zeros((num_steps, 0), jnp.int32)


def forecast_of(model):
    return model.forecast(model.init(KEY), jnp.zeros((4, 0, D)), 2).mean


EMPTY_BATCHES = {  # name: (run, the shape of its result)
    "checkpoints": (
        lambda: seqjax.unroll(
            GRU, GRU.init(KEY, D), jnp.zeros((5, 0, D)), checkpoint_every=2
        )[1],
        (5, 0, 2),
    ),
    "chain": (lambda: linear_chain.log_partition(LOGITS[:, :0], PAIRS), (0,)),
    "viterbi": (lambda: linear_chain.viterbi(LOGITS[:4, :0], PAIRS)[0], (4, 0)),
    "ctc": (
        lambda: ctc.log_prob(LOGITS[:4, :0], NO_LENGTHS, LABELS[:, :0], NO_LENGTHS),
        (0,),
    ),
    "ctc_beam": (
        lambda: ctc.beam_search(LOGITS[:4, :0], NO_LENGTHS, 2).tokens,
        (0, 2, 4),
    ),
    **{
        name: (lambda s=s: s(bigram, jnp.zeros((0, 1)), **OPTIONS).scores, None)
        for name, s in SEARCHES.items()
    },
    "language_model": (
        lambda: of_nothing(
            models.LanguageModel(3, GRU), no_tokens(4), jnp.zeros((0, 2))
        )[1],
        (4, 0, 3),
    ),
    "classifier": (
        lambda: of_nothing(models.Classifier(3, 2, GRU, 2), no_tokens(4), NO_LENGTHS),
        (0, 2),
    ),
    "ctc_model": (
        lambda: of_nothing(
            models.CTCModel(3, GRU, D, stacking=2), jnp.zeros((5, 0, D)), NO_LENGTHS
        )[0],
        (3, 0, 3),
    ),
    "seq2seq": (
        lambda: of_nothing(
            models.Seq2Seq(3, 3, GRU, (GRU,), 2), no_tokens(4), NO_LENGTHS, no_tokens(5)
        ),
        (5, 0, 3),
    ),
    "direct_forecaster": (
        lambda: forecast_of(models.DirectForecaster(GRU, 4, 2, D, segment=2)),
        (2, 0, D),
    ),
    "recursive_forecaster": (
        lambda: forecast_of(models.RecursiveForecaster(GRU, 4, 2, D)),
        (2, 0, D),
    ),
    "front_end": (
        lambda: FrontEnd(8000, 24, 8).apply(jnp.zeros((99, 0)), NO_LENGTHS)[1],
        (0,),
    ),
}


@pytest.mark.parametrize(
    ("run", "shape"), EMPTY_BATCHES.values(), ids=list(EMPTY_BATCHES)
)
def test_an_empty_batch_has_an_empty_result(run, shape):
    found = jax.eval_shape(run)
    assert found.shape == shape if shape else found.shape[0] == 0


@every_cell
def test_an_empty_batch_and_no_steps_have_gradients_of_zero(cell):
    params = cell.init(KEY, D)
    for shape in ((3, 0, D), (0, B, D), (0, 0, D)):

        def total(params, xs):
            last, ys = seqjax.unroll(cell, params, xs)
            return ys.sum(), (last, ys)

        grads, (last, ys) = jax.grad(total, has_aux=True)(params, jnp.zeros(shape))
        assert ys.shape == (*shape[:2], cell.output_size)
        assert_same(last, cell.initial_state(shape[1:2]))
        assert_same(grads, jax.tree.map(jnp.zeros_like, params))


NO_STEPS = {  # each has an empty result
    "classifier": lambda: of_nothing(
        models.Classifier(3, 2, GRU, 2), TOKENS[:0], jnp.zeros(B, int)
    ),
    "classifier_max": lambda: of_nothing(
        models.Classifier(3, 2, GRU, 2, pooling="max"), TOKENS[:0], jnp.zeros(B, int)
    ),
    "seq2seq": lambda: of_nothing(
        models.Seq2Seq(3, 3, GRU, (GRU,), 2), TOKENS[:0], jnp.zeros(B, int), TOKENS[:0]
    ),
    "deltas": lambda: features.deltas(XS[:0], jnp.zeros(B, int)),
    "normalize": lambda: features.normalize(XS[:0], jnp.zeros(B, int)),
    "ctc_greedy": lambda: ctc.greedy(LOGITS[:0], jnp.zeros(B, int)),
}
NO_STEPS_REFUSED = {  # each says what it needs
    "chain": (
        lambda: linear_chain.log_partition(LOGITS[:0], PAIRS),
        "T and K at least",
    ),
    "hmm": (lambda: HMM.filter(HMM.init(KEY), TOKENS[:0]), "T at least 1"),
    "tagger": (
        lambda: models.Tagger(3, ("a", "b", "c"), GRU, 2).loss_of_logits(
            models.Tagger(3, ("a", "b", "c"), GRU, 2).init(KEY),
            *(LOGITS[:0], TOKENS[:0], jnp.zeros(B, int)),
        ),
        "T at least 1",
    ),
    "ctc": (
        lambda: ctc.loss(LOGITS[:0], np.zeros(B, int), LABELS, np.zeros(B, int)),
        "T at least 1",
    ),
    "ctc_beam": (
        lambda: ctc.beam_search(LOGITS[:0], np.zeros(B, int), 2),
        "at least 1, got 2 and 0",
    ),
    "stream": (
        lambda: decoding.stream(bigram, jnp.zeros(1), [], KEY),
        "at least one token",
    ),
}


@pytest.mark.parametrize("run", NO_STEPS.values(), ids=NO_STEPS)
def test_no_steps_have_a_finite_result(run):
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(run()))


@pytest.mark.parametrize(
    ("run", "sentence"), NO_STEPS_REFUSED.values(), ids=list(NO_STEPS_REFUSED)
)
def test_no_steps_are_refused_where_nothing_is_defined(run, sentence):
    with pytest.raises(ValueError, match=sentence):
        run()
