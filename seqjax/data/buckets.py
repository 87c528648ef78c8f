"""Minibatches of sequences of similar length, each padded to one length."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from seqjax.data.vocab import EOS, PAD

# Padded lengths: a sequence is padded to the next of these, so that a training step is
# compiled for few shapes; a longer one to the next multiple of the last.
LENGTHS = (4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512)


class PairBatch(NamedTuple):
    """Padded sentence pairs; each target ends in eos, none begins with bos."""

    source: np.ndarray  # int32 [S, B]
    source_lengths: np.ndarray  # int32 [B]
    target: np.ndarray  # int32 [T, B]
    target_lengths: np.ndarray  # int32 [B], eos included; 0 in padding rows


class Bucket(NamedTuple):
    """The rows of a minibatch: indices of the data, -1 for a padding row."""

    length: int  # after padding; for pairs, that of sources and targets
    rows: np.ndarray  # int32 [B]


def plan(
    sources: Sequence[np.ndarray],
    targets: Sequence[np.ndarray],
    batch_size: int = 0,
    batch_tokens: int = 0,
    rng: np.random.Generator | None = None,
) -> list[Bucket]:
    """All pairs in minibatches of one padded length each.

    Args:
      sources, targets: integer arrays, without eos.
      batch_size: the number of pairs in a minibatch; if it is 0,
      batch_tokens: the number of tokens on either side of a minibatch, with padding:
        minibatches of short pairs have more rows.
      rng: a NumPy Generator that shuffles the pairs and the minibatches; None sorts
        them by length.

    Returns:
      A list of Buckets; each pair is in exactly one.

    Raises:
      ValueError: if there are more sources than targets, or fewer.

    Example:
      >>> sources = [np.arange(3), np.arange(7), np.arange(2)]
      >>> targets = [np.arange(2), np.arange(5), np.arange(4)]
      >>> [(b.length, b.rows.tolist()) for b in plan(sources, targets, batch_size=2)]
      [(4, [0, -1]), (8, [1, 2])]
    """
    longest = [max(len(s), len(t) + 1) for s, t in zip(sources, targets, strict=True)]
    return plan_lengths(longest, batch_size, batch_tokens, rng)


def plan_lengths(
    lengths: Sequence[int] | np.ndarray,
    batch_size: int = 0,
    batch_tokens: int = 0,
    rng: np.random.Generator | None = None,
) -> list[Bucket]:
    """All sequences in minibatches of one padded length each.

    Args:
      lengths: the length of each sequence.
      batch_size, batch_tokens, rng: as `plan`.

    Returns:
      A list of Buckets; each sequence is in exactly one.

    Example:
      >>> [(b.length, b.rows.tolist()) for b in plan_lengths([3, 7, 5], batch_size=2)]
      [(4, [0, -1]), (8, [1, 2])]
    """
    padded = _padded(np.asarray(lengths, int))
    order = np.arange(len(padded)) if rng is None else rng.permutation(len(padded))
    buckets = []
    for length in np.unique(padded):
        rows = order[padded[order] == length].astype(np.int32)
        size = batch_size or max(1, batch_tokens // int(length))
        padding = np.full(-len(rows) % size, -1, np.int32)
        for part in np.concatenate([rows, padding]).reshape(-1, size):
            buckets.append(Bucket(int(length), part))
    if rng is not None:
        buckets = [buckets[i] for i in rng.permutation(len(buckets))]
    return buckets


def _padded(lengths: np.ndarray) -> np.ndarray:
    last = LENGTHS[-1]
    listed = np.asarray(LENGTHS)[np.searchsorted(LENGTHS, np.minimum(lengths, last))]
    return np.where(lengths > last, -(-lengths // last) * last, listed)


def make_batch(
    sources: Sequence[np.ndarray], targets: Sequence[np.ndarray], bucket: Bucket
) -> PairBatch:
    """The minibatch of a Bucket.

    Args:
      sources, targets: the integer arrays of `plan`.
      bucket: from `plan`.

    Returns:
      A PairBatch.

    Example:
      >>> sources, targets = [np.array([7, 8, 9])], [np.array([5, 6])]
      >>> batch = make_batch(sources, targets, plan(sources, targets, batch_size=1)[0])
      >>> batch.source[:, 0].tolist(), batch.target_lengths.tolist()  # PAD is 1
      ([7, 8, 9, 1], [3])
    """
    rows = [i for i in bucket.rows if i >= 0]
    source = pad([sources[i] for i in rows], bucket)
    target = pad([np.append(targets[i], EOS) for i in rows], bucket)
    return PairBatch(*source, *target)


def pad(
    sentences: Iterable[np.ndarray], bucket: Bucket
) -> tuple[np.ndarray, np.ndarray]:
    """The sequences in the rows of a Bucket, padded to its length.

    Args:
      sentences: integer arrays, one for each row that is not padding, in their order.
      bucket: from `plan` or `plan_lengths`.

    Returns:
      (tokens [T, B], lengths [B]): int32, T the length of the bucket.

    Example:
      >>> tokens, lengths = pad([np.array([7, 8])], Bucket(4, np.array([0, -1])))
      >>> tokens.T.tolist(), lengths.tolist()  # PAD is 1
      ([[7, 8, 1, 1], [1, 1, 1, 1]], [2, 0])
    """
    tokens = np.full((bucket.length, len(bucket.rows)), PAD, np.int32)
    lengths = np.zeros(len(bucket.rows), np.int32)
    for i, sentence in enumerate(sentences):
        tokens[: len(sentence), i] = sentence
        lengths[i] = len(sentence)
    return tokens, lengths
