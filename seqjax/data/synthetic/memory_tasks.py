"""Tasks with long dependencies: the adding problem and the copy problem.

Each minibatch has new sequences, so that a model cannot memorize the examples. Time
comes first.
"""

import numpy as np

NUM_LETTERS, NUM_COPIED = 8, 10
BLANK, GO = 8, 9  # the tokens after the letters 0 .. 7


def adding(
    rng: np.random.Generator, num_steps: int, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """The sum of two marked numbers in a long sequence.

    Each step has a number from U(0, 1) and a marker. The marker is 1 at one step of the
    first half and at one step of the second half, else 0. The target is the sum of the
    two marked numbers.

    Args:
      rng: a NumPy Generator.
      num_steps: T, at least 2.
      number: B, the number of sequences.

    Returns:
      (xs [T, B, 2], targets [B]), float32.

    Example:
      >>> xs, targets = adding(np.random.default_rng(0), num_steps=10, number=3)
      >>> xs.shape, xs[:5, :, 1].sum(axis=0).tolist()  # one mark in the first half
      ((10, 3, 2), [1.0, 1.0, 1.0])
      >>> np.allclose(targets, (xs[..., 0] * xs[..., 1]).sum(axis=0))
      True

    Source: Hochreiter and Schmidhuber 1997; in this form Arjovsky et al. 2016,
    arXiv:1511.06464, section 5.2.
    """
    half, sequences = num_steps // 2, np.arange(number)
    xs = np.zeros((num_steps, number, 2), np.float32)
    xs[..., 0] = rng.uniform(size=(num_steps, number))
    for begin, end in ((0, half), (half, num_steps)):
        xs[rng.integers(begin, end, number), sequences, 1] = 1
    return xs, (xs[..., 0] * xs[..., 1]).sum(axis=0)


def adding_baseline(num_steps: int) -> float:
    """The mean squared error of the constant answer 1: the variance of the sum, 1/6.

    Args:
      num_steps: T; not used.

    Returns:
      A float.

    Example:
      >>> round(adding_baseline(num_steps=100), 4)
      0.1667
    """
    del num_steps
    return 1 / 6


def copying(
    rng: np.random.Generator, delay: int, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Ten letters to repeat after a delay.

    The inputs are 10 of 8 different letters, delay - 1 blanks, the go token and 10
    blanks. The targets are blanks, and the letters at the last 10 steps.

    Args:
      rng: a NumPy Generator.
      delay: steps between the last letter and the first answer, at least 1.
      number: B, the number of sequences.

    Returns:
      (tokens [delay + 20, B], targets [delay + 20, B]), int32.

    Example:
      >>> tokens, targets = copying(np.random.default_rng(0), delay=5, number=2)
      >>> tokens.shape, (tokens[:10] == targets[-10:]).all().item()
      ((25, 2), True)
      >>> tokens[10:15, 0].tolist()  # four blanks, then go
      [8, 8, 8, 8, 9]

    Source: Hochreiter and Schmidhuber 1997; in this form Arjovsky et al. 2016,
    arXiv:1511.06464, section 5.1.
    """
    tokens = np.full((delay + 2 * NUM_COPIED, number), BLANK, np.int32)
    targets = tokens.copy()
    letters = rng.integers(NUM_LETTERS, size=(NUM_COPIED, number))
    tokens[:NUM_COPIED] = targets[-NUM_COPIED:] = letters
    tokens[-NUM_COPIED - 1] = GO
    return tokens, targets


def copying_baseline(delay: int) -> float:
    """The mean cross-entropy in nats of known blanks and uniformly guessed letters.

    Args:
      delay: as in `copying`.

    Returns:
      A float, per step.

    Example:
      >>> float(round(copying_baseline(delay=100), 4))  # 10 ln 8 / 120
      0.1733
    """
    return NUM_COPIED * np.log(NUM_LETTERS) / (delay + 2 * NUM_COPIED)
