"""Time series: where they come from, their splits, standardisation, windows.

A series is an array `values [N, D]`, time first. A window is named by the row where it
begins, so that an epoch is an array of integers and no value is copied.
"""

import csv
import hashlib
import io
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from seqjax.data.corpora import Source, fetch, unknown_name
from seqjax.data.text import DataError, decode, read_bytes


class Series(NamedTuple):
    """A multivariate series and the rows [begin, end) of its three parts.

    Forecasts are scored on the rows of a part; what they are made from may lie before.
    """

    name: str
    columns: tuple  # D names
    values: np.ndarray  # [N, D], float64
    times: np.ndarray | None  # [N], datetime64 or float64
    train: tuple
    valid: tuple
    test: tuple
    period: int  # rows in a season; 1 for none
    sha256: str


class Scaling(NamedTuple):
    """values = standardised * std + mean, column by column."""

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
NOISE = 0.2  # standard deviation of the sine's


def load(name, data_dir=None, seed=0):
    """Load a series by name.

    - "sine": see `sine`; embedded.
    - "etth1": 7 columns by the hour; rows 0-8640 train, the next 2,880 validate and
      2,880 after these test, as Informer splits them.
    - "airline", "sunspots", "temperatures": one column; the last third tests, the last
      fifth of the rows before it validates.

    Args:
      name: one of `NAMES`.
      data_dir: where series lie; None is $SEQJAX_DATA_DIR, else the user's cache.
      seed: of the sine's noise.

    Raises:
      DataError: for an unknown name, a file that cannot be had, or a wrong checksum.

    Example:
      >>> load("etth1").values.shape
      (17420, 7)
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


def sine(seed=0):
    """sin(0.01 t) + N(0, 0.2^2) for t = 1 .. 1000, the textbook's series.

    Trained on up to t = 600 and tested from t = 605, which is the first that all four
    values x_{t-4} .. x_{t-1} of the textbook's model precede in the held-out part.
    There is nothing to validate on: that is done on the training part.

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
        sha256=_sha256(values.astype("<f8").tobytes()),
    )


def sine_signal():
    """The sine without its noise, [1000, 1]: what the best forecast would be."""
    return np.sin(0.01 * np.arange(1, 1001))[:, None]


def load_csv(path, target=None, time_column=None, period=1):
    """Columns of a CSV file of one's own; its first line names them.

    The last third of the rows tests, the last fifth of those before it validates.

    Args:
      path: UTF-8, comma-separated.
      target: names of the columns to forecast; None is all but the time's.
      time_column: the column of dates (ISO 8601) or numbers, which have to rise.
      period: rows in a season.

    Raises:
      DataError: for a file that cannot be read, a column that is not there, or lines
        with cells that are empty or no finite numbers, or whose time does not rise.
    """
    content = read_bytes(path)
    rows = list(csv.reader(io.StringIO(decode(content, path))))
    header = [name.strip() for name in rows[0]]
    # A line is as in an editor as long as no cell is broken over two.
    lines = [(i, row) for i, row in enumerate(rows[1:], start=2) if row]
    _check_lines(path, lines, len(header))
    columns = target or [name for name in header if name != time_column]
    for name in (*columns, *([time_column] if time_column else [])):
        if name not in header:
            raise DataError(
                f"{path} has no column {name!r}; it has {', '.join(header)}."
            )
    places = [header.index(name) for name in columns]
    values = _numbers(path, lines, places, columns)
    times = None
    if time_column:
        times = _times(path, lines, header.index(time_column), time_column)
    test = len(values) * 2 // 3
    valid = test * 4 // 5
    return Series(
        name=Path(path).stem,
        columns=tuple(columns),
        values=values,
        times=times,
        train=(0, valid),
        valid=(valid, test),
        test=(test, len(values)),
        period=period,
        sha256=_sha256(content),
    )


def time_gaps(times):
    """Rows before which time makes another step than it mostly does, int [n]."""
    if times is None or len(times) < 3:
        return np.zeros(0, int)
    steps = np.diff(times)
    kinds, counts = np.unique(steps, return_counts=True)
    return 1 + np.flatnonzero(steps != kinds[counts.argmax()])


def _check_lines(path, lines, width):
    for i, row in lines:
        if len(row) != width:
            raise DataError(
                f"{path}, line {i}: {len(row)} cells, but the first line names {width}."
            )


def _numbers(path, lines, places, columns):
    """The cells at `places` as [N, D]; what is no number is refused by line."""
    values = np.empty((len(lines), len(places)))
    bad = []
    for n, (i, row) in enumerate(lines):
        for d, place in enumerate(places):
            try:
                values[n, d] = float(row[place])
            except ValueError:
                values[n, d] = math.nan
            if not math.isfinite(values[n, d]):
                what = repr(row[place]) if row[place].strip() else "nothing"
                bad.append(f"{what} in {columns[d]!r} on line {i}")
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise DataError(
            f"{path} has {', '.join(bad[:3])}{more}, where finite numbers were "
            f"expected."
        )
    return values


def _times(path, lines, place, name):
    """The time's column as datetime64 or float64, rising."""
    cells = [row[place].strip() for _, row in lines]
    try:
        times = np.array([float(cell) for cell in cells])
    except ValueError:
        times = _dates(path, lines, cells, name)
    late = np.flatnonzero(~(np.diff(times) > np.zeros((), np.diff(times).dtype)))
    if len(late):
        raise DataError(
            f"{path}, line {lines[late[0] + 1][0]}: the time in {name!r} does not rise."
        )
    return times


def _dates(path, lines, cells, name):
    dates = []
    for (i, _), cell in zip(lines, cells, strict=True):
        try:
            dates.append(np.datetime64(cell))
        except ValueError:
            dates.append(np.datetime64("NaT"))
        if np.isnat(dates[-1]):
            raise DataError(
                f"{path}, line {i}: {cell!r} in {name!r} is no date such as "
                f"2016-07-01 00:00 and no number."
            )
    return np.array(dates)


def standardize(series):
    """(the series with mean 0 and deviation 1 on its training rows, its Scaling).

    Raises:
      DataError: for a column that is constant there.
    """
    train = series.values[slice(*series.train)]
    mean, std = train.mean(axis=0), train.std(axis=0)
    for name, column in zip(series.columns, train.T, strict=True):
        if np.ptp(column) == 0:
            raise DataError(
                f"{series.name}: column {name!r} is {column[0]:g} on all "
                f"{len(train)} training rows and cannot be standardised."
            )
    values = (series.values - mean) / std
    return series._replace(values=values), Scaling(mean, std)


def check_length(series, tau, horizon):
    """Refuse a series whose parts hold no window of tau + horizon rows.

    Raises:
      DataError: naming the part that is too short.
    """
    for part in ("train", "valid", "test"):
        begin, end = getattr(series, part)
        if len(origins((begin, end), tau, horizon)) == 0:
            rows = end if begin <= tau else end - begin
            needed = tau + horizon if begin <= tau else horizon
            raise DataError(
                f"{series.name} is too short: for its {part} part there are {rows} "
                f"rows, but --tau {tau} and --horizon {horizon} need {needed}."
            )


def origins(part, tau, horizon):
    """Rows from which `horizon` rows of a part can be forecast out of `tau` before.

    A forecast at origin o reads rows o - tau .. o - 1 and is of rows o .. o + horizon
    - 1. All of these lie in the part; what is read may lie before it.

    Returns:
      [n], rising by 1; empty if the part is too short.
    """
    begin, end = part
    return np.arange(max(begin, tau), end - horizon + 1)


def windows(values, starts, num_rows):
    """Rows s .. s + num_rows - 1 for each start s: [N, D] -> [num_rows, B, D].

    Starts that rise by one, as from `origins`, give a view and copy nothing.
    """
    view = sliding_window_view(values, num_rows, axis=0)  # [N', D, num_rows]
    if len(starts) and (np.diff(starts) == 1).all():
        view = view[starts[0] : starts[-1] + 1]
    else:
        view = view[starts]
    return np.moveaxis(view, -1, 0)  # [num_rows, B, D]


def shuffled(rng, starts, batch_size):
    """A plan of minibatches: the starts in random order, [n, B] int32.

    What does not fill a minibatch is left for another epoch; fewer starts than
    `batch_size` make one minibatch of all.
    """
    size = min(batch_size, len(starts))
    count = len(starts) // size
    order = rng.permutation(len(starts))[: count * size]
    return starts[order].reshape(count, size).astype(np.int32)


def _sha256(content):
    return hashlib.sha256(content).hexdigest()
