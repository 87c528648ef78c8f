"""Minibatches of sequences of about one length, decided by (seed, epoch)."""

from typing import NamedTuple

import numpy as np

from seqjax.data.vocab import EOS, PAD

# Sentences are padded to the next of these, so that a step has few shapes to compile;
# longer ones to the next multiple of the last.
LENGTHS = (4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512)


class Batch(NamedTuple):
    """Sentence pairs, padded; eos ends each target, bos is in none."""

    source: np.ndarray  # int32 [S, B]
    source_lengths: np.ndarray  # int32 [B]
    target: np.ndarray  # int32 [T, B]
    target_lengths: np.ndarray  # int32 [B], eos included; 0 in rows that fill up


class Bucket(NamedTuple):
    """The rows of a minibatch: places in the data, -1 for one that fills up."""

    length: int  # padded; of sources and of targets
    rows: np.ndarray  # int32 [B]


def plan(sources, targets, batch_size=0, batch_tokens=0, rng=None):
    """All pairs in minibatches of one padded length each.

    Args:
      sources, targets: lists of integer arrays, without eos.
      batch_size: pairs in a minibatch; or
      batch_tokens: tokens on either side, padding included: short pairs come in larger
        minibatches.
      rng: a numpy Generator that shuffles the pairs and the minibatches; None sorts
        them by length.

    Returns:
      A list of Buckets; each pair is in exactly one.
    """
    longest = [max(len(s), len(t) + 1) for s, t in zip(sources, targets, strict=True)]
    return plan_lengths(longest, batch_size, batch_tokens, rng)


def plan_lengths(lengths, batch_size=0, batch_tokens=0, rng=None):
    """All sequences in minibatches of one padded length each.

    Args:
      lengths: of the sequences, one by one.
      batch_size, batch_tokens, rng: as `plan`.

    Returns:
      A list of Buckets; each sequence is in exactly one.
    """
    padded = _padded(np.asarray(lengths, int))
    order = np.arange(len(padded)) if rng is None else rng.permutation(len(padded))
    buckets = []
    for length in np.unique(padded):
        rows = order[padded[order] == length].astype(np.int32)
        size = batch_size or max(1, batch_tokens // int(length))
        fill = np.full(-len(rows) % size, -1, np.int32)
        for part in np.concatenate([rows, fill]).reshape(-1, size):
            buckets.append(Bucket(int(length), part))
    if rng is not None:
        buckets = [buckets[i] for i in rng.permutation(len(buckets))]
    return buckets


def _padded(lengths):
    last = LENGTHS[-1]
    listed = np.asarray(LENGTHS)[np.searchsorted(LENGTHS, np.minimum(lengths, last))]
    return np.where(lengths > last, -(-lengths // last) * last, listed)


def make_batch(sources, targets, bucket):
    """The Batch of a Bucket."""
    rows = [i for i in bucket.rows if i >= 0]
    source = pad([sources[i] for i in rows], bucket)
    target = pad([np.append(targets[i], EOS) for i in rows], bucket)
    return Batch(*source, *target)


def pad(sentences, bucket):
    """Integer arrays, the rows of a Bucket, padded: (tokens [T, B], lengths [B])."""
    tokens = np.full((bucket.length, len(bucket.rows)), PAD, np.int32)
    lengths = np.zeros(len(bucket.rows), np.int32)
    for i, sentence in enumerate(sentences):
        tokens[: len(sentence), i] = sentence
        lengths[i] = len(sentence)
    return tokens, lengths
