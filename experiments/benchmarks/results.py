"""The results of a benchmark: its JSON file, and numbers in its tables."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks.environment import describe_machine
from experiments.common.errors import UserError
from experiments.common.settings import entries
from seqjax import durable


def check_json(file: str) -> Path:
    """Check --json before the measurement starts, and create its folder.

    Raises:
      UserError: if the file cannot be written.
    """
    path = Path(file)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--json {path}: {error.strerror}.") from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise UserError(f"--json {path} cannot be written.")
    return path


def write_json(name: str, config: Any, records: Sequence[Any], summary: Any) -> None:
    """Write the machine, the settings and all numbers, and replace the file at once.

    Args:
      name: the benchmark.
      config: its settings; `config.json` is the file.
      records: the measurements, one for each shape and cell.
      summary: what is computed from them.

    Raises:
      ValueError: if a number is not finite.
    """
    path = Path(config.json)
    numbers = {
        "benchmark": name,
        "machine": describe_machine(),
        "flags": {entry.name: entry.value for entry in entries(config)},
        "rounds": getattr(config, "rounds", 1),
        "results": records,
        "summary": summary,
    }
    text = json.dumps(numbers, indent=1, allow_nan=False)
    durable.write_bytes(path, f"{text}\n".encode())


def format_number(value: float | None, digits: int = 1) -> str:
    """A number in a table; "-" for None."""
    return "-" if value is None else f"{value:,.{digits}f}"


def format_spread(
    spread: dict[str, float], digits: int = 1, scale: float = 1.0
) -> tuple[str, str]:
    """(median, "(low-high)") of `timing.spread` in a table, each times `scale`."""
    low, median, high = (
        format_number(scale * spread[key], digits) for key in ("low", "median", "high")
    )
    return median, f"({low}-{high})"
