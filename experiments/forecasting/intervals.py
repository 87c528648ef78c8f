"""Intervals as wide as the errors of a forecaster on the validation part require.

Split conformal prediction, for each step of the horizon and each column: a forecast
from one step ahead to `horizon` steps ahead of each validation row gives a score

    s = |y - f| / half

where half is the distance from f to the end of the model's own interval on the side of
y, or 1 if it has none. The interval is then f -+ width * half, with the width that
holds the nominal share of the scores.

Source: Lei et al., "Distribution-free predictive inference for regression", JASA 113,
2018; with the model's own scale, section 5.2.
"""

import math

import numpy as np

from seqjax.nn.forecast_heads import Forecast

_SMALLEST = 1e-12  # of half: an interval of no width has no scale


def interval_widths(
    found: Forecast, truth: np.ndarray, is_valid: np.ndarray, coverage: float
) -> np.ndarray:
    """The widths, [horizon, D].

    Args:
      found: forecasts [horizon, n, D].
      truth: the values that they forecast, [horizon, n, D].
      is_valid: which of them lie in the validation part, [horizon, n].
      coverage: the nominal share, in (0, 1).
    """
    mean = np.asarray(found.mean, np.float64)
    below, above = _halves(found)
    errors = truth - mean
    scores = np.where(errors < 0, -errors / below, errors / above)
    widths = np.empty((len(mean), mean.shape[-1]))
    for h, rows in enumerate(is_valid):
        ordered = np.sort(scores[h, rows], axis=0)  # [m, D]
        rank = math.ceil(coverage * (len(ordered) + 1))
        widths[h] = ordered[min(rank, len(ordered)) - 1]
    return widths


def with_intervals(found: Forecast, widths: np.ndarray | None) -> Forecast:
    """The Forecast with intervals of these widths; unchanged for None."""
    if widths is None:
        return found
    below, above = _halves(found)
    mean, width = np.asarray(found.mean, np.float64), widths[:, None]
    return Forecast(found.mean, mean - width * below, mean + width * above)


def _halves(found: Forecast) -> tuple[np.ndarray, np.ndarray]:
    """The distances from the mean to the ends of the model's own interval."""
    mean = np.asarray(found.mean, np.float64)
    if found.lower is None or found.upper is None:
        return np.ones_like(mean), np.ones_like(mean)
    lower, upper = np.asarray(found.lower), np.asarray(found.upper)
    return np.maximum(mean - lower, _SMALLEST), np.maximum(upper - mean, _SMALLEST)
