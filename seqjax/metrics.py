"""Figures of merit, from exact totals over a whole corpus."""

import math
from collections import Counter


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


def _ngrams(tokens, n):
    return Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
