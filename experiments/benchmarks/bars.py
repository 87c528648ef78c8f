"""Bars of a benchmark's results, from its JSON file.

    python -m experiments.benchmarks.bars runs/benchmarks/recurrence.json

Every benchmark that compares libraries draws them beside its JSON file when it ends. A
bar is the geometric mean, over the shapes of a group, of an arm's time divided by that
of seqjax (of the first arm, if there is no such arm); a line reaches from the lowest to
the highest of these.
"""

import argparse
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.common.command_line import exit_on_mistakes
from experiments.common.errors import UserError
from experiments.common.plots import COLORS, new_figure, save_figure
from seqjax.data.text import read_text

HATCHES = ("", "//", "..", "\\\\", "xx", "--", "++")
Ratios = dict[str, dict[str, list[float]]]  # group -> arm -> its ratios, by shape


def ratios(records: Iterable[Mapping[str, Any]]) -> Ratios:
    """The times of all arms, divided by that of the base.

    A group is a cell or a task, else a beam or a shape.

    Raises:
      KeyError, TypeError: if the records are not those of arms with times.
    """
    found: Ratios = {}
    for record in records:
        arms = record["arms"] if "arms" in record else record["seconds"]
        seconds = {name: _median(arm) for name, arm in arms.items()}
        base = seconds.get("seqjax", next(iter(seconds.values())))
        beam = f"beam {record['beam']}" if "beam" in record else record["shape"]
        group = found.setdefault(record.get("cell") or record.get("task") or beam, {})
        for name, value in seconds.items():
            group.setdefault(name, []).append(value / base)
    return found


def _median(arm: Mapping[str, Any]) -> float:
    """The median time of an arm: of both passes, where there are two."""
    times = arm.get("backward") or arm.get("seconds") or arm
    return times["median"]


def draw_bars(file: str | Path) -> Path:
    """Draw the bars of a JSON file as a PNG beside it; the path of the PNG.

    Raises:
      DataError: if the file cannot be read.
      UserError: if it is not the JSON of a benchmark that compares arms.
    """
    path = Path(file)
    text = read_text(path)
    try:
        found = json.loads(text)
        name, groups = found["benchmark"], ratios(found["results"])
        date = found["machine"]["date"][:10]
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration):
        raise UserError(f"{path} holds no arms of a benchmark to draw.") from None
    arms = list(dict.fromkeys(arm for group in groups.values() for arm in group))
    base = "seqjax" if "seqjax" in arms else arms[0]
    others = [arm for arm in arms if arm != base]
    figure, axes = new_figure(7.5, 1.2 + 0.24 * len(groups) * (len(others) + 1))
    for number, arm in enumerate(others):
        places, means, reach = _bars(groups, others, arm)
        axes.barh(
            places,
            means,
            0.8 / len(others),
            xerr=reach,
            label=arm,
            color=COLORS[number % len(COLORS)],
            hatch=HATCHES[number % len(HATCHES)],
            edgecolor="white",
            error_kw={"lw": 1, "ecolor": "0.3"},
        )
        for place, mean in zip(places, means, strict=True):
            axes.text(0.02, place, f"{mean:.2f}", va="center", fontsize=8, **_LABEL)
    axes.axvline(1, color="0.2", lw=1)
    axes.set_yticks(range(len(groups)), list(groups))
    axes.invert_yaxis()
    axes.set(xlabel=f"time, divided by that of {base}", title=f"{name}, {date}")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1))
    save_figure(figure, path.with_suffix(".png"), dpi=100)
    return path.with_suffix(".png")


_LABEL: dict[str, Any] = {
    "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 1, "alpha": 0.85}
}


def _bars(
    groups: Ratios, arms: Sequence[str], arm: str
) -> tuple[list[float], list[float], list[list[float]]]:
    """(places, means, how far below and above them the shapes reach) of an arm."""
    places, means, below, above = [], [], [], []
    for place, group in enumerate(groups.values()):
        if arm in group:
            mean = statistics.geometric_mean(group[arm])
            places.append(place + 0.8 * ((arms.index(arm) + 0.5) / len(arms) - 0.5))
            means.append(mean)
            below.append(max(0, mean - min(group[arm])))
            above.append(max(0, max(group[arm]) - mean))
    return places, means, [below, above]


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the bars of these files, by default those of the process's arguments."""
    parser = argparse.ArgumentParser(
        "python -m experiments.benchmarks.bars",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", help="JSON files of benchmarks.")
    with exit_on_mistakes():
        for file in parser.parse_args(argv).files:
            print(draw_bars(file))


if __name__ == "__main__":
    main()
