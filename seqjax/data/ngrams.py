"""The n-grams of a text: their counts, and Zipf's law.

An n-gram is an index into a sorted table, one table for each order: `keys[n - 1]` holds

    key(w_1 .. w_n) = index(w_1 .. w_{n-1}) * V + w_n,    key(w) = w,

so that n-grams with the same context are adjacent, and a key fits in 64 bits at any
order. Index -1 stands for every n-gram that does not occur: an array over the n-grams
of an order may hold the value for it as its last entry.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class NgramCounts(NamedTuple):
    """The counts of the n-grams of orders 1 .. N; U_n are distinct, U_1 is V."""

    vocab_size: int  # V
    keys: tuple[np.ndarray, ...]  # for each order: int64 [U_n], sorted
    counts: tuple[np.ndarray, ...]  # for each order: int64 [U_n]; 0 only at order 1
    # For each order below N: the number of distinct preceding tokens, int64 [U_n].
    continuations: tuple[np.ndarray, ...]

    @property
    def order(self) -> int:
        """N."""
        return len(self.keys)

    def contexts(self, n: int) -> np.ndarray:
        """The index of each n-gram's first n - 1 tokens, int64 [U_n]; 0 at order 1."""
        return self.keys[n - 1] // self.vocab_size

    def sum_by_context(self, n: int, values: np.ndarray) -> np.ndarray:
        """The sum over the n-grams of each context, float64 [U_{n-1} + 1].

        Args:
          n: the order.
          values: a number for each n-gram, [U_n].
        """
        size = 1 if n == 1 else len(self.keys[n - 2])
        return np.bincount(self.contexts(n), values, size + 1)

    def find(self, tokens: Sequence[int] | np.ndarray, order: int) -> list[np.ndarray]:
        """The indices of the n-grams of this text or another one.

        Args:
          tokens: integers below V, [T].
          order: the highest order, at most N.

        Returns:
          For each order n an array int64 [T - n + 1]: the index of the n-gram that
          begins at each token, or -1.
        """
        tokens = np.asarray(tokens, np.int64)
        found = [tokens]
        for n, keys in enumerate(self.keys[1:order], 2):
            wanted = found[-1][:-1] * self.vocab_size + tokens[n - 1 :]
            indices = np.searchsorted(keys, wanted)
            occurs = keys[np.minimum(indices, len(keys) - 1)] == wanted
            found.append(np.where(occurs, indices, -1))
        return found

    def followers(
        self, context: Sequence[int] | np.ndarray
    ) -> tuple[np.integer, slice, np.ndarray]:
        """The tokens that follow a context of 1 .. N - 1 tokens.

        Returns:
          (index, after, tokens): the context's index, or -1; the slice of indices of
          the n-grams that continue it; the last tokens of these n-grams.
        """
        n = len(context) + 1
        index, keys = self.find(context, n - 1)[-1][0], self.keys[n - 1]
        bounds = [index * self.vocab_size, (index + 1) * self.vocab_size]
        after = slice(*np.searchsorted(keys, bounds))  # empty for index -1
        return index, after, keys[after] % self.vocab_size

    def tokens_of(self, n: int, indices: np.ndarray) -> np.ndarray:
        """The tokens of the n-grams at some indices, int64 [..., n]."""
        columns = []
        for keys in reversed(self.keys[:n]):
            indices, tokens = np.divmod(keys[indices], self.vocab_size)
            columns.append(tokens)
        return np.stack(columns[::-1], axis=-1)


def count_ngrams(
    tokens: Sequence[int] | np.ndarray, vocab_size: int, order: int
) -> NgramCounts:
    """Count the n-grams of orders 1 .. `order` of a text.

    Args:
      tokens: integers below `vocab_size`, [T].
      vocab_size: V.
      order: from 1 to T.

    Raises:
      ValueError: for another order.

    Example:
      >>> counts = count_ngrams([1, 2, 1, 2, 0], vocab_size=3, order=2)
      >>> counts.counts[0], counts.counts[1], counts.tokens_of(2, np.arange(3)).tolist()
      (array([1, 2, 2]), array([2, 1, 1]), [[1, 2], [2, 0], [2, 1]])
    """
    tokens = np.asarray(tokens, np.int64)
    if not 1 <= order <= len(tokens):
        raise ValueError(
            f"order must be from 1 to the text's {len(tokens)} tokens, got {order}"
        )
    keys = [np.arange(vocab_size)]
    counts = [np.bincount(tokens, minlength=vocab_size)]
    continuations = []
    indices = tokens  # of the n-gram that begins at each token
    for n in range(2, order + 1):
        shorter = indices
        table, indices, number = np.unique(
            shorter[:-1] * vocab_size + tokens[n - 1 :],
            return_inverse=True,
            return_counts=True,
        )
        begins = np.empty(len(table), np.int64)
        begins[indices] = np.arange(len(indices))  # one occurrence of each n-gram
        suffixes = shorter[begins + 1]
        continuations.append(np.bincount(suffixes, minlength=len(keys[-1])))
        keys.append(table)
        counts.append(number)
    return NgramCounts(vocab_size, tuple(keys), tuple(counts), tuple(continuations))


def zipf_exponent(frequencies: np.ndarray, first: int, last: int) -> float:
    """The exponent a of Zipf's law, frequency ~ rank ** -a, by maximum likelihood.

        P(rank) = rank ** -a / sum_r r ** -a,    r = first .. last

    The likelihood of all occurrences within these ranks has one maximum, where the mean
    of log rank under the law equals the mean in the data. Sorting decides the ranks,
    which makes rare n-grams look rarer the later they stand: end the range before ties
    are common.

    Args:
      frequencies: decreasing; the first one has rank 1.
      first, last: the ranks of the fit, last included.

    Returns:
      a, at least 0; nan if the range holds fewer than two ranks.

    Raises:
      ValueError: for ranks that do not exist.
    """
    if first < 1 or last > len(frequencies):
        raise ValueError(f"there are no ranks {first} to {last}")
    if last <= first:
        return np.nan
    weights = np.asarray(frequencies[first - 1 : last], np.float64)
    logs = np.log(np.arange(first, last + 1))
    wanted = weights @ logs / weights.sum()
    low, high = 0.0, 64.0
    for _ in range(60):  # bisection: the mean falls as the exponent rises
        middle = (low + high) / 2
        law = np.exp(-middle * (logs - logs[0]))
        low, high = (middle, high) if law @ logs > wanted * law.sum() else (low, middle)
    return (low + high) / 2
