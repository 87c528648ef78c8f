"""Naive Bayes on bags of words: what a classifier that reads order must beat."""

from typing import NamedTuple

import numpy as np


class NaiveBayes(NamedTuple):
    """P(label | words), the words drawn one by one, each by its label alone.

        log P(c | w_1 .. w_n) = log P(c) + sum_i log P(w_i | c) - log Z
        P(c) = N_c / N,   P(w | c) = (n_cw + a) / (n_c + a V)

    N_c documents have label c, in which the word w stands n_cw times of n_c words.

    Example:
      >>> model = fit([np.array([4, 5]), np.array([4, 6])], [0, 1], 7, 2)
      >>> model.predict([np.array([6, 6, 4])])
      array([1])

    Source: Manning et al., "Introduction to Information Retrieval", 2008, section 13.2.
    """

    log_prior: np.ndarray  # [C]
    log_likelihood: np.ndarray  # [C, V]

    def scores(self, documents):
        """log P(label, words) of integer arrays in [0, V), one a document: [N, C]."""
        sums = [self.log_likelihood[:, words].sum(axis=-1) for words in documents]
        return self.log_prior + np.reshape(sums, (-1, len(self.log_prior)))

    def predict(self, documents):
        """The likeliest label of each: [N]."""
        return self.scores(documents).argmax(axis=-1)


def fit(documents, labels, vocab_size, num_labels, smoothing=1.0):
    """The NaiveBayes of counts.

    Args:
      documents: integer arrays in [0, vocab_size), one a document.
      labels: integers [N] in [0, num_labels), each of which is there.
      smoothing: a, above 0.
    """
    counts = np.full((num_labels, vocab_size), smoothing, np.float64)
    for words, label in zip(documents, labels, strict=True):
        np.add.at(counts[label], words, 1)
    prior = np.bincount(labels, minlength=num_labels) / len(labels)
    return NaiveBayes(
        np.log(prior), np.log(counts / counts.sum(axis=-1, keepdims=True))
    )
