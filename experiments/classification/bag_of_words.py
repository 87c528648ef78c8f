"""Naive Bayes in the logits: the network learns what counting words leaves open."""

import io
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from experiments.classification.data import EncodedSplit
from experiments.common.errors import UserError
from experiments.common.workdir import Workdir
from seqjax.baselines import naive_bayes
from seqjax.baselines.naive_bayes import NaiveBayes

FILE = "naive_bayes.npz"
SCALES = 2.0 ** np.arange(-9, 2, 0.25)


class BagOfWords(NamedTuple):
    """Scaled log-probabilities of naive Bayes, as offsets of a classifier's logits.

        offsets = scale * (log P(c) + sum_i log P(w_i | c))

    With bigrams, each pair of neighboring words that two training documents have is a
    further w_i. The scale minimizes the cross-entropy of the training labels, each
    document scored by the counts of all others: naive Bayes alone is too certain.

    Source: Wang and Manning, "Baselines and bigrams", ACL 2012, uses the ratios of
    these probabilities as features.
    """

    bayes: NaiveBayes
    scale: float
    vocab_size: int
    bigrams: np.ndarray  # int64, sorted: first * vocab_size + second

    @classmethod
    def train(
        cls, split: EncodedSplit, vocab_size: int, num_labels: int, with_bigrams: bool
    ) -> tuple[Self, np.ndarray]:
        """The counts of a training part, and the offsets of its documents.

        These leave each document's own counts out. Otherwise the network would trust
        them more than it can trust those of new documents.
        """
        bigrams = np.zeros(0, np.int64)
        if with_bigrams:
            pairs = [np.unique(_pairs(d, vocab_size)) for d in split.documents]
            found, number = np.unique(
                np.concatenate([bigrams, *pairs]), return_counts=True
            )
            # One that a single document has is unknown where this document is left out.
            bigrams = found[number > 1]
        features = [_features(d, vocab_size, bigrams) for d in split.documents]
        sizes = vocab_size + len(bigrams), num_labels
        scores = naive_bayes.leave_one_out_scores(features, split.labels, *sizes)
        bayes = naive_bayes.fit(features, split.labels, *sizes)
        losses = [_cross_entropy(scale * scores, split.labels) for scale in SCALES]
        scale = float(SCALES[np.argmin(losses)])
        return cls(bayes, scale, vocab_size, bigrams), _centered(scale * scores)

    def offsets(self, documents: Sequence[np.ndarray]) -> np.ndarray:
        """float32 [documents, C]; the mean over the labels is zero."""
        features = [_features(d, self.vocab_size, self.bigrams) for d in documents]
        return _centered(self.scale * self.bayes.scores(features))

    def write(self, workdir: Workdir) -> None:
        """Store the counts as naive_bayes.npz."""
        content, arrays = io.BytesIO(), self._asdict() | self.bayes._asdict()
        del arrays["bayes"]
        np.savez_compressed(content, **arrays)
        workdir.write_bytes(FILE, content.getvalue())

    @classmethod
    def read(cls, workdir: Workdir, vocab_size: int, num_labels: int) -> Self:
        """What `write` stored, for a vocabulary and labels of these sizes.

        Raises:
          UserError: if it is missing or damaged.
        """
        path = workdir.file(FILE)
        try:
            content = io.BytesIO(path.read_bytes())
            with np.load(content, allow_pickle=False) as found:
                bayes = NaiveBayes(found["log_prior"], found["log_likelihood"])
                bag = cls(bayes, float(found["scale"]), vocab_size, found["bigrams"])
                shape = num_labels, vocab_size + len(bag.bigrams)
                is_whole = int(found["vocab_size"]) == vocab_size and (
                    bayes.log_prior.shape == shape[:1]
                    and bayes.log_likelihood.shape == shape
                    and np.isfinite(bayes.log_likelihood).all()
                )
        except Exception:  # numpy and zipfile do not say what they raise
            is_whole = False
        if not is_whole:
            raise UserError(f"{path} is missing or damaged.")
        return bag


def _pairs(words: np.ndarray, vocab_size: int) -> np.ndarray:
    words = words.astype(np.int64)
    return words[:-1] * vocab_size + words[1:]


def _features(words: np.ndarray, vocab_size: int, bigrams: np.ndarray) -> np.ndarray:
    """The words, and the indices of the known bigrams after the vocabulary."""
    if not len(bigrams):
        return words
    pairs = _pairs(words, vocab_size)
    index = np.searchsorted(bigrams, pairs)
    known = bigrams[np.minimum(index, len(bigrams) - 1)] == pairs
    return np.concatenate([words, vocab_size + index[known]])


def _cross_entropy(scores: np.ndarray, labels: np.ndarray) -> float:
    peak = scores.max(axis=-1, keepdims=True)
    log_z = np.log(np.exp(scores - peak).sum(axis=-1)) + peak[:, 0]
    return float(np.sum(log_z - scores[np.arange(len(labels)), labels]))


def _centered(scores: np.ndarray) -> np.ndarray:
    return (scores - scores.mean(axis=-1, keepdims=True)).astype(np.float32)
