"""Columns of numbers, and a column of times, from a CSV file or another table."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqjax.data import tables
from seqjax.data.csv_rows import NUMBER, Row, Table, cells_of, read_table
from seqjax.data.names import unknown_name
from seqjax.data.sources import sha256_of
from seqjax.data.text import DataError, decode
from seqjax.data.timestamps import Times, look_like_dates, read_times

MISSING = ("refuse", "interpolate", "last")
_NO_VALUE = {"", "na", "n/a", "nan", "null", "none"}  # in lower case


class Columns(NamedTuple):
    """Columns of a CSV file, with the sha256 of its bytes."""

    columns: tuple[str, ...]  # D names
    values: np.ndarray  # [N, D], float64
    times: Times | None
    sha256: str
    notes: tuple[str, ...]  # what was read in another way than a user may expect


def read_columns(
    path: str | Path,
    target: Sequence[str] | None = None,
    time_column: str | None = None,
    missing: str = "refuse",
) -> Columns:
    """Columns of a CSV file, whose first line names them, or of another table.

    Commas, semicolons or tabs separate the cells of CSV. Between semicolons and tabs,
    numbers may have decimal commas.

    Args:
      path: UTF-8 text, Parquet, JSON lines, or a folder of one data set of Hugging Face
        (see `tables`); "-" is standard input.
      target: names of the columns to read; None is all columns but that of time.
      time_column: the name of a column of increasing dates (ISO 8601) or numbers.
      missing: what becomes of a cell without a number: "refuse" it, "interpolate"
        between the rows before and after it, or repeat the "last" number before it.
        Such cells are empty or hold NA, N/A, NaN, null or None.

    Raises:
      DataError: for a file that cannot be read, a column that does not exist or exists
        twice or, with the line or the row, a row that cannot be parsed, a cell that is
        not a finite number, or a time that does not increase.
    """
    return columns_of(tables.read_part(path), target, time_column, missing)


def columns_of(
    part: tables.Part,
    target: Sequence[str] | None = None,
    time_column: str | None = None,
    missing: str = "refuse",
) -> Columns:
    """Columns of a file that has been read; see `read_columns`.

    Args:
      part: the file.
      target, time_column, missing: see `read_columns`.

    Returns:
      Columns, as `read_columns`.

    Raises:
      DataError: as `read_columns`.
    """
    path = part.path
    # No CSV begins with an object of JSON, as standard input may.
    is_table = tables.is_table(part) or part.content.lstrip()[:2] in (b'{"', b"{}")
    needed = None if target is None else (*target, *filter(None, [time_column]))
    table = _cells(part, needed) if is_table else _csv(part)
    columns = _choose(table, target, time_column, path)
    if not table.rows:
        raise DataError(f"{path} has a first line of names, but no rows below it.")
    if target is None:
        _check_kinds(table, columns, path)
    texts = [list(cells_of(table, name)) for name in columns]
    mark = _decimal_mark(table, texts, path)
    values = _numbers(path, texts, columns, mark, table.unit)
    notes = [f"{path}: numbers are read with decimal commas."] if mark == "," else []
    lines = [row.line for row in table.rows]
    values, filled = fill_missing(values, lines, columns, missing, path, table.unit)
    if filled:
        notes.append(filled)
    times = None
    if time_column:
        cells = list(cells_of(table, time_column))
        times = read_times(cells, path, time_column, mark, table.unit)
    return Columns(columns, values, times, sha256_of(part.content), tuple(notes))


def _csv(part: tables.Part) -> Table:
    return read_table(decode(part.content, part.path), part.path)


def _cells(part: tables.Part, needed: Sequence[str] | None) -> Table:
    """A table of another format as CSV has it: its cells are texts.

    Args:
      part: the file.
      needed: the names of the columns to read; None is all.
    """
    choose = None
    if needed is not None:
        names = tuple(dict.fromkeys(needed))
        choose = tables.choose_columns(part.path, names, {})
    found = tables.read_table(part, choose)
    if not found.columns:
        raise DataError(f"{part.path} has no columns.")
    columns = [list(map(_cell, column)) for column in found.columns.values()]
    cells = zip(found.numbers, zip(*columns, strict=True), strict=True)
    rows = [Row(number, list(row)) for number, row in cells]
    return Table(list(found.columns), rows, ",", found.unit)


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _choose(
    table: Table,
    target: Sequence[str] | None,
    time_column: str | None,
    path: str | Path,
) -> tuple[str, ...]:
    """The names of the columns to read, each of them once in the header."""
    header = table.header
    columns = tuple(target or [name for name in header if name != time_column])
    needed = (*columns, *([time_column] if time_column else []))
    for name in needed:
        if name not in header:
            names = list(dict.fromkeys(filter(None, header)))
            raise DataError(f"{path}: {unknown_name('column', name, names)}")
        if not name:
            raise DataError(
                f"{path}: column {header.index(name) + 1} has no name; name it, or "
                f"choose other columns (--target)."
            )
        indices = [str(i) for i, other in enumerate(header, 1) if other == name]
        if len(indices) > 1:
            raise DataError(
                f"{path}: the columns {' and '.join(indices)} are both named {name!r}; "
                f"different names were expected."
            )
    twice = [name for name, count in Counter(needed).items() if count > 1]
    if twice:
        raise DataError(f"the column {twice[0]!r} of {path} is chosen twice.")
    if not columns:
        raise DataError(f"{path} has no column but the time column {time_column!r}.")
    return columns


def _check_kinds(table: Table, columns: Sequence[str], path: str | Path) -> None:
    """Refuse a column of dates or of texts that was not chosen by its name."""
    for name in columns:
        cells = list(cells_of(table, name))
        texts = [cell for _, cell in cells if cell.lower() not in _NO_VALUE]
        if look_like_dates(texts):
            raise DataError(
                f"{path}: column {name!r} holds dates; name it as the column of time "
                f"(--time_column={name})."
            )
        if texts and not any(c.isdigit() for text in texts for c in text):
            line = next(line for line, cell in cells if cell == texts[0])
            raise DataError(
                f"{path}: column {name!r} holds no numbers ({table.unit} {line}: "
                f"{texts[0]!r})"
                f"; choose the columns of numbers by name (--target)."
            )


def _decimal_mark(
    table: Table, texts: Sequence[Sequence[tuple[int, str]]], path: str | Path
) -> str:
    """ "," if the numbers have decimal commas, else "."."""
    if table.delimiter == ",":
        return "."
    found: dict[str, int] = {}  # mark: the first line with it
    for line, cell in (pair for cells in texts for pair in cells):
        for mark in ".,":
            if mark in cell and NUMBER.fullmatch(cell.replace(mark, ".")):
                found.setdefault(mark, line)
    if len(found) == 2:
        raise DataError(
            f"{path} has a decimal point on line {found['.']} and a decimal comma on "
            f"line {found[',']}; one of them was expected."
        )
    return next(iter(found), ".")


def _numbers(
    path: str | Path,
    texts: Sequence[Sequence[tuple[int, str]]],
    columns: Sequence[str],
    mark: str,
    unit: str,
) -> np.ndarray:
    """The cells as numbers, [N, D]; nan where a number is missing."""
    values = np.full((len(texts[0]), len(columns)), math.nan)
    bad = []
    for d, (name, cells) in enumerate(zip(columns, texts, strict=True)):
        for n, (line, cell) in enumerate(cells):
            if cell.lower() in _NO_VALUE:
                continue
            text = cell.replace(mark, ".")
            if NUMBER.fullmatch(text):
                values[n, d] = float(text)
            if not math.isfinite(values[n, d]):
                bad.append((line, f"{cell!r} in {name!r} on {unit} {line}"))
    if bad:
        shown = [sentence for _, sentence in sorted(bad)[:3]]
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise DataError(
            f"{path} has {', '.join(shown)}{more}, where finite numbers were expected."
        )
    return values


def fill_missing(
    values: np.ndarray,
    lines: Sequence[int],
    columns: Sequence[str],
    missing: str,
    path: str | Path,
    unit: str = "line",
) -> tuple[np.ndarray, str | None]:
    """The values without nan, and a note about those that were filled.

    Args:
      values: [N, D], nan where a number is missing.
      lines: the line of each row.
      columns: the D names.
      missing: as for `read_columns`.
      path: the file's name, for the error messages.
      unit: what `lines` numbers.

    Raises:
      DataError: if missing numbers are refused, or are where they cannot be filled.
      ValueError: for another `missing`.
    """
    if missing not in MISSING:
        raise ValueError(
            f"missing must be one of {', '.join(MISSING)}, got {missing!r}"
        )
    where = np.argwhere(np.isnan(values))
    if not len(where):
        return values, None
    if missing == "refuse":
        raise DataError(
            f"{path} has no number in {_places(where, lines, columns, unit)}; fill "
            f"them, or choose a rule (--missing=interpolate or --missing=last)."
        )
    filled = values.copy()
    for d in np.unique(where[:, 1]):
        present = np.flatnonzero(~np.isnan(values[:, d]))
        ends_too_soon = (
            missing == "interpolate"
            and len(present)
            and (present[-1] < len(values) - 1)
        )
        if not len(present) or present[0] > 0 or ends_too_soon:
            row = 0 if not len(present) or present[0] > 0 else len(values) - 1
            side = "before" if row == 0 else "after"
            raise DataError(
                f"{path}, {unit} {lines[row]}: {columns[d]!r} has no number there and "
                f"none {side} it, so --missing={missing} cannot fill it."
            )
        rows = np.arange(len(values))
        if missing == "last":
            filled[:, d] = values[
                present[np.searchsorted(present, rows, "right") - 1], d
            ]
        else:
            filled[:, d] = np.interp(rows, present, values[present, d])
    return filled, (
        f"{path}: --missing={missing} filled {len(where)} cells: "
        f"{_places(where, lines, columns, unit)}."
    )


def _places(
    where: np.ndarray, lines: Sequence[int], columns: Sequence[str], unit: str
) -> str:
    """The cells (row, column) in words, ten of them at most for each column."""
    parts = []
    for d in np.unique(where[:, 1]):
        rows = [lines[n] for n in where[where[:, 1] == d, 0]]
        more = f" and {len(rows) - 10} more" if len(rows) > 10 else ""
        word = unit + "s" * (len(rows) > 1)
        parts.append(f"{columns[d]!r} on {word} {', '.join(map(str, rows[:10]))}{more}")
    return "; ".join(parts)
