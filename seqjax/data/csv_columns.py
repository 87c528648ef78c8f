"""Columns of numbers, and a column of times, from a CSV file."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqjax.data.sources import sha256_of
from seqjax.data.text import DataError, decode, read_bytes

Line = tuple[int, list[str]]  # the number of the line in the file, and its cells


class Columns(NamedTuple):
    """Columns of a CSV file, with the sha256 of its bytes."""

    columns: tuple[str, ...]  # D names
    values: np.ndarray  # [N, D], float64
    times: np.ndarray | None  # [N], datetime64 or float64, increasing
    sha256: str


def read_columns(
    path: str | Path,
    target: Sequence[str] | None = None,
    time_column: str | None = None,
) -> Columns:
    """Columns of a CSV file, whose first line names them.

    Args:
      path: a UTF-8 file of comma-separated values.
      target: names of the columns to read; None is all columns but that of time.
      time_column: the name of a column of increasing dates (ISO 8601) or numbers.

    Raises:
      DataError: for a file that cannot be read, a column that does not exist or, with
        the line's number, a cell that is empty or not a finite number, or a time that
        does not increase.
    """
    content = read_bytes(path)
    rows = list(csv.reader(io.StringIO(decode(content, path))))
    header = [name.strip() for name in rows[0]]
    # The numbers are those of an editor if no cell contains a line break.
    lines = [(i, row) for i, row in enumerate(rows[1:], start=2) if row]
    _check_lines(path, lines, len(header))
    columns = tuple(target or [name for name in header if name != time_column])
    for name in (*columns, *([time_column] if time_column else [])):
        if name not in header:
            raise DataError(
                f"{path} has no column {name!r}; it has {', '.join(header)}."
            )
    indices = [header.index(name) for name in columns]
    values = _numbers(path, lines, indices, columns)
    times = None
    if time_column:
        times = _times(path, lines, header.index(time_column), time_column)
    return Columns(columns, values, times, sha256_of(content))


def _check_lines(path: str | Path, lines: Sequence[Line], width: int) -> None:
    for i, row in lines:
        if len(row) != width:
            raise DataError(
                f"{path}, line {i}: {len(row)} cells, but the first line names {width}."
            )


def _numbers(
    path: str | Path,
    lines: Sequence[Line],
    indices: Sequence[int],
    columns: Sequence[str],
) -> np.ndarray:
    """The cells of the columns at `indices`, [N, D]; all must be finite numbers."""
    values = np.empty((len(lines), len(indices)))
    bad = []
    for n, (i, row) in enumerate(lines):
        for d, index in enumerate(indices):
            try:
                values[n, d] = float(row[index])
            except ValueError:
                values[n, d] = math.nan
            if not math.isfinite(values[n, d]):
                what = repr(row[index]) if row[index].strip() else "nothing"
                bad.append(f"{what} in {columns[d]!r} on line {i}")
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise DataError(
            f"{path} has {', '.join(bad[:3])}{more}, where finite numbers were "
            f"expected."
        )
    return values


def _times(
    path: str | Path, lines: Sequence[Line], index: int, name: str
) -> np.ndarray:
    """The column of time as datetime64 or float64, increasing."""
    cells = [row[index].strip() for _, row in lines]
    try:
        times = np.array([float(cell) for cell in cells])
    except ValueError:
        times = _dates(path, lines, cells, name)
    late = np.flatnonzero(~(times[1:] > times[:-1]))
    if len(late):
        raise DataError(
            f"{path}, line {lines[late[0] + 1][0]}: the time in {name!r} does not "
            f"increase."
        )
    return times


def _dates(
    path: str | Path, lines: Sequence[Line], cells: Sequence[str], name: str
) -> np.ndarray:
    dates = []
    for (i, _), cell in zip(lines, cells, strict=True):
        date = _date(cell)
        if date is None:
            raise DataError(
                f"{path}, line {i}: {cell!r} in {name!r} is neither a date such as "
                f"2016-07-01 00:00 nor a number."
            )
        dates.append(date)
    return np.array(dates)


def _date(cell: str) -> np.datetime64 | None:
    """The date in a cell, or None if there is none."""
    if not any(c.isdigit() for c in cell):  # "" and "NaT" have no unit, words no date
        return None
    try:
        date = np.datetime64(cell)
    except ValueError:
        return None
    return None if np.isnat(date) else date
