"""The text files of a run: parsed, or refused by their names."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.common.errors import UserError
from seqjax.data.text import decode


def read_file(path: Path, parse: Callable[[str], Any]) -> Any:
    """What `parse` makes of a text file of the run, or a UserError."""
    try:
        return parse(decode(path.read_bytes(), path, may_be_empty=True))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise UserError(f"{path} is damaged and cannot be parsed.") from None


def strings(value: Any) -> list[str]:
    """A list of strings of a run's file.

    Raises:
      TypeError: if it is something else.
    """
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise TypeError("a list of strings was expected")
    return value


def parse_object(text: str) -> dict[str, Any]:
    """A JSON object."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise TypeError
    return found


def finite(value: Any) -> Any:
    """A value as JSON has it, at any depth: None for nan and infinity, no NumPy."""
    if isinstance(value, Mapping):
        return {str(key): finite(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [finite(member) for member in value]
    if hasattr(value, "tolist"):  # an array or a scalar of NumPy or jax
        return finite(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
