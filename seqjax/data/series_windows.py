"""Windows of a time series, and minibatches of them.

A window is given by the row where it begins: an epoch is an array of integers, and no
value is copied.
"""

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from seqjax.data.series import Rows, Series
from seqjax.data.text import DataError


def check_length(
    series: Series,
    tau: int,
    horizon: int,
    parts: Sequence[str] = ("train", "valid", "test"),
) -> None:
    """Refuse a series with a part that has no window of tau + horizon rows.

    Raises:
      DataError: with the name of the part.
    """
    for part in parts:
        begin, end = getattr(series, part)
        if len(origins((begin, end), tau, horizon)) == 0:
            rows = end if begin <= tau else end - begin
            needed = tau + horizon if begin <= tau else horizon
            raise DataError(
                f"{series.name} is too short: for its {part} part there are {rows} "
                f"rows, but --tau={tau} and --horizon={horizon} need {needed}."
            )


def origins(part: Rows, tau: int, horizon: int) -> np.ndarray:
    """The rows from which `horizon` rows of a part can be forecast.

    A forecast at origin o has the inputs o - tau .. o - 1 and the targets o .. o +
    horizon - 1. All targets lie in the part; the inputs may lie before it.

    Args:
      part: the rows [begin, end).
      tau: the number of input rows.
      horizon: the number of target rows.

    Returns:
      int [n], consecutive; empty if the part is too short.
    """
    begin, end = part
    return np.arange(max(begin, tau), end - horizon + 1)


def windows(values: np.ndarray, starts: np.ndarray, num_rows: int) -> np.ndarray:
    """The rows s .. s + num_rows - 1 for each start s: [N, D] -> [num_rows, B, D].

    Consecutive starts, as from `origins`, give a view and copy nothing.
    """
    view = sliding_window_view(values, num_rows, axis=0)  # [N', D, num_rows]
    if len(starts) and (np.diff(starts) == 1).all():
        view = view[starts[0] : starts[-1] + 1]
    else:
        view = view[starts]
    return np.moveaxis(view, -1, 0)  # [num_rows, B, D]


def shuffled(
    rng: np.random.Generator, starts: np.ndarray, batch_size: int
) -> np.ndarray:
    """A plan of minibatches: the starts in random order, int32 [n, B].

    The starts that do not fill a minibatch are left out. Fewer starts than `batch_size`
    make one minibatch.
    """
    size = min(batch_size, len(starts))
    count = len(starts) // size
    order = rng.permutation(len(starts))[: count * size]
    return starts[order].reshape(count, size).astype(np.int32)


def shuffled_passes(
    rng: np.random.Generator, starts: np.ndarray, batch_size: int, fewest: int = 1
) -> np.ndarray:
    """A plan of `shuffled` for each of as many passes as give `fewest` minibatches."""
    plans = [shuffled(rng, starts, batch_size)]
    while sum(map(len, plans)) < fewest:
        plans.append(shuffled(rng, starts, batch_size))
    return np.concatenate(plans)
