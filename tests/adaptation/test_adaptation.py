"""The cache and dynamic evaluation against loops in NumPy, with gradients by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from seqjax.adaptation import (
    Cache,
    Dynamic,
    Reader,
    document_windows,
    mean_squares,
    text_windows,
)
from seqjax.cells import RNNParams
from seqjax.models.language_model import LanguageModel, LanguageModelParams
from seqjax.nn.layers import DenseParams

V, H, N, T = 6, 4, 41, 5
MODEL = LanguageModel(V, seqjax.RNN(H))
TOKENS = np.random.default_rng(0).integers(0, V, N)


@pytest.fixture
def params(x64):
    rng = np.random.default_rng(1)
    shapes = [(V, H), (H, H), (H,), (H, V), (V,)]
    w = [jnp.asarray(0.7 * rng.normal(size=shape)) for shape in shapes]
    return LanguageModelParams(None, RNNParams(*w[:3]), DenseParams(*w[3:]))


def numbers(params):
    return [np.asarray(a) for a in jax.tree.leaves(params)]


def forward(w, h, tokens):
    """Outputs, probabilities and losses of a window, one step at a time."""
    w_x, w_h, b, w_q, b_q = w
    hs, ps, losses = [h], [], []
    for t in range(len(tokens) - 1):
        hs.append(np.tanh(w_x[tokens[t]] + hs[-1] @ w_h + b))
        logits = hs[-1] @ w_q + b_q
        p = np.exp(logits - logits.max())
        ps.append(p / p.sum())
        losses.append(-np.log(ps[-1][tokens[t + 1]]))
    return hs, ps, losses


def gradient(w, h, tokens):
    """Of the mean loss of a window, by backpropagation through time."""
    hs, ps, _ = forward(w, h, tokens)
    found = [np.zeros_like(a) for a in w]
    d_h, steps = np.zeros(H), len(tokens) - 1
    for t in reversed(range(steps)):
        d_logits = ps[t].copy()
        d_logits[tokens[t + 1]] -= 1
        d_logits /= steps
        found[3] += np.outer(hs[t + 1], d_logits)
        found[4] += d_logits
        d_a = (d_h + w[3] @ d_logits) * (1 - hs[t + 1] ** 2)
        found[0][tokens[t]] += d_a
        found[1] += np.outer(hs[t], d_a)
        found[2] += d_a
        d_h = w[1] @ d_a
    return found


def in_windows(tokens, num_steps=T):
    return [tokens[i : i + num_steps + 1] for i in range(0, len(tokens) - 1, num_steps)]


def read(w, tokens, update=None):
    """The losses and outputs of a text whose weights `update(w, g)` changes."""
    h, losses, ys = np.zeros(H), [], []
    for window in in_windows(tokens):
        hs, _, found = forward(w, h, window)
        losses += found
        ys += hs[1:]
        if update is not None:
            w = update(w, gradient(w, h, window))
        h = hs[-1]
    return np.array(losses), np.array(ys)


def test_a_reader_without_adaptation_has_the_losses_of_the_model(params):
    losses = Reader(MODEL).losses(params, text_windows(TOKENS, T))
    np.testing.assert_allclose(losses, read(numbers(params), TOKENS)[0], rtol=1e-12)
    (total, count), _ = MODEL.loss(params, jnp.asarray(TOKENS))
    np.testing.assert_allclose(losses.sum(), total, rtol=1e-12)
    assert len(losses) == int(count) == N - 1


@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_dynamic_evaluation_by_sgd(params, decay):
    start = numbers(params)

    def update(w, gs):
        return [
            a - 0.3 * g + decay * (a0 - a)
            for a, g, a0 in zip(w, gs, start, strict=True)
        ]

    expected, _ = read(start, TOKENS, update)
    reader = Reader(MODEL, dynamic=Dynamic("sgd", 0.3, decay))
    losses = reader.losses(params, text_windows(TOKENS, T))
    np.testing.assert_allclose(losses, expected, rtol=1e-10)
    assert np.abs(losses - read(start, TOKENS)[0]).max() > 0.1


def test_dynamic_evaluation_by_rms(params):
    start = numbers(params)
    text = np.random.default_rng(2).integers(0, V, 61)
    starts = np.array([[0], [10], [20], [30], [40], [50]])
    h, squares = np.zeros(H), [np.zeros_like(a) for a in start]
    for (begin,) in starts:
        window = text[begin : begin + 11]
        for s, g in zip(squares, gradient(start, h, window), strict=True):
            s += g**2 / len(starts)
        h = forward(start, h, window)[0][-1]
    found = mean_squares(MODEL, params, jnp.asarray(text), starts, 10)
    for a, b in zip(numbers(found), squares, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-16)

    roots = [np.sqrt(s) for s in squares]
    mean = np.concatenate([r.ravel() for r in roots]).mean()

    def update(w, gs):
        return [
            a - 0.01 * g / (r + 1e-3) + np.minimum(0.1 * r / mean, 1) * (a0 - a)
            for a, g, r, a0 in zip(w, gs, roots, start, strict=True)
        ]

    expected, _ = read(start, TOKENS, update)
    reader = Reader(MODEL, dynamic=Dynamic("rms", 0.01, 0.1, 1e-3))
    losses = reader.losses(params, text_windows(TOKENS, T), found)
    np.testing.assert_allclose(losses, expected, rtol=1e-9)


def cached(ys, losses, tokens, size, flatness, share):
    """Grave et al. 2017, equations 2 to 4, one position at a time."""
    found = []
    for t in range(len(tokens) - 1):
        p = np.exp(-losses[t])
        entries = range(max(0, t - size), t)
        weights = np.array([np.exp(flatness * ys[t] @ ys[i]) for i in entries])
        same = np.array([tokens[i + 1] == tokens[t + 1] for i in entries])
        if len(weights):
            p = (1 - share) * p + share * weights[same].sum() / weights.sum()
        found.append(-np.log(p))
    return np.array(found)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.parametrize("flatness", [0.0, 1.5])
def test_the_cache_is_its_formula(params, size, flatness):
    losses, ys = read(numbers(params), TOKENS)
    expected = cached(ys, losses, TOKENS, size, flatness, 0.3)
    found = Reader(MODEL, Cache(size, flatness, 0.3)).losses(
        params, text_windows(TOKENS, T)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_the_cache_and_dynamic_evaluation_go_together(params):
    start = numbers(params)
    update = lambda w, gs: [a - 0.3 * g for a, g in zip(w, gs, strict=True)]  # noqa: E731
    losses, ys = read(start, TOKENS, update)
    reader = Reader(MODEL, Cache(10, 0.5, 0.2), Dynamic("sgd", 0.3))
    found = reader.losses(params, text_windows(TOKENS, T))
    expected = cached(ys, losses, TOKENS, 10, 0.5, 0.2)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_documents_begin_anew_and_share_the_cache(params):
    rng, w = np.random.default_rng(3), numbers(params)
    documents = [rng.integers(0, V, n) for n in (8, 2, 6, 12)]
    windows = document_windows(documents, [1, 1, 3, 1], T)
    read_alone = [read(w, document) for document in documents]
    found = Reader(MODEL).losses(params, windows)
    expected = [losses for losses, _ in read_alone]
    expected[2] = expected[2][2:]  # its first two predictions do not count
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=1e-12)

    found = Reader(MODEL, Cache(4, 0.5, 0.2)).losses(params, windows)
    before = []  # (output, label) of all documents
    expected = []
    for k, (document, (losses, ys)) in enumerate(
        zip(documents, read_alone, strict=True)
    ):
        for t, label in enumerate(document[1:]):
            p, seen = np.exp(-losses[t]), before[-4:]
            weights = np.array([np.exp(0.5 * ys[t] @ y) for y, _ in seen])
            same = np.array([other == label for _, other in seen], bool)
            if seen:
                p = 0.8 * p + 0.2 * weights[same].sum() / weights.sum()
            if k != 2 or t >= 2:
                expected.append(-np.log(p))
            before.append((ys[t], label))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize(
    "model",
    [
        LanguageModel(V, seqjax.LSTM(H), 3, clusters=(2, 4)),
        LanguageModel(V, seqjax.GRU(H), 3, tie_embeddings=True, mixtures=2),
        LanguageModel(V, seqjax.Zoneout(seqjax.LSTM(H), (0.3,)), 3, chunk=2),
    ],
    ids=["clusters", "mixtures", "zoneout"],
)
def test_every_softmax_and_cell_is_read(model):
    params = model.init(jax.random.key(0))
    losses = Reader(model).losses(params, text_windows(TOKENS, T))
    (total, _), _ = model.loss(params, jnp.asarray(TOKENS))
    np.testing.assert_allclose(losses.sum(), total, rtol=1e-5)
    reader = Reader(model, Cache(5), Dynamic("sgd", 0.1))
    assert np.isfinite(reader.losses(params, text_windows(TOKENS, T))).all()


def test_an_improbable_token_stays_finite(params):
    """Its probability is below every number of float32."""
    far = jax.tree.map(lambda a: (600 * a).astype(jnp.float32), params)
    windows = text_windows(TOKENS, T)
    plain = Reader(MODEL).losses(far, windows)
    losses = Reader(MODEL, Cache(3, 0.5, 0.1)).losses(far, windows)
    assert plain.max() > 150
    assert np.isfinite(losses).all()


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Cache(0), "size must be at least 1"),
        (lambda: Cache(3, share=1.0), r"share in \[0, 1\), got 3 and 1.0"),
        (lambda: Dynamic("adam", 0.1), '"sgd" or "rms", got \'adam\''),
        (lambda: Dynamic("sgd", -0.1), "learning_rate must not be negative"),
        (lambda: Dynamic("sgd", 0.1, 2), r"decay in \[0, 1\], got 0.1 and 2"),
        (lambda: text_windows(TOKENS[:1], T), "at least 2 tokens"),
        (lambda: text_windows(TOKENS, 0), "at least 1 step"),
    ],
)
def test_wrong_arguments_are_refused(make, named):
    with pytest.raises(ValueError, match=named):
        make()


def test_rms_needs_squares():
    model = LanguageModel(V, seqjax.RNN(H))
    reader = Reader(model, dynamic=Dynamic("rms", 0.1))
    with pytest.raises(ValueError, match="needs mean squares"):
        reader.losses(model.init(jax.random.key(0)), text_windows(TOKENS, T))
