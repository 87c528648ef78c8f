"""The figure of a forecasting run: how errors build up, one row a model."""

import numpy as np

from experiments.forecasters import FLAGS

SHOWN = 400  # rows of the test part, at least 2 horizons


def draw(path, series, scaling, found):
    """Data, one-step and further forecasts of the last column, as a PNG.

    Left: one step ahead, and free-running from the first row of the test part; models
    that forecast so many steps at once instead show these, one window after the other.
    Right: k steps ahead.

    Args:
      path: the file.
      series: as the models saw it.
      scaling: brings it back to its own units; None if it has them.
      found: {name: forecasters.Scores}.
    """
    from matplotlib.figure import Figure  # only where a figure is drawn: 0.7 s to load

    begin, end = series.test
    end = min(end, begin + max(SHOWN, 2 * FLAGS.horizon))
    before = begin if begin <= 2 * (end - begin) else (end - begin) // 4
    own = _own_units(scaling)
    size = (12, 2.6 * len(found) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(found), 2, sharey=True, squeeze=False)
    data = own(series.values[:, -1])
    for (name, scores), (left, right) in zip(found.items(), grid, strict=True):
        for axes, first in ((left, begin - before), (right, begin)):
            rows = np.arange(first, end)
            axes.plot(1 + rows, data[rows], color="0.75", lw=1, label="data")
        test = np.arange(begin, end)
        for k, forecast in scores.steps.items():
            axes = left if k == 1 else right
            line = own(forecast[: end - begin, -1])
            axes.plot(1 + test, line, lw=1, label=f"{k}-step")
        if scores.free is not None:
            line = own(scores.free[: end - begin, -1])
            left.plot(1 + test, line, "--", color="C3", label="free-running")
        else:
            _draw_windows(left, begin, end, scores.windows, own)
        left.axvline(begin + 0.5, color="0.5", lw=0.5)
        left.set(title=name, ylabel=series.columns[-1])
        right.set(title="k steps ahead")
        for axes in (left, right):
            axes.grid(alpha=0.3)
            axes.legend(loc="upper left", fontsize="x-small", ncols=4)
    for axes in grid[-1]:
        axes.set(xlabel="t")
    figure.savefig(path, dpi=100)


def _draw_windows(axes, begin, end, windows, own):
    """Forecasts of one horizon after the other, each with its interval."""
    horizon, number, _ = windows.mean.shape
    label = f"{horizon} steps at once"
    for i in range(number):
        rows = np.arange(begin + i * horizon, min(begin + (i + 1) * horizon, end))
        if not len(rows):
            return
        mean, lower, upper = (
            None if a is None else own(a[: len(rows), i, -1]) for a in windows
        )
        axes.plot(1 + rows, mean, "--", color="C3", label=label)
        if lower is not None:
            axes.fill_between(1 + rows, lower, upper, color="C3", alpha=0.2, lw=0)
        label = None


def _own_units(scaling):
    """The last column's values, back in the units of the data."""
    if scaling is None:
        return lambda values: values
    return lambda values: values * scaling.std[-1] + scaling.mean[-1]
