"""The figures of a gradients run: norms against distance, losses against steps."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.common.plots import (
    BLUE,
    ORANGE,
    VERMILION,
    label_plainly,
    new_figure,
    save_figure,
)
from experiments.gradients.norms import Norms
from experiments.gradients.training import TaskResult

LABEL = "norm of dL / dh_t,  L = <u, h_T>"
TRUNCATED_STYLES = (
    {"color": BLUE, "lw": 3, "ls": "-", "alpha": 0.5},
    {"color": ORANGE, "lw": 3, "ls": "-"},
    {"color": "0.4", "lw": 0.5, "ls": "-", "marker": "o", "ms": 4},
    {"color": VERMILION, "lw": 1, "ls": "--"},
)


def draw_norms(
    path: Path,
    found: Mapping[str, Norms],
    truncated: Mapping[str, np.ndarray],
    truncated_name: str,
    clip_norm: float,
) -> None:
    """Draw norms of dL/dh_t against T - t as a PNG: full, clipped and truncated.

    Args:
      path: the file.
      found: {name of the network: Norms}.
      truncated: {kind of backpropagation: norms [T] or [n, T]} of one network.
      truncated_name: the name of that network.
      clip_norm: theta; 0 does not clip.
    """
    figure, (full, clipped, short) = new_figure(15, 5, 1, 3)
    for name, norms in found.items():
        (line,) = full.plot(norms.hidden, label=name)
        values = norms.hidden * norms.clip_factor
        clipped.plot(values, color=line.get_color(), ls=line.get_linestyle())
        if norms.clip_factor < 1:
            same = {"color": line.get_color(), "ls": line.get_linestyle()}
            clipped.plot(norms.hidden, lw=0.5, **same)
    for (kind, curves), style in zip(truncated.items(), TRUNCATED_STYLES, strict=True):
        for i, curve in enumerate(np.atleast_2d(curves)):
            positive = np.flatnonzero(curve > 0)  # a draw is zero from its first cut on
            label = None if i else kind  # one entry in the legend
            short.plot(positive, curve[positive], label=label, markevery=[-1], **style)
    full.set(title="full backpropagation", ylabel=LABEL)
    title = f"clipped to a global norm of {clip_norm:g} (thin: not clipped)"
    clipped.set(title=title if clip_norm else "not clipped (--clip_norm=0)")
    short.set(title=f"truncated backpropagation: {truncated_name}")
    low, high = _limits(np.atleast_2d(curves)[0] for curves in truncated.values())
    short.set(ylim=(min(low, 1e-2), max(high, 1e2)))
    for axes in (full, clipped):
        axes.set(ylim=_limits(norms.hidden for norms in found.values()))
    for axes in (full, clipped, short):
        axes.set(xlabel="T - t", yscale="log")
        label_plainly(axes.yaxis)
        axes.grid(alpha=0.3)
    full.legend(fontsize="small")
    short.legend(fontsize="small")
    save_figure(figure, path, dpi=100)


def draw_tasks(path: Path, results: Sequence[TaskResult]) -> None:
    """Draw losses during training and norms after it as a PNG, one row per task."""
    titles = dict.fromkeys(result.network.title for result in results)
    figure, grid = new_figure(12, 3.6 * len(titles), len(titles), 2, squeeze=False)
    for title, (left, right) in zip(titles, grid, strict=True):
        shown = [result for result in results if result.network.title == title]
        for result in shown:
            cell, lines = result.network.cell_name, result.metrics
            points = [(m["step"], m["valid_loss"]) for m in lines if "valid_loss" in m]
            left.plot(*zip(*points, strict=True), marker=".", label=cell)
            hidden = result.norms.hidden
            right.plot(np.where(hidden > 0, hidden, np.nan), label=cell)
        baseline = shown[0].network.task.baseline
        left.axhline(baseline, color="0.4", ls="--", label="baseline without memory")
        left.set(title=title, xlabel="minibatches", ylabel="validation loss")
        right.set(title=f"{title}, after training", xlabel="T - t", ylabel=LABEL)
        right.set(ylim=_limits(result.norms.hidden for result in shown))
        for axes in (left, right):
            axes.set(yscale="log")
            label_plainly(axes.yaxis)
            axes.grid(alpha=0.3)
            axes.legend(fontsize="small")
    save_figure(figure, path, dpi=100)


def _limits(curves: Iterable[np.ndarray]) -> tuple[float, float]:
    """Limits of a logarithmic axis; values below 1e-12 are not shown."""
    values = np.concatenate(list(curves))
    return max(1e-12, values[values > 0].min()) / 3, 3 * values.max()
