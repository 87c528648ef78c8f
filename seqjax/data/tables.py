"""Columns of Parquet files, of JSON lines, and of data sets of Hugging Face.

A Parquet file and an Arrow stream begin with their marks. A file of JSON lines is
called *.jsonl or *.ndjson, or its columns are named and it begins with a brace. The
name of a column in an object holds a point: translation.en.
"""

import importlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from seqjax.data.names import unknown_name
from seqjax.data.saved_datasets import (
    STREAM,
    check_stream,
    expand_splits,
    is_saved,
    read_streams,
)
from seqjax.data.sources import sha256_of
from seqjax.data.text import DataError, decode, read_bytes, shown_path, split_lines

PARQUET = b"PAR1"
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


def read_table(
    part: Part, choose: Callable[[Sequence[str]], Sequence[str]] | None = None
) -> Table:
    """Columns of a table.

    Values are those of JSON. Times are written as in ISO 8601, and the classes of a
    data set of Hugging Face by their names.

    Args:
      part: a file that `is_table`.
      choose: the names of all columns -> those to read; None is all.

    Raises:
      DataError: if the file is damaged or empty, or a column does not exist.
    """
    is_arrow = part.content.startswith((PARQUET, STREAM))
    table = _arrow(part, choose) if is_arrow else _json_lines(part, choose)
    if not table.numbers:
        raise DataError(f"{part.path} has no rows.")
    return table


def choose_columns(
    path: str, given: Sequence[str] | None, usual: Mapping[str, Sequence[str]]
) -> Callable[[Sequence[str]], Sequence[str]]:
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


def _arrow(part: Part, choose: Callable | None) -> Table:
    """The table of a Parquet file, or of one Arrow stream after the other."""
    path, content = part
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise DataError(
            f'{path} is Parquet or Arrow; to read it, pip install "seqjax[data]".'
        ) from None
    try:
        buffer = arrow.BufferReader(content)
        if content.startswith(PARQUET):
            file = parquet.ParquetFile(buffer)
            chosen = _chosen(part, file.schema_arrow, choose)
            table = file.read(list({names[0] for names in chosen.values()}))
        else:
            check_stream(content, path)
            streams = []
            while buffer.tell() < len(content):
                streams.append(arrow.ipc.open_stream(buffer).read_all())
            table = arrow.concat_tables(streams)
            chosen = _chosen(part, table.schema, choose)
        table.validate(full=True)
        columns = {name: _values(arrow, table, *way) for name, way in chosen.items()}
    except DataError:
        raise
    except (arrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise DataError(f"{path} is damaged: {reason}.") from None
    return Table(path, "row", range(1, len(table) + 1), columns)


def _chosen(part: Part, schema: Any, choose: Callable | None) -> dict[str, list[str]]:
    """The names of the columns to read -> the names that lead to them."""
    leaves = [(".".join(names), names) for names in _leaves(schema)]
    found = dict(leaves)
    chosen = (choose or list)(list(found))
    for name in chosen:
        if [leaf for leaf, _ in leaves].count(name) > 1:
            raise DataError(f"{part.path} has two columns named {name!r}.")
    return {name: found[name] for name in chosen}


def _leaves(fields: Any) -> Iterator[list[str]]:
    """The names that lead to each column of a schema: several in an object."""
    for field in fields:
        if str(field.type).startswith("struct<"):
            yield from ([field.name, *names] for names in _leaves(field.type))
        else:
            yield [field.name]


def _values(arrow: Any, table: Any, first: str, *others: str) -> list[Any]:
    """The values of a column, or of a column of its objects."""
    compute = importlib.import_module("pyarrow.compute")
    column = table.column(first)
    if others:
        column = compute.struct_field(column, list(others))
    if arrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if arrow.types.is_timestamp(column.type) and column.type.tz:
        column = column.cast(arrow.timestamp(column.type.unit, "UTC"))
    if arrow.types.is_temporal(column.type):
        texts = column.cast(arrow.string()).to_pylist()
        return [text and re.sub(r"\.0+(?=Z?$)", "", text) for text in texts]
    classes = _classes(table.schema, (first, *others))
    return [_named(value, classes) for value in column.to_pylist()]


def _classes(schema: Any, names: Sequence[str]) -> Sequence[str] | None:
    """The names of the classes of a column, or of its lists, if it has them."""
    try:
        stored = json.loads((schema.metadata or {})[b"huggingface"])
        feature = stored["info"]["features"]
        for name in names:
            feature = feature[name]
        feature = feature[0] if isinstance(feature, list) else feature
        feature = feature.get("feature", feature)
        return feature["names"] if feature["_type"] == "ClassLabel" else None
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _named(value: Any, classes: Sequence[str] | None) -> Any:
    """The name of a class; no value for -1, which stands for an unknown class."""
    if isinstance(value, list):
        return [_named(item, classes) for item in value]
    if classes is None or not isinstance(value, int):
        return value
    return classes[value] if 0 <= value < len(classes) else None


def _json_lines(part: Part, choose: Callable | None) -> Table:
    rows, numbers = [], []
    for number, line in enumerate(split_lines(decode(part.content, part.path)), 1):
        if line.strip():
            rows.append(_parse(line, f"{part.path}, line {number}"))
            numbers.append(number)
    names = list(dict.fromkeys(name for row in rows for name in row))
    chosen = names if choose is None else choose(names)
    columns = {name: [row.get(name) for row in rows] for name in chosen}
    return Table(part.path, "line", numbers, columns)


def _parse(line: str, where: str) -> dict[str, Any]:
    """The object on a line, the names of objects in it joined by points."""
    try:
        found = json.loads(line, object_pairs_hook=_unique)
        json.dumps(found, ensure_ascii=False).encode()  # surrogates are no characters
        if isinstance(found, dict):
            return _unique(list(_flat(found)))
        reason = f"it holds {line.strip()[:20]!r}"
    except json.JSONDecodeError as error:
        reason = f"{error.msg} at character {error.colno}"
    except (ValueError, RecursionError) as error:
        reason = str(error)
    raise DataError(
        f"{where} is not an object of JSON ({reason}); Parquet or one object on each "
        f"line was expected."
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name occurs twice")
    return dict(pairs)


def _flat(found: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The values of an object and of the objects in it, with their names."""
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield before + name, value
