"""The rows of a CSV text, each with its line, and nothing lost between them.

Python's csv module parses in its strict mode. It lets two faults pass that lose rows: a
quote that another row closes, and the wrong delimiter. Both are caught here.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from seqjax.data.text import DataError

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
# What a first line of data holds, and no name of a column.
_VALUE = re.compile(rf"{NUMBER.pattern}|\d{{4}}-\d\d.*", re.ASCII)
DELIMITERS = ("\t", ";", ",")  # between two that fit equally, the rarer in other roles
_SAMPLE = 100  # rows by which the delimiter is chosen


class Row(NamedTuple):
    """The cells of a row, and the line of the file on which it begins."""

    line: int
    cells: list[str]


class Table(NamedTuple):
    """A CSV file."""

    header: list[str]  # without surrounding spaces
    rows: list[Row]  # as wide as the header
    delimiter: str


def read_table(text: str, path: str | Path) -> Table:
    """The table in the text of a CSV file, whose first line names the columns.

    Commas, semicolons or tabs separate the cells: the delimiter that gives the most
    columns among those by which all rows are as wide as the first. Blank lines are left
    out, except in a file of a single column, where a blank line is an empty cell.

    Args:
      text: the text, not empty.
      path: the file's name, for the error messages.

    Raises:
      DataError: with the line, for a quote that is not closed or that swallows another
        row, and for a row that is not as wide as the header; for a first line that
        names no columns.
    """
    delimiter = _find_delimiter(text)
    (first, header), *rows = _parse(text, delimiter, path) or [Row(1, [""])]
    header = [name.strip() for name in header]
    if all(not name or _VALUE.fullmatch(name) for name in header):
        raise DataError(
            f"{path}, line {first}: {delimiter.join(header)!r} names no columns; a "
            f"first line of names was expected."
        )
    for line, cells in rows:
        if len(cells) != len(header):
            number = f"{len(cells)} cell{'s' * (len(cells) != 1)}"
            raise DataError(
                f"{path}, line {line}: {number}, but the first line names "
                f"{len(header)}."
            )
    return Table(header, rows, delimiter)


def _find_delimiter(text: str) -> str:
    """The delimiter of a table; a comma if none fits."""
    beginning = io.StringIO(text, newline="\n")
    widths: dict[str, int] = {}
    for delimiter in DELIMITERS:
        beginning.seek(0)
        reader = csv.reader(beginning, delimiter=delimiter, strict=True)
        try:
            sample = [row for row, _ in zip(reader, range(_SAMPLE), strict=False)]
        except csv.Error:
            continue
        found = {len(row) for row in sample if row}
        if len(found) == 1 and max(found) > 1:
            widths[delimiter] = max(found)
    if widths:
        return max(widths, key=lambda delimiter: widths[delimiter])
    header = text.lstrip("\n").split("\n", 1)[0]
    return max(reversed(DELIMITERS), key=header.count)


def _parse(text: str, delimiter: str, path: str | Path) -> list[Row]:
    """All rows, the header first."""
    lines = text.rstrip("\n").split("\n")
    reader = csv.reader(
        (f"{line}\n" for line in lines), delimiter=delimiter, strict=True
    )
    rows: list[Row] = []
    width, begin = 0, 1
    try:
        for cells in reader:
            end = reader.line_num
            if end > begin:
                _check_swallowed(path, cells, lines, (begin, end), delimiter)
            is_blank = len(cells) <= 1 and not "".join(cells).strip(" \t")
            if not is_blank:
                rows.append(Row(begin, cells))
                width = width or len(cells)
            elif width == 1:
                rows.append(Row(begin, [""]))
            begin = end + 1
    except csv.Error as error:
        raise DataError(f"{path}, line {begin}: {_explain(error)}.") from None
    return rows


def _explain(error: csv.Error) -> str:
    message = str(error)
    if "unexpected end of data" in message:
        return 'a quote (") opens in this row and is never closed'
    if "expected after" in message:
        return 'text follows a closing quote ("); is a quote of this row not closed?'
    if "field limit" in message:
        return 'a cell is longer than 131,072 characters; is a quote (") not closed?'
    if "new-line character" in message:
        return "a carriage return within a line; lines end in LF or CRLF"
    return message


def _check_swallowed(
    path: str | Path,
    cells: Sequence[str],
    lines: Sequence[str],
    span: tuple[int, int],
    delimiter: str,
) -> None:
    """Refuse a quoted cell that contains a line which reads like a row of its own.

    Such a line has as many cells as the row, and numbers where the row has numbers.
    """
    begin, end = span
    numeric = [i for i, cell in enumerate(cells) if NUMBER.fullmatch(cell.strip())]
    for line in range(begin + 1, end + 1):
        inner = [c.strip() for c in lines[line - 1].replace('"', "").split(delimiter)]
        is_row = len(inner) == len(cells) and bool(numeric)
        if is_row and all(NUMBER.fullmatch(inner[i]) for i in numeric):
            raise DataError(
                f'{path}, line {begin}: a quote (") that opens in this row is closed '
                f"on line {end} only, and line {line} between them reads like a row."
            )


def cells_of(table: Table, name: str) -> Iterator[tuple[int, str]]:
    """(line, cell without surrounding spaces) of each row in a column."""
    index = table.header.index(name)
    return ((line, cells[index].strip()) for line, cells in table.rows)
