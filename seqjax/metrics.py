"""Figures of merit, from exact totals over a whole corpus."""

import math


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
