"""A text, or documents one after the other, cut into windows for one row."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Windows(NamedTuple):
    """Windows of T steps, each of which continues the one before it or begins anew."""

    tokens: Any  # int32 [n, T + 1]
    lengths: Any  # int32 [n], steps that are no padding
    scored: Any  # bool [n, T], predictions whose loss counts
    begins: Any  # bool [n], whether the state is the initial one


def text_windows(tokens: np.ndarray, num_steps: int) -> Windows:
    """The windows of one text, in which every token but the first is scored.

    Args:
      tokens: integers [N].
      num_steps: T.

    Raises:
      ValueError: if there are fewer than 2 tokens, or T is below 1.

    Example:
      >>> windows = text_windows(np.array([5, 6, 7, 8]), num_steps=2)
      >>> windows.tokens.tolist(), windows.lengths.tolist(), windows.begins.tolist()
      ([[5, 6, 7], [7, 8, 8]], [2, 1], [True, False])
    """
    return document_windows([tokens], [1], num_steps)


def document_windows(
    documents: Sequence[np.ndarray], starts: Sequence[int], num_steps: int
) -> Windows:
    """The windows of documents, each of which begins from the initial state.

    Args:
      documents: integers [N] of at least 2 tokens each.
      starts: for each document the index of its first token that is scored, at least 1.
      num_steps: T.

    Raises:
      ValueError: if a document has fewer than 2 tokens, or T is below 1.

    Example:
      >>> documents = [np.array([1, 2, 3]), np.array([1, 4])]
      >>> document_windows(documents, [2, 1], num_steps=2).scored.tolist()
      [[False, True], [True, False]]
    """
    if num_steps < 1 or any(len(document) < 2 for document in documents):
        raise ValueError(
            "windows need at least 1 step, and at least 2 tokens of each document"
        )
    counts = [-(-(len(document) - 1) // num_steps) for document in documents]
    total = sum(counts)
    tokens = np.zeros((total, num_steps + 1), np.int32)
    lengths = np.zeros(total, np.int32)
    scored = np.zeros((total, num_steps), bool)
    begins = np.zeros(total, bool)
    first, steps = 0, np.arange(num_steps)
    for document, start, count in zip(documents, starts, counts, strict=True):
        rows = slice(first, first + count)
        begin = num_steps * np.arange(count)[:, None]
        positions = begin + np.arange(num_steps + 1)
        tokens[rows] = np.asarray(document)[np.minimum(positions, len(document) - 1)]
        lengths[rows] = np.minimum(len(document) - 1 - begin[:, 0], num_steps)
        is_late = positions[:, 1:] >= start
        scored[rows] = is_late & (steps < lengths[rows][:, None])
        begins[first] = True
        first += count
    return Windows(tokens, lengths, scored, begins)
