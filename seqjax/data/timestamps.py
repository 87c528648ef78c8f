"""The cells of a time column: dates, weeks and quarters of a calendar, or numbers."""

import datetime
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqjax.data.csv_rows import NUMBER
from seqjax.data.text import DataError

_TIME = r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)?\s?(Z|[+-]\d\d(?::?\d\d)?)?"
_DATE = re.compile(rf"(\d{{4}})-?(\d\d)(?:-?(\d\d)(?:[T ]{_TIME})?)?", re.ASCII)
_QUARTER = re.compile(r"(\d{4})([- ]?)Q([1-4])", re.ASCII)
_WEEK = re.compile(r"(\d{4})(-?)W(\d\d)(?:\2([1-7]))?", re.ASCII)
_DIGITS = re.compile(r"(?:\d{6}|\d{8}|\d{12}|\d{14})", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_YEARS = (1600, 2400)  # of dates that are written in digits alone

Cells = Sequence[tuple[int, str]]  # (line, cell without surrounding spaces)


class Times(NamedTuple):
    """Increasing times."""

    values: np.ndarray  # [N], datetime64, int64 or float64
    form: str  # how the cells are written, see `written`


def read_times(
    cells: Cells,
    path: str | Path,
    name: str,
    decimal_mark: str = ".",
    unit: str = "line",
) -> Times:
    """The times in a column: numbers, or dates of ISO 8601 in the same time zone.

    Dates may be written without hyphens, as 20160701. Numbers of 6, 8, 12 or 14 digits
    are such dates if more than half of them are possible dates. A week, such as
    2016-W26 or 2016W26, is its Monday, and 2016-W26-5 its Friday; a quarter, such as
    2016-Q3, 2016Q3 or 2016 Q3, is its first month.

    Args:
      cells: the column.
      path, name: of the file and of the column, for the error messages.
      decimal_mark: of numbers, "." or ",".
      unit: what the cells are numbered by, for the error messages.

    Raises:
      DataError: with the line, for a cell that is neither, for a time zone or notation
        that changes and for a time that does not increase.
    """
    texts = [cell.replace(decimal_mark, ".") for _, cell in cells]
    form = "{time}"
    if is_compact(texts) or not all(map(NUMBER.fullmatch, texts)):
        values, form = _dates(cells, path, name, unit)
    elif all(map(_INTEGER.fullmatch, texts)):
        values = np.array([int(text) for text in texts], np.int64)
    else:
        values = np.array([float(text) for text in texts], np.float64)
    late = np.flatnonzero(~(values[1:] > values[:-1]))
    if len(late):
        raise DataError(
            f"{path}, {unit} {cells[late[0] + 1][0]}: the time in {name!r} does not "
            f"increase."
        )
    return Times(values, form)


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


def _dates(
    cells: Cells, path: str | Path, name: str, unit: str
) -> tuple[np.ndarray, str]:
    dates: list[np.datetime64] = []
    form = ""
    for line, cell in cells:
        found = _date(cell)
        if found is None:
            raise DataError(
                f"{path}, {unit} {line}: {cell!r} in {name!r} is neither a date such "
                f"as 2016-07-01 00:00, a week such as 2016-W26, a quarter such as "
                f"2016-Q3 nor a number."
            )
        date, its_form = found
        form = form or its_form
        if its_form != form:
            raise DataError(f"{path}, {unit} {line}: {_change(name, form, its_form)}.")
        dates.append(date)
    return np.array(dates), form


def _change(name: str, before: str, after: str) -> str:
    """What changes from one form to another."""
    zones = [form.removeprefix("{time}") for form in (before, after)]
    if "{" not in "".join(zones):
        return (
            f"the time zone in {name!r} changes from {zones[0] or 'none'} to "
            f"{zones[1] or 'none'}; one zone, such as UTC, was expected in the whole "
            f"column"
        )
    example = np.datetime64("2016-07-01")
    there, here = (written(example, form) for form in (before, after))
    return (
        f"the notation in {name!r} changes from that of {there} to that of {here}; one "
        f"was expected in the whole column"
    )


def written(time: np.datetime64, form: str) -> str:
    """A time as the cells of a column are written.

    Args:
      time: the time.
      form: a format string of the year and quarter, of the year and week of ISO 8601
        and the day of the week, or of the whole time, as `read_times` returns it.

    >>> written(np.datetime64("2016-07-04"), "{week_year:04}-W{week:02}")
    '2016-W27'
    """
    month, day = (time.astype(f"M8[{unit}]").astype(int) for unit in "MD")
    weekday = (day + 3) % 7  # 0 is Monday; 1970-01-01 was a Thursday
    thursday = np.datetime64(int(day - weekday + 3), "D")  # it decides the year
    year = thursday.astype("M8[Y]")
    return form.format(
        time=time,
        year=1970 + month // 12,
        quarter=1 + month % 12 // 3,
        week_year=1970 + year.astype(int),
        week=1 + (thursday - year.astype("M8[D]")).astype(int) // 7,
        weekday=1 + weekday,
    )


def _week_or_quarter(text: str) -> tuple[np.datetime64, str] | None:
    """The date and the form of a week or a quarter; None if it is none."""
    if match := _QUARTER.fullmatch(text):
        year, mark, quarter = match.groups()
        date = np.datetime64(f"{year}-{3 * int(quarter) - 2:02}")
        return date, f"{{year:04}}{mark}Q{{quarter}}"
    if match := _WEEK.fullmatch(text):
        year, mark, week, day = match.groups()
        try:
            monday = datetime.date.fromisocalendar(int(year), int(week), int(day or 1))
        except ValueError:  # such as 2021-W53
            return None
        weekday = f"{mark}{{weekday}}" if day else ""
        return np.datetime64(monday), f"{{week_year:04}}{mark}W{{week:02}}{weekday}"
    return None


def _date(text: str) -> tuple[np.datetime64, str] | None:
    """The date in a cell and its form; None if there is none."""
    if found := _week_or_quarter(text):
        return found
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
        return np.datetime64(iso), f"{{time}}{zone or ''}"
    except ValueError:  # such as 2020-02-30
        return None


def _spaced(text: str) -> str:
    """Digits alone with a T between the date and the time of day."""
    if len(text) in (12, 14) and _DIGITS.fullmatch(text):
        return f"{text[:8]}T{text[8:]}"
    return text
