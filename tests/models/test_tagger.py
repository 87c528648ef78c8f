"""The tagger: heads against enumeration, character features against a loop."""

import itertools
from functools import partial

import jax
import numpy as np
import pytest

import seqjax
from seqjax.models.tagger import Tagger, TaggerBatch, TaggerInputs, char_features

TAGS = ("O", "B-x", "I-x", "I-y")
V, C, T, W = 9, 7, 4, 5
BOTH = pytest.mark.parametrize("crf", [True, False], ids=["crf", "softmax"])


def make(crf=True, cell=None, **options):
    options = {"num_chars": C, "char_embed_size": 3, "char_size": 4, **options}
    cell = cell or seqjax.Bidirectional(seqjax.GRU(3))
    return Tagger(V, TAGS, cell, embed_size=5, crf=crf, **options)


def varied(model, dtype=np.float64):
    """Random parameters, none of them zero."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    leaves, tree = jax.tree.flatten(shapes)
    rng = np.random.default_rng(0)
    return tree.unflatten([rng.normal(size=p.shape).astype(dtype) for p in leaves])


def draw(lengths=(4, 0, 2, 1), seed=0):
    """(TaggerInputs, tags), with random padding."""
    rng = np.random.default_rng(seed)
    lengths = np.asarray(lengths, np.int32)
    words = rng.integers(0, V, (T, len(lengths)))
    chars = rng.integers(0, C, (W, *words.shape))
    char_lengths = rng.integers(1, W + 1, words.shape)
    arrays = (
        words,
        lengths,
        chars,
        char_lengths,
        rng.integers(0, len(TAGS), words.shape),
    )
    *inputs, tags = (a.astype(np.int32) for a in arrays)
    return TaggerInputs(*inputs), tags


def sequences(model, params, logits, length):
    """{tag sequence: score} of one sentence with logits [T, K]."""
    scores = {}
    for tags in itertools.product(range(len(TAGS)), repeat=int(length)):
        score = sum(logits[t, tag] for t, tag in enumerate(tags))
        if model.crf and length:
            score += sum(params.crf.pairs[i, j] for i, j in itertools.pairwise(tags))
            score += params.crf.start[tags[0]] + params.crf.end[tags[-1]]
        scores[tags] = float(score)
    return scores


def is_allowed(tags):
    names = ["O", *(TAGS[tag] for tag in tags)]
    return all(
        b[0] != "I" or a in (b, f"B{b[1:]}") for a, b in itertools.pairwise(names)
    )


@BOTH
def test_loss_and_tags_are_those_of_all_sequences(crf, x64):
    model = make(crf)
    constrained = make(crf, constrained=True)
    params = varied(model)
    inputs, tags = draw((4, 0, 2, 1, 3, 4))
    rng = np.random.default_rng(1)
    logits = 2 * rng.normal(size=(T, 6, len(TAGS)))
    real = np.arange(T)[:, None] < inputs.lengths
    logits[~real] = np.nan  # padding may hold anything
    given = params, logits
    total, count = jax.jit(model.loss_of_logits)(*given, tags, inputs.lengths)
    free = jax.jit(model.predict)(*given, inputs.lengths)
    bound = jax.jit(constrained.predict)(*given, inputs.lengths)
    want, differ = 0.0, 0
    for b, length in enumerate(inputs.lengths):
        scores = sequences(model, params, logits[:, b], length)
        gold = tuple(tags[:length, b].tolist())
        want += np.log(sum(np.exp(s) for s in scores.values())) - scores[gold]
        allowed = {t: s for t, s in scores.items() if is_allowed(t)}
        for (path, score), of in ((free, scores), (bound, allowed)):
            best = max(of, key=of.get)
            assert tuple(np.asarray(path)[:length, b].tolist()) == best
            assert float(score[b]) == pytest.approx(of[best])
            assert not np.any(np.asarray(path)[length:, b])
        differ += max(scores, key=scores.get) != max(allowed, key=allowed.get)
    assert float(total) == pytest.approx(want)
    assert float(count) == real.sum()
    assert differ > 1


@BOTH
def test_the_bias_is_subtracted_for_each_o(crf, x64):
    model = make(crf, outside_bias=-2.0)
    params, (inputs, _) = varied(model), draw((4, 0, 2, 1, 3, 4))
    logits = 2 * np.random.default_rng(1).normal(size=(T, 6, len(TAGS)))
    free = make(crf).predict(params, logits, inputs.lengths)[0]
    path, score = jax.jit(model.predict)(params, logits, inputs.lengths)
    for b, length in enumerate(inputs.lengths):
        scores = {
            tags: score + 2.0 * sum(TAGS[tag] == "O" for tag in tags)
            for tags, score in sequences(model, params, logits[:, b], length).items()
        }
        best = max(scores, key=scores.get)
        assert tuple(np.asarray(path)[:length, b].tolist()) == best
        assert float(score[b]) == pytest.approx(scores[best])
    assert np.any(np.asarray(free) != path)
    given = params, logits, path, inputs.lengths
    biased, plain = (m.loss_of_logits(*given)[0] for m in (model, make(crf)))
    assert float(biased) == pytest.approx(float(plain))


def test_character_features_are_those_of_a_loop(x64):
    params = varied(make()).chars
    rng = np.random.default_rng(1)
    chars = rng.integers(0, C, (W, 3, 2))
    lengths = np.array([[0, 1], [2, 5], [5, 3]], np.int32)
    found = jax.jit(char_features)(params, chars.astype(np.int32), lengths)
    for at in np.ndindex(lengths.shape):
        xs = np.zeros((lengths[at] + 2, 3))
        xs[1:-1] = params.embed[chars[(slice(lengths[at]), *at)]]
        want = np.zeros(4)
        for i in range(lengths[at]):
            window = xs[i : i + 3].ravel()
            want = np.maximum(want, window @ params.window.w + params.window.b)
        np.testing.assert_allclose(found[at], want, atol=1e-12)


MODELS = {
    "crf": make(constrained=True),
    "softmax": make(False, cell=seqjax.RNN(3)),
    "stack": make(
        cell=seqjax.Stack((seqjax.Bidirectional(seqjax.LSTM(2), "sum"), seqjax.RNN(3))),
        num_chars=0,
    ),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@partial(jax.jit, static_argnums=0)
def results(model, params, inputs, tags):
    """(loss, gradient, predicted tags, their scores)."""

    def loss(params):
        found = model.predict(params, model.apply(params, inputs), inputs.lengths)
        return model.loss(params, TaggerBatch(inputs, tags))[0], found

    (total, found), grads = jax.value_and_grad(loss, has_aux=True)(params)
    return total, grads, *found


@every_model
def test_padding_changes_nothing_and_gets_no_gradient(model, x64):
    params = varied(model)
    inputs, tags = draw()
    real = np.arange(T)[:, None] < inputs.lengths
    real_chars = real & (np.arange(W)[:, None, None] < inputs.char_lengths)
    inputs = inputs._replace(  # the last word and character occur in padding only
        words=np.minimum(inputs.words, V - 2), chars=np.minimum(inputs.chars, C - 2)
    )
    filled = TaggerInputs(
        np.where(real, inputs.words, V - 1),
        inputs.lengths,
        np.where(real_chars, inputs.chars, C - 1),
        np.where(real, inputs.char_lengths, W),
    )
    want = results(model, params, inputs, tags)
    found = results(model, params, filled, np.where(real, tags, 99))
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-12), found, want)
    grads = found[1]
    assert not np.any(grads.embed[V - 1]) and np.any(grads.embed)
    if model.num_chars:
        assert not np.any(grads.chars.embed[C - 1]) and np.any(grads.chars.embed)


@pytest.mark.parametrize("name", ["crf", "softmax"])
def test_a_batch_gives_the_numbers_of_each_sentence_alone(name, x64):
    model = MODELS[name]
    params = varied(model)
    inputs, tags = draw()
    total, grads, path, score = results(model, params, inputs, tags)
    parts, sums = [], jax.tree.map(np.zeros_like, grads)
    for b in range(4):
        alone = TaggerInputs(*(a[..., b] for a in inputs))
        part, grad, *found = results(model, params, alone, tags[:, b])
        np.testing.assert_array_equal(found[0], path[:, b])
        assert float(found[1]) == pytest.approx(float(score[b]))
        parts.append(float(part))
        sums = jax.tree.map(np.add, sums, grad)
    assert float(total) == pytest.approx(sum(parts))
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-10), grads, sums)


def test_word_dropout_replaces_words_by_unk_with_a_key_only(key):
    model = make(word_dropout=1 - 1e-6)
    params = varied(model, np.float32)
    inputs, _ = draw((4, 3))
    unknown = inputs._replace(words=np.zeros_like(inputs.words))
    logits = jax.jit(model.apply)
    as_is, of_unknown = (logits(params, words) for words in (inputs, unknown))
    np.testing.assert_allclose(logits(params, inputs, key), of_unknown, atol=1e-5)
    assert np.max(np.abs(as_is - of_unknown)) > 0.1


@pytest.mark.parametrize("locked", [True, False])
def test_dropout_is_plain_or_locked(locked, key):
    model = make(num_chars=0, dropout=0.5, locked=locked)
    params = varied(model, np.float32)
    inputs = TaggerInputs(
        np.arange(T, dtype=np.int32)[:, None], np.array([T], np.int32)
    )
    grad = jax.jit(jax.grad(lambda p: model.apply(p, inputs, key).sum()))
    read = np.asarray(grad(params).embed[:T] != 0)
    assert 0 < read.sum() < read.size
    assert np.all(read == read[0]) == locked


def test_invalid_settings_raise():
    with pytest.raises(ValueError, match="word_dropout must be in"):
        make(word_dropout=1.0)
    with pytest.raises(ValueError, match="outside_bias needs a tag O, got B, I"):
        Tagger(V, ("B", "I"), seqjax.RNN(3), 5, outside_bias=1.0)
    with pytest.raises(ValueError, match="at least one tag"):
        Tagger(V, (), seqjax.RNN(3), 5)
    assert hash(make()) == hash(make())
