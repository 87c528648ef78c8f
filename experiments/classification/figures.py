"""The figures of a classification run: confusion matrix and attention weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unicodedata import east_asian_width

import numpy as np

from experiments.common.plots import SEQUENTIAL, new_figure, save_figure

LINE_WIDTH = 90  # characters of a line
MAX_TOKENS = 200  # tokens of a document that are drawn
MAX_LABELS = 20  # with more labels, cells have no counts


class DocumentWeights(NamedTuple):
    """A document with the attention weights of its tokens."""

    title: str
    tokens: Sequence[str]
    weights: Sequence[float] | np.ndarray


def draw_confusion(path: Path, counts: np.ndarray, labels: Sequence[str]) -> None:
    """Draw a confusion matrix as a PNG, shaded by the share of each row.

    Args:
      path: the file.
      counts: integers [C, C] of `metrics.confusion`.
      labels: the names of the labels, by index.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 3 + 0.6 * min(len(labels), 2 * MAX_LABELS)
    figure, axes = new_figure(size + 1, size)
    image = axes.imshow(shares, cmap=SEQUENTIAL, vmin=0, vmax=1)
    ticks = range(len(labels))
    rotation = 60 if len(labels) > 4 else 0
    axes.set_xticks(ticks, labels, rotation=rotation)
    axes.set_yticks(ticks, labels)
    axes.set(xlabel="predicted label", ylabel="label")
    if len(labels) <= MAX_LABELS:
        for i, j in np.ndindex(*counts.shape):
            color = "white" if shares[i, j] > 0.6 else "black"
            axes.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", color=color)
    figure.colorbar(image, label="share of the label's documents")
    save_figure(figure, path, dpi=120)


def draw_attention(path: Path, shown: Sequence[DocumentWeights]) -> None:
    """Draw tokens on backgrounds as intense as their attention weights, as a PNG.

    Only the beginning of a long document is drawn.

    Args:
      path: the file.
      shown: at least one document.
    """
    layouts = [_layout(document.tokens[:MAX_TOKENS]) for document in shown]
    height = sum(layout.num_lines + 2 for layout in layouts)
    figure, axes = new_figure(  # 9-point letters
        LINE_WIDTH * 0.077 + 0.4, 0.24 * height + 0.3
    )
    axes.set(xlim=(0, LINE_WIDTH), ylim=(height, -0.5))
    axes.axis("off")
    font: dict[str, Any] = {"family": "monospace", "fontsize": 9, "va": "center"}
    top = 0
    for document, layout in zip(shown, layouts, strict=True):
        axes.text(0, top, document.title, **(font | {"color": "0.4"}))
        weights = document.weights[:MAX_TOKENS]
        largest = max(max(weights, default=0), 1e-9)
        for (token, x, y), weight in zip(layout.tokens, weights, strict=True):
            orange = (1, 0.55, 0.1, weight / largest)
            box = {"facecolor": orange, "pad": 1.5, "edgecolor": "none"}
            axes.text(x, top + 1 + y, token, bbox=box, **font)
        top += layout.num_lines + 2
    save_figure(figure, path, dpi=120)


class _Layout(NamedTuple):
    tokens: list[tuple[str, int, int]]  # (token, column, line)
    num_lines: int


def _layout(tokens: Sequence[str]) -> _Layout:
    """Tokens in lines of at most LINE_WIDTH characters."""
    placed, column, line = [], 0, 0
    for token in tokens:
        token = token[:LINE_WIDTH]
        width = sum(2 if east_asian_width(c) in "WF" else 1 for c in token)
        if column and column + width > LINE_WIDTH:
            column, line = 0, line + 1
        placed.append((token, column, line))
        column += width + 1
    return _Layout(placed, line + 1)
