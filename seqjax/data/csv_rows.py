"""The rows of a CSV text, each with its line, and nothing lost between them.

Python's csv module parses in its strict mode. It lets two faults pass that lose rows: a
quote that another row closes, and the wrong delimiter. Both are caught here.
"""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from seqjax.data.text import DataError

NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
# What a first line of data holds, and no name of a column.
_VALUE = re.compile(rf"{NUMBER.pattern}|\d{{4}}-\d\d.*", re.ASCII)
DELIMITERS = ("\t", ";", ",")  # between two that fit equally, the rarer in other roles
_CARRIAGE_RETURN = "\ufdd0"  # a noncharacter, which no text contains
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
    unit: str = "line"  # what numbers the rows


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
    rows = parse_rows(text, delimiter, path)
    refuse_swallowed(rows, text, delimiter, path, _has_its_numbers)
    (first, header), *rows = _without_blanks(rows) or [Row(1, [""])]
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


def parse_rows(
    text: str, delimiter: str, path: str | Path, keep_carriage_returns: bool = False
) -> list[Row]:
    """All rows of a CSV text, also blank ones, as wide as they are.

    Args:
      text: the text.
      delimiter: of the cells.
      path: the file's name, for the error messages.
      keep_carriage_returns: take a lone carriage return for a character like others;
        else it may occur within quotes alone.

    Raises:
      DataError: with the line on which a row begins that cannot be parsed.
    """
    lines = (f"{line}\n" for line in _lines(text))
    if keep_carriage_returns:  # Python's csv module takes one for the end of a line
        lines = (line.replace("\r", _CARRIAGE_RETURN) for line in lines)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    rows: list[Row] = []
    begin = 1
    limit = csv.field_size_limit(2**31 - 1)  # of a cell: a document may be long
    try:
        for cells in reader:
            if keep_carriage_returns:
                cells = [cell.replace(_CARRIAGE_RETURN, "\r") for cell in cells]
            rows.append(Row(begin, cells))
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}, line {begin}: {_explain(error)}.") from None
    finally:
        csv.field_size_limit(limit)
    return rows


def _lines(text: str) -> list[str]:
    return text.rstrip("\n").split("\n")


def _explain(error: csv.Error) -> str:
    message = str(error)
    if "unexpected end of data" in message:
        return 'a quote (") opens in this row and is never closed'
    if "expected after" in message:
        return (
            'text follows a closing quote ("); within quotes, "" is a quote, and a '
            "quote of this row may not be closed"
        )
    if "new-line character" in message:
        return "a carriage return within a line; lines end in LF or CRLF"
    return message


def refuse_swallowed(
    rows: Sequence[Row],
    text: str,
    delimiter: str,
    path: str | Path,
    is_like: Callable[[list[str], list[str]], bool],
) -> None:
    """Refuse a quoted cell that contains a line which reads like a row of its own.

    Args:
      rows: all rows of the text, also blank ones.
      text, delimiter, path: as for `parse_rows`.
      is_like: (cells of the row, cells of such a line, as many) -> whether it is one.

    Raises:
      DataError: with the lines.
    """
    lines = _lines(text)
    begins = [*(row.line for row in rows[1:]), len(lines) + 1]
    for (begin, cells), next_begin in zip(rows, begins, strict=True):
        for line in range(begin + 1, next_begin):
            inner = lines[line - 1].replace('"', "").split(delimiter)
            if len(inner) == len(cells) and is_like(cells, inner):
                raise DataError(
                    f'{path}, line {begin}: a quote (") that opens in this row is '
                    f"closed on line {next_begin - 1} only, and line {line} between "
                    f"them reads like a row."
                )


def _has_its_numbers(cells: Sequence[str], line: Sequence[str]) -> bool:
    """Whether a line has numbers where a row has them."""
    pairs = zip(cells, line, strict=True)
    found = [other.strip() for c, other in pairs if NUMBER.fullmatch(c.strip())]
    return bool(found) and all(map(NUMBER.fullmatch, found))


def _without_blanks(rows: Sequence[Row]) -> list[Row]:
    """The rows but blank ones; below a header of one cell these are empty cells."""
    found: list[Row] = []
    for row in rows:
        if len(row.cells) > 1 or "".join(row.cells).strip(" \t"):
            found.append(row)
        elif found and len(found[0].cells) == 1:
            found.append(Row(row.line, [""]))
    return found


def cells_of(table: Table, name: str) -> Iterator[tuple[int, str]]:
    """(line, cell without surrounding spaces) of each row in a column."""
    index = table.header.index(name)
    return ((line, cells[index].strip()) for line, cells in table.rows)
