"""Evaluation metrics, from exact totals over a whole corpus."""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


def perplexity(total: float, count: float) -> float:
    """exp(total / count).

    1 is perfect, V is uniform guessing, inf is probability 0 for a token that occurs.

    Args:
      total: the sum of negative log-likelihoods, in nats.
      count: the number of predictions; 0 gives nan.

    Returns:
      A float of at least 0; nan if the count is 0.

    Example:
      >>> round(perplexity(total=3 * math.log(4), count=3), 6)
      4.0
    """
    if count == 0:
        return math.nan
    try:
        return math.exp(total / count)
    except OverflowError:
        return math.inf


def bits_per_character(total: float, characters: float) -> float:
    """total / (ln 2 * characters).

    Args:
      total: the sum of negative log-likelihoods of a text, in nats.
      characters: the number of characters of the text.

    Returns:
      A float, in bits; nan if characters is 0.

    Example:
      >>> bits_per_character(total=8 * math.log(2), characters=4)
      2.0
    """
    return total / (math.log(2) * characters) if characters else math.nan


def bleu(
    prediction: Sequence[Hashable], reference: Sequence[Hashable], max_n: int
) -> float:
    """The textbook's BLEU of one sentence, from 0 to 1; 1 means that both are equal.

        exp(min(0, 1 - len(reference) / len(prediction))) * prod_n p_n ** (1 / 2**n)

    p_n is the share of the prediction's n-grams, n = 1 .. max_n, that occur in the
    reference; an n-gram counts at most as often as it occurs there. n is at most the
    length of the prediction. The BLEU of papers is another one, over a whole corpus.

    Args:
      prediction, reference: lists of tokens.
      max_n: the longest n-grams to count.

    Returns:
      A float from 0 to 1; 0 for an empty prediction.

    Example:
      >>> bleu("il est calme .".split(), "il est calme .".split(), max_n=2)
      1.0

    Source: Zhang et al., "Dive into Deep Learning", section 10.7.6, after Papineni et
    al. 2002.
    """
    if not prediction:
        return 0.0
    score = math.exp(min(0, 1 - len(reference) / len(prediction)))
    for n in range(1, min(max_n, len(prediction)) + 1):
        found, wanted = _ngrams(prediction, n), _ngrams(reference, n)
        score *= ((found & wanted).total() / found.total()) ** (0.5**n)
    return score


def mse(forecasts: ArrayLike, values: ArrayLike) -> float:
    """The mean squared error, mean (y - f)^2, in float64.

    Args:
      forecasts, values: f and y, arrays of one shape.

    Returns:
      A float, in the square of the unit of the values; nan if the arrays are empty.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> mse([1.0, 5.0], [2.0, 2.0])
      5.0
    """
    return _mean(_errors(forecasts, values) ** 2)


def mae(forecasts: ArrayLike, values: ArrayLike) -> float:
    """The mean absolute error, mean |y - f|, in float64.

    Args:
      forecasts, values: f and y, arrays of one shape.

    Returns:
      A float, in the unit of the values; nan if the arrays are empty.

    Raises:
      ValueError: if the shapes differ.

    Example:
      >>> mae([1.0, 5.0], [2.0, 2.0])
      2.0
    """
    return _mean(np.abs(_errors(forecasts, values)))


def _errors(forecasts: ArrayLike, values: ArrayLike) -> np.ndarray:
    shapes = np.shape(forecasts), np.shape(values)
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"forecasts and values must have one shape, got {shapes[0]} and {shapes[1]}"
        )
    return np.subtract(values, forecasts, dtype=np.float64)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else math.nan


def mase(
    forecasts: ArrayLike, values: ArrayLike, train: ArrayLike, period: int = 1
) -> float:
    """The mean absolute scaled error.

        mean_d (mean |y_d - f_d| / mean_t |x_{t,d} - x_{t-m,d}|)

    The scale is the error of the seasonal naive forecast, which repeats the last
    season, on the training rows. Below 1 is better than that forecast.

    Args:
      forecasts, values: [..., D].
      train: [N, D], the training rows.
      period: m, rows in a season, at least 1 and below N.

    Returns:
      The mean over the columns; inf if a column repeats exactly, nan without forecasts.

    Raises:
      ValueError: if forecasts and values differ in shape, or the period is outside
        1 .. N - 1.

    Example:
      >>> train = [[1.0], [3.0], [5.0]]  # the naive forecast errs by 2
      >>> mase(forecasts=[[6.0], [8.0]], values=[[7.0], [7.0]], train=train)
      0.5

    Source: Hyndman and Koehler, "Another look at measures of forecast accuracy",
    International Journal of Forecasting 22, 2006.
    """
    errors = np.abs(_errors(forecasts, values))
    train = np.asarray(train)
    if not 1 <= period < len(train):
        raise ValueError(
            f"mase: the period must be in 1 .. {len(train) - 1}, below the number of "
            f"training rows, got {period}"
        )
    naive = np.abs(np.subtract(train[period:], train[:-period], dtype=np.float64))
    scales = naive.mean(axis=0)  # [D]
    if not errors.size:
        return math.nan
    if (scales == 0).any():
        return math.inf
    return float((errors.reshape(-1, errors.shape[-1]).mean(axis=0) / scales).mean())


def coverage(lower: ArrayLike, upper: ArrayLike, values: ArrayLike) -> float:
    """The share of values within [lower, upper].

    Args:
      lower, upper, values: arrays of one shape, or of shapes that broadcast.

    Returns:
      A float from 0 to 1; nan if there are no values.

    Example:
      >>> coverage([0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.5, 1.0, 2.0, -1.0])
      0.5
    """
    values = np.asarray(values)
    return _mean((np.asarray(lower) <= values) & (values <= upper))


def fails_from(squared_errors: ArrayLike, limit: float, width: int) -> int | None:
    """The step from which accumulating errors are above a limit.

    Args:
      squared_errors: [N].
      limit: the largest acceptable mean.
      width: the number of errors in a mean.

    Returns:
      The first index i for which the mean of squared_errors[i : i + width] is above
      `limit`; None if there is no such index.

    Example:
      >>> fails_from([0.0, 0.2, 0.4, 0.8], limit=0.25, width=2)  # means 0.1, 0.3, 0.6
      1
    """
    errors = np.asarray(squared_errors, np.float64)
    if len(errors) < width:
        return None
    means = np.lib.stride_tricks.sliding_window_view(errors, width).mean(axis=-1)
    above = np.flatnonzero(means > limit)
    return int(above[0]) if len(above) else None


def _ngrams(tokens: Sequence[Hashable], n: int) -> Counter[tuple[Hashable, ...]]:
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def confusion(predicted: ArrayLike, labels: ArrayLike, num_labels: int) -> np.ndarray:
    """The confusion matrix, int [C, C]: entry i, j counts label i predicted as j.

    Args:
      predicted, labels: integers [N] in [0, C).
      num_labels: C.

    Returns:
      Integers [C, C].

    Raises:
      ValueError: if the shapes differ, or an index is outside [0, C).

    Example:
      >>> confusion([0, 1, 1], [0, 0, 1], 2).tolist()
      [[1, 1], [0, 1]]
    """
    indices = np.asarray(labels, int), np.asarray(predicted, int)
    if indices[0].shape != indices[1].shape:
        raise ValueError(
            f"labels and predictions must have one shape, got {indices[0].shape} and "
            f"{indices[1].shape}"
        )
    outside = [i for part in indices for i in part.ravel() if not 0 <= i < num_labels]
    if outside:
        raise ValueError(f"a label must be in 0 .. {num_labels - 1}, got {outside[0]}")
    counts = np.zeros((num_labels, num_labels), int)
    np.add.at(counts, indices, 1)
    return counts


def accuracy(counts: np.ndarray) -> float:
    """The share of a confusion matrix on its diagonal.

    Args:
      counts: the confusion matrix [C, C].

    Returns:
      A float from 0 to 1; nan if all counts are 0.

    Example:
      >>> accuracy(np.array([[3, 1], [0, 4]]))
      0.875
    """
    return float(np.trace(counts) / counts.sum()) if counts.any() else math.nan


def macro_f1(counts: np.ndarray) -> float:
    """The unweighted mean over the labels of F1 = 2 TP / (2 TP + FP + FN).

    Labels that neither occur nor are predicted are left out.

    Args:
      counts: the confusion matrix [C, C].

    Returns:
      A float from 0 to 1; nan if all counts are 0.

    Example:
      >>> counts = np.array([[1, 2, 0], [0, 3, 0], [0, 0, 0]])  # F1: 1/2, 3/4, none
      >>> macro_f1(counts)
      0.625
    """
    sums = counts.sum(axis=0) + counts.sum(axis=1)  # 2 TP + FP + FN
    scores = 2 * np.diagonal(counts)[sums > 0] / sums[sums > 0]
    return float(scores.mean()) if len(scores) else math.nan


# ---------------------------------------------------------------- edits


def edit_distance(reference: Sequence[Hashable], prediction: Sequence[Hashable]) -> int:
    """The smallest number of insertions, deletions and substitutions between the two.

    Args:
      reference, prediction: sequences of words or letters.

    Returns:
      An int from 0 to the length of the longer sequence.

    Example:
      >>> edit_distance("six seven".split(), "six to seven".split())
      1

    Source: Wagner and Fischer, "The string-to-string correction problem", Journal of
    the ACM 21, 1974.
    """
    row = list(range(len(prediction) + 1))  # from no word to each prefix
    for i, wanted in enumerate(reference, start=1):
        above, row = row, [i]
        for j, found in enumerate(prediction, start=1):
            row.append(min(above[j - 1] + (wanted != found), above[j] + 1, row[-1] + 1))
    return row[-1]


def error_rate(
    references: Sequence[Sequence[Hashable]], predictions: Sequence[Sequence[Hashable]]
) -> float:
    """The word error rate: all edits, divided by the length of all references.

    With sequences of letters it is the character error rate. It may be above 1.

    Args:
      references, predictions: lists of sequences, of one length.

    Returns:
      The rate; nan if all references are empty.

    Raises:
      ValueError: if the lists differ in length.

    Example:
      >>> error_rate(["one two".split(), ["six"]], [["one"], ["six"]])
      0.3333333333333333
    """
    pairs = list(zip(references, predictions, strict=True))
    length = sum(len(reference) for reference, _ in pairs)
    return sum(edit_distance(*pair) for pair in pairs) / length if length else math.nan


# ---------------------------------------------------------------- spans


class SpanScores(NamedTuple):
    """The scores of predicted spans; the rates are from 0 to 1."""

    precision: float  # correct / predicted; 0 if none is predicted
    recall: float  # correct / gold; 0 if there is none
    f1: float  # their harmonic mean
    gold: int  # the number of true spans
    predicted: int  # the number of predicted spans
    correct: int  # the number with the same position and type


def spans(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """The spans of a tag sequence: (begin, end, type), end exclusive.

    A tag is "O", or "B" or "I" with or without a type, such as "B-person". A span
    begins at each B, and at each I that follows a tag of another type or none.

    Args:
      tags: the tags of a sentence.

    Returns:
      (begin, end, type) of each span in their order; the type is "" without one.

    Example:
      >>> spans(["B-x", "I-x", "B-x", "O", "I-y"])
      [(0, 2, 'x'), (2, 3, 'x'), (4, 5, 'y')]
    """
    found: list[tuple[int, int, str]] = []
    before: str | None = None  # the type of the unfinished span
    for i, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        if prefix == "O":
            before = None
            continue
        if prefix == "B" or kind != before:
            found.append((i, i + 1, kind))
        else:
            found[-1] = (found[-1][0], i + 1, kind)
        before = kind
    return found


def span_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]
) -> tuple[SpanScores, dict[str, SpanScores]]:
    """Precision, recall and F1 of spans over a corpus, with the rules of conlleval.

    Args:
      gold, predicted: lists of sentences, each a list of tags as in `spans`; a span
        ends at the end of its sentence.

    Returns:
      (SpanScores over all types, {type: SpanScores}), types in alphabetical order.

    Raises:
      ValueError: if the numbers or the lengths of the sentences differ.

    Example:
      >>> span_scores([["B-x", "O", "B-y"]], [["B-x", "I-x", "B-y"]])[0].f1
      0.5

    Source: Tjong Kim Sang and Buchholz, "Introduction to the CoNLL-2000 shared task:
    chunking", 2000, and its script conlleval.
    """
    counts: dict[str, list[int]] = {}
    for gold_tags, predicted_tags in zip(gold, predicted, strict=True):
        if len(gold_tags) != len(predicted_tags):
            raise ValueError(
                f"a sentence has {len(gold_tags)} tags, but {len(predicted_tags)} "
                f"predicted tags"
            )
        true, guessed = set(spans(gold_tags)), set(spans(predicted_tags))
        for column, found in enumerate((true, guessed, true & guessed)):
            for _, _, kind in found:
                counts.setdefault(kind, [0, 0, 0])[column] += 1
    by_type = {kind: _span_scores(*counts[kind]) for kind in sorted(counts)}
    total = [sum(of_type[i] for of_type in counts.values()) for i in range(3)]
    return _span_scores(*total), by_type


def _span_scores(gold: int, predicted: int, correct: int) -> SpanScores:
    precision = correct / predicted if predicted else 0.0
    recall = correct / gold if gold else 0.0
    f1 = 2 * correct / (gold + predicted) if correct else 0.0
    return SpanScores(precision, recall, f1, gold, predicted, correct)
