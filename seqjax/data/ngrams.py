"""The n-grams of a text: how often each stands there, and Zipf's law.

An n-gram is its place in a sorted table, one table an order: `keys[n - 1]` of

    key(w_1 .. w_n) = place(w_1 .. w_{n-1}) * V + w_n,    key(w) = w,

so that n-grams with the same context stand side by side, and a key fits 64 bits at any
order. Place -1 stands for every n-gram that is not there; arrays by place keep what
holds for it as their last entry.
"""

from typing import NamedTuple

import numpy as np


class NgramCounts(NamedTuple):
    """How often the n-grams of orders 1 .. N stand in a text; U_n differ, U_1 is V."""

    vocab_size: int  # V
    keys: tuple  # an order: int64 [U_n], sorted
    counts: tuple  # an order: int64 [U_n], at least 1 but at order 1
    continuations: tuple  # an order below N: [U_n], different tokens that come before

    @property
    def order(self):
        """N."""
        return len(self.keys)

    def contexts(self, n):
        """The place of each n-gram's first n - 1 tokens, [U_n]; 0 at order 1."""
        return self.keys[n - 1] // self.vocab_size

    def sum_by_context(self, n, values):
        """The sum over the n-grams of each context, float64 [U_{n-1} + 1].

        Args:
          values: a number an n-gram, [U_n].
        """
        size = 1 if n == 1 else len(self.keys[n - 2])
        return np.bincount(self.contexts(n), values, size + 1)

    def find(self, tokens, order):
        """The places of the n-grams of a text, this one or another.

        Args:
          tokens: integers below V, [T].
          order: up to which, at most N.

        Returns:
          A list, an order: int64 [T - n + 1], the place of the n-gram that begins at
          each token, or -1.
        """
        tokens = np.asarray(tokens, np.int64)
        found = [tokens]
        for n, keys in enumerate(self.keys[1:order], 2):
            wanted = found[-1][:-1] * self.vocab_size + tokens[n - 1 :]
            places = np.searchsorted(keys, wanted)
            there = keys[np.minimum(places, len(keys) - 1)] == wanted
            found.append(np.where(there, places, -1))
        return found

    def followers(self, context):
        """What comes after a context of 1 .. N - 1 tokens.

        Returns:
          (place, after, tokens): the context's place, or -1; the slice of places of the
          n-grams that go on from it; the tokens these end with.
        """
        n = len(context) + 1
        place, keys = self.find(context, n - 1)[-1][0], self.keys[n - 1]
        bounds = [place * self.vocab_size, (place + 1) * self.vocab_size]
        after = slice(*np.searchsorted(keys, bounds))  # empty for place -1
        return place, after, keys[after] % self.vocab_size

    def tokens_of(self, n, places):
        """The n-grams at some places, int64 [..., n]."""
        columns = []
        for keys in reversed(self.keys[:n]):
            places, tokens = np.divmod(keys[places], self.vocab_size)
            columns.append(tokens)
        return np.stack(columns[::-1], axis=-1)


def count_ngrams(tokens, vocab_size, order):
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
    places = tokens  # of the n-gram that begins at each token
    for n in range(2, order + 1):
        shorter = places
        table, places, number = np.unique(
            shorter[:-1] * vocab_size + tokens[n - 1 :],
            return_inverse=True,
            return_counts=True,
        )
        begins = np.empty(len(table), np.int64)
        begins[places] = np.arange(len(places))  # somewhere in the text, for each
        suffixes = shorter[begins + 1]
        continuations.append(np.bincount(suffixes, minlength=len(keys[-1])))
        keys.append(table)
        counts.append(number)
    return NgramCounts(vocab_size, tuple(keys), tuple(counts), tuple(continuations))


def zipf_exponent(frequencies, first, last):
    """The exponent a of Zipf's law, frequency ~ rank ** -a, by maximum likelihood.

        P(rank) = rank ** -a / sum_r r ** -a,    r = first .. last

    The likelihood of all occurrences within these ranks has its one maximum where the
    mean of log rank is what the law says. Ranks are themselves found by sorting, which
    makes rare n-grams look rarer the later they stand: end the range before ties do.

    Args:
      frequencies: falling, the first is of rank 1.
      first, last: the ranks fitted over, last included.

    Returns:
      a, at least 0; nan if the range holds fewer than two ranks.

    Raises:
      ValueError: for ranks that are not there.
    """
    if first < 1 or last > len(frequencies):
        raise ValueError(f"there are no ranks {first} to {last}")
    if last <= first:
        return np.nan
    weights = np.asarray(frequencies[first - 1 : last], np.float64)
    logs = np.log(np.arange(first, last + 1))
    wanted = weights @ logs / weights.sum()
    low, high = 0.0, 64.0
    for _ in range(60):  # the mean falls as the exponent rises: bisection
        middle = (low + high) / 2
        law = np.exp(-middle * (logs - logs[0]))
        low, high = (middle, high) if law @ logs > wanted * law.sum() else (low, middle)
    return (low + high) / 2
