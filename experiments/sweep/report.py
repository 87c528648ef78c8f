"""The table and the figure of a sweep: means over seeds."""

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.common.console import print_columns
from experiments.common.errors import UserError
from experiments.common.plots import DASHES, new_figure, save_figure
from experiments.sweep.grid import Run
from seqjax import durable
from seqjax.data.names import unknown_name

SEED = "seed"


def read_summaries(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """summary.json of each run; empty where there is none."""
    found = []
    for run in runs:
        path = run.workdir / "summary.json"
        found.append(json.loads(path.read_bytes()) if path.exists() else {})
    return found


def choose_metric(name: str | None, summaries: Sequence[dict[str, Any]]) -> str:
    """The number to compare: `name`, or the first one of the validation part.

    Raises:
      UserError: if the summaries do not have it.
    """
    numbers = [
        key
        for key, value in next(filter(None, summaries), {}).items()
        if isinstance(value, int | float)
    ]
    if name is None:
        valid = [key for key in numbers if key.startswith("valid_")]
        if not valid:
            raise UserError(f"--metric: give one of {', '.join(numbers) or 'none'}.")
        return valid[0]
    if name not in numbers:
        raise UserError(f"--metric: {unknown_name('number', name, numbers)}")
    return name


def report(
    folder: Path, runs: Sequence[Run], metric: str, summaries: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Print the table, write sweep.json and sweep.png; the rows of the table."""
    groups: dict[tuple[str, ...], list[float]] = {}
    names = [flag for flag in runs[0].values if flag != SEED]
    for run, summary in zip(runs, summaries, strict=True):
        value = summary.get(metric)
        number = math.nan if value is None else float(value)
        groups.setdefault(tuple(run.values[n] for n in names), []).append(number)
    rows = []
    for values, numbers in groups.items():
        known = [x for x in numbers if not math.isnan(x)]
        rows.append(
            {
                **dict(zip(names, values, strict=True)),
                "mean": statistics.mean(known) if known else math.nan,
                "deviation": statistics.stdev(known) if len(known) > 1 else 0.0,
                "runs": len(known),
                "failed": len(numbers) - len(known),
            }
        )
    header = (*names, metric, "+-", "runs", "failed")
    shown = [
        (
            *(row[n] for n in names),
            f"{row['mean']:.4g}",
            f"{row['deviation']:.2g}",
            str(row["runs"]),
            str(row["failed"]),
        )
        for row in rows
    ]
    print_columns(f"{metric} of {len(runs)} runs", header, shown)
    strict = [
        {k: None if v != v else v for k, v in row.items()}  # nan is no JSON
        for row in rows
    ]
    text = json.dumps({"metric": metric, "rows": strict}, indent=2)
    durable.write_bytes(folder / "sweep.json", f"{text}\n".encode())
    draw(folder / "sweep.png", names, rows, metric)
    return rows


def draw(
    path: Path, names: Sequence[str], rows: Sequence[dict[str, Any]], metric: str
) -> None:
    """The metric against the first flag, a line for each choice of the others."""
    figure, axes = new_figure(7, 4.5)
    first, others = (names[0], names[1:]) if names else ("runs", [])
    ticks = list(dict.fromkeys(str(row.get(first, metric)) for row in rows))
    lines: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        label = ", ".join(f"{name}={row[name]}" for name in others)
        lines.setdefault(label, []).append(row)
    for number, (label, members) in enumerate(lines.items()):
        axes.errorbar(
            [ticks.index(str(row.get(first, metric))) for row in members],
            [row["mean"] for row in members],
            yerr=[row["deviation"] for row in members],
            ls=DASHES[number % len(DASHES)],
            marker="o",
            capsize=3,
            label=label or None,
        )
    axes.set_xticks(range(len(ticks)), ticks)
    axes.set(xlabel=first, ylabel=metric)
    axes.grid(alpha=0.3)
    if others:
        axes.legend()
    save_figure(figure, path, dpi=120)
