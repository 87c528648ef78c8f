"""The figures of a classification run: confusion, and attention over the words."""

import numpy as np

COLUMNS = 90  # characters of a line
SHOWN = 200  # tokens of a document
MOST_LABELS = 20  # with counts in the cells
PLAIN = {"parse_math": False}  # or matplotlib reads a formula between dollars


def draw_confusion(path, counts, labels):
    """Counts [C, C] of `metrics.confusion` as a PNG, shaded by share of the row."""
    from matplotlib.figure import Figure  # only where a figure is drawn: 0.7 s to load

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 3 + 0.6 * min(len(labels), 2 * MOST_LABELS)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(labels))
    axes.set_xticks(places, labels, rotation=60 if len(labels) > 4 else 0, **PLAIN)
    axes.set_yticks(places, labels, **PLAIN)
    axes.set(xlabel="predicted", ylabel="label")
    if len(labels) <= MOST_LABELS:
        for i, j in np.ndindex(counts.shape):
            color = "white" if shares[i, j] > 0.6 else "black"
            axes.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", color=color)
    figure.colorbar(image, label="share of the label")
    figure.savefig(path, dpi=120)


def draw_attention(path, shown):
    """Where pooling looked, each token on a ground as dark as its weight, as a PNG.

    Of a long document the beginning is shown.

    Args:
      path: the file.
      shown: (title, tokens, weights) for each document, at least one.
    """
    from matplotlib.figure import Figure

    blocks = [
        (title, *_layout(tokens[:SHOWN]), weights[:SHOWN])
        for title, tokens, weights in shown
    ]
    height = sum(lines + 2 for _, _, lines, _ in blocks)
    size = (COLUMNS * 0.077 + 0.4, 0.24 * height + 0.3)  # of 9-point letters
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(0, COLUMNS), ylim=(height, -0.5))
    axes.axis("off")
    font = {"family": "monospace", "fontsize": 9, "va": "center", **PLAIN}
    top = 0
    for title, places, lines, weights in blocks:
        axes.text(0, top, title, **(font | {"color": "0.4"}))
        darkest = max(max(weights, default=0), 1e-9)
        for (token, x, y), weight in zip(places, weights, strict=True):
            ground = {"facecolor": (1, 0.55, 0.1, weight / darkest), "pad": 1.5}
            box = {**ground, "edgecolor": "none"}
            axes.text(x, top + 1 + y, token, bbox=box, **font)
        top += lines + 2
    figure.savefig(path, dpi=120)


def _layout(tokens):
    """((token, column, line) of each token, lines), broken at COLUMNS."""
    places, x, y = [], 0, 0
    for token in tokens:
        token = token[:COLUMNS]
        if x and x + len(token) > COLUMNS:
            x, y = 0, y + 1
        places.append((token, x, y))
        x += len(token) + 1
    return places, y + 1
