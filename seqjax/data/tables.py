"""Columns of Parquet files, of JSON lines, and of data sets of Hugging Face.

A Parquet file and an Arrow stream begin with their marks. A file of JSON lines is
called *.jsonl or *.ndjson, or its columns are named and it begins with a brace. The
name of a column in an object holds a point: translation.en.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seqjax.data import arrow_tables, json_lines
from seqjax.data.arrow_tables import PARQUET
from seqjax.data.json_lines import Choose
from seqjax.data.names import unknown_name
from seqjax.data.saved_datasets import STREAM, expand_splits, is_saved, read_streams
from seqjax.data.sources import sha256_of
from seqjax.data.text import DataError, read_bytes, shown_path

_JSON_LINES = re.compile(r".*\.(jsonl|ndjson)(\.gz|\.zst)?", re.IGNORECASE | re.DOTALL)


class Part(NamedTuple):
    """A file of the user: what messages call it, and its bytes."""

    path: str
    content: bytes


class Table(NamedTuple):
    """Columns of a file, each with one value for every row."""

    path: str
    unit: str  # what numbers count: "line" or "row"
    numbers: Sequence[int]  # of the rows, from 1
    columns: dict[str, list[Any]]

    def at(self, index: int) -> str:
        """Where a row is, for error messages."""
        return f"{self.path}, {self.unit} {self.numbers[index]}"


def read_parts(paths: Iterable[str | Path]) -> list[Part]:
    """The bytes of files, each read once: they may be pipes.

    Args:
      paths: files, "-" for standard input, or folders that `save_to_disk` of the
        library datasets wrote. Three parts take the place of a folder of several.

    Raises:
      DataError: as `text.read_bytes`, and for a folder that is damaged.
    """
    return [
        Part(
            shown_path(path),
            read_streams(Path(path)) if is_saved(path) else read_bytes(path),
        )
        for path in expand_splits(paths)
    ]


def read_part(path: str | Path) -> Part:
    """The bytes of one file, or of a folder of one data set.

    Raises:
      DataError: as `read_parts`, and for a folder of several splits.
    """
    part, *others = read_parts([path])
    if others:
        raise DataError(
            f"{path} has several splits; the folder of one was expected, such as "
            f"{path}/test."
        )
    return part


def checksum(parts: Sequence[Part], columns: Sequence[str] | None = None) -> str:
    """The sha256 of what is read: the bytes and, of tables, the names of the columns.

    Args:
      parts: the files.
      columns: the names that the user gave.

    Raises:
      DataError: if columns are named and no file is a table.
    """
    are_tables = [is_table(part, columns) for part in parts]
    if columns is not None and not any(are_tables):
        raise DataError(
            f"{parts[0].path} has no columns to name: Parquet, JSON lines or a data "
            f"set of Hugging Face was expected."
        )
    contents = [part.content for part in parts]
    read = [repr((are_tables, columns)).encode()] if any(are_tables) else []
    return sha256_of(*contents, *read)


def is_table(part: Part, columns: Sequence[str] | None = None) -> bool:
    """Whether a file is a table, and no text.

    Args:
      part: the file.
      columns: the names of columns that the user gave.

    Example:
      >>> is_table(Part("my.jsonl", b"")), is_table(Part("my.json", b"{}"))
      (True, False)
    """
    has_mark = part.content.startswith((PARQUET, STREAM))
    begins_an_object = columns is not None and part.content.lstrip()[:1] == b"{"
    return has_mark or begins_an_object or is_json_lines(part.path)


def is_json_lines(path: str | Path) -> bool:
    """Whether the name of a file is that of JSON lines.

    >>> [is_json_lines(name) for name in ("my.jsonl", "my.ndjson.gz", "my.json")]
    [True, True, False]
    """
    return bool(_JSON_LINES.fullmatch(str(path)))


def read_table(part: Part, choose: Choose | None = None) -> Table:
    """Columns of a table.

    Values are those of JSON. Times are written as in ISO 8601, and the classes of a
    data set of Hugging Face by their names.

    Args:
      part: a file that `is_table`.
      choose: the names of all columns -> those to read; None is all.

    Raises:
      DataError: if the file is damaged or empty, or a column does not exist.
    """
    numbers: Sequence[int]
    if part.content.startswith((PARQUET, STREAM)):
        columns, number = arrow_tables.read(*part, choose)
        unit, numbers = "row", range(1, number + 1)
    else:
        unit, (columns, numbers) = "line", json_lines.read(*part, choose)
    if not numbers:
        raise DataError(f"{part.path} has no rows.")
    return Table(part.path, unit, numbers, columns)


def choose_columns(
    path: str, given: Sequence[str] | None, usual: Mapping[str, Sequence[str]]
) -> Choose:
    """A function that chooses one column for each purpose.

    Args:
      path: of the file, for error messages.
      given: the names that the user gave, one for each purpose; None takes the only
        column with a usual name.
      usual: purpose -> names, in lower case.

    Raises:
      DataError: by the function, for a name that does not exist, and for a purpose with
        no column of a usual name, or with several.

    Example:
      >>> choose = choose_columns("my.parquet", None, {"text": ("text", "sentence")})
      >>> choose(["id", "Text"])
      ['Text']
    """

    def choose(names: Sequence[str]) -> Sequence[str]:
        if given is not None:
            for name in given:
                if name not in names:
                    raise DataError(f"{path}: {unknown_name('column', name, names)}")
            return given
        found = []
        for purpose, own in usual.items():
            fitting = [name for name in names if name.lower() in own]
            if len(fitting) != 1:
                held = "several" if fitting else "none"
                raise DataError(
                    f"{path}: one column of the {purpose} ({' or '.join(own)}) was "
                    f"expected, there is {held} among {', '.join(names)}; name the "
                    f"columns (--columns={','.join(usual)})."
                )
            found += fitting
        return found

    return choose


def texts_of(table: Table, name: str) -> list[str]:
    """The texts of a column.

    Raises:
      DataError: with the row, for a value that is no text.
    """
    for index, value in enumerate(table.columns[name]):
        if not isinstance(value, str):
            raise _unexpected(table, index, name, value, "a text")
    return table.columns[name]


def names_of(table: Table, name: str) -> list[str]:
    """The labels of a column: texts without surrounding spaces, or whole numbers.

    Raises:
      DataError: with the row, for another value, or an empty one.
    """
    values = enumerate(table.columns[name])
    return [_label(table, index, name, value) for index, value in values]


def lists_of(table: Table, name: str) -> list[list[str]]:
    """The lists of a column, of texts or whole numbers.

    Raises:
      DataError: with the row, for another value.
    """
    found = []
    for index, values in enumerate(table.columns[name]):
        if not isinstance(values, list):
            raise _unexpected(table, index, name, values, "a list of texts")
        found.append([_label(table, index, name, value) for value in values])
    return found


def _label(table: Table, index: int, name: str, value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _unexpected(table, index, name, value, "a text or a whole number")


def _unexpected(
    table: Table, index: int, name: str, value: Any, expected: str
) -> DataError:
    found = "no value" if value is None else f"{value!r}"[:40]
    return DataError(
        f"{table.at(index)}: {name!r} holds {found}, where {expected} was expected."
    )
