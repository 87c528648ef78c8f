"""Time series: sources, splits, standardization.

A series is an array `values [N, D]`, time first; see `series_windows` for its windows.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqjax.data.calendar_steps import find_step
from seqjax.data.csv_columns import Columns, read_columns
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
    times: np.ndarray | None  # [N], datetime64, int64 or float64
    train: Rows
    valid: Rows
    test: Rows
    period: int  # rows in a season; 1 for none
    sha256: str
    form: str = "{time}"  # how times are written, see `timestamps.written`
    notes: tuple[str, ...] = ()  # what a reader of a file should be told


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
      path: a UTF-8 file; see `csv_columns.read_columns`.
      target: names of the columns to forecast; None is all columns but that of time.
      time_column: the name of a column of increasing dates (ISO 8601) or numbers.
      period: rows in a season.

    Raises:
      DataError: as `csv_columns.read_columns` and `of_columns`.
    """
    table = read_columns(path, target, time_column)
    return of_columns(Path(path).stem, [table], period)


def of_columns(
    name: str, tables: Sequence[Columns], period: int = 1, horizon: int = 1
) -> Series:
    """A series from one table, which is split, or from three, which are its parts.

    Of one table, the last third of the rows tests and the last fifth of the rows before
    it validates, but each of them has at least `horizon` rows. Three tables train,
    validate and test; their rows follow each other.

    Args:
      name: of the series.
      tables: one or three, with the same columns.
      period: rows in a season.
      horizon: the smallest number of rows in the validation and the test part.

    Raises:
      DataError: if there are too few rows, or the tables do not fit each other.
      ValueError: for another number of tables.
    """
    if len(tables) not in (1, 3):
        raise ValueError(f"one table or three were expected, got {len(tables)}")
    for table in tables:
        if table.columns != tables[0].columns:
            raise DataError(
                f"{name}: the columns of its files are {', '.join(tables[0].columns)} "
                f"and {', '.join(table.columns)}; the same were expected."
            )
    values = np.concatenate([table.values for table in tables])
    ends = np.cumsum([0, *(len(table.values) for table in tables)])
    if len(tables) == 1:
        test = min(len(values) * 2 // 3, len(values) - horizon)
        ends = np.array([0, min(test * 4 // 5, test - horizon), test, len(values)])
        if ends[1] < 2:
            raise DataError(
                f"{name} has {len(values)} row{'s' * (len(values) != 1)}: too few to "
                f"train, validate and test a forecast of {horizon} "
                f"row{'s' * (horizon != 1)}."
            )
    parts = [(int(begin), int(end)) for begin, end in pairwise(ends)]
    times = _joined_times(name, tables)
    return Series(
        name=name,
        columns=tables[0].columns,
        values=values,
        times=times,
        train=parts[0],
        valid=parts[1],
        test=parts[2],
        period=period,
        sha256=_joined_sha256(tables),
        form="{time}" if tables[0].times is None else tables[0].times.form,
        notes=tuple(note for table in tables for note in table.notes),
    )


def whole(name: str, table: Columns, period: int = 1) -> Series:
    """A series of one table whose rows all test: it continues a trained model."""
    times = table.times
    return Series(
        name=name,
        columns=table.columns,
        values=table.values,
        times=None if times is None else times.values,
        train=(0, 0),
        valid=(0, 0),
        test=(0, len(table.values)),
        period=period,
        sha256=table.sha256,
        form="{time}" if times is None else times.form,
        notes=table.notes,
    )


def _joined_times(name: str, tables: Sequence[Columns]) -> np.ndarray | None:
    if tables[0].times is None:
        return None
    found = [table.times for table in tables if table.times is not None]
    if len({times.form for times in found}) > 1:
        raise DataError(f"{name}: the notations or time zones of its files differ.")
    try:
        times = np.concatenate([times.values for times in found])
    except TypeError:
        raise DataError(
            f"{name}: some of its files have dates, others numbers."
        ) from None
    for i, (before, after) in enumerate(pairwise(found), start=2):
        if len(before.values) and not after.values[0] > before.values[-1]:
            raise DataError(
                f"{name}: file {i} begins at {after.values[0]}, but the file before it "
                f"ends at {before.values[-1]}; later times were expected."
            )
    return times


def _joined_sha256(tables: Sequence[Columns]) -> str:
    if len(tables) == 1:
        return tables[0].sha256
    return sha256_of("".join(table.sha256 for table in tables).encode())


def time_gaps(times: np.ndarray | None) -> np.ndarray:
    """The rows before which the time step is not the usual one, int [n].

    All rows follow each other if no step is known; see `calendar_steps.find_step`.
    """
    step = None if times is None else find_step(times)
    return np.zeros(0, int) if step is None else step.gaps


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
