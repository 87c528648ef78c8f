"""The encoder-decoder: lengths, single steps, gradients, bridges, sampling."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax.data.buckets import PairBatch
from seqjax.data.vocab import BOS, PAD
from seqjax.models.decoder_inputs import scheduled_sampling, shift_right
from seqjax.models.seq2seq import Seq2Seq
from seqjax.nn.losses import cross_entropy
from tests.gradients import assert_both_same, assert_differences

VOCAB, EMBED, HIDDEN = 11, 6, 4
GRU, LSTM = seqjax.GRU(HIDDEN), seqjax.LSTM(HIDDEN)
BOTH = seqjax.Bidirectional(GRU)
MODELS = {
    "plain": Seq2Seq(VOCAB, 9, GRU, (GRU,), EMBED, attention=None, bridge="copy"),
    "plain_deep": Seq2Seq(
        VOCAB,
        9,
        seqjax.Stack((LSTM, LSTM)),
        (LSTM, LSTM),
        EMBED,
        attention=None,
        bridge="copy",
    ),
    "additive": Seq2Seq(VOCAB, 9, BOTH, (GRU,), EMBED, attention="additive"),
    "general": Seq2Seq(VOCAB, 9, BOTH, (LSTM,), EMBED, attention="general", tied=True),
    "dot_shared": Seq2Seq(
        9, 9, GRU, (GRU,), EMBED, attention="dot", shared=True, bridge="zero"
    ),
    "deep": Seq2Seq(
        VOCAB, 9, seqjax.Stack((BOTH, BOTH)), (GRU, LSTM, GRU), EMBED, "general"
    ),
    "no_feeding": Seq2Seq(
        VOCAB, 9, GRU, (GRU,), EMBED, "additive", input_feeding=False
    ),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def draw(model, seed=0):
    """Parameters and a batch of four pairs, one source and one target empty."""
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda p: jnp.asarray(rng.normal(size=p.shape) * 0.7),
        jax.eval_shape(model.init, jax.random.key(0)),
    )
    source = rng.integers(4, model.source_size, (5, 4)).astype(np.int32)
    target = rng.integers(4, model.target_size, (6, 4)).astype(np.int32)
    lengths, target_lengths = np.array([5, 0, 2, 3]), np.array([6, 3, 1, 0])
    source[np.arange(5)[:, None] >= lengths] = PAD
    target[np.arange(6)[:, None] >= target_lengths] = PAD
    return params, PairBatch(source, lengths, target, target_lengths)


def logits_of(model, params, batch, inputs=None):
    """Teacher-forced logits of a batch."""
    inputs = inputs_of(batch) if inputs is None else inputs
    return model.apply(params, batch.source, batch.source_lengths, inputs)


apply = jax.jit(Seq2Seq.apply, static_argnums=0)


def teacher_forced(model, params, batch, inputs=None):
    """The same by a program that several tests share."""
    inputs = inputs_of(batch) if inputs is None else inputs
    return apply(model, params, batch.source, batch.source_lengths, inputs)


def inputs_of(batch):
    bos = np.full_like(batch.target[:1], BOS)
    return np.concatenate([bos, batch.target[:-1]])


@partial(jax.jit, static_argnums=1)
@jax.value_and_grad
def total_and_gradient(params, model, batch):
    return model.loss(params, batch)[0]


@partial(jax.jit, static_argnums=(0, 4))
def loss_of(model, params, batch, key=None, sampling=0.0):
    return model.loss(params, batch, key, sampling=sampling)


@partial(jax.jit, static_argnums=(0, 4))
def sampled_inputs(model, params, batch, key, rate):
    state, encoded = model.start(params, batch.source, batch.source_lengths)
    step = partial(jax.vmap(model.step, (None, 0, 0, 0)), params)
    return scheduled_sampling(step, state, encoded, batch.target, key, rate)


@every_model
def test_a_padded_batch_gives_the_numbers_of_each_sentence_alone(model, x64):
    params, batch = draw(model)
    together = teacher_forced(model, params, batch)
    totals = []
    for b, (length, target_length) in enumerate(
        zip(batch.source_lengths, batch.target_lengths, strict=True)
    ):
        alone = PairBatch(
            batch.source[: max(length, 1), b : b + 1],
            batch.source_lengths[b : b + 1],
            batch.target[: max(target_length, 1), b : b + 1],
            batch.target_lengths[b : b + 1],
        )
        logits = logits_of(model, params, alone)
        np.testing.assert_allclose(
            logits[:target_length, 0], together[:target_length, b], atol=1e-12
        )
        totals.append(model.loss(params, alone))
    total, count = loss_of(model, params, batch)
    np.testing.assert_allclose(total, sum(t for t, _ in totals), rtol=1e-12)
    assert count == sum(c for _, c in totals) == 10


@every_model
def test_steps_one_by_one_are_the_teacher_forced_logits(model, x64):
    params, batch = draw(model)
    inputs = inputs_of(batch)
    want = np.asarray(teacher_forced(model, params, batch))
    start = jax.jit(model.start)
    state, encoded = start(params, batch.source, batch.source_lengths)
    step = jax.jit(jax.vmap(partial(model.step, params)))
    for t in range(len(inputs)):
        state, logits = step(state, inputs[t], encoded)
        np.testing.assert_allclose(logits, want[t], atol=1e-12)
    if model.attention is not None:
        sums = np.asarray(state.attention).sum(axis=1)
        np.testing.assert_allclose(sums, [6, 0, 6, 6], atol=1e-12)


@every_model
def test_padding_changes_nothing(model, x64):
    params, batch = draw(model)
    other = batch._replace(
        source=np.where(batch.source == PAD, 7, batch.source),
        target=np.where(batch.target == PAD, 5, batch.target),
    )
    got, want = (total_and_gradient(params, model, b) for b in (other, batch))
    assert_both_same((got, want))


@pytest.mark.parametrize("name", ["plain_deep", "additive", "general", "deep"])
def test_gradients_in_float64(name, x64):
    model = MODELS[name]
    params, batch = draw(model)

    def run(params):
        total, gradient = total_and_gradient(params, model, batch)
        return total, (gradient,)

    assert_differences(run, (params,), atol=1e-6, rtol=1e-6)


def test_label_smoothing_is_in_the_gradient_and_not_in_the_total(x64):
    model = MODELS["general"]
    params, batch = draw(model)
    mask = np.arange(len(batch.target))[:, None] < batch.target_lengths

    def smoothed(params):
        logits = logits_of(model, params, batch)
        return cross_entropy(logits, batch.target, mask, 0.3)[0]

    def loss(params, e):
        return model.loss(params, batch, label_smoothing=e)[0]

    value, found = jax.jit(jax.value_and_grad(loss), static_argnums=1)(params, 0.3)
    other, want = jax.jit(jax.value_and_grad(smoothed))(params)
    plain, _ = loss_of(model, params, batch)
    np.testing.assert_allclose(value, plain, rtol=1e-12)
    assert abs(float(value) - float(other)) > 0.1
    assert_both_same((found, want))


def test_the_plain_decoder_reads_the_encoders_last_state_at_every_step(x64):
    """The textbook's: concat(embed(y), last state) into a GRU that starts from it."""
    model = MODELS["plain"]
    params, batch = draw(model)
    xs = params.source_embed[batch.source]
    last, _ = seqjax.unroll(GRU, params.encoder, xs, lengths=batch.source_lengths)
    inputs = params.target_embed[inputs_of(batch)]
    summary = jnp.broadcast_to(last, (*inputs.shape[:-1], HIDDEN))
    inputs = jnp.concatenate([inputs, summary], axis=-1)
    _, ys = seqjax.unroll(GRU, params.top, inputs, last)
    want = ys @ params.out_w + params.out_b
    got = teacher_forced(model, params, batch)
    np.testing.assert_allclose(got, want, atol=1e-12)


@pytest.mark.parametrize("name", ["plain_deep", "general"])
def test_scheduled_sampling_reads_samples_of_the_model(name, x64, key):
    model = MODELS[name]
    params, batch = draw(model)
    given = sampled_inputs(model, params, batch, key, 0.0)
    np.testing.assert_array_equal(given, inputs_of(batch))
    np.testing.assert_array_equal(shift_right(batch.target), inputs_of(batch))
    all_sampled = sampled_inputs(model, params, batch, key, 1.0)
    np.testing.assert_array_equal(all_sampled[0], BOS)
    sharp = params._replace(out_b=jnp.asarray(50 * np.eye(9)[6]))
    np.testing.assert_array_equal(sampled_inputs(model, sharp, batch, key, 1.0)[1:], 6)
    half = sampled_inputs(model, sharp, batch, key, 0.5)[1:]
    drawn = np.asarray(half) != batch.target[:-1]
    assert (np.asarray(half)[drawn] == 6).all()
    assert 0.2 < drawn.mean() < 0.8


def test_scheduled_sampling_is_the_loss_of_those_inputs(x64, key):
    model = MODELS["general"]
    params, batch = draw(model)
    inputs = sampled_inputs(model, params, batch, jax.random.split(key)[1], 0.7)
    assert (np.asarray(inputs) != inputs_of(batch)).any()
    logits = np.asarray(teacher_forced(model, params, batch, inputs))
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    picked = np.take_along_axis(log_probs, batch.target[..., None], -1)
    mask = np.arange(6)[:, None] < batch.target_lengths
    want = -picked[..., 0][mask].sum()
    total, _ = loss_of(model, params, batch, key, 0.7)
    np.testing.assert_allclose(total, want, rtol=1e-12)


@pytest.mark.parametrize("locked", [False, True])
def test_dropout_needs_a_key(locked, x64, key):
    model = dataclasses.replace(MODELS["deep"], dropout=0.5, locked=locked)
    params, batch = draw(model)
    without = loss_of(model, params, batch)[0]
    assert without == loss_of(MODELS["deep"], params, batch)[0]
    one, again = (loss_of(model, params, batch, key)[0] for _ in range(2))
    assert one == again != without
    assert loss_of(model, params, batch, jax.random.key(1))[0] != one


WRONG = {
    'bridge must be "copy"': {"bridge": "mean"},
    "needs an encoder whose state has the form": {"bridge": "copy", "encoder": BOTH},
    "form of the decoder": {"bridge": "copy", "decoder": (GRU, GRU)},
    "a shared table needs one joint vocabulary": {"shared": True},
    "tied embeddings need embed_size 4": {"tied": True},
}


@pytest.mark.parametrize(("sentence", "change"), WRONG.items(), ids=WRONG)
def test_invalid_settings_raise(sentence, change):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(MODELS["plain"], **change)


def test_attention_weights_are_those_of_the_steps(x64):
    model = MODELS["additive"]
    params, batch = draw(model)
    weights = jax.jit(model.attention_weights)(
        params, batch.source, batch.source_lengths, batch.target
    )
    assert weights.shape == (6, 4, 5)
    valid = np.arange(5) < batch.source_lengths[:, None]
    assert not np.asarray(weights)[:, ~valid].any()
    start = jax.jit(model.start)
    state, encoded = start(params, batch.source, batch.source_lengths)
    step = jax.jit(jax.vmap(partial(model.step, params)))
    first, _ = step(state, inputs_of(batch)[0], encoded)
    np.testing.assert_allclose(weights[0], first.attention, atol=1e-12)
