"""Figures of merit, from exact totals over a whole corpus."""

import math
from collections import Counter
from typing import NamedTuple

import numpy as np


def perplexity(total, count):
    """exp(total / count): 1 is perfect, V is uniform guessing, inf is impossible.

    Args:
      total: the sum of negative log-likelihoods, in nats.
      count: how many predictions were summed; 0 gives nan.
    """
    if count == 0:
        return math.nan
    try:
        return math.exp(total / count)
    except OverflowError:
        return math.inf


def bits_per_character(total, characters):
    """total / (ln 2 * characters), for `total` in nats over `characters` characters."""
    return total / (math.log(2) * characters) if characters else math.nan


def bleu(prediction, reference, max_n):
    """The textbook's BLEU of one sentence, from 0 to 1, which is equality.

        exp(min(0, 1 - len(reference) / len(prediction))) * prod_n p_n ** (1 / 2**n)

    p_n is the share of the prediction's n-grams, n = 1 .. max_n, that are in the
    reference, each as often as it is there at most; n goes no further than the
    prediction is long. It is not the BLEU of papers, which is of a whole corpus.

    Args:
      prediction, reference: lists of tokens.

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


def mse(forecasts, values):
    """mean (y - f)^2 over arrays of one shape, in float64."""
    return float(np.mean(np.subtract(values, forecasts, dtype=np.float64) ** 2))


def mae(forecasts, values):
    """mean |y - f| over arrays of one shape, in float64."""
    return float(np.mean(np.abs(np.subtract(values, forecasts, dtype=np.float64))))


def mase(forecasts, values, train, period=1):
    """The mean absolute error in units of the seasonal naive one on the training rows.

        mean_d (mean |y_d - f_d| / mean_t |x_{t,d} - x_{t-m,d}|)

    Below 1 is better than what repeating the last season does one season ahead there.

    Args:
      forecasts, values: [..., D].
      train: [N, D], the training rows.
      period: m, rows in a season, below N.

    Returns:
      The mean over the columns; inf if one of them repeats exactly.

    Source: Hyndman and Koehler, "Another look at measures of forecast accuracy",
    International Journal of Forecasting 22, 2006.
    """
    errors = np.abs(np.subtract(values, forecasts, dtype=np.float64))
    naive = np.abs(np.subtract(train[period:], train[:-period], dtype=np.float64))
    scales = naive.mean(axis=0)  # [D]
    if (scales == 0).any():
        return math.inf
    return float((errors.reshape(-1, errors.shape[-1]).mean(axis=0) / scales).mean())


def coverage(lower, upper, values):
    """The share of values within [lower, upper]."""
    values = np.asarray(values)
    return float(np.mean((lower <= values) & (values <= upper)))


def fails_from(squared_errors, limit, width):
    """Where errors that build up are past bearing.

    Returns:
      The first place i at which the mean of squared_errors[i : i + width] is above
      `limit`; None if there is no such place.
    """
    errors = np.asarray(squared_errors, np.float64)
    if len(errors) < width:
        return None
    means = np.lib.stride_tricks.sliding_window_view(errors, width).mean(axis=-1)
    above = np.flatnonzero(means > limit)
    return int(above[0]) if len(above) else None


def _ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))


def confusion(predicted, labels, num_labels):
    """Counts [C, C]: of the documents whose label is i, how many are taken for j.

    Args:
      predicted, labels: integers [N] in [0, C).
      num_labels: C.

    Example:
      >>> confusion([0, 1, 1], [0, 0, 1], 2).tolist()
      [[1, 1], [0, 1]]
    """
    counts = np.zeros((num_labels, num_labels), int)
    np.add.at(counts, (np.asarray(labels, int), np.asarray(predicted, int)), 1)
    return counts


def accuracy(counts):
    """The share on the diagonal of `confusion`'s counts [C, C]; nan of none."""
    return float(np.trace(counts) / counts.sum()) if counts.any() else math.nan


def macro_f1(counts):
    """The mean over the labels of 2 TP / (2 TP + FP + FN), each label alike.

    Labels that neither stand anywhere nor are predicted are left out.

    Args:
      counts: [C, C] of `confusion`.

    Returns:
      From 0 to 1; nan if nothing was counted.
    """
    there = counts.sum(axis=0) + counts.sum(axis=1)  # 2 TP + FP + FN
    scores = 2 * np.diagonal(counts)[there > 0] / there[there > 0]
    return float(scores.mean()) if len(scores) else math.nan


# ---------------------------------------------------------------- edits


def edit_distance(reference, prediction):
    """The fewest insertions, deletions and substitutions from one to the other.

    Args:
      reference, prediction: sequences of what can be compared: words, or letters.

    Example:
      >>> edit_distance("six seven".split(), "six to seven".split())
      1

    Source: Wagner and Fischer, "The string-to-string correction problem", Journal of
    the ACM 21, 1974.
    """
    row = list(range(len(prediction) + 1))  # from nothing to each beginning
    for i, wanted in enumerate(reference, start=1):
        above, row = row, [i]
        for j, found in enumerate(prediction, start=1):
            row.append(min(above[j - 1] + (wanted != found), above[j] + 1, row[-1] + 1))
    return row[-1]


def error_rate(references, predictions):
    """Edits over all pairs by the length of all references: of words, or letters.

    It may be above 1; nan if all references are empty.

    Args:
      references, predictions: lists of sequences, as many.

    Raises:
      ValueError: if they differ in number.

    Example:
      >>> error_rate(["one two".split(), ["six"]], [["one"], ["six"]])
      0.3333333333333333
    """
    pairs = list(zip(references, predictions, strict=True))
    length = sum(len(reference) for reference, _ in pairs)
    return sum(edit_distance(*pair) for pair in pairs) / length if length else math.nan


# ---------------------------------------------------------------- spans


class SpanScores(NamedTuple):
    """How many spans of some tagging are right; all shares are from 0 to 1."""

    precision: float  # correct / predicted; 0 if there is none
    recall: float  # correct / gold
    f1: float  # their harmonic mean
    gold: int
    predicted: int
    correct: int  # of the same place and type


def spans(tags):
    """The spans of a tag sequence: (begin, end, type), the end not in.

    A tag is "O" or B or I, perhaps with a type, "B-person". A span begins at each B,
    and at each I whose type the tag before does not have: I without B counts as a
    beginning.

    Example:
      >>> spans(["B-x", "I-x", "B-x", "O", "I-y"])
      [(0, 2, 'x'), (2, 3, 'x'), (4, 5, 'y')]
    """
    found, before = [], None  # the type of the span that is under way, if one is
    for i, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        if prefix == "O":
            kind = None
        elif prefix == "B" or kind != before:
            found.append((i, i + 1, kind))
        else:
            found[-1] = (found[-1][0], i + 1, kind)
        before = kind
    return found


def span_scores(gold, predicted):
    """Precision, recall and F1 of spans, as conlleval counts them over a corpus.

    Args:
      gold, predicted: lists of sentences, each a list of tags as in `spans`; no span
        goes over the end of a sentence.

    Returns:
      (SpanScores over all types, {type: SpanScores}), types in alphabetical order.

    Raises:
      ValueError: if sentences differ in number or length.

    Example:
      >>> span_scores([["B-x", "O", "B-y"]], [["B-x", "I-x", "B-y"]])[0].f1
      0.5

    Source: Tjong Kim Sang and Buchholz, "Introduction to the CoNLL-2000 shared task:
    chunking", 2000, and its script conlleval.
    """
    counts = {}
    for right, ours in zip(gold, predicted, strict=True):
        if len(right) != len(ours):
            raise ValueError(
                f"{len(right)} tags of a sentence, but {len(ours)} of ours"
            )
        right, ours = set(spans(right)), set(spans(ours))
        for column, found in enumerate((right, ours, right & ours)):
            for _, _, kind in found:
                counts.setdefault(kind, [0, 0, 0])[column] += 1
    by_type = {kind: _span_scores(*counts[kind]) for kind in sorted(counts)}
    total = [sum(of_type[i] for of_type in counts.values()) for i in range(3)]
    return _span_scores(*total), by_type


def _span_scores(gold, predicted, correct):
    precision = correct / predicted if predicted else 0.0
    recall = correct / gold if gold else 0.0
    f1 = 2 * correct / (gold + predicted) if correct else 0.0
    return SpanScores(precision, recall, f1, gold, predicted, correct)
