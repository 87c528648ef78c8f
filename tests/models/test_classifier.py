"""The classifier: laws of all poolings, and each pooling in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax.data.labeled import LabeledBatch
from seqjax.data.vocab import UNK
from seqjax.models.classifier import POOLINGS, Classifier
from seqjax.nn import losses
from tests import references
from tests.equality import assert_same
from tests.parameters import drawn

V, C, T, B, H, E = 13, 3, 7, 5, 4, 6
LENGTHS = np.array([7, 1, 0, 4, 6], np.int32)
CELLS = {
    "rnn": seqjax.RNN(H),
    "lstm": seqjax.LSTM(H),
    "both_ways": seqjax.Bidirectional(seqjax.GRU(H)),
    "deep": seqjax.Stack((seqjax.LSTM(3), seqjax.Bidirectional(seqjax.RNN(H)))),
}
CASES = [("both_ways", pooling) for pooling in POOLINGS]
CASES += [("deep", "last")]
every_pooling = pytest.mark.parametrize("pooling", POOLINGS)
every_case = pytest.mark.parametrize(("name", "pooling"), CASES)


@pytest.fixture
def tokens():
    return np.random.default_rng(0).integers(4, V, (T, B)).astype(np.int32)


def build(cell, pooling, **options):
    """(model, parameters), all distinct and nonzero."""
    model = Classifier(V, C, cell, E, pooling, **options)
    return model, drawn(model.init)


def float64(params):
    return jax.tree.map(np.float64, params)


@every_case
def test_padding_changes_nothing_and_length_zero_is_defined(name, pooling, tokens):
    model, params = build(CELLS[name], pooling)
    run = jax.jit(model.apply)
    logits = np.asarray(run(params, tokens, LENGTHS))
    assert logits.shape == (B, C)
    garbage = np.where(np.arange(T)[:, None] < LENGTHS, tokens, 10**6)
    np.testing.assert_array_equal(logits, run(params, garbage, LENGTHS))
    np.testing.assert_array_equal(logits[2], params.out.b)
    for b in (1, 3):  # one by one, without padding
        n = LENGTHS[b]
        alone = np.asarray(run(params, tokens[:n, b], n))
        np.testing.assert_allclose(logits[b], alone, atol=1e-6)
        assert (np.abs(alone - params.out.b) > 1e-3).any()


@every_case
def test_padding_gets_no_gradient_and_makes_no_nan(name, pooling):
    """Tokens of the padding occur in no sequence, and their embeddings are nan."""
    model, params = build(CELLS[name], pooling)
    inside = np.arange(T)[:, None] < LENGTHS
    real = np.random.default_rng(0).integers(4, 9, (T, B))
    tokens = np.where(inside, real, 9 + real % 3)
    poisoned = params._replace(embed=params.embed.at[9:12].set(jnp.nan))

    def loss(params):
        batch = LabeledBatch(tokens, LENGTHS, np.array([0, 1, 2, 0, -1], np.int32))
        return model.loss(params, batch)[0]

    run = jax.jit(jax.value_and_grad(loss))
    want, got = (jax.device_get(run(p)) for p in (params, poisoned))
    assert_same(got, want)
    assert not got[1].embed[9:12].any()
    assert got[1].embed[4:9].any()
    assert got[1].out.w.all()


@every_pooling
def test_logits_are_the_formula(pooling, tokens, x64):
    """A bidirectional RNN by references.py, one sequence at a time."""
    model, params = build(seqjax.Bidirectional(seqjax.RNN(H)), pooling)
    params = float64(params)
    xs = np.asarray(params.embed)[tokens]
    both = [
        references.unroll(
            references.rnn_step, p, xs, [np.zeros(H)] * B, LENGTHS, reverse
        )[1]
        for p, reverse in zip(params.cell, (False, True), strict=True)
    ]
    ys, w = np.concatenate(both, axis=-1), jax.tree.map(np.asarray, params)
    logits = np.asarray(jax.jit(model.apply)(params, tokens, LENGTHS))
    for b, n in enumerate(LENGTHS):
        y = ys[:n, b]
        if n == 0:
            pooled = np.zeros(2 * H)
        elif pooling == "last":
            pooled = np.concatenate([y[-1, :H], y[0, H:]])
        elif pooling == "max":
            pooled = y.max(axis=0)
        elif pooling == "mean":
            pooled = y.mean(axis=0)
        else:
            scores = [
                w.pool.query @ np.tanh(row @ w.pool.key.w + w.pool.key.b) for row in y
            ]
            weights = np.exp(scores) / np.exp(scores).sum()
            pooled = weights @ y
            weights_of = jax.jit(model.attention_weights)
            found = np.asarray(weights_of(params, tokens, LENGTHS))
            np.testing.assert_allclose(found[:n, b], weights, atol=1e-12)
            np.testing.assert_array_equal(found[n:, b], 0)
        np.testing.assert_allclose(logits[b], pooled @ w.out.w + w.out.b, atol=1e-12)


@pytest.mark.parametrize("name", ["lstm", "both_ways", "deep"])
def test_last_is_the_state_at_each_length(name, tokens):
    cell = CELLS[name]
    model, params = build(cell, "last")
    xs = params.embed[tokens]
    state, _ = seqjax.unroll(cell, params.cell, xs, lengths=LENGTHS)
    state = jax.device_get(state)
    if name == "lstm":
        h = state.h
    else:
        h = np.concatenate(state if name == "both_ways" else state[1], axis=-1)
    want = h @ np.asarray(params.out.w) + params.out.b
    logits = jax.jit(model.apply)(params, tokens, LENGTHS)
    np.testing.assert_allclose(logits, want, atol=1e-6)


def test_loss_counts_the_rows_that_have_a_label(tokens):
    model, params = build(CELLS["rnn"], "mean")
    labels = np.array([2, -1, 0, -1, 1])
    batch = LabeledBatch(tokens, LENGTHS, jnp.asarray(labels))
    logits = np.asarray(jax.jit(model.apply)(params, *batch[:2]), np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    kept = labels >= 0
    total, count = jax.jit(model.loss)(params, batch)
    np.testing.assert_allclose(total, -log_p[kept, labels[kept]].sum(), rtol=1e-6)
    assert float(count) == 3


def test_label_smoothing_is_in_the_gradient_and_not_in_the_total(tokens):
    model, params = build(CELLS["rnn"], "mean")
    labels = np.array([2, -1, 0, -1, 1])
    batch, kept = LabeledBatch(tokens, LENGTHS, jnp.asarray(labels)), labels >= 0

    def total(params):
        return model.loss(params, batch, label_smoothing=0.3)[0]

    def smoothed(params):
        logits = model.apply(params, *batch[:2])[kept]
        return losses.cross_entropy(logits, labels[kept], None, 0.3)[0]

    got, grads = jax.jit(jax.value_and_grad(total))(params)
    plain, _ = jax.jit(model.loss)(params, batch)
    np.testing.assert_allclose(got, plain, rtol=1e-6)
    other, want = jax.jit(jax.value_and_grad(smoothed))(params)
    assert abs(float(got) - float(other)) > 0.01
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), grads, want
    )


@pytest.mark.parametrize(
    "options",
    [{"dropout": 0.5}, {"dropout": 0.5, "locked": True}, {"word_dropout": 0.5}],
)
def test_dropout_needs_a_key(options, tokens):
    model, params = build(CELLS["rnn"], "max", **options)
    lengths = LENGTHS
    plain, _ = build(CELLS["rnn"], "max")
    run, run_plain = jax.jit(model.apply), jax.jit(plain.apply)
    calm = np.asarray(run(params, tokens, lengths))
    np.testing.assert_array_equal(calm, run_plain(params, tokens, lengths))
    keys = (jax.random.key(k) for k in (0, 0, 1))
    noisy = [np.asarray(run(params, tokens, lengths, key)) for key in keys]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert (noisy[0] != noisy[2]).any() and (noisy[0] != calm).any()


class Echo:
    """A cell whose output is its input."""

    output_size = E

    def init(self, key, input_size):
        return {}

    def initial_state(self, batch_shape=()):
        return jnp.zeros((*batch_shape, 1))

    def project(self, params, xs):
        return xs

    def step(self, params, state, z, dot=None):
        return state, z


@pytest.mark.parametrize("locked", [False, True])
def test_locked_dropout_drops_the_same_units_at_all_steps(locked, tokens):
    model = Classifier(V, C, Echo(), E, "mean", 0.5, locked)
    embed = jnp.ones((V, E))
    ys = jax.jit(model.outputs)(
        model.init(jax.random.key(0))._replace(embed=embed),
        tokens,
        jnp.full(B, T),
        jax.random.key(1),
    )
    ys = np.asarray(ys)
    assert set(np.unique(ys)) == {0.0, 2.0}
    same = (ys == ys[0]).all()
    assert same == locked
    assert (ys[0, 0] != ys[0, 1]).any()  # sequences have different masks


def test_word_dropout_replaces_tokens_by_unk(tokens):
    model = Classifier(V, C, Echo(), E, "mean", word_dropout=0.3)
    embed = jnp.broadcast_to(jnp.arange(V, dtype=jnp.float32)[:, None], (V, E))
    many = np.tile(tokens, (1, 100))
    ys = jax.jit(model.outputs)(
        model.init(jax.random.key(0))._replace(embed=embed),
        many,
        jnp.full(100 * B, T),
        jax.random.key(1),
    )
    read = np.asarray(ys)[..., 0]
    assert ((read == many) | (read == UNK)).all()
    assert (read == UNK).mean() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pooling": "min"}, "pooling must be one of last, max, mean, attention"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"word_dropout": -0.1}, r"word_dropout must be in \[0, 1\), got -0.1"),
    ],
)
def test_invalid_settings_raise(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Classifier(V, C, CELLS["rnn"], E, **options)


def test_last_of_summed_directions_raises():
    summed = seqjax.Bidirectional(seqjax.GRU(H), merge="sum")
    for cell in (summed, seqjax.Stack((seqjax.GRU(H), summed))):
        with pytest.raises(ValueError, match='"last" needs merge="concat"'):
            Classifier(V, C, cell, E, "last")
        Classifier(V, C, cell, E, "max")


def test_only_attention_has_weights(tokens):
    model, params = build(CELLS["rnn"], "max")
    with pytest.raises(ValueError, match="'max' has no attention weights"):
        model.attention_weights(params, tokens, LENGTHS)
