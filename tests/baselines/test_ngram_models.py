"""Laplace and Kneser-Ney models, against dicts and loops in float64."""

import itertools
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.baselines.ngram import (
    FALLBACK_DISCOUNTS,
    choose_epsilons,
    estimate_discounts,
    kneser_ney,
    laplace,
)
from seqjax.data.ngrams import count_ngrams

V = 5
TEXTS = st.lists(st.integers(0, V - 2), min_size=3, max_size=40)
fuzz = settings(deadline=None, max_examples=50)
HELD_OUT = st.lists(st.integers(0, V - 1), min_size=2, max_size=15)


def tuples(tokens, n):
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def zipfian(number, vocab_size=40, seed=0):
    """A text with rare and frequent n-grams, for which discounts can be estimated."""
    weights = 1 / np.arange(1, vocab_size + 1)
    rng = np.random.default_rng(seed)
    return rng.choice(vocab_size, number, p=weights / weights.sum()).tolist()


def laplace_reference(tokens, vocab_size, epsilons):
    """P(w | context) from the formulas; the order is the context length plus 1."""

    def unigram(w):
        share = epsilons[0] / vocab_size
        return (tokens.count(w) + share) / (len(tokens) + epsilons[0])

    def prob(w, context):
        if not context:
            return unigram(w)
        n, eps = len(context) + 1, epsilons[len(context)]
        joint = Counter(tuples(tokens, n))
        before = Counter(ngram[:-1] for ngram in tuples(tokens, n))
        above = joint[(*context, w)] + eps * unigram(w)
        return above / (before[tuple(context)] + eps)

    return prob


def discounts_reference(numbers):
    n1, n2, n3, n4 = (sum(c == k for c in numbers) for k in (1, 2, 3, 4))
    try:
        y = n1 / (n1 + 2 * n2)
        found = [1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
    except ZeroDivisionError:
        return 0.5, 1.0, 1.5
    return found if n4 and min(found) > 0 else (0.5, 1.0, 1.5)


def kneser_ney_reference(tokens, vocab_size, order):
    """P(w | context) from the formulas of Chen and Goodman, recursively."""
    tables = {order: Counter(tuples(tokens, order))}
    for n in range(1, order):
        tables[n] = Counter(ngram[1:] for ngram in set(tuples(tokens, n + 1)))
    discounts = {n: discounts_reference(table.values()) for n, table in tables.items()}
    going_on = {n: defaultdict(list) for n in tables}
    for n, table in tables.items():
        for ngram, number in table.items():
            going_on[n][ngram[:-1]].append(number)

    def prob(w, context):
        n = len(context) + 1
        lower = prob(w, context[1:]) if context else 1 / vocab_size
        numbers = going_on[n][tuple(context)]
        if not numbers:
            return lower
        taken = sum(discounts[n][min(c, 3) - 1] for c in numbers)
        number = tables[n][(*context, w)]
        kept = number - discounts[n][min(number, 3) - 1] if number else 0
        return (kept + taken * lower) / sum(numbers)

    return prob


def log_probs_reference(prob, tokens, order):
    """Position by position, with the longest available context."""
    return [
        math.log(prob(tokens[t], tuple(tokens[max(0, t - order + 1) : t])))
        for t in range(1, len(tokens))
    ]


def both(tokens, vocab_size, order):
    """{kind: (model, reference)}."""
    counts = count_ngrams(tokens, vocab_size, order)
    epsilons = [0.3, 2.0, 0.7, 1.5][:order]
    return {
        "laplace": (
            laplace(counts, epsilons),
            laplace_reference(tokens, vocab_size, epsilons),
        ),
        "kneser_ney": (
            kneser_ney(counts),
            kneser_ney_reference(tokens, vocab_size, order),
        ),
    }


MODELS = ("laplace", "kneser_ney")


@pytest.mark.parametrize("name", MODELS)
@fuzz
@given(tokens=TEXTS, text=HELD_OUT, order=st.integers(1, 3))
def test_log_probs_are_the_formulas(name, tokens, text, order):
    model, prob = both(tokens, V, order)[name]
    want = log_probs_reference(prob, text, order)
    np.testing.assert_allclose(model.log_probs(text), want, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("name", MODELS)
def test_log_probs_with_estimated_discounts(name, order):
    tokens, text = zipfian(1500), zipfian(150, seed=1)
    model, prob = both(tokens, 40, order)[name]
    want = log_probs_reference(prob, text, order)
    np.testing.assert_allclose(model.log_probs(text), want, rtol=1e-12)


@pytest.mark.parametrize("name", MODELS)
@fuzz
@given(TEXTS, st.lists(st.integers(0, V - 1), max_size=5), st.integers(1, 4))
def test_distributions_sum_to_one_and_are_the_formulas(name, tokens, context, order):
    order = min(order, len(tokens))
    model, prob = both(tokens, V, order)[name]
    got = model.distribution(context)
    assert got.sum() == pytest.approx(1, abs=1e-12)
    assert (got > 0).all()  # including the token that does not occur
    context = tuple(context[max(0, len(context) - order + 1) :])
    np.testing.assert_allclose(got, [prob(w, context) for w in range(V)], rtol=1e-12)


@pytest.mark.parametrize("name", MODELS)
def test_distribution_and_log_probs_agree(name):
    model, _ = both(zipfian(800), 40, 3)[name]
    text = zipfian(60, seed=2)
    want = [np.log(model.distribution(text[:t])[text[t]]) for t in range(1, len(text))]
    np.testing.assert_allclose(model.log_probs(text), want, rtol=1e-12)


def test_these_texts_have_estimated_discounts():
    counts = count_ngrams(zipfian(1500), 40, 4)
    for n in (2, 3):
        assert set(estimate_discounts(counts.counts[n - 1])) != set(FALLBACK_DISCOUNTS)


def test_lower_orders_of_the_same_counts():
    tokens, text = zipfian(800), zipfian(100, seed=1)
    counts = count_ngrams(tokens, 40, 4)
    alone = count_ngrams(tokens, 40, 2)
    for few, many in (
        (laplace(alone, [0.5, 3.0]), laplace(counts, [0.5, 3.0])),
        (kneser_ney(alone), kneser_ney(counts, 2)),
    ):
        np.testing.assert_array_equal(few.log_probs(text), many.log_probs(text))


# ---------------------------------------------------------------- Laplace


def test_laplace_by_hand():
    """Text a b a b c, V = 4; eps 2, 1, 3."""
    model = laplace(count_ngrams([0, 1, 0, 1, 2], 4, 3), [2.0, 1.0, 3.0])
    unigrams = np.array([2.5, 2.5, 1.5, 0.5]) / 7
    np.testing.assert_allclose(model.distribution([]), unigrams)
    np.testing.assert_allclose(  # a and c follow b
        model.distribution([1]), (np.array([1, 0, 1, 0]) + unigrams) / 3
    )
    np.testing.assert_allclose(  # interpolated with the unigram, not the bigram
        model.distribution([0, 1]), (np.array([1, 0, 1, 0]) + 3 * unigrams) / 5
    )
    np.testing.assert_allclose(model.distribution([2]), unigrams)  # c has no successor


def test_small_epsilons_give_relative_frequencies():
    tokens = zipfian(300, vocab_size=6)
    counts = count_ngrams(tokens, 6, 3)
    exact, near = laplace(counts, [0, 0, 0]), laplace(counts, [1e-10] * 3)
    for context in ([], [0], [0, 1]):
        after = Counter(
            tokens[i]
            for i in range(len(context), len(tokens))
            if tokens[i - len(context) : i] == context
        )
        want = [after[w] / after.total() for w in range(6)]
        np.testing.assert_allclose(exact.distribution(context), want, rtol=1e-14)
        np.testing.assert_allclose(near.distribution(context), want, atol=1e-9)


def test_large_epsilons_give_the_lower_order():
    counts = count_ngrams(zipfian(300, vocab_size=6), 6, 3)
    np.testing.assert_allclose(
        laplace(counts, [1e15]).distribution([]), 1 / 6, rtol=1e-10
    )
    model = laplace(counts, [1.0, 1e15, 1e15])
    for context in ([0], [0, 1], [5, 5]):
        np.testing.assert_allclose(
            model.distribution(context), model.distribution([]), rtol=1e-10
        )


def test_an_epsilon_of_0_gives_probability_0_and_nan():
    counts = count_ngrams([0, 1, 0, 1, 2], 4, 2)
    log_probs = laplace(counts, [0.0, 0.0]).log_probs([0, 1, 1, 2, 0])
    assert log_probs[0] == 0  # b always follows a
    assert log_probs[1] == -np.inf and np.isfinite(log_probs[2])
    assert np.isnan(log_probs[3])  # c has no successor


def test_chosen_epsilons_are_the_best_of_the_grid():
    counts = count_ngrams(zipfian(600), 40, 3)
    text, grid = zipfian(80, seed=1), (0.1, 1.0, 10.0, 100.0)
    chosen = choose_epsilons(counts, text, grid)
    totals = {
        eps: laplace(counts, eps).log_probs(text).sum()
        for eps in itertools.product([chosen[0]], grid, grid)
    }
    assert max(totals, key=totals.get) == tuple(chosen)
    unigrams = [laplace(counts, [eps]).distribution([]) for eps in grid]
    best = np.argmax([np.log(probs[text]).sum() for probs in unigrams])
    assert chosen[0] == grid[best]


@pytest.mark.parametrize(
    ("epsilons", "sentence"),
    [
        ([1.0, -0.1], r"at least 0, got \[1.0, -0.1\]"),
        ([1.0] * 4, "from 1 to the 3 counted, got 4"),
        ([], "from 1 to the 3 counted, got 0"),
    ],
)
def test_invalid_epsilons_raise(epsilons, sentence):
    with pytest.raises(ValueError, match=sentence):
        laplace(count_ngrams([0, 1, 2, 0], 3, 3), epsilons)


# ---------------------------------------------------------------- Kneser and Ney


def test_kneser_ney_by_hand():
    """San Francisco: a frequent word that follows one word only."""
    tokens = [0, 1] * 10 + [2, 3, 4, 3, 2, 4, 0, 1]
    model = kneser_ney(count_ngrams(tokens, 6, 2))
    unseen = model.distribution([5])  # the lower order
    assert tokens.count(1) > tokens.count(3)
    assert unseen[1] < unseen[3]
    # Different tokens before 0 .. 4: {1, 4}, {0}, {1, 3}, {2, 4}, {3, 2}; 9 in all.
    # None has 3 of them, so that the discounts are 0.5 and 1.
    taken = 0.5 + 4 * 1.0
    want = (np.array([1, 0.5, 1, 1, 1, 0]) + taken / 6) / 9
    np.testing.assert_allclose(unseen, want)


def test_discounts_by_hand():
    counts = [1] * 8 + [2] * 4 + [3] * 2 + [4] + [9] * 3 + [0] * 5
    y = 8 / 16
    want = [0, 1 - 2 * y * 4 / 8, 2 - 3 * y * 2 / 4, 3 - 4 * y * 1 / 2]
    np.testing.assert_allclose(estimate_discounts(np.array(counts)), want)


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_discounts_without_counts_of_counts_are_the_fallback(missing):
    counts = [c for c in [1] * 8 + [2] * 4 + [3] * 2 + [4] if c != missing]
    np.testing.assert_array_equal(
        estimate_discounts(np.array(counts)), [0, 0.5, 1, 1.5]
    )


def test_a_discount_below_0_is_the_fallback():
    counts = [1] * 8 + [2] * 2 + [3] * 10 + [4] * 2  # 2 - 3 * (8 / 12) * 5
    np.testing.assert_array_equal(
        estimate_discounts(np.array(counts)), [0, 0.5, 1, 1.5]
    )


@pytest.mark.parametrize("order", [0, 4])
def test_orders_that_were_not_counted_raise(order):
    with pytest.raises(ValueError, match=f"from 1 to the 3 counted, got {order}"):
        kneser_ney(count_ngrams([0, 1, 2, 0], 3, 3), order)


# ---------------------------------------------------------------- sampling


@pytest.mark.parametrize("name", MODELS)
def test_samples_follow_the_distribution(name):
    model, _ = both(zipfian(300, vocab_size=4), 4, 2)[name]
    stream = model.sample([0], np.random.default_rng(0))
    drawn = [0, *itertools.islice(stream, 8_000)]
    pairs = Counter(itertools.pairwise(drawn))
    for context in range(4):
        total = sum(pairs[context, w] for w in range(4))
        got = [pairs[context, w] / total for w in range(4)]
        want = model.distribution([context])
        np.testing.assert_allclose(got, want, atol=4 * math.sqrt(0.25 / total))


def test_samples_depend_on_the_generator_alone():
    model, _ = both(zipfian(300), 40, 3)["kneser_ney"]

    def draw(seed):
        stream = model.sample([1, 2, 3], np.random.default_rng(seed))
        return list(itertools.islice(stream, 30))

    assert draw(0) == draw(0) != draw(1)


def test_a_sample_raises_where_p_is_undefined():
    model = laplace(count_ngrams([0, 1, 2], 3, 2), [0.0, 0.0])
    stream = model.sample([0], np.random.default_rng(0))
    assert [next(stream), next(stream)] == [1, 2]
    with pytest.raises(ValueError, match="0/0"):
        next(stream)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_a_sample_uses_the_whole_context_of_the_order(order):
    """Of a text in which only order - 1 tokens decide the next one."""
    text = [*[0] * (order - 1), 1] * 30
    model = laplace(count_ngrams(text, 2, order), [0.0] * order)
    stream = model.sample(text[:9], np.random.default_rng(0))
    assert list(itertools.islice(stream, 40)) == text[9 : 9 + 40]
