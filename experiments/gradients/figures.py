"""The figures of a gradients run: norms against distance, losses against steps."""

import numpy as np

LABEL = "norm of dL / dh_t,  L = <u, h_T>"
CUT_STYLES = (
    {"color": "C0", "lw": 3, "alpha": 0.5},
    {"color": "C1", "lw": 3},
    {"color": "0.4", "lw": 0.5, "marker": "o", "ms": 4},
    {"color": "C3", "lw": 1},
)


def draw_norms(path, found, cuts, cut_network, clip_norm):
    """Norms of dL/dh_t against T - t: as they are, clipped, and cut short, as a PNG.

    Args:
      path: the file.
      found: {name: gradient_norms.Norms}.
      cuts: {kind of backpropagation: norms [T]} of the network `cut_network`.
      clip_norm: theta; 0 is none.
    """
    from matplotlib.figure import Figure  # only where a figure is drawn: 0.7 s to load

    figure = Figure(figsize=(15, 5), layout="constrained")
    free, clipped, short = figure.subplots(1, 3)
    for name, norms in found.items():
        (line,) = free.plot(norms.hidden, label=name)
        values = norms.hidden * norms.clip_factor
        clipped.plot(values, color=line.get_color())
        if norms.clip_factor < 1:
            clipped.plot(norms.hidden, ":", color=line.get_color(), lw=1)
    for (name, norms), style in zip(cuts.items(), CUT_STYLES, strict=True):
        for one in np.atleast_2d(norms):
            left = np.flatnonzero(one > 0)  # a draw ends at its first cut
            short.plot(left, one[left], label=name, markevery=[-1], **style)
            name = None
    free.set(title="as they come back", ylabel=LABEL)
    title = f"parameters' gradient clipped to {clip_norm:g} (dotted: before)"
    clipped.set(title=title if clip_norm else "not clipped (--clip_norm=0)")
    short.set(title=f"cut short: {cut_network}")
    low, high = limits(np.atleast_2d(norms)[0] for norms in cuts.values())
    short.set(ylim=(min(low, 1e-2), max(high, 1e2)))
    for axes in (free, clipped):
        axes.set(ylim=limits(norms.hidden for norms in found.values()))
    for axes in (free, clipped, short):
        axes.set(xlabel="T - t", yscale="log")
        axes.grid(alpha=0.3)
    free.legend(fontsize="small")
    short.legend(fontsize="small")
    figure.savefig(path, dpi=100)


def limits(curves):
    """Of the logarithmic axis: what is below 1e-12 has vanished."""
    values = np.concatenate(list(curves))
    return max(1e-12, values[values > 0].min()) / 3, 3 * values.max()


def draw_tasks(path, rows):
    """One row a task: losses while training, and norms in the trained networks.

    Args:
      path: the file.
      rows: {title: (baseline, {cell: (lines of metrics.jsonl, Norms)})}.
    """
    from matplotlib.figure import Figure

    size = (12, 3.6 * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), 2, squeeze=False)
    for (title, (baseline, cells)), (left, right) in zip(
        rows.items(), grid, strict=True
    ):
        for cell, (metrics, norms) in cells.items():
            points = [
                (m["step"], m["valid_loss"]) for m in metrics if "valid_loss" in m
            ]
            left.plot(*zip(*points, strict=True), label=cell)
            hidden = norms.hidden
            right.plot(np.where(hidden > 0, hidden, np.nan), label=cell)
        left.axhline(baseline, color="0.4", ls="--", label="without memory")
        left.set(title=title, xlabel="minibatches", ylabel="loss on validation")
        right.set(title=f"{title}: after training", xlabel="T - t")
        right.set(ylim=limits(n.hidden for _, n in cells.values()), ylabel=LABEL)
        for axes in (left, right):
            axes.set(yscale="log")
            axes.grid(alpha=0.3)
            axes.legend(fontsize="small")
    figure.savefig(path, dpi=100)
