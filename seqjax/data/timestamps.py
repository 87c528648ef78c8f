"""The cells of a time column: dates with or without a time zone, or numbers."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqjax.data.csv_rows import NUMBER
from seqjax.data.text import DataError

_TIME = r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)?\s?(Z|[+-]\d\d(?::?\d\d)?)?"
_DATE = re.compile(rf"(\d{{4}})-?(\d\d)(?:-?(\d\d)(?:[T ]{_TIME})?)?", re.ASCII)
_DIGITS = re.compile(r"(?:\d{6}|\d{8}|\d{12}|\d{14})", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_YEARS = (1600, 2400)  # of dates that are written in digits alone

Cells = Sequence[tuple[int, str]]  # (line, cell without surrounding spaces)


class Times(NamedTuple):
    """Increasing times."""

    values: np.ndarray  # [N], datetime64, int64 or float64
    zone: str  # what follows each date, such as "Z" or "+05:30"; "" without a zone


def read_times(
    cells: Cells, path: str | Path, name: str, decimal_mark: str = "."
) -> Times:
    """The times in a column: numbers, or dates of ISO 8601 in the same time zone.

    Dates may be written without hyphens, as 20160701. Numbers of 6, 8, 12 or 14 digits
    are such dates if more than half of them are possible dates.

    Args:
      cells: the column.
      path, name: of the file and of the column, for the error messages.
      decimal_mark: of numbers, "." or ",".

    Raises:
      DataError: with the line, for a cell that is neither, for a time zone that changes
        and for a time that does not increase.
    """
    texts = [cell.replace(decimal_mark, ".") for _, cell in cells]
    zone = ""
    if is_compact(texts) or not all(map(NUMBER.fullmatch, texts)):
        values, zone = _dates(cells, path, name)
    elif all(map(_INTEGER.fullmatch, texts)):
        values = np.array([int(text) for text in texts], np.int64)
    else:
        values = np.array([float(text) for text in texts], np.float64)
    late = np.flatnonzero(~(values[1:] > values[:-1]))
    if len(late):
        raise DataError(
            f"{path}, line {cells[late[0] + 1][0]}: the time in {name!r} does not "
            f"increase."
        )
    return Times(values, zone)


def is_compact(texts: Sequence[str]) -> bool:
    """Whether numbers are dates written in digits alone."""
    if not texts or not all(map(_DIGITS.fullmatch, texts)):
        return False
    return sum(map(_is_compact_date, texts)) > len(texts) / 2


def look_like_dates(texts: Sequence[str]) -> bool:
    """Whether all cells are dates that increase, and not plain numbers."""
    if not texts or (all(map(NUMBER.fullmatch, texts)) and not is_compact(texts)):
        return False
    dates = [_date(text) for text in texts]
    found = [date[0] for date in dates if date is not None]
    if len(found) < len(texts):
        return False
    values = np.array(found)
    return bool((values[1:] > values[:-1]).all())


def _is_compact_date(text: str) -> bool:
    first, last = _YEARS
    return first <= int(text[:4]) < last and _date(text) is not None


def _dates(cells: Cells, path: str | Path, name: str) -> tuple[np.ndarray, str]:
    dates: list[np.datetime64] = []
    zones: list[str] = []
    for line, cell in cells:
        found = _date(cell)
        if found is None:
            raise DataError(
                f"{path}, line {line}: {cell!r} in {name!r} is neither a date such as "
                f"2016-07-01 00:00 nor a number."
            )
        date, zone = found
        if zones and zone != zones[0]:
            raise DataError(
                f"{path}, line {line}: the time zone in {name!r} changes from "
                f"{zones[0] or 'none'} to {zone or 'none'}; one zone, such as UTC, was "
                f"expected in the whole column."
            )
        dates.append(date)
        zones.append(zone)
    return np.array(dates), zones[0] if zones else ""


def _date(text: str) -> tuple[np.datetime64, str] | None:
    """The date and the time zone in a cell; None if there is none."""
    match = _DATE.fullmatch(_spaced(text))
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    iso = f"{year}-{month}" + (f"-{day}" if day else "")
    if hour:
        iso += f"T{hour}:{minute or '00'}"
    if second:
        iso += f":{second}" + (f".{fraction}" if fraction else "")
    try:
        return np.datetime64(iso), zone or ""
    except ValueError:  # such as 2020-02-30
        return None


def _spaced(text: str) -> str:
    """Digits alone with a T between the date and the time of day."""
    if len(text) in (12, 14) and _DIGITS.fullmatch(text):
        return f"{text[:8]}T{text[8:]}"
    return text
