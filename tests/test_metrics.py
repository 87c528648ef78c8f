"""BLEU by hand and against the textbook's loop; errors of forecasts, labels, edits."""

import collections
import functools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax import metrics
from seqjax.metrics import (
    accuracy,
    bleu,
    confusion,
    coverage,
    edit_distance,
    error_rate,
    fails_from,
    macro_f1,
    mae,
    mase,
    mse,
)

fuzz = settings(deadline=None, max_examples=200)
tokens = st.lists(st.sampled_from("abc"), max_size=7)


@pytest.mark.parametrize(
    ("prediction", "reference", "max_n", "want"),
    [
        # The textbook's example: p_1 = 4/5, p_2 = 3/4, p_3 = 1/3, p_4 = 0; too short.
        ("A B B C D", "A B C D E F", 1, math.exp(-1 / 5) * (4 / 5) ** 0.5),
        (
            "A B B C D",
            "A B C D E F",
            2,
            math.exp(-1 / 5) * (4 / 5) ** 0.5 * (3 / 4) ** 0.25,
        ),
        (
            "A B B C D",
            "A B C D E F",
            3,
            math.exp(-1 / 5) * (4 / 5) ** 0.5 * (3 / 4) ** 0.25 * (1 / 3) ** 0.125,
        ),
        ("A B B C D", "A B C D E F", 4, 0.0),
        # Brevity: the prediction is correct but short.
        ("A B", "A B C D E F", 2, math.exp(-2)),
        ("A", "A B", 1, math.exp(-1)),
        # The only penalty of a long prediction is its precision.
        ("A B C D", "A B", 1, (2 / 4) ** 0.5),
        ("A B C D", "A B", 2, (2 / 4) ** 0.5 * (1 / 3) ** 0.25),
        # Clipped: an n-gram counts as often as the reference has it.
        ("the the the the", "the cat the mat", 1, (2 / 4) ** 0.5),
        ("a b a b a b", "a b c a b c", 2, (4 / 6) ** 0.5 * (2 / 5) ** 0.25),
        # n is at most the length of the prediction.
        ("go", "go .", 2, math.exp(-1)),
        ("go", "go", 4, 1.0),
        ("il est calme .", "il est calme .", 2, 1.0),
        # Only the pairs depend on the order.
        ("b a", "a b", 1, 1.0),
        ("b a", "a b", 2, 0.0),
        ("x y", "a b", 2, 0.0),
        ("aa b", "a ab b x aa", 2, 0.0),  # two letters are not a pair
        ("", "a b", 2, 0.0),
        ("", "", 2, 0.0),
        ("a", "", 2, 0.0),
        (
            "je suis las .",
            "je suis chez moi .",
            2,
            math.exp(-1 / 4) * 0.75**0.5 / 3**0.25,
        ),
        ("elle court .", "il court .", 2, (2 / 3) ** 0.5 * (1 / 2) ** 0.25),
    ],
)
def test_bleu_by_hand(prediction, reference, max_n, want):
    got = bleu(prediction.split(), reference.split(), max_n)
    assert isinstance(got, float)
    assert got == pytest.approx(want, rel=1e-12, abs=0)


def loop(prediction, reference, k):
    """The textbook's function as published, but with lists of tokens as arguments."""
    if not prediction:
        return 0.0
    score = math.exp(min(0, 1 - len(reference) / len(prediction)))
    for n in range(1, min(k, len(prediction)) + 1):
        matches, subs = 0, collections.defaultdict(int)
        for i in range(len(reference) - n + 1):
            subs[" ".join(reference[i : i + n])] += 1
        for i in range(len(prediction) - n + 1):
            if subs[" ".join(prediction[i : i + n])] > 0:
                matches += 1
                subs[" ".join(prediction[i : i + n])] -= 1
        score *= math.pow(matches / (len(prediction) - n + 1), math.pow(0.5, n))
    return score


@fuzz
@given(prediction=tokens, reference=tokens, max_n=st.integers(1, 5))
def test_bleu_is_the_textbooks_loop(prediction, reference, max_n):
    got = bleu(prediction, reference, max_n)
    assert got == pytest.approx(loop(prediction, reference, max_n), rel=1e-12, abs=0)
    assert 0 <= got <= 1


@fuzz
@given(prediction=tokens, reference=tokens)
def test_bleu_of_two_letters_is_one_for_equality_only(prediction, reference):
    perfect = bleu(prediction, reference, 7) == 1
    assert perfect == (prediction == reference != [])


# ---------------------------------------------------------------- forecasts


def test_errors_are_means_over_all_values():
    rng = np.random.default_rng(0)
    f, y = rng.normal(size=(2, 5, 3, 2))
    pairs = list(zip(f.ravel().tolist(), y.ravel().tolist(), strict=True))
    assert mse(f, y) == pytest.approx(sum((a - b) ** 2 for a, b in pairs) / 30)
    assert mae(f, y) == pytest.approx(sum(abs(a - b) for a, b in pairs) / 30)
    large = np.full((2, 2), 1e4, np.float32)  # float32 alone would round it away
    assert mse(large, large.astype(np.float64) + 1e-3) == pytest.approx(1e-6)


def test_mase_by_hand():
    train = np.array([[1.0, 0], [3, 10], [2, 20], [6, 30]])
    # Steps of 2, 1, 4 in one column, of 10, 10, 10 in the other.
    y, f = np.array([[5.0, 0], [6, 5]]), np.array([[5.0, 5], [7, 10]])
    assert mase(f, y, train) == pytest.approx((0.5 / (7 / 3) + 5 / 10) / 2)
    # Two rows apart: 1 and 3; 20 and 20.
    assert mase(f, y, train, period=2) == pytest.approx((0.5 / 2 + 5 / 20) / 2)
    assert mase(f, y, np.ones((4, 2))) == math.inf


def test_the_seasonal_naive_on_its_own_training_rows_has_mase_one():
    train = np.random.default_rng(0).normal(size=(40, 3))
    assert mase(train[:-7], train[7:], train, period=7) == pytest.approx(1)


def test_coverage_counts_values_within_including_both_ends():
    y = np.array([1.0, 2, 3, 4])
    assert coverage(np.array([1.0, 2.5, 0, 0]), np.array([2.0, 3, 3, 3.9]), y) == 0.5


def test_the_step_from_which_errors_are_above_the_limit():
    errors = [1, 9, 1, 1, 1, 1, 5, 5, 5]
    assert fails_from(errors, limit=3, width=4) == 5  # from 4 on the mean is 3: not yet
    assert fails_from(errors, limit=3, width=1) == 1
    assert fails_from(errors, limit=10, width=2) is None
    assert fails_from(errors, limit=0, width=10) is None


# ---------------------------------------------------------------- labels


def test_confusion_counts_by_label_and_prediction():
    predicted, labels = [2, 0, 1, 1, 0, 2, 2], [2, 0, 0, 1, 2, 2, 1]
    wanted = [[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
    counts = confusion(predicted, labels, 4)
    assert counts.tolist() == wanted
    assert accuracy(counts) == pytest.approx(4 / 7)
    # F1 of labels 0, 1, 2: 2 * 1 / (2 + 2), 2 * 1 / (2 + 2), 2 * 2 / (3 + 3).
    assert macro_f1(counts) == pytest.approx((1 / 2 + 1 / 2 + 2 / 3) / 3)


def test_macro_f1_weights_all_labels_equally():
    # 98 of label 0 are right, 2 of label 1 are predicted as 0: F1 2 * 98 / 198 and 0.
    assert macro_f1(confusion([0] * 100, [0] * 98 + [1] * 2, 2)) == pytest.approx(
        (196 / 198 + 0) / 2
    )
    # A label that is only predicted has F1 0; one that never occurs is left out.
    assert macro_f1(confusion([0, 1], [0, 0], 9)) == pytest.approx((2 / 3 + 0) / 2)
    assert macro_f1(confusion([0, 1], [0, 1], 9)) == 1


def test_without_counts_there_is_no_accuracy():
    counts = confusion([], [], 3)
    assert math.isnan(accuracy(counts)) and math.isnan(macro_f1(counts))


# ---------------------------------------------------------------- edits


@functools.cache
def edits(a, b):
    """The recursion that defines the distance."""
    if not (a and b):
        return len(a) + len(b)
    change = edits(a[1:], b[1:]) + (a[0] != b[0])
    return min(change, 1 + edits(a[1:], b), 1 + edits(a, b[1:]))


@fuzz
@given(reference=tokens, prediction=tokens)
def test_edit_distance_is_the_recursion(reference, prediction):
    want = edits("".join(reference), "".join(prediction))
    assert edit_distance(reference, prediction) == want
    assert edit_distance(prediction, reference) == want


def test_error_rates_are_of_the_whole_corpus():
    said = [["one", "two", "three"], ["six"], []]
    heard = [["one", "too"], ["six"], ["two", "two"]]
    assert error_rate(said, heard) == (2 + 0 + 2) / 4
    assert error_rate(["kitten"], ["sitting"]) == 3 / 6
    assert error_rate([["a"]], [["b", "c", "d"]]) == 3  # above 1
    assert math.isnan(error_rate([[]], [["a"]]))
    with pytest.raises(ValueError, match="zip"):
        error_rate([["a"]], [])


def test_values_at_a_limit_are_covered_and_do_not_fail():
    assert metrics.coverage([1, 1, 1], [2, 2, 2], [1, 2, 2.5]) == 2 / 3
    assert metrics.fails_from([1.0, 1.0, 1.5], limit=1.0, width=1) == 2
    assert metrics.fails_from([1.0, 2.0], limit=1.0, width=2) == 0
    assert metrics.fails_from([3.0, 2.0, 3.0], limit=1.0, width=1) == 0


def test_empty_forecasts_have_no_error_and_shapes_must_be_equal():
    empty = np.zeros((0, 2))
    assert math.isnan(metrics.mse(empty, empty))
    assert math.isnan(metrics.mae(empty, empty))
    assert math.isnan(metrics.coverage(empty, empty, empty))
    assert math.isnan(metrics.mase(empty, empty, np.arange(8.0).reshape(4, 2)))
    for measure in (metrics.mse, metrics.mae):
        with pytest.raises(ValueError, match=r"one shape, got \(3,\) and \(3, 1\)"):
            measure(np.zeros(3), np.zeros((3, 1)))


@pytest.mark.parametrize("period", [0, 4, 5])
def test_a_season_is_shorter_than_the_training_rows(period):
    with pytest.raises(ValueError, match=rf"in 1 .. 3, .* got {period}"):
        metrics.mase(np.zeros((1, 1)), np.zeros((1, 1)), np.zeros((4, 1)), period)


def test_labels_outside_of_the_confusion_matrix_are_refused():
    for predicted, labels in (([0, 2], [0, 1]), ([0, 1], [-1, 1])):
        with pytest.raises(ValueError, match=r"must be in 0 .. 1, got"):
            metrics.confusion(predicted, labels, 2)
    with pytest.raises(ValueError, match=r"one shape, got \(3,\) and \(2,\)"):
        metrics.confusion([0, 1], [0, 1, 1], 2)


def test_without_predictions_there_is_no_perplexity():
    assert math.isnan(metrics.perplexity(0.0, 0))
    assert math.isnan(metrics.bits_per_character(0.0, 0))
    assert metrics.perplexity(1e6, 1) == math.inf
