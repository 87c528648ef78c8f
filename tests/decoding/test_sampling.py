"""Sampling and greedy decoding, against distributions computed by enumeration."""

from collections import Counter
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax.decoding import sample_token
from tests.search_models import EOS, Rules, draw, find, rows
from tests.search_oracle import (
    Path,
    assert_agrees,
    continuations,
    distribution,
    padded,
    sentence,
)

N = 40_000
# Two rows of logits with different most probable tokens.
LOGITS = np.float32(
    [[0.3, 2.0, -1.0, 1.1, 0.9, -4.0], [1.9, -0.2, 2.3, -3.0, 0.1, 2.1]]
)


def frequencies(key, logits, **how):
    """The share of samples of each token: [rows, V] -> [rows, V]."""
    many = jnp.broadcast_to(jnp.asarray(logits), (N, *logits.shape))
    tokens = np.asarray(sample_token(key, many, **how))
    assert tokens.shape == (N, len(logits))
    assert tokens.dtype == np.int32
    return np.stack(
        [np.bincount(row, minlength=logits.shape[-1]) / N for row in tokens.T]
    )


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 3.0},
        {"top_k": 1},
        {"top_k": 3},
        {"top_k": 6},
        {"top_k": 100},
        {"top_p": 1e-6},
        {"top_p": 0.5},
        {"top_p": 0.8},
        {"top_p": 0.999},
        {"top_k": 3, "top_p": 0.7},
        {"top_k": 2, "top_p": 0.99},
        {"temperature": 0.4, "top_p": 0.8},
        {"temperature": 2.0, "top_k": 4, "top_p": 0.9},
    ],
    ids=str,
)
def test_token_frequencies_match_the_probabilities(key, how):
    want = np.stack([distribution(row, **how) for row in LOGITS])
    sigma = np.sqrt(want * (1 - want) / N)
    # Where the probability is 0 or 1, the tolerance is 0.
    assert np.all(np.abs(frequencies(key, LOGITS, **how) - want) <= 5 * sigma)


def test_the_nucleus_by_hand(key):
    logits = np.log(np.float32([[0.04, 0.5, 0.06, 0.3, 0.1]]))
    for top_p, support in [
        (0.49, {1}),
        (0.51, {1, 3}),
        (0.79, {1, 3}),
        (0.81, {1, 3, 4}),
        (0.95, {1, 2, 3, 4}),
        (0.97, {0, 1, 2, 3, 4}),
    ]:
        drawn = frequencies(key, logits, top_p=top_p)[0]
        assert set(np.flatnonzero(drawn).tolist()) == support
    # top_k makes 5/8 and 3/8 of 0.5 and 0.3; 0.7 includes both, 0.6 only the first.
    drawn = [frequencies(key, logits, top_k=2, top_p=p)[0] for p in (0.7, 0.6)]
    assert [np.flatnonzero(d).tolist() for d in drawn] == [[1, 3], [1]]


@pytest.mark.parametrize(
    "how", [{"top_k": 40}, {"top_p": 0.7}, {"top_k": 300, "top_p": 0.95}], ids=str
)
def test_a_large_vocabulary_is_cut_as_by_sorting(key, how):
    """The samples are those of the logits that NumPy has cut, with the same key."""
    logits = np.random.default_rng(0).normal(size=(50, 5000)).astype(np.float32)
    order = np.argsort(-logits, axis=-1, kind="stable")
    ordered = np.exp(np.take_along_axis(logits, order, axis=-1).astype(np.float64))
    ordered[:, how.get("top_k", 5000) :] = 0.0
    shares = ordered / ordered.sum(axis=-1, keepdims=True)
    kept = (shares.cumsum(axis=-1) - shares < how.get("top_p", 1.0)) & (shares > 0)
    cut = np.full_like(logits, -np.inf)
    rows = np.arange(50)[:, None]
    cut[rows, order] = np.where(kept, logits[rows, order], -np.inf)
    tokens = sample_token(key, logits, **how)
    np.testing.assert_array_equal(tokens, jax.random.categorical(key, cut))


@pytest.mark.parametrize("how", [{"top_k": 0}, {"top_k": 6}, {"top_p": 1.0}], ids=str)
def test_a_cut_that_keeps_all_tokens_changes_no_sample(key, how):
    many = jnp.broadcast_to(LOGITS[0], (200, 6))
    np.testing.assert_array_equal(
        sample_token(key, many, **how), jax.random.categorical(key, many)
    )


@pytest.mark.parametrize("shape", [(), (3,), (4, 2), (0, 2)])
def test_greedy_takes_the_first_most_probable_token(key, shape):
    rng = np.random.default_rng(0)
    logits = rng.integers(4, size=(*shape, 9)).astype(np.float32)  # full of ties
    tokens = sample_token(key, jnp.asarray(logits), temperature=0)
    assert tokens.shape == shape
    assert tokens.dtype == jnp.int32
    np.testing.assert_array_equal(tokens, logits.argmax(axis=-1))


@pytest.mark.parametrize(
    "how", [{"temperature": 1e-4}, {"top_k": 1}, {"top_p": 1e-9}], ids=str
)
@pytest.mark.parametrize("shape", [(), (3,), (4, 2)])
def test_every_batch_shape_and_option_has_a_greedy_limit(key, shape, how):
    logits = np.random.default_rng(1).normal(size=(*shape, 9)).astype(np.float32)
    tokens = sample_token(key, jnp.asarray(logits), **how)
    assert tokens.shape == shape
    assert tokens.dtype == jnp.int32
    np.testing.assert_array_equal(tokens, logits.argmax(axis=-1))


def test_rows_of_a_batch_are_sampled_independently(key):
    tokens = np.asarray(sample_token(key, jnp.zeros((2, 20_000, 2))))
    assert abs(np.mean(tokens[0] == tokens[1]) - 0.5) < 5 * 0.5 / np.sqrt(20_000)
    other = np.asarray(sample_token(jax.random.key(1), jnp.zeros((2, 20_000, 2))))
    assert abs(np.mean(tokens == other) - 0.5) < 5 * 0.5 / np.sqrt(40_000)


@pytest.mark.parametrize(
    "how", [{}, {"top_k": 4}, {"top_p": 0.9999}, {"temperature": 5.0}], ids=str
)
def test_tokens_of_probability_0_are_never_sampled(key, how):
    logits = np.where([False, True, False, False, True, True], -np.inf, LOGITS)
    drawn = frequencies(key, np.float32(logits), **how)
    assert not drawn[:, [1, 4, 5]].any()
    assert drawn[:, [0, 2, 3]].all()


@pytest.mark.parametrize("how", [{"top_k": 2}, {"top_p": 0.6}], ids=str)
def test_a_tie_at_the_cut_excludes_less_probable_tokens(key, how):
    """Probabilities 2/5, 1/5, 1/5, 1/10, 1/10: at least one of the fifths is kept."""
    logits = np.log(np.float32([[0.1, 0.2, 0.4, 0.2, 0.1]]))
    drawn = frequencies(key, logits, **how)[0]
    assert drawn[2] > 0.4
    assert drawn[1] + drawn[3] > 0
    assert not drawn[[0, 4]].any()


@pytest.mark.parametrize(
    "how",
    [
        {"temperature": -0.1},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": -0.5},
        {"top_p": 1.01},
        {"top_p": float("nan")},
    ],
    ids=str,
)
def test_invalid_options_raise(key, how):
    (value,) = how.values()
    with pytest.raises(ValueError, match=f"must not be negative.*{value}"):
        sample_token(key, jnp.asarray(LOGITS), **how)


def test_compiled_and_mapped_samples_are_equal(key):
    draw = partial(sample_token, temperature=0.7, top_k=4, top_p=0.9)
    keys = jax.random.split(key, 20)
    logits = jnp.asarray(LOGITS[0])
    looped = [int(draw(k, logits)) for k in keys]
    compiled = jax.jit(draw)
    assert [int(compiled(k, logits)) for k in keys] == looped
    assert jax.vmap(draw, (0, None))(keys, logits).tolist() == looped
    assert len(set(looped)) > 1


def test_samples_depend_on_the_key_alone():
    one, again, two = (
        find("sample", draw(10), Rules(), key=k).tokens.tolist() for k in (3, 3, 4)
    )
    assert one == again != two
    twins = find("sample", rows(draw(10), np.array([1, 1])), Rules()).tokens
    assert twins[0].tolist() != twins[1].tolist()


@pytest.mark.parametrize(
    "how", [{"temperature": 0.0}, {"top_k": 1}, {"top_p": 1e-6}], ids=str
)
def test_the_sharpest_samples_are_greedy(how):
    model, rules = draw(11), Rules(penalty="power", strength=0.6, ngram=2)
    want = find("greedy", model, rules)
    found = find("sample", model, rules, **how)
    for ours, theirs in zip(found, want, strict=True):
        np.testing.assert_allclose(ours, np.repeat(theirs, 5, axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    "how", [{}, {"temperature": 0.6}, {"top_k": 2}, {"top_p": 0.7}], ids=str
)
def test_sequence_frequencies_match_the_probabilities(how):
    """Constraints apply before truncation; scores ignore the truncation."""
    rules = Rules(max_length=3, min_length=1, ngram=1, prefix=[[-1] * 3, [-1, 2, -1]])
    model, number = draw(12, num_sentences=2, eager=-0.5), 4000
    found = assert_agrees("sample", model, rules, num_samples=number, **how)
    for b in range(2):
        one, want = sentence(model, b), {}
        paths = [(1.0, Path((), 0.0, one.start))]
        while paths:
            probability, path = paths.pop()
            if EOS in path.tokens or len(path.tokens) == rules.max_length:
                want[path.tokens] = probability
                continue
            new = list(continuations(one, path, rules, rules.prefix[b]))
            shares = distribution(np.array([p.log_prob for p in new]), **how)
            paths += [(probability * s, p) for s, p in zip(shares, new, strict=True)]
        counts = Counter(map(tuple, found.tokens[b].tolist()))
        for tokens, probability in want.items():
            sigma = np.sqrt(number * probability * (1 - probability))
            count = counts.pop(tuple(padded(tokens, 3)), 0)
            assert abs(count - number * probability) <= 5 * sigma, tokens
        assert not counts
        assert abs(sum(want.values()) - 1) < 1e-9
        assert len(want) > 4
