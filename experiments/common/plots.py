"""Figures that several commands draw."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# matplotlib reads text between dollar signs as a formula unless it is told not to.
PLAIN_TEXT: dict[str, Any] = {"parse_math": False}


def draw_learning_curve(
    path: Path, metrics: Sequence[Mapping[str, Any]], measure: str = "perplexity"
) -> None:
    """Draw a measure of training and validation against minibatches as a PNG.

    Args:
      path: the file.
      metrics: dicts with "step" and f"train_{measure}" or f"valid_{measure}".
      measure: the name of the measure.
    """
    from matplotlib.figure import Figure  # loads in 0.7 s: only where it is needed
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    values: list[float] = []
    for key, style in ((f"train_{measure}", "-"), (f"valid_{measure}", "o-")):
        points = [(m["step"], m[key]) for m in metrics if m.get(key) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=key.split("_")[0])
            values += [value for _, value in points]
    axes.set(xlabel="minibatches", ylabel=measure)
    if min(values, default=1) > 0:  # the logarithm of a density can be negative
        axes.set(yscale="log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(path, dpi=120)
