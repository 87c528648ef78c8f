"""Random draws are independent: of each other, and of those from another key."""

import dataclasses
import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax import decoding, models, training
from seqjax.audio import augmentation
from seqjax.baselines import hmm
from seqjax.baselines.emissions import CategoricalEmission, GaussianEmission
from seqjax.data.vocab import UNK
from seqjax.models.decoder_inputs import scheduled_sampling
from seqjax.models.word_dropout import word_dropout
from seqjax.nn import Attention, AttentionCell, Gaussian, dropout
from seqjax.nn.forecast_heads import roll_out
from seqjax.structured import linear_chain
from seqjax.truncation import random_factors
from tests.law_cells import ALL

T, B = 60, 40


@dataclasses.dataclass(frozen=True)
class Wire:
    """A cell without parameters, whose output is its input."""

    output_size: int

    def init(self, key, input_size):
        return ()

    def initial_state(self, batch_shape=()):
        return jnp.zeros((*batch_shape, 0))

    def project(self, params, xs):
        return xs

    def step(self, params, state, z, dot=jnp.dot):
        return state, z


def coin(state, token):
    """Token 0 or 1, each with probability 1/2; 2 is eos."""
    return state, jnp.array([0.0, 0.0, -jnp.inf])


def sampled(key):
    options = {"bos": 0, "eos": 2, "max_length": 30, "num_samples": 20}
    found = decoding.sample(coin, jnp.zeros((B // 2, 1)), key, **options)
    return found.tokens == 1


def streamed(key):
    tokens = decoding.stream(coin, jnp.zeros(1), [0], key)
    return np.array(list(itertools.islice(tokens, 400))) == 1


def scheduled(key):
    def step(state, token, context):
        return state, jnp.full((B, 3), -jnp.inf).at[:, 2].set(0.0)

    target = jnp.ones((T, B), int)
    inputs = scheduled_sampling(step, jnp.zeros((B, 1)), None, target, key, 0.5)
    return inputs[1:] == 2


def hidden_states(key):
    model = hmm.HMM(2, CategoricalEmission(2))
    half = jnp.log(jnp.full((2, 2), 0.5))
    states, xs = model.sample(key, hmm.HMMParams(half[0], half, half), T, (B,))
    return jnp.stack([states, xs], axis=-1) == 1


def gaussian_paths(key):
    outputs = jnp.zeros((B, 3, 2))
    _, values = roll_out(
        lambda carry, value: (carry, outputs), (), jnp.zeros((B, 3)), T, Gaussian(), key
    )
    return values > 0


def chain_samples(parallel, key):
    zeros = jnp.zeros((T, B, 2)), jnp.zeros((2, 2))
    return linear_chain.sample(key, *zeros, parallel=parallel) == 1


def tilts(key):
    """The signs at the last band, of an odd and an even function at random."""
    xs = jnp.zeros((1, 900, 8))
    tilted = augmentation.spectral_tilt(key, xs, jnp.ones(900, int), 1.0)
    return (tilted[0, :, -1] - tilted[0, :, 0]) > 0


def between_layers(cell, key):
    """The elements that the dropout of a Stack keeps, of inputs of 1."""
    xs = jnp.ones((T, B, cell.output_size))
    return seqjax.unroll(cell, cell.init(key, 3), xs, key=key)[1] != 0


HALF = {"dropout": 0.5}
PAIR = seqjax.Stack((Wire(3), Wire(3)), **HALF)
DRAWS = {  # name: (key -> booleans, the share that is True)
    "dropout": (lambda key: dropout(key, jnp.ones((T, B, 3)), 0.5) != 0, 0.5),
    "dropout_0.1": (lambda key: dropout(key, jnp.ones((T, B, 9)), 0.1) != 0, 0.9),
    "locked": (lambda key: dropout(key, jnp.ones((2, T, B)), 0.5, True)[0] != 0, 0.5),
    "two_layers": (partial(between_layers, PAIR), 0.5),
    "four_layers": (partial(between_layers, seqjax.Stack((Wire(9),) * 4, 0.5)), 1 / 8),
    "nested": (partial(between_layers, seqjax.Stack((PAIR, PAIR), 0.5)), 1 / 8),
    "word_dropout": (
        lambda key: word_dropout(key, jnp.full((T, B), UNK + 1), 0.3) == UNK,
        0.3,
    ),
    "token": (
        lambda key: decoding.sample_token(key, jnp.zeros((T, B, 2))) == 1,
        0.5,
    ),
    "sample": (sampled, 0.5),
    "stream": (streamed, 0.5),
    "chain": (partial(chain_samples, False), 0.5),
    "chain_parallel": (partial(chain_samples, True), 0.5),
    "hmm": (hidden_states, 0.5),
    "scheduled_sampling": (scheduled, 0.5),
    "factors": (lambda key: random_factors(key, 900, 0.5) > 0, 0.5),
    "gaussian_paths": (gaussian_paths, 0.5),
    "spectral_tilt": (tilts, 0.5),
}


def assert_share(found, share):
    found = np.asarray(found)
    sigma = np.sqrt(share * (1 - share) / found.size)
    assert abs(found.mean() - share) < 5 * sigma


@pytest.mark.parametrize(("draw", "share"), DRAWS.values(), ids=list(DRAWS))
def test_draws_are_independent_along_every_axis_and_of_another_key(draw, share):
    """Two independent draws are equal with probability p^2 + (1 - p)^2."""
    run = draw if draw is streamed else jax.jit(draw)
    first, other = (np.asarray(run(jax.random.key(k))) for k in (0, 1))
    np.testing.assert_array_equal(first, run(jax.random.key(0)))
    equal = share**2 + (1 - share) ** 2
    assert_share(first, share)
    assert_share(first == other, equal)
    for axis in range(first.ndim):
        size = first.shape[axis] - first.shape[axis] % 2
        even, odd = (first.take(range(i, size, 2), axis) for i in (0, 1))
        assert_share(even == odd, equal)


def test_a_locked_mask_is_one_for_all_steps_and_differs_between_sequences():
    for run in (
        lambda key: dropout(key, jnp.ones((T, B, 3)), 0.5, locked=True) != 0,
        partial(between_layers, seqjax.Stack((Wire(3), Wire(3)), 0.5, locked=True)),
    ):
        mask = np.asarray(jax.jit(run)(jax.random.key(0)))
        assert (mask == mask[0]).all()
        assert_share(mask[0, 1:] == mask[0, :-1], 0.5)


def test_the_directions_of_a_bidirectional_draw_their_own_masks():
    both = seqjax.Bidirectional(PAIR)
    masks = jax.jit(partial(between_layers, both))(jax.random.key(0))
    forward, backward = np.split(np.asarray(masks), 2, axis=-1)
    assert_share(forward == backward, 0.5)


def test_every_minibatch_draws_its_own_mask():
    """With a rate of 0 only the key of the step can change the loss."""

    def loss(params, carry, batch, key):
        kept = dropout(key, jnp.ones((T, B)), 0.5)
        return (jnp.sum(params * kept * batch), jnp.asarray(1.0)), carry

    optimizer = training.make_optimizer("sgd", 0.0)
    step = jax.jit(training.make_train_step(loss, optimizer))
    batch = jnp.asarray(np.random.default_rng(0).normal(size=(T, B)), jnp.float32)
    state = training.init_state(jnp.ones(()), optimizer, None, jax.random.key(0))
    totals = []
    for _ in range(5):
        state, metrics = step(state, batch)
        totals.append(float(metrics.total))
    assert len(set(totals)) == 5


# ---------------------------------------------------------------- initial values


GRU = seqjax.GRU(5)
ATTENTION = AttentionCell(GRU, Attention("additive"), output_size=4, memory_size=6)
TWO = seqjax.Stack((GRU, seqjax.LSTM(4)))
MODELS = {
    "language_model": models.LanguageModel(7, TWO, embed_size=3),
    "seq2seq": models.Seq2Seq(6, 7, seqjax.Bidirectional(GRU), (GRU, GRU), 3),
    "seq2seq_plain": models.Seq2Seq(6, 7, GRU, (GRU, GRU), 3, attention=None),
    "classifier": models.Classifier(7, 3, TWO, 3, pooling="attention"),
    "tagger": models.Tagger(7, ("a", "b"), GRU, 3, True, 5, 3, 4),
    "ctc_model": models.CTCModel(4, TWO, 3),
    "direct_forecaster": models.DirectForecaster(GRU, 4, 3, 2),
    "recursive_forecaster": models.RecursiveForecaster(
        GRU, 4, 3, 2, separate_decoder=True
    ),
    "hmm": hmm.HMM(3, CategoricalEmission(4)),
    "hmm_gaussian": hmm.HMM(3, GaussianEmission(2)),
}
MEMBERS = {
    **{name: partial(cell.init, input_size=3) for name, cell in ALL.items()},
    "attention_cell": partial(ATTENTION.init, input_size=3),
    **{name: model.init for name, model in MODELS.items()},
}


@pytest.mark.parametrize("init", MEMBERS.values(), ids=MEMBERS)
def test_no_two_initial_values_come_from_one_draw(init):
    """Neither within an array, such as in two gates, nor in two arrays.

    The checker of jax notices a key that is used twice, also for two shapes or ranges.
    """
    with jax.debug_key_reuse(True):
        params = jax.device_get(init(jax.random.key(0)))
    drawn = [np.ravel(p) for p in jax.tree.leaves(params) if len(np.unique(p)) > 2]
    values = np.concatenate(drawn)
    assert len(np.unique(values)) == len(values)
    other = jax.device_get(init(jax.random.key(1)))
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(other), strict=True):
        assert len(np.unique(a)) <= 2 or not (a == b).any()


def tokens(*shape):
    return jnp.ones(shape, jnp.int32)


LENGTHS = tokens(2)
LOSSES = {
    "language_model": (MODELS["language_model"], tokens(4, 2)),
    "seq2seq": (
        MODELS["seq2seq"],
        (tokens(4, 2), LENGTHS, tokens(3, 2), LENGTHS),
    ),
    "classifier": (MODELS["classifier"], (tokens(4, 2), LENGTHS, LENGTHS)),
    "tagger": (
        dataclasses.replace(MODELS["tagger"], num_chars=0),
        models.TaggerBatch(models.TaggerInputs(tokens(4, 2), LENGTHS), tokens(4, 2)),
    ),
    "ctc_model": (
        MODELS["ctc_model"],
        models.CTCBatch(jnp.ones((4, 2, 3)), LENGTHS, tokens(1, 2), LENGTHS),
    ),
    "direct_forecaster": (MODELS["direct_forecaster"], jnp.ones((7, 2, 2))),
}


@pytest.mark.parametrize(("model", "batch"), LOSSES.values(), ids=list(LOSSES))
def test_no_two_draws_of_a_loss_come_from_one_key(model, batch):
    changes = {
        name: 0.5
        for name in ("dropout", "word_dropout")
        if name in {field.name for field in dataclasses.fields(model)}
    }
    cell = seqjax.Stack((seqjax.Bidirectional(PAIR_OF_CELLS), GRU), **HALF)
    if isinstance(model, (models.LanguageModel, models.DirectForecaster)):
        cell = seqjax.Stack((GRU, GRU, GRU), **HALF)
    name = "encoder" if isinstance(model, models.Seq2Seq) else "cell"
    model = dataclasses.replace(model, **changes, **{name: cell})
    options = {"sampling": 0.5} if isinstance(model, models.Seq2Seq) else {}
    params = model.init(jax.random.key(0))
    with jax.debug_key_reuse(True):
        run = jax.jit(lambda p, b, k: model.loss(p, b, k, **options))
        run.lower(params, batch, jax.random.key(1))


PAIR_OF_CELLS = seqjax.Stack((GRU, GRU), **HALF)
