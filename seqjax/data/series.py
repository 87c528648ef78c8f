"""Time series: sources, splits, standardization, windows.

A series is an array `values [N, D]`, time first. A window is given by the row where it
begins: an epoch is an array of integers, and no value is copied.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from seqjax.data.csv_columns import read_columns
from seqjax.data.names import unknown_name
from seqjax.data.sources import Source, fetch, sha256_of
from seqjax.data.text import DataError

Rows = tuple[int, int]  # the rows [begin, end)


class Series(NamedTuple):
    """A multivariate series and the rows [begin, end) of its three parts.

    Forecasts are scored on the rows of a part; their inputs may lie before it.
    """

    name: str
    columns: tuple[str, ...]  # D names
    values: np.ndarray  # [N, D], float64
    times: np.ndarray | None  # [N], datetime64 or float64
    train: Rows
    valid: Rows
    test: Rows
    period: int  # rows in a season; 1 for none
    sha256: str


class Scaling(NamedTuple):
    """values = standardized * std + mean, for each column."""

    mean: np.ndarray  # [D]
    std: np.ndarray  # [D]


_ETT = "https://raw.githubusercontent.com/zhouhaoyi/ETDataset/main/ETT-small/"
_SERIES = "https://raw.githubusercontent.com/jbrownlee/Datasets/master/"
SOURCES = {  # name: (folder, file, column of the time, rows in a season)
    # Zhou et al. 2021, arXiv:2012.07436; hourly; CC BY-ND 4.0.
    "etth1": (
        "ett",
        Source(
            "ETTh1.csv",
            "f18de3ad269cef59bb07b5438d79bb3042d3be49bdeecf01c1cd6d29695ee066",
            _ETT + "ETTh1.csv",
        ),
        "date",
        24,
    ),
    # Box and Jenkins 1976, series G; thousands a month, 1949-1960.
    "airline": (
        "series",
        Source(
            "airline-passengers.csv",
            "8cb51be753a718d9be5d76d7e238cc224792754676adc21faa59e954b0201621",
            _SERIES + "airline-passengers.csv",
        ),
        "Month",
        12,
    ),
    # Monthly mean numbers, 1749-1983; the cycle of about 11 years is the season.
    "sunspots": (
        "series",
        Source(
            "monthly-sunspots.csv",
            "c4ec8cc57d9f6fb6ecdb3e1f37f25b6f4badd5124c55931052b0cd2fc3bc71f3",
            _SERIES + "monthly-sunspots.csv",
        ),
        "Month",
        132,
    ),
    # Degrees Celsius, Melbourne, 1981-1990; two leap years lack their last day.
    "temperatures": (
        "series",
        Source(
            "daily-min-temperatures.csv",
            "8b9de63ed6789492bf497625e7f9beb96a63d367b4b0a21754006f749fa5e5da",
            _SERIES + "daily-min-temperatures.csv",
        ),
        "Date",
        365,
    ),
}
NAMES = ("sine", *SOURCES)
NOISE = 0.2  # standard deviation of the noise of the sine


def load(name: str, data_dir: str | Path | None = None, seed: int = 0) -> Series:
    """Load a series by name.

    - "sine": see `sine`; needs no file.
    - "etth1": 7 hourly columns; the rows 0-8640 train, the next 2,880 validate and the
      next 2,880 test, as in Informer (Zhou et al. 2021).
    - "airline", "sunspots", "temperatures": one column; the last third tests, the last
      fifth of the rows before it validates.

    Args:
      name: one of `NAMES`.
      data_dir: the folder of the data sets; None is `sources.default_data_dir()`.
      seed: of the noise of the sine.

    Raises:
      DataError: for an unknown name, a file that is not available, or a wrong checksum.

    Example:
      >>> load("sine").values.shape
      (1000, 1)
    """
    if name not in NAMES:
        raise DataError(unknown_name("dataset", name, NAMES))
    if name == "sine":
        return sine(seed)
    folder, source, time_column, period = SOURCES[name]
    path = fetch(folder, source, data_dir)
    series = load_csv(path, time_column=time_column, period=period)
    if name == "etth1":
        parts = (0, 8640), (8640, 11520), (11520, 14400)
        series = series._replace(train=parts[0], valid=parts[1], test=parts[2])
    return series._replace(name=name)


def sine(seed: int = 0) -> Series:
    """sin(0.01 t) + N(0, 0.2^2) for t = 1 .. 1000, the textbook's series.

    The training part is t <= 600. The test part begins at t = 605, the first t whose
    four inputs x_{t-4} .. x_{t-1} in the textbook's model are all after it. There is no
    validation part; validation uses the training part.

    Source: Zhang et al., "Dive into Deep Learning", section 9.1.
    """
    noise = NOISE * np.random.default_rng(seed).standard_normal((1000, 1))
    values = sine_signal() + noise
    return Series(
        name="sine",
        columns=("x",),
        values=values,
        times=None,
        train=(0, 600),
        valid=(0, 600),
        test=(604, 1000),
        period=1,
        sha256=sha256_of(values.astype("<f8").tobytes()),
    )


def sine_signal() -> np.ndarray:
    """The sine without noise, [1000, 1]: the best possible forecast."""
    return np.sin(0.01 * np.arange(1, 1001))[:, None]


def load_csv(
    path: str | Path,
    target: Sequence[str] | None = None,
    time_column: str | None = None,
    period: int = 1,
) -> Series:
    """A series from the user's own CSV file, whose first line names the columns.

    The last third of the rows tests, the last fifth of the rows before it validates.

    Args:
      path: a UTF-8 file of comma-separated values.
      target: names of the columns to forecast; None is all columns but that of time.
      time_column: the name of a column of increasing dates (ISO 8601) or numbers.
      period: rows in a season.

    Raises:
      DataError: as `csv_columns.read_columns`.
    """
    table = read_columns(path, target, time_column)
    test = len(table.values) * 2 // 3
    valid = test * 4 // 5
    return Series(
        name=Path(path).stem,
        columns=table.columns,
        values=table.values,
        times=table.times,
        train=(0, valid),
        valid=(valid, test),
        test=(test, len(table.values)),
        period=period,
        sha256=table.sha256,
    )


def time_gaps(times: np.ndarray | None) -> np.ndarray:
    """The rows before which the time step is not the most frequent one, int [n]."""
    if times is None or len(times) < 3:
        return np.zeros(0, int)
    steps = np.diff(times)
    kinds, counts = np.unique(steps, return_counts=True)
    return 1 + np.flatnonzero(steps != kinds[counts.argmax()])


def standardize(series: Series) -> tuple[Series, Scaling]:
    """The series with mean 0 and standard deviation 1 on its training rows.

    Returns:
      (the series, its Scaling).

    Raises:
      DataError: for a column that is constant on the training rows.
    """
    train = series.values[slice(*series.train)]
    mean, std = train.mean(axis=0), train.std(axis=0)
    for name, column in zip(series.columns, train.T, strict=True):
        if np.ptp(column) == 0:
            raise DataError(
                f"{series.name}: column {name!r} is {column[0]:g} on all "
                f"{len(train)} training rows and cannot be standardized."
            )
    values = (series.values - mean) / std
    return series._replace(values=values), Scaling(mean, std)


def check_length(series: Series, tau: int, horizon: int) -> None:
    """Refuse a series with a part that has no window of tau + horizon rows.

    Raises:
      DataError: with the name of the part.
    """
    for part in ("train", "valid", "test"):
        begin, end = getattr(series, part)
        if len(origins((begin, end), tau, horizon)) == 0:
            rows = end if begin <= tau else end - begin
            needed = tau + horizon if begin <= tau else horizon
            raise DataError(
                f"{series.name} is too short: for its {part} part there are {rows} "
                f"rows, but tau={tau} and horizon={horizon} need {needed}."
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
