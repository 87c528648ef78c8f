"""Puts runs side by side: their numbers, the flags that differ, their curves.

Examples:
    python -m experiments.compare runs/gru runs/lstm
    python -m experiments.compare runs/sweep/* --metric=valid_perplexity

The numbers are those of summary.json. The figure shows a number of metrics.jsonl, by
default the first of the validation part that all runs have, against minibatches.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.common import interrupts
from experiments.common.command_line import exit_on_mistakes
from experiments.common.console import print_columns
from experiments.common.errors import UserError
from experiments.common.plots import new_figure, save_figure
from seqjax.data.names import unknown_name
from seqjax.data.text import decode, split_lines

DEFAULT = "-"  # of a flag that a run does not set


class Run(NamedTuple):
    """What a folder of a run holds."""

    name: str
    flags: dict[str, str]
    summary: dict[str, Any]
    metrics: list[dict[str, Any]]


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m experiments.compare", description=__doc__, formatter_class=form
    )
    parser.add_argument("runs", nargs="+", help="Folders of runs.")
    parser.add_argument("--metric", help="Number to draw.")
    parser.add_argument("--figure", default="compare.png", help="File of the figure.")
    options = parser.parse_args(argv)
    if argv is None:
        interrupts.install()
    with exit_on_mistakes():
        compare(options.runs, options.metric, Path(options.figure))


def compare(folders: Sequence[str], metric: str | None, figure: Path) -> list[Run]:
    """Print the tables and draw the figure; the runs.

    Raises:
      UserError: if a folder holds no run, or no run has the metric.
    """
    runs = [read(name, Path(folder)) for name, folder in named(folders).items()]
    chosen = choose_metric(metric, runs)
    header = ["", *(run.name for run in runs)]
    numbers = unite([run.summary for run in runs])
    rows = [[k, *(shown(run.summary.get(k)) for run in runs)] for k in numbers]
    print_columns("numbers", header, rows)
    differ = [
        name
        for name in sorted(unite([run.flags for run in runs]))
        if len({run.flags.get(name, DEFAULT) for run in runs}) > 1 and name != "workdir"
    ]
    rows = [[n, *(run.flags.get(n, DEFAULT) for run in runs)] for n in differ]
    print_columns("flags that differ", header, rows)
    if chosen is not None:
        draw(figure, runs, chosen)
        print(f"{chosen.replace('_', ' ')} by minibatches: {figure}")
    return runs


def named(folders: Sequence[str]) -> dict[str, str]:
    """{the shortest name that tells a folder from the others: folder}."""
    paths = {folder: Path(folder).resolve().parts for folder in dict.fromkeys(folders)}
    longest = max(map(len, paths.values()))
    for length in range(1, longest + 1):
        names = {"/".join(parts[-length:]): f for f, parts in paths.items()}
        if len(names) == len(paths):
            return names
    raise UserError(f"{', '.join(folders)}: a folder is there twice.")


def read(name: str, folder: Path) -> Run:
    """The run of a folder.

    Raises:
      UserError: if it holds none, or a file cannot be parsed.
    """
    if not (folder / "flags.txt").exists():
        raise UserError(f"{folder} holds no run: there is no flags.txt.")
    lines = split_lines(text_of(folder / "flags.txt"))
    summary, metrics = folder / "summary.json", folder / "metrics.jsonl"
    try:
        return Run(
            name,
            dict(map(flag_of, (x for x in lines if x.startswith("--")))),
            flat(json.loads(text_of(summary))) if summary.exists() else {},
            [json.loads(line) for line in split_lines(text_of(metrics))]
            if metrics.exists()
            else [],
        )
    except ValueError as error:
        raise UserError(f"{folder} holds a damaged file: {error}.") from None


def flat(found: dict[str, Any], before: str = "") -> dict[str, Any]:
    """The numbers of an object and of those in it, by names joined by points."""
    numbers: dict[str, Any] = {}
    for name, value in found.items():
        if isinstance(value, dict):
            numbers |= flat(value, f"{before}{name}.")
        else:
            numbers[before + name] = value
    return numbers


def text_of(path: Path) -> str:
    return decode(path.read_bytes(), path, may_be_empty=True)


def flag_of(line: str) -> tuple[str, str]:
    """("hidden_size", "256") of a line of flags.txt; booleans are true or false."""
    name, equals, value = line.removeprefix("--").partition("=")
    if equals:
        return name, value
    return name.removeprefix("no"), str(not name.startswith("no")).lower()


def choose_metric(name: str | None, runs: Sequence[Run]) -> str | None:
    """The number to draw; None if no run has logged any.

    Raises:
      UserError: if no run has a number of this name.
    """
    keys = [k for k in unite([m for r in runs for m in r.metrics]) if k != "step"]
    if name is not None:
        if name not in keys:
            raise UserError(f"--metric: {unknown_name('number', name, keys)}")
        return name
    shared = [k for k in keys if all(any(k in m for m in r.metrics) for r in runs)]
    preferred = [k for k in shared if k.startswith("valid_")] or shared or keys
    return next(iter(preferred), None)


def unite(dicts: Sequence[dict[str, Any]]) -> list[str]:
    """The keys of all, in the order in which they come."""
    return list(dict.fromkeys(key for entries in dicts for key in entries))


def shown(value: Any) -> str:
    """A number with the digits that matter; - where there is none."""
    if value is None:
        return DEFAULT
    if isinstance(value, float):
        size = math.floor(math.log10(abs(value))) if value else 0
        return f"{value:,.{max(0, 4 - size)}f}" if abs(size) < 8 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else repr(value)[1:-1][:12]


def draw(path: Path, runs: Sequence[Run], metric: str) -> None:
    """A line for each run."""
    figure, axes = new_figure(7, 4.5)
    for run in runs:
        lines = [m for m in run.metrics if m.get(metric) is not None]
        points = [(m["step"], m[metric]) for m in lines]
        if points:
            axes.plot(*zip(*points, strict=True), label=run.name)
    axes.set(xlabel="minibatches", ylabel=metric.replace("_", " "))
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(figure, path, dpi=120)


if __name__ == "__main__":
    main()
