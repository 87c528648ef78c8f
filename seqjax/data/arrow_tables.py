"""Columns of Parquet files and of Arrow streams, by pyarrow.

Values are those of JSON, times are texts, and the classes of a data set of Hugging Face
have their names, which it keeps in the metadata of the schema.
"""

import importlib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from seqjax.data.json_lines import Choose
from seqjax.data.saved_datasets import check_stream
from seqjax.data.text import DataError

PARQUET = b"PAR1"  # how a file begins


def read(
    path: str, content: bytes, choose: Choose | None
) -> tuple[dict[str, list[Any]], int]:
    """The columns of a Parquet file, or of one Arrow stream after the other.

    Args:
      path: of the file, for error messages.
      content: its bytes.
      choose: the names of all columns -> those to read; None is all.

    Returns:
      ({name: values}, the number of rows).

    Raises:
      DataError: if it is damaged, a chosen column exists twice, or pyarrow is missing.
    """
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
            chosen = _chosen(path, file.schema_arrow, choose)
            table = file.read(list({names[0] for names in chosen.values()}))
        else:
            check_stream(content, path)
            streams = []
            while buffer.tell() < len(content):
                streams.append(arrow.ipc.open_stream(buffer).read_all())
            table = arrow.concat_tables(streams)
            chosen = _chosen(path, table.schema, choose)
        table.validate(full=True)
        columns = {name: _values(arrow, table, *way) for name, way in chosen.items()}
    except DataError:
        raise
    except (arrow.ArrowException, OSError, ValueError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise DataError(f"{path} is damaged: {reason}.") from None
    return columns, len(table)


def _chosen(path: str, schema: Any, choose: Choose | None) -> dict[str, list[str]]:
    """The names of the columns to read -> the names that lead to them."""
    leaves = [(".".join(names), names) for names in _leaves(schema)]
    found = dict(leaves)
    chosen = (choose or list)(list(found))
    for name in chosen:
        if [leaf for leaf, _ in leaves].count(name) > 1:
            raise DataError(f"{path} has two columns named {name!r}.")
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
