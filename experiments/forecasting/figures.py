"""The figure of a forecasting run: the forecasts of each model beside the data."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common.plots import VERMILION, new_figure, save_figure
from experiments.forecasting.evaluate import ForecastScores
from seqjax.data.series import Scaling, Series
from seqjax.nn.forecast_heads import Forecast

SHOWN = 400  # rows of the test part, at least 2 horizons


def draw_forecasts(
    path: Path,
    series: Series,
    scaling: Scaling | None,
    scores: Mapping[str, ForecastScores],
    horizon: int,
) -> None:
    """Draw data and forecasts of the last column as a PNG, one row per model.

    Left: one step ahead, and free-running from the first test row on. Models that
    cannot run free show successive windows of `horizon` steps instead. Right: k steps
    ahead.

    Args:
      path: the file.
      series: the series in the units of the models.
      scaling: converts it to the units of the data; None if it has them.
      scores: {name of the forecaster: ForecastScores}.
      horizon: the number of steps of a forecast.
    """
    begin, end = series.test
    end = min(end, begin + max(SHOWN, 2 * horizon))
    before = begin if begin <= 2 * (end - begin) else (end - begin) // 4
    to_data_units = _to_data_units(scaling)
    data = to_data_units(series.values[:, -1])
    size = 12, 2.6 * len(scores) + 0.4
    figure, grid = new_figure(*size, len(scores), 2, sharey=True, squeeze=False)
    for (name, found), (left, right) in zip(scores.items(), grid, strict=True):
        for axes, first in ((left, begin - before), (right, begin)):
            rows = np.arange(first, end)
            axes.plot(1 + rows, data[rows], color="0.75", ls="-", lw=1, label="data")
        test = np.arange(begin, end)
        for k, forecast in found.k_steps.items():
            axes = left if k == 1 else right
            line = to_data_units(forecast[: end - begin, -1])
            axes.plot(1 + test, line, lw=1, label=f"{k}-step")
        if found.free_running is not None:
            line = to_data_units(found.free_running[: end - begin, -1])
            left.plot(1 + test, line, "--", color=VERMILION, label="free-running")
        else:
            _draw_windows(left, begin, end, found.windows, to_data_units)
        left.axvline(begin + 0.5, color="0.5", lw=0.5)
        left.set(title=name, ylabel=series.columns[-1])
        right.set(title="k steps ahead")
        for axes in (left, right):
            axes.grid(alpha=0.3)
            axes.legend(loc="upper left", fontsize="x-small", ncols=4)
    for axes in grid[-1]:
        axes.set(xlabel="t")
    save_figure(figure, path, dpi=100)


def _draw_windows(
    axes: Any,
    begin: int,
    end: int,
    windows: Forecast,
    to_data_units: Callable[[np.ndarray], np.ndarray],
) -> None:
    """Forecasts of successive windows, each with its interval."""
    horizon, number, _ = windows.mean.shape
    label: str | None = f"{horizon} steps at once"
    for i in range(number):
        rows = np.arange(begin + i * horizon, min(begin + (i + 1) * horizon, end))
        if not len(rows):
            return
        mean, lower, upper = (
            None if a is None else to_data_units(np.asarray(a)[: len(rows), i, -1])
            for a in windows
        )
        axes.plot(1 + rows, mean, "--", color=VERMILION, label=label)
        if lower is not None:
            axes.fill_between(1 + rows, lower, upper, color=VERMILION, alpha=0.2, lw=0)
        label = None  # one entry in the legend


def _to_data_units(scaling: Scaling | None) -> Callable[[np.ndarray], np.ndarray]:
    """Converts values of the last column to the units of the data."""
    if scaling is None:
        return lambda values: values
    return lambda values: values * scaling.std[-1] + scaling.mean[-1]
