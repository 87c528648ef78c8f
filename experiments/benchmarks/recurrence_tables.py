"""The summary and the tables of `benchmarks.recurrence`."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.benchmarks import timing
from experiments.benchmarks.results import format_number, format_spread
from experiments.common.console import print_columns

LETTERS = "TxBxDxH"


def summarize(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """{cell: {arm: {"forward", "backward": `timing.summarize` over the shapes}}}.

    Args:
      records: one for each cell and shape, as `benchmarks.recurrence.measure` returns
        them.
    """
    ratios: dict[str, Any] = {}
    for record in records:
        for label, arm in record["arms"].items():
            for kind, ratio in arm["ratio"].items():
                of_cell = ratios.setdefault(record["cell"], {})
                of_kind = of_cell.setdefault(label, {}).setdefault(kind, {})
                of_kind[record["shape"]] = ratio
    return {
        cell: {
            label: {kind: timing.summarize(by_shape) for kind, by_shape in arm.items()}
            for label, arm in of_cell.items()
            if label != "seqjax" and not label.startswith("seqjax, ")
        }
        for cell, of_cell in ratios.items()
    }


def print_records(cell_name: str, records: Sequence[Mapping[str, Any]]) -> None:
    """Print the table of one cell: one section per shape, one row per arm."""
    header = (
        *("arm", "forward ms", "forward+backward ms", "(range)", "seqjax/arm"),
        *("GFLOP/s", "compile s", "peak MB", "temporary MB"),
    )
    sections: dict[str, Any] = {}
    for record in records:
        peak = record["peak_gflops"]
        sections[record["shape"]] = [
            *(_row(label, arm, peak) for label, arm in record["arms"].items()),
            _row("products alone", record["products"], peak),
            ("peak", "-", "-", "", "-", f"{peak:.0f}", "-", "-", "-"),
        ]
    print_columns(f"{cell_name}, {LETTERS}", header, sections)


def _row(label: str, arm: Mapping[str, Any], peak_gflops: float) -> tuple[str, ...]:
    """One row; the rate of seqjax is also given as a share of the peak."""
    remark = arm.get("note")
    gflops = f"{arm['gflops']:.0f}"
    if label == "seqjax":
        gflops += f" ({arm['gflops'] / peak_gflops:.0%})"
    return (
        f"{label} ({remark})" if remark and remark not in label else label,
        format_spread(arm["forward"], 2, 1e3)[0],
        *format_spread(arm["backward"], 2, 1e3),
        format_number(arm.get("ratio", {}).get("backward"), 2),
        gflops,
        format_number(arm.get("compile_seconds"), 2),
        *(_megabytes(arm.get(name)) for name in ("peak_bytes", "temp_bytes")),
    )


def _megabytes(size: float | None) -> str:
    return format_number(None if size is None else size / 1e6, 1)


def print_summary(summary: Mapping[str, Any]) -> None:
    """Print the mean ratio of each arm over the shapes, and the highest one."""
    rows = [
        (
            cell,
            label,
            format_number(kinds["forward"]["geometric_mean"], 2),
            format_number(kinds["backward"]["geometric_mean"], 2),
            format_number(kinds["backward"]["worst"], 2),
            kinds["backward"]["worst_shape"],
        )
        for cell, of_cell in summary.items()
        for label, kinds in of_cell.items()
    ]
    header = ("cell", "arm", "forward", "forward+backward", "worst", LETTERS)
    print_columns("time of seqjax / time of arm, geometric mean", header, rows)
