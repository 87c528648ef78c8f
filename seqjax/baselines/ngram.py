"""N-gram language models with Laplace or Kneser-Ney smoothing.

Both interpolate counts with a lower order, h' being h without its first token:

    P(w)     = seen(w)    + rest    / V
    P(w | h) = seen(h, w) + rest(h) * P_lower(w | h'),    rest(h) = 1 if h is unseen.

Laplace smoothing (Zhang et al., "Dive into Deep Learning", section 9.2) falls back to
P(w) at every order. n(h) counts the occurrences of h that have a successor:

    P(w)     = (n(w) + eps_1 / V) / (n + eps_1)
    P(w | h) = (n(h, w) + eps_n P(w)) / (n(h) + eps_n).

Modified, interpolated Kneser-Ney smoothing (Chen & Goodman, "An empirical study of
smoothing techniques for language modeling", 1999, section 3) falls back to the next
lower order. c is n at the highest order, and the number of different tokens before
(h, w) at lower orders:

    P(w | h) = (c(h, w) - D(c(h, w)) + sum_v D(c(h, v)) P(w | h')) / sum_v c(h, v).

A text is one sequence, and its first tokens have shorter contexts.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from seqjax.data.ngrams import NgramCounts

Tokens = Sequence[int] | np.ndarray
FALLBACK_DISCOUNTS = np.array([0.0, 0.5, 1.0, 1.5])
EPSILONS = tuple(10 ** (k / 4) for k in range(-12, 25))  # 0.001 to 1,000,000


class NgramModel(NamedTuple):
    """P(w | h) over a closed vocabulary, from `laplace` or `kneser_ney`.

    Example:
      >>> from seqjax.data.ngrams import count_ngrams
      >>> counts = count_ngrams([0, 1, 0, 0, 1], vocab_size=2, order=2)
      >>> model = laplace(counts, [0.0, 0.0])
      >>> np.exp(model.log_probs([0, 1, 0])).round(2)  # P(1 | 0), P(0 | 1)
      array([0.67, 1.  ])
    """

    counts: NgramCounts  # of at least the order of the model
    seen: tuple[np.ndarray, ...]  # per order: float64 [U_n + 1]
    rest: tuple[np.ndarray, ...]  # per order: float64 [U_{n-1} + 1]; [2] at order 1
    skips: bool  # every order falls back to the first

    def log_probs(self, tokens: Tokens) -> np.ndarray:
        """log P of each token except the first, given the context of the model's order.

        Args:
          tokens: integers below V, [T].

        Returns:
          float64 [T - 1]; nan where P is 0/0: an epsilon of 0 and an unseen context.
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

    def distribution(self, context: Tokens) -> np.ndarray:
        """P(w | context) for all w, float64 [V].

        Args:
          context: integers below V, any length; only the last tokens are used.
        """
        size = self._vocab_size
        probs = unigrams = self.seen[0][:size] + self.rest[0][0] / size
        for n in range(2, min(len(self.seen), len(context) + 1) + 1):
            index, after, tokens = self.counts.followers(context[-(n - 1) :])
            probs = self.rest[n - 1][index] * (unigrams if self.skips else probs)
            probs[tokens] += self.seen[n - 1][after]
        return probs

    def sample(self, context: Tokens, rng: np.random.Generator) -> Iterator[int]:
        """Yield random tokens after a context, without end.

        Args:
          context: integers below V, any length.
          rng: a NumPy Generator.

        Raises:
          ValueError: if P is 0/0.
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
    def _vocab_size(self) -> int:
        return self.counts.vocab_size


def laplace(counts: NgramCounts, epsilons: Sequence[float]) -> NgramModel:
    """A model with Laplace smoothing; its order is the number of epsilons.

    An epsilon of 0 gives the relative frequencies, a large one P_lower.

    Args:
      counts: NgramCounts.
      epsilons: eps_1, eps_2, ..., at least 0: the weight of P_lower, in occurrences.

    Returns:
      An NgramModel with float64 probabilities.

    Raises:
      ValueError: if an epsilon is negative, or there is none, or there are more
        epsilons than orders.

    Example:
      >>> from seqjax.data.ngrams import count_ngrams
      >>> counts = count_ngrams([0, 1, 0, 0, 1], vocab_size=2, order=2)
      >>> laplace(counts, [0, 1]).distribution([0])  # (n(0, w) + P(w)) / (3 + 1)
      array([0.4, 0.6])
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


def choose_epsilons(
    counts: NgramCounts, tokens: Tokens, grid: Sequence[float] = EPSILONS
) -> list[float]:
    """The epsilon per order, from a grid, that maximizes P of a held-out text.

    Since every order falls back to the first, the others are chosen independently once
    the first is, over all tokens that have a full context.

    Args:
      counts: NgramCounts.
      tokens: the held-out text, integers below V, [T].
      grid: ascending epsilons above 0; ties go to the first.

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


def kneser_ney(counts: NgramCounts, order: int | None = None) -> NgramModel:
    """A model with Kneser-Ney smoothing, with discounts estimated per order.

    Args:
      counts: NgramCounts.
      order: at most that of the counts, which is the default.

    Returns:
      An NgramModel with float64 probabilities.

    Raises:
      ValueError: if order is out of range.

    Example:
      >>> from seqjax.data.ngrams import count_ngrams
      >>> counts = count_ngrams([0, 1, 0, 0, 1], vocab_size=2, order=2)
      >>> kneser_ney(counts).distribution([0]).round(4)
      array([0.4583, 0.5417])
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


def estimate_discounts(counts: np.ndarray) -> np.ndarray:
    """Discounts of counts 0, 1, 2 and 3 or more: float64 [4].

        Y = n_1 / (n_1 + 2 n_2),    D(c) = c - (c + 1) Y n_{c+1} / n_c

    where n_c is the number of n-grams with count c (Chen & Goodman 1999, equation 26).
    If one of n_1 .. n_4 is 0 or a discount is not above 0, as for characters, they are
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


def _with_unseen(values: np.ndarray) -> np.ndarray:
    """Values by index, and 0 for index -1."""
    return np.append(values, 0)


def _check_order(counts: NgramCounts, order: int) -> None:
    if not 1 <= order <= counts.order:
        raise ValueError(
            f"the order must be from 1 to the {counts.order} counted, got {order}"
        )
