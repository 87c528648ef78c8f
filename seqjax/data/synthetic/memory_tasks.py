"""Tasks whose answer lies far back: the adding problem, the copy problem.

They are drawn anew for each minibatch, so that nothing can be learned by heart. Time
comes first, as everywhere.
"""

import numpy as np

NUM_LETTERS, NUM_COPIED = 8, 10
BLANK, GO = 8, 9  # tokens after the letters 0 .. 7


def adding(rng, num_steps, number):
    """The sum of two numbers that are marked among many.

    Each step holds a number from U(0, 1) and a marker, which is 1 at one step of the
    first half and at one of the second, else 0; the target is the sum of the two
    numbers marked.

    Args:
      rng: a numpy Generator.
      num_steps: T, at least 2.
      number: B, how many sequences.

    Returns:
      (xs [T, B, 2], targets [B]), float32.

    Source: Hochreiter and Schmidhuber 1997; in this form Arjovsky et al. 2016,
    arXiv:1511.06464, section 5.2.
    """
    half, sequences = num_steps // 2, np.arange(number)
    xs = np.zeros((num_steps, number, 2), np.float32)
    xs[..., 0] = rng.uniform(size=(num_steps, number))
    for begin, end in ((0, half), (half, num_steps)):
        xs[rng.integers(begin, end, number), sequences, 1] = 1
    return xs, (xs[..., 0] * xs[..., 1]).sum(axis=0)


def adding_baseline(num_steps):
    """The mean squared error of always answering 1: the variance of the sum, 1/6."""
    del num_steps
    return 1 / 6


def copying(rng, delay, number):
    """Ten letters to be said again, after a delay.

    The inputs are 10 letters out of 8, delay - 1 blanks, the go-mark and 10 blanks; the
    targets are blanks, and the letters in the last 10 places.

    Args:
      rng: a numpy Generator.
      delay: steps between the last letter and the first answer, at least 1.
      number: B, how many sequences.

    Returns:
      (tokens [delay + 20, B], targets [delay + 20, B]), int32.

    Source: Hochreiter and Schmidhuber 1997; in this form Arjovsky et al. 2016,
    arXiv:1511.06464, section 5.1.
    """
    tokens = np.full((delay + 2 * NUM_COPIED, number), BLANK, np.int32)
    targets = tokens.copy()
    letters = rng.integers(NUM_LETTERS, size=(NUM_COPIED, number))
    tokens[:NUM_COPIED] = targets[-NUM_COPIED:] = letters
    tokens[-NUM_COPIED - 1] = GO
    return tokens, targets


def copying_baseline(delay):
    """The mean cross-entropy of guessing the letters, sure of the blanks, in nats."""
    return NUM_COPIED * np.log(NUM_LETTERS) / (delay + 2 * NUM_COPIED)
