"""Minibatches of subsequences from one long sequence of tokens.

A minibatch is given by the positions where its rows start, an array `starts [B]`; its
inputs and labels are the windows `tokens[s : s + T]` and `tokens[s + 1 : s + T + 1]`.
A plan is all minibatches of an epoch, `starts [n, B]`: a few integers for a corpus of
any size. Both kinds of plan have, for N tokens,

    n = floor((N - 1) / (B * T))

minibatches in every epoch. They begin at a random offset below T (as far as the
remaining tokens allow), so that different epochs cut the text at different positions.
"""

import numpy as np

from seqjax.data.text import DataError


def num_minibatches(num_tokens: int, batch_size: int, num_steps: int) -> int:
    """The number of minibatches in an epoch.

    Args:
      num_tokens: N.
      batch_size: B.
      num_steps: T.

    Returns:
      n = floor((N - 1) / (B * T)).

    Raises:
      DataError: for sizes below 1, or a corpus shorter than one minibatch.

    Example:
      >>> num_minibatches(num_tokens=101, batch_size=4, num_steps=10)
      2
    """
    if batch_size < 1 or num_steps < 1:
        raise DataError(
            f"batch_size and num_steps must be at least 1, "
            f"got {batch_size} and {num_steps}."
        )
    needed = batch_size * num_steps + 1
    if num_tokens < needed:
        raise DataError(
            f"the training text has {num_tokens} tokens, but one minibatch of "
            f"{batch_size} x {num_steps} needs {needed}."
        )
    return (num_tokens - 1) // (batch_size * num_steps)


def sequential_partition(
    rng: np.random.Generator,
    num_tokens: int,
    batch_size: int,
    num_steps: int,
    rotate: bool = False,
) -> np.ndarray:
    """A plan in which row i of a minibatch continues in row i of the next one.

    The tokens after the offset are cut into B rows of equal length. Minibatch k holds
    steps k*T .. k*T + T of every row. The recurrent state is carried from one minibatch
    to the next.

    With `rotate`, each row begins at one of its own windows, drawn at random, and goes
    on at its first one after its last. Then other windows meet in a minibatch in every
    epoch.

    Args:
      rng: a NumPy Generator, which draws the offset and the rotations.
      num_tokens: N.
      batch_size: B.
      num_steps: T.
      rotate: whether rows are rotated.

    Returns:
      starts [n, B], integers.

    Raises:
      DataError: as `num_minibatches`.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> starts = sequential_partition(rng, num_tokens=41, batch_size=2, num_steps=10)
      >>> starts.tolist()  # row 0 goes on at 10, row 1 at 30
      [[0, 20], [10, 30]]

    Source of the rotation: Press 2019, "Partially shuffling the training data to
    improve language models", arXiv:1903.04167.
    """
    n, offset = _offset(rng, num_tokens, batch_size, num_steps)
    row_length = (num_tokens - 1 - offset) // batch_size
    rows = offset + row_length * np.arange(batch_size)
    windows = np.arange(n)[:, None]
    if rotate:
        windows = (windows + rng.integers(n, size=batch_size)) % n
    return _starts(num_steps * windows + rows)  # [n, B]


def _starts(positions: np.ndarray) -> np.ndarray:
    """Positions in int32, or in int64 where they do not fit."""
    fits = positions.max(initial=0) <= np.iinfo(np.int32).max
    return positions.astype(np.int32 if fits else np.int64)


def varied_partition(
    rng: np.random.Generator, num_tokens: int, batch_size: int, num_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """A plan like `sequential_partition` whose minibatches differ in length.

    The number of steps of a minibatch is drawn from N(num_steps, 5) with probability
    0.95 and from N(num_steps / 2, 5) otherwise, rounded down and kept within 5 and
    `longest(num_steps)`; the last minibatch has what remains of the rows.

    Args:
      rng: a NumPy Generator, which draws the lengths.
      num_tokens: N.
      batch_size: B.
      num_steps: T.

    Returns:
      starts [n, B] and lengths [n], integers; n varies.

    Raises:
      DataError: as `num_minibatches`.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> starts, lengths = varied_partition(rng, 401, batch_size=2, num_steps=70)
      >>> lengths.sum().item(), starts[:2].tolist(), lengths[0].item()
      (200, [[0, 200], [69, 269]], 69)

    Source: Merity et al. 2017, arXiv:1708.02182, section 4.1.
    """
    num_minibatches(num_tokens, batch_size, num_steps)
    row_length, lengths = (num_tokens - 1) // batch_size, list[int]()
    left = row_length
    while left:
        mean = num_steps if rng.random() < 0.95 else num_steps / 2
        drawn = int(rng.normal(mean, 5))
        lengths.append(min(max(5, drawn), longest(num_steps), left))
        left -= lengths[-1]
    begins = np.cumsum([0, *lengths[:-1]])
    rows = row_length * np.arange(batch_size)
    return _starts(begins[:, None] + rows), np.asarray(lengths, np.int32)


def longest(num_steps: int) -> int:
    """The largest number of steps of a minibatch of `varied_partition`.

    Args:
      num_steps: T.

    Example:
      >>> longest(70)
      80
    """
    return num_steps + 10


def random_sampling(
    rng: np.random.Generator, num_tokens: int, batch_size: int, num_steps: int
) -> np.ndarray:
    """A plan of subsequences in random order.

    The tokens after the offset are cut into subsequences of T, which are shuffled. The
    recurrent state starts from zero in each of them.

    Args:
      rng: a NumPy Generator, which draws the offset and the order.
      num_tokens: N.
      batch_size: B.
      num_steps: T.

    Returns:
      starts [n, B], integers.

    Raises:
      DataError: as `num_minibatches`.

    Example:
      >>> rng = np.random.default_rng(0)
      >>> starts = random_sampling(rng, num_tokens=41, batch_size=2, num_steps=10)
      >>> starts.shape, sorted(starts.ravel().tolist())
      ((2, 2), [0, 10, 20, 30])
    """
    n, offset = _offset(rng, num_tokens, batch_size, num_steps)
    num_subsequences = (num_tokens - 1 - offset) // num_steps
    order = rng.permutation(num_subsequences)[: n * batch_size]
    return _starts((offset + num_steps * order).reshape(n, batch_size))


def _offset(
    rng: np.random.Generator, num_tokens: int, batch_size: int, num_steps: int
) -> tuple[int, int]:
    n = num_minibatches(num_tokens, batch_size, num_steps)
    remaining = num_tokens - 1 - n * batch_size * num_steps
    return n, int(rng.integers(min(num_steps - 1, remaining) + 1))


def whole_text(
    num_tokens: int, num_rows: int, num_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """A plan that predicts every token but the first exactly once, for evaluation.

    The text is cut into rows of one length; the last rows may be shorter or empty.
    Position p of row i counts if p < ends[i]; the others are to be masked.

    Args:
      num_tokens: N.
      num_rows: the number of rows, evaluated side by side.
      num_steps: T, the length of a window.

    Returns:
      starts [n, num_rows] and ends [num_rows], int32.

    Raises:
      DataError: for sizes below 1, or fewer than 2 tokens.

    Example:
      >>> starts, ends = whole_text(num_tokens=10, num_rows=2, num_steps=3)
      >>> starts.tolist(), ends.tolist()  # 5 predictions in row 0, 4 in row 1
      ([[0, 5], [3, 8]], [5, 9])
    """
    if min(num_tokens - 1, num_rows, num_steps) < 1:
        raise DataError(
            f"evaluation needs at least 2 tokens, 1 row and 1 step, "
            f"got {num_tokens}, {num_rows} and {num_steps}."
        )
    row_length = -(-(num_tokens - 1) // num_rows)
    rows = row_length * np.arange(num_rows)
    ends = np.minimum(rows + row_length, num_tokens - 1)
    steps = num_steps * np.arange(-(-row_length // num_steps))
    return (steps[:, None] + rows).astype(np.int32), ends.astype(np.int32)


def epoch_rng(seed: int, epoch: int) -> np.random.Generator:
    """The generator that decides the data order of an epoch.

    Args:
      seed: of the run, an integer of at least 0.
      epoch: an integer of at least 0.

    Returns:
      A NumPy Generator, always the same for one (seed, epoch).

    Example:
      >>> epoch_rng(1, 2).integers(100) == epoch_rng(1, 2).integers(100)
      np.True_
    """
    return np.random.default_rng([seed, epoch])
