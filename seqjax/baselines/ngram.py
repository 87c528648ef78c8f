"""N-gram language models: Laplace's smoothing, and Kneser and Ney's.

Both mix what was counted with a lower order, h' being h without its first token:

    P(w)     = seen(w)    + rest    / V
    P(w | h) = seen(h, w) + rest(h) * P_lower(w | h'),    rest(h) = 1 if h is unseen.

Laplace's (Zhang et al., "Dive into Deep Learning", section 9.2) falls back to P(w) at
every order. With n(h) counted where a token follows h, so that all sums to one,

    P(w)     = (n(w) + eps_1 / V) / (n + eps_1)
    P(w | h) = (n(h, w) + eps_n P(w)) / (n(h) + eps_n).

Kneser and Ney's, interpolated and modified (Chen & Goodman, "An empirical study of
smoothing techniques for language modeling", 1999, section 3), falls back from order to
order. c is n at the highest order; below, the number of different tokens before (h, w):

    P(w | h) = (c(h, w) - D(c(h, w)) + sum_v D(c(h, v)) P(w | h')) / sum_v c(h, v).

A text is one sequence, as for the networks: its first tokens have shorter contexts.
"""

from typing import NamedTuple

import numpy as np

from seqjax.data.ngrams import NgramCounts

FALLBACK_DISCOUNTS = np.array([0.0, 0.5, 1.0, 1.5])
EPSILONS = tuple(10 ** (k / 4) for k in range(-12, 25))  # 0.001 to 1,000,000


class NgramModel(NamedTuple):
    """P(w | h) over a closed vocabulary; made by `laplace` and `kneser_ney`."""

    counts: NgramCounts  # of the model's order or more
    seen: tuple  # an order: float64 [U_n + 1]
    rest: tuple  # an order: float64 [U_{n-1} + 1], of contexts; [2] at order 1
    skips: bool  # the lower order is the first, at once

    def log_probs(self, tokens):
        """log P of each token but the first, given as many before it as the order uses.

        Args:
          tokens: integers below V, [T].

        Returns:
          float64 [T - 1]; nan where P is 0/0: an epsilon of 0 and a context unseen.
        """
        found = self.counts.find(tokens, len(self.seen))
        probs = unigrams = self.seen[0][found[0]] + self.rest[0][0] / self._vocab_size
        for n in range(2, len(self.seen) + 1):
            lower = (unigrams if self.skips else probs)[n - 1 :]
            ngrams, contexts = found[n - 1], found[n - 2][:-1]
            higher = self.seen[n - 1][ngrams] + self.rest[n - 1][contexts] * lower
            probs = np.concatenate([probs[: n - 1], higher])
        with np.errstate(divide="ignore"):
            return np.log(probs[1:])

    def distribution(self, context):
        """P(w | context) for all w, float64 [V]; of the context the last tokens count.

        Args:
          context: integers below V, a list of any length.
        """
        size = self._vocab_size
        probs = unigrams = self.seen[0][:size] + self.rest[0][0] / size
        for n in range(2, min(len(self.seen), len(context) + 1) + 1):
            place, after, tokens = self.counts.followers(context[-(n - 1) :])
            probs = self.rest[n - 1][place] * (unigrams if self.skips else probs)
            probs[tokens] += self.seen[n - 1][after]
        return probs

    def sample(self, context, rng):
        """Tokens that go on from a context, without end.

        Args:
          context: integers below V, a list of any length.
          rng: a numpy Generator.

        Raises:
          ValueError: where P is 0/0.
        """
        context = list(context)
        while True:
            context = context[-len(self.seen) :]
            sums = np.cumsum(self.distribution(context))
            if np.isnan(sums[-1]):
                raise ValueError(f"P is 0/0 after {context}")
            token = int(np.searchsorted(sums, rng.random() * sums[-1], side="right"))
            context.append(token)
            yield token

    @property
    def _vocab_size(self):
        return self.counts.vocab_size


def laplace(counts, epsilons):
    """Laplace's model, of as many orders as there are epsilons.

    An epsilon of 0 gives the relative frequencies, one towards infinity P_lower.

    Args:
      counts: NgramCounts.
      epsilons: eps_1, eps_2, ..., at least 0: how many imagined occurrences P_lower
        shares out.

    Raises:
      ValueError: for a negative one, or more than there are orders counted.
    """
    _check_order(counts, len(epsilons))
    if min(epsilons) < 0:
        raise ValueError(f"epsilons must be at least 0, got {list(epsilons)}")
    seen, rest = [], []
    for n, (number, epsilon) in enumerate(
        zip(counts.counts, epsilons, strict=False), 1
    ):
        totals = counts.sum_by_context(n, number) + epsilon
        seen.append(_with_unseen(number / totals[counts.contexts(n)]))
        with np.errstate(invalid="ignore"):
            rest.append(epsilon / totals)
    return NgramModel(counts, tuple(seen), tuple(rest), skips=True)


def choose_epsilons(counts, tokens, grid=EPSILONS):
    """Of a grid, the epsilon of each order under which a held-out text is likeliest.

    As every order falls back to the first, each is chosen by itself once the first is:
    over all tokens that have as many before them as it uses.

    Args:
      counts: NgramCounts.
      tokens: the held-out text, integers below V, [T].
      grid: epsilons above 0, rising; of equals the first is taken.

    Returns:
      A list of counts.order floats.
    """
    found = counts.find(tokens, counts.order)
    lower, chosen = np.full(len(tokens), 1 / counts.vocab_size), []
    for n in range(1, counts.order + 1):
        number = _with_unseen(counts.counts[n - 1])[found[n - 1]]
        totals = counts.sum_by_context(n, counts.counts[n - 1])
        totals = totals[found[n - 2][:-1] if n > 1 else 0]
        below = lower[n - 1 :]
        costs = [-np.log((number + eps * below) / (totals + eps)).sum() for eps in grid]
        chosen.append(grid[int(np.argmin(costs))])
        if n == 1:
            lower = (number + chosen[0] * lower) / (totals + chosen[0])
    return chosen


def kneser_ney(counts, order=None):
    """Kneser and Ney's model, each order's discounts estimated from its counts.

    Args:
      counts: NgramCounts.
      order: that of the counts by default, or a lower one.

    Raises:
      ValueError: for a higher one.
    """
    order = counts.order if order is None else order
    _check_order(counts, order)
    seen, rest = [], []
    for n in range(1, order + 1):
        number = (counts.counts if n == order else counts.continuations)[n - 1]
        discounts = estimate_discounts(number)[np.minimum(number, 3)]
        totals = counts.sum_by_context(n, number)
        taken = counts.sum_by_context(n, discounts)
        unseen = totals == 0
        totals[unseen] = taken[unseen] = 1
        seen.append(_with_unseen((number - discounts) / totals[counts.contexts(n)]))
        rest.append(taken / totals)
    return NgramModel(counts, tuple(seen), tuple(rest), skips=False)


def estimate_discounts(counts):
    """What is taken off counts of 0, 1, 2 and 3 or more: float64 [4], 0 to 3.

        Y = n_1 / (n_1 + 2 n_2),    D(c) = c - (c + 1) Y n_{c+1} / n_c

    where n_c n-grams stand there c times (Chen & Goodman 1999, equation 26). Where one
    of n_1 .. n_4 is 0 or a discount is not above 0, as happens for characters, it is
    0.5, 1 and 1.5, as in Heafield's KenLM.

    Args:
      counts: integers, any shape.
    """
    _, n1, n2, n3, n4, *_ = np.bincount(np.minimum(counts, 5), minlength=6).tolist()
    if not min(n1, n2, n3, n4):
        return FALLBACK_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    discounts = np.array(
        [0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3]
    )
    return discounts if min(discounts[1:]) > 0 else FALLBACK_DISCOUNTS


def _with_unseen(values):
    """Values by place, and 0 for place -1."""
    return np.append(values, 0)


def _check_order(counts, order):
    if not 1 <= order <= counts.order:
        raise ValueError(
            f"the order must be from 1 to the {counts.order} counted, got {order}"
        )
