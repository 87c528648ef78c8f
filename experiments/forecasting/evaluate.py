"""The errors of a forecaster on the test part of a series."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.training_run import count_parameters
from experiments.forecasting.model import Forecaster
from seqjax import metrics
from seqjax.data.series import Series, windows
from seqjax.nn.forecast_heads import Forecast, forecast_all

# A free-running forecast fails where its mean squared error over FAIL_ROWS rows exceeds
# FAIL_FACTOR times the one-step error.
FAIL_ROWS, FAIL_FACTOR = 32, 2


class ForecastScores(NamedTuple):
    """The test errors of a forecaster, and forecasts to draw.

    Forecasts have the units of the models; D is the number of columns.
    """

    numbers: dict[str, Any]  # for summary.json
    k_steps: dict[int, np.ndarray]  # k: each test row from k rows before, [rows, D]
    free_running: np.ndarray | None  # from the first test row on, [rows, D]
    windows: Forecast  # of successive windows, [horizon, n, D]


def score(
    forecaster: Forecaster,
    params: Any,
    series: Series,
    horizon: int,
    steps: tuple[int, ...],
    key: jax.Array,
) -> ForecastScores:
    """The ForecastScores of a forecaster on the test part.

    Args:
      forecaster: the model.
      params: its parameters.
      series: the series in the units of the models.
      horizon: the number of steps of a forecast.
      steps: the k of the k-step errors; those above the horizon are left out.
      key: random key of the paths that give an interval.
    """
    model, (begin, end) = forecaster.model, series.test
    steps = tuple(k for k in sorted(set(steps)) if k <= horizon)
    values = jnp.asarray(series.values, jnp.float32)
    first = max(begin - max(steps, default=1) + 1, model.tau)
    origins = np.arange(first, end)
    found = forecast_all(model, params, values, origins, horizon, key)

    inside = slice(begin - first, end - horizon + 1 - first)
    whole = jax.tree.map(lambda a: a[:, inside], found)
    truth = windows(series.values, origins[inside], horizon)  # [horizon, n, D]
    actual = series.values[begin:end]

    def from_k_before(k: int) -> np.ndarray:
        """Forecasts of the test rows, each from the origin k - 1 rows before it."""
        rows = slice(begin - k + 1 - first, end - k + 1 - first)
        return np.asarray(found.mean[k - 1, rows])

    k_steps = {k: from_k_before(k) for k in steps if begin - k + 1 >= first}
    numbers = {
        **_errors(whole, truth, series),
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


def _errors(found: Forecast, truth: np.ndarray, series: Series) -> dict[str, Any]:
    """Errors of forecasts [horizon, n, D]; the coverage is None without intervals."""
    train, mean = series.values[slice(*series.train)], np.asarray(found.mean)
    coverage = None
    if found.lower is not None:
        lower, upper = np.asarray(found.lower), np.asarray(found.upper)
        coverage = metrics.coverage(lower, upper, truth)
    return {
        "mse": metrics.mse(mean, truth),
        "mae": metrics.mae(mean, truth),
        "mase": metrics.mase(mean, truth, train, series.period),
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
