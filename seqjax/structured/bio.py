"""The BIO tagging scheme as potentials of a linear chain."""

from collections.abc import Sequence

import numpy as np

OUTSIDE = "O"  # the tag of a word outside all spans


def bio_potentials(tags: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Potentials that forbid invalid BIO sequences.

    I of a type follows only B or I of that type. Tags of other forms are free.

    Args:
      tags: names of the K tags.

    Returns:
      (start [K], transition [K, K]): 0 where BIO allows the first tag or the pair of
      tags, else -inf.

    Example:
      >>> bio_potentials(("O", "B-x", "I-x"))[0]
      array([  0.,   0., -inf])

    Source: Ramshaw and Marcus 1995, arXiv:cmp-lg/9505040.
    """
    parts = [tag.partition("-")[::2] for tag in tags]

    def potential(previous: tuple[str, str], tag: tuple[str, str]) -> float:
        continues = previous[0] in ("B", "I") and previous[1] == tag[1]
        return 0.0 if tag[0] != "I" or continues else -np.inf

    start = np.array([potential((OUTSIDE, ""), tag) for tag in parts])
    return start, np.array([[potential(a, b) for b in parts] for a in parts])
