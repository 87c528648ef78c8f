"""Columns of JSON lines: one object on each line, objects in it joined by points."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from seqjax.data.text import DataError, decode, split_lines

# The names of all columns -> those to read.
Choose: TypeAlias = Callable[[Sequence[str]], Sequence[str]]


def read(
    path: str, content: bytes, choose: Choose | None
) -> tuple[dict[str, list[Any]], list[int]]:
    """The columns of JSON lines; a row without one has None there.

    Args:
      path: of the file, for error messages.
      content: its bytes.
      choose: the names of all columns -> those to read; None is all.

    Returns:
      ({name: values}, the line of each row).

    Raises:
      DataError: with the line that is no object, or names a value twice.

    Example:
      >>> read("my.jsonl", b'{"a": {"b": 1}}\\n\\n{"c": [2]}\\n', None)
      ({'a.b': [1, None], 'c': [None, [2]]}, [1, 3])
    """
    rows, numbers = [], []
    for number, line in enumerate(split_lines(decode(content, path)), 1):
        if line.strip():
            rows.append(_parse(line, f"{path}, line {number}"))
            numbers.append(number)
    names = list(dict.fromkeys(name for row in rows for name in row))
    chosen = names if choose is None else choose(names)
    columns = {name: [row.get(name) for row in rows] for name in chosen}
    return columns, numbers


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
