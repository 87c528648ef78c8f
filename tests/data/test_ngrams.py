"""Counts of n-grams against a Counter of tuples, Zipf's law against its own draws."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data.ngrams import count_ngrams, zipf_exponent

fuzz = settings(deadline=None, max_examples=50)
TEXTS = st.lists(st.integers(0, 3), min_size=1, max_size=30)


def tuples(tokens, n):
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


@fuzz
@given(TEXTS, st.integers(1, 5), st.integers(4, 6))
def test_counts_are_those_of_a_counter(tokens, order, vocab_size):
    order = min(order, len(tokens))
    counts = count_ngrams(tokens, vocab_size, order)
    for n in range(1, order + 1):
        number = counts.counts[n - 1]
        ngrams = counts.tokens_of(n, np.arange(len(number)))
        got = {tuple(g): c for g, c in zip(ngrams.tolist(), number, strict=True) if c}
        assert got == Counter(tuples(tokens, n))
        assert sorted(ngrams.tolist()) == ngrams.tolist()
        assert number.all() or n == 1


@fuzz
@given(TEXTS, st.integers(2, 5))
def test_continuations_count_the_distinct_tokens_before(tokens, order):
    order = min(order, len(tokens))
    counts = count_ngrams(tokens, 4, order)
    assert len(counts.continuations) == order - 1
    for n, number in enumerate(counts.continuations, 1):
        want = Counter(ngram[1:] for ngram in set(tuples(tokens, n + 1)))
        ngrams = counts.tokens_of(n, np.arange(len(number))).tolist()
        assert [want[tuple(ngram)] for ngram in ngrams] == number.tolist()


@fuzz
@given(TEXTS, TEXTS, st.integers(1, 4))
def test_find_gives_the_index_of_each_ngram(tokens, text, order):
    order = min(order, len(tokens))
    counts = count_ngrams(tokens, 4, order)
    found = counts.find(text, order)
    assert len(found) == order
    for n, indices in enumerate(found, 1):
        wanted = tuples(text, n)
        assert len(indices) == len(wanted)
        seen = set(tuples(tokens, n))
        for index, ngram in zip(indices, wanted, strict=True):
            if n > 1 and ngram not in seen:
                assert index == -1
            else:
                assert tuple(counts.tokens_of(n, index)) == ngram


def test_followers_by_hand():
    counts = count_ngrams([1, 2, 1, 2, 0, 1, 1], 4, 3)
    index, after, tokens = counts.followers([1])
    assert index == 1 and tokens.tolist() == [1, 2]
    assert counts.counts[1][after].tolist() == [1, 2]
    _, after, tokens = counts.followers([1, 2])
    assert tokens.tolist() == [0, 1] and counts.counts[2][after].tolist() == [1, 1]
    for context in ([3], [2, 2], [3, 3]):
        assert len(counts.followers(context)[2]) == 0
    assert counts.followers([2, 2])[0] == -1


def test_sums_by_context_have_an_entry_for_unseen_contexts():
    counts = count_ngrams([1, 2, 1, 2, 0], 4, 2)
    assert counts.sum_by_context(1, counts.counts[0])[0] == 5
    assert counts.sum_by_context(2, counts.counts[1]).tolist() == [0, 2, 2, 0, 0]


def test_keys_of_a_large_vocabulary_do_not_overflow():
    """33,278 ** 5 is above 2 ** 63."""
    tokens = np.random.default_rng(0).integers(33_000, 33_278, 500)
    tokens = np.concatenate([tokens, tokens])
    counts = count_ngrams(tokens, 33_278, 6)
    assert (counts.keys[5] >= 0).all()
    assert Counter(counts.counts[5].tolist()) == Counter(
        Counter(tuples(tokens.tolist(), 6)).values()
    )


@pytest.mark.parametrize("order", [-1, 0, 4])
def test_orders_above_the_length_of_the_text_are_refused(order):
    with pytest.raises(ValueError, match=f"from 1 to the text's 3 tokens, got {order}"):
        count_ngrams([0, 1, 2], 3, order)


# ---------------------------------------------------------------- Zipf


def log_likelihood(frequencies, first, last, exponent):
    """The log-likelihood of all occurrences, one by one."""
    ranks = np.arange(first, last + 1.0)
    law = ranks**-exponent / (ranks**-exponent).sum()
    return sum(
        f * np.log(p) for f, p in zip(frequencies[first - 1 :], law, strict=False)
    )


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 2.3])
@pytest.mark.parametrize(("first", "last"), [(1, 400), (10, 250)])
def test_zipf_finds_the_exponent_of_an_exact_law(exponent, first, last):
    frequencies = 1e9 * np.arange(1, 401.0) ** -exponent
    got = zipf_exponent(frequencies, first, last)
    assert got == pytest.approx(exponent, abs=1e-9)


@pytest.mark.parametrize(("first", "last"), [(1, 60), (3, 40), (5, 6)])
def test_no_other_exponent_is_more_probable(first, last):
    rng = np.random.default_rng(0)
    frequencies = np.sort(rng.zipf(2.0, 60))[::-1]
    best = zipf_exponent(frequencies, first, last)
    value = log_likelihood(frequencies, first, last, best)
    for other in (best - 0.01, best + 0.01):
        assert log_likelihood(frequencies, first, last, other) < value


def test_zipf_recovers_the_exponent_of_a_sample():
    ranks = np.arange(1, 1001.0)
    law = ranks**-1.1 / (ranks**-1.1).sum()
    drawn = np.random.default_rng(0).multinomial(10**6, law)
    assert zipf_exponent(drawn, 1, 1000) == pytest.approx(1.1, abs=0.005)


def test_too_few_ranks_have_no_exponent():
    assert np.isnan(zipf_exponent([5, 3], 1, 1))
    assert np.isnan(zipf_exponent([5, 3], 10, 2))
    for first, last in ((0, 2), (1, 3)):
        with pytest.raises(ValueError, match=f"no ranks {first} to {last}"):
            zipf_exponent([5, 3], first, last)
