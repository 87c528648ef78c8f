"""The errors of a forecaster on a part of a series."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.training_run import count_parameters
from experiments.forecasting.intervals import interval_widths, with_intervals
from experiments.forecasting.model import Forecaster
from seqjax import metrics
from seqjax.data.series import Series
from seqjax.data.series_windows import origins, windows
from seqjax.nn.forecast_heads import Forecast, forecast_all

# A free-running forecast fails where its mean squared error over FAIL_ROWS rows exceeds
# FAIL_FACTOR times the one-step error.
FAIL_ROWS, FAIL_FACTOR = 32, 2


class Validation(NamedTuple):
    """How a forecaster does on the validation part."""

    mse: float  # over all windows of `horizon` steps
    widths: np.ndarray | None  # of its intervals, [horizon, D], if it is calibrated


class ForecastScores(NamedTuple):
    """The test errors of a forecaster, and forecasts to draw.

    Forecasts have the units of the models; D is the number of columns.
    """

    numbers: dict[str, Any]  # for summary.json
    k_steps: dict[int, np.ndarray]  # k: each test row from k rows before, [rows, D]
    free_running: np.ndarray | None  # from the first test row on, [rows, D]
    windows: Forecast  # of successive windows, [horizon, n, D]


def validate(
    forecaster: Forecaster,
    params: Any,
    series: Series,
    horizon: int,
    coverage: float | None,
    key: jax.Array,
) -> Validation:
    """The Validation of a forecaster.

    Args:
      forecaster: the model.
      params: its parameters.
      series: the series in the units of the models.
      horizon: the number of steps of a forecast.
      coverage: the nominal coverage of intervals to fit; None fits none.
      key: random key of the paths that give an interval.
    """
    model, (begin, end) = forecaster.model, series.valid
    values = jnp.asarray(series.values, jnp.float32)
    first = begin if coverage is None else begin - horizon + 1
    starts = np.arange(max(first, model.tau), end)
    found = forecast_all(model, params, values, starts, horizon, key)
    whole = np.isin(starts, origins(series.valid, model.tau, horizon))
    rows = starts + np.arange(horizon)[:, None]  # [horizon, n]
    truth = series.values[np.minimum(rows, len(series.values) - 1)]
    mse = metrics.mse(np.asarray(found.mean)[:, whole], truth[:, whole])
    if coverage is None:
        return Validation(mse, None)
    is_valid = (rows >= begin) & (rows < end)
    return Validation(mse, interval_widths(found, truth, is_valid, coverage))


def score(
    forecaster: Forecaster,
    params: Any,
    series: Series,
    train: np.ndarray,
    horizon: int,
    steps: tuple[int, ...],
    key: jax.Array,
    widths: np.ndarray | None = None,
) -> ForecastScores:
    """The ForecastScores of a forecaster on the test part.

    Args:
      forecaster: the model.
      params: its parameters.
      series: the series in the units of the models.
      train: the rows that the model was trained on, [N, D], which scale the MASE.
      horizon: the number of steps of a forecast.
      steps: the k of the k-step errors; those above the horizon are left out.
      key: random key of the paths that give an interval.
      widths: of the intervals, from `validate`; None leaves those of the model.
    """
    model, (begin, end) = forecaster.model, series.test
    steps = tuple(k for k in sorted(set(steps)) if k <= horizon)
    values = jnp.asarray(series.values, jnp.float32)
    first = max(begin - max(steps, default=1) + 1, model.tau)
    starts = np.arange(first, end)
    found = forecast_all(model, params, values, starts, horizon, key)
    found = with_intervals(found, widths)

    inside = slice(begin - first, end - horizon + 1 - first)
    whole = jax.tree.map(lambda a: a[:, inside], found)
    truth = windows(series.values, starts[inside], horizon)  # [horizon, n, D]
    actual = series.values[begin:end]

    def from_k_before(k: int) -> np.ndarray:
        """Forecasts of the test rows, each from the origin k - 1 rows before it."""
        rows = slice(begin - k + 1 - first, end - k + 1 - first)
        return np.asarray(found.mean[k - 1, rows])

    k_steps = {k: from_k_before(k) for k in steps if begin - k + 1 >= first}
    numbers = {
        **_errors(whole, truth, train, series.period),
        "parameters": count_parameters(params),
        "k_step_mse": {str(k): metrics.mse(f, actual) for k, f in k_steps.items()},
    }
    free_running = None
    if forecaster.is_unbounded:
        ahead = forecast_all(model, params, values, np.array([begin]), end - begin)
        free_running = np.asarray(ahead.mean[:, 0])
        one_step = metrics.mse(from_k_before(1), actual)
        numbers |= _free_running_errors(free_running, actual, one_step)
    successive = jax.tree.map(lambda a: a[:, ::horizon], whole)
    return ForecastScores(numbers, k_steps, free_running, successive)


def _errors(
    found: Forecast, truth: np.ndarray, train: np.ndarray, period: int
) -> dict[str, Any]:
    """Errors of forecasts [horizon, n, D]; the coverage is None without intervals."""
    mean, coverage, mase = np.asarray(found.mean), None, None
    if found.lower is not None and found.upper is not None:
        lower, upper = np.asarray(found.lower), np.asarray(found.upper)
        coverage = metrics.coverage(lower, upper, truth)
    if len(train) > period:
        mase = metrics.mase(mean, truth, train, period)
    return {
        "mse": metrics.mse(mean, truth),
        "mae": metrics.mae(mean, truth),
        "mase": mase,
        "coverage": coverage,
    }


def _free_running_errors(
    forecast: np.ndarray, actual: np.ndarray, one_step: float
) -> dict[str, Any]:
    """The error of a forecast [rows, D], and the first step at which it fails."""
    errors = ((forecast - actual) ** 2).mean(axis=-1)
    index = metrics.fails_from(errors, FAIL_FACTOR * one_step, FAIL_ROWS)
    return {
        "free_running_mse": metrics.mse(forecast, actual),
        "fails_from_step": None if index is None else index + 1,
    }
