"""Naive Bayes on bags of words, the baseline of the classifiers."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np


class NaiveBayes(NamedTuple):
    """P(label | words), with words independent given the label.

        log P(c | w_1 .. w_n) = log P(c) + sum_i log P(w_i | c) - log Z
        P(c) = N_c / N,   P(w | c) = (n_cw + a) / (n_c + a V)

    N_c is the number of documents with label c, n_c the number of their words, and n_cw
    the number of occurrences of w in them.

    Example:
      >>> model = fit([np.array([4, 5]), np.array([4, 6])], [0, 1], 7, 2)
      >>> model.predict([np.array([6, 6, 4])])
      array([1])

    Source: Manning et al., "Introduction to Information Retrieval", 2008, section 13.2.
    """

    log_prior: np.ndarray  # [C]
    log_likelihood: np.ndarray  # [C, V]

    def scores(self, documents: Iterable[np.ndarray]) -> np.ndarray:
        """log P(label, words) [N, C].

        Args:
          documents: N integer arrays in [0, V).
        """
        sums = [self.log_likelihood[:, words].sum(axis=-1) for words in documents]
        return self.log_prior + np.reshape(sums, (-1, len(self.log_prior)))

    def predict(self, documents: Iterable[np.ndarray]) -> np.ndarray:
        """The most probable label of each document, [N]."""
        return self.scores(documents).argmax(axis=-1)


def fit(
    documents: Iterable[np.ndarray],
    labels: Sequence[int] | np.ndarray,
    vocab_size: int,
    num_labels: int,
    smoothing: float = 1.0,
) -> NaiveBayes:
    """A NaiveBayes from counts.

    Args:
      documents: N integer arrays in [0, vocab_size).
      labels: integers [N] in [0, num_labels), each of which occurs.
      vocab_size: V.
      num_labels: C.
      smoothing: a, above 0.
    """
    counts = _counts(documents, labels, vocab_size, num_labels, smoothing)
    return _of_counts(counts, labels)


def leave_one_out_scores(
    documents: Sequence[np.ndarray],
    labels: Sequence[int] | np.ndarray,
    vocab_size: int,
    num_labels: int,
    smoothing: float = 1.0,
) -> np.ndarray:
    """log P(label, words) [N, C] of each document by the words of all others.

    The scores of training documents by `fit` are better than those of new documents;
    these are not. The prior is that of all documents.

    Args:
      documents, labels, vocab_size, num_labels, smoothing: as for `fit`.
    """
    counts = _counts(documents, labels, vocab_size, num_labels, smoothing)
    log_prior, log_likelihood = _of_counts(counts, labels)
    totals = counts.sum(axis=-1)
    scores = np.tile(log_prior, (len(documents), 1))
    for i, (words, label) in enumerate(zip(documents, labels, strict=True)):
        distinct, number = np.unique(words, return_counts=True)
        scores[i] += log_likelihood[:, distinct] @ number
        others = counts[label, distinct] - number
        own = number @ np.log(others / (totals[label] - len(words)))
        scores[i, label] = log_prior[label] + own
    return scores


def _counts(
    documents: Iterable[np.ndarray],
    labels: Sequence[int] | np.ndarray,
    vocab_size: int,
    num_labels: int,
    smoothing: float,
) -> np.ndarray:
    """Smoothed counts of the words of each label, float64 [C, V]."""
    counts = np.full((num_labels, vocab_size), smoothing, np.float64)
    for words, label in zip(documents, labels, strict=True):
        np.add.at(counts[label], words, 1)
    return counts


def _of_counts(counts: np.ndarray, labels: Sequence[int] | np.ndarray) -> NaiveBayes:
    prior = np.bincount(labels, minlength=len(counts)) / len(labels)
    return NaiveBayes(
        np.log(prior), np.log(counts / counts.sum(axis=-1, keepdims=True))
    )
