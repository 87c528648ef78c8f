"""The CTC model: frame stacking, padding, batches, enumeration of alignments."""

import itertools
from functools import partial

import jax
import numpy as np
import pytest

import seqjax
from seqjax.models.ctc_model import CTCBatch, CTCModel, stack_frames

D, V, T, L = 3, 3, 11, 2
LENGTHS = np.array([11, 0, 7, 1], np.int32)
MODELS = {
    "stacked": CTCModel(V, seqjax.Bidirectional(seqjax.GRU(4)), D, stacking=3),
    "frame by frame": CTCModel(V, seqjax.LSTM(4), D),
    "layers": CTCModel(
        V,
        seqjax.Stack((seqjax.Bidirectional(seqjax.RNN(3)), seqjax.RNN(4)), dropout=0.3),
        D,
        stacking=2,
        dropout=0.2,
    ),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def draw(filler=np.nan):
    """(xs [T, B, D], labels [L, B], their lengths), `filler` past the lengths."""
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(T, 4, D)).astype(np.float32)
    xs[np.arange(T)[:, None] >= LENGTHS] = filler
    labels = rng.integers(1, V, (L, 4)).astype(np.int32)
    return xs, labels, np.array([2, 0, 1, 1], np.int32)


def params_of(model):
    params = model.init(jax.random.key(0))
    return jax.tree.map(lambda p: 3 * p + np.float32(0.1), params)


@partial(jax.jit, static_argnums=0)
def results(model, params, xs, lengths, labels, label_lengths):
    """(loss, count, gradients of parameters and of xs, logits, steps)."""

    def loss(params, xs):
        logits, steps = model.apply(params, xs, lengths)
        batch = CTCBatch(xs, lengths, labels, label_lengths)
        total, count = model.loss(params, batch)
        return total, (count, logits, steps)

    run = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    (total, (count, *found)), grads = run(params, xs)
    return total, count, grads, *found


def test_stack_frames():
    xs = np.arange(5 * 2 * 1, dtype=np.float32).reshape(5, 2, 1) + 1
    found = np.asarray(stack_frames(xs, np.array([5, 3], np.int32), 2))
    want = [[[1, 3], [2, 4]], [[5, 7], [6, 0]], [[9, 0], [0, 0]]]
    assert found.tolist() == want
    np.testing.assert_array_equal(stack_frames(xs, np.array([5, 5], np.int32), 1), xs)


@every_model
def test_padding_changes_nothing_and_gets_no_gradient(model):
    params = params_of(model)
    xs, *labels = draw()
    more = draw(filler=np.inf)[0]
    if model.stacking > 2:  # for one model only, since it compiles again
        more = np.concatenate([more, np.full_like(more[:4], np.inf)])
    found = results(model, params, xs, LENGTHS, *labels)
    longer = results(model, params, more, LENGTHS, *labels)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
    jax.tree.map(close, found[0], longer[0])
    jax.tree.map(close, found[2][0], longer[2][0])
    steps = np.asarray(found[4])
    assert steps.tolist() == [-(-n // model.stacking) for n in LENGTHS]
    for b, n in enumerate(steps):
        close(found[3][:n, b], longer[3][:n, b])
    real = np.arange(T)[:, None] < LENGTHS
    grads = np.asarray(found[2][1])
    assert np.isfinite(grads).all() and not grads[~real].any() and grads[:, 0].any()


@every_model
def test_a_batch_gives_the_numbers_of_each_sequence_alone(model):
    params = params_of(model)
    xs, labels, label_lengths = draw(0.0)
    total, count, (grads, _), *_ = results(
        model, params, xs, LENGTHS, labels, label_lengths
    )
    parts, sums = 0.0, jax.tree.map(np.zeros_like, grads)
    for b in range(4):
        alone = (xs[:, b : b + 1], LENGTHS[b : b + 1])
        alone = (*alone, labels[:, b : b + 1], label_lengths[b : b + 1])
        part, _, (grad, _), *_ = results(model, params, *alone)
        parts += float(part)
        sums = jax.tree.map(np.add, sums, grad)
    assert float(total) == pytest.approx(parts, rel=1e-5)
    assert float(count) == 4
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), grads, sums)


@every_model
def test_the_loss_is_minus_the_log_of_all_paths(model):
    params, lengths = params_of(model), np.minimum(LENGTHS, 6)
    xs, labels, label_lengths = draw()
    total, _, _, logits, steps = results(
        model, params, xs, lengths, labels, label_lengths
    )
    want = 0.0
    for b in (0, 2, 3):  # the second has no frames and no labels
        probs = np.asarray(jax.nn.softmax(logits[: steps[b], b]), np.float64)
        wanted, found = labels[: label_lengths[b], b].tolist(), 0.0
        for path in itertools.product(range(V), repeat=int(steps[b])):
            if [symbol for symbol, _ in itertools.groupby(path) if symbol] == wanted:
                found += np.prod(probs[np.arange(len(path)), path])
        want -= np.log(found)
    assert float(total) == pytest.approx(want, rel=1e-4)


def test_dropout_needs_a_key(key):
    model = MODELS["layers"]
    params, xs = params_of(model), draw()[0]
    run = jax.jit(lambda *args: model.apply(*args)[0])
    as_is = run(params, xs, LENGTHS)
    np.testing.assert_array_equal(run(params, xs, LENGTHS), as_is)
    assert np.abs(run(params, xs, LENGTHS, key) - as_is)[:4, 0].max() > 0.01


def test_invalid_settings_raise():
    for options in ({"dropout": 1.0}, {"stacking": 0}, {"num_symbols": 1}):
        with pytest.raises(ValueError, match="CTCModel: "):
            CTCModel(**{"num_symbols": 3, "cell": None, "input_size": 1, **options})
