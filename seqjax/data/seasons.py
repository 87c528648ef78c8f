"""The season of a series: how many rows later it repeats itself."""

from typing import NamedTuple

import numpy as np

# Rows in a season by the step between rows: a year, a week, a day ...
CALENDAR = {
    "1 month": (12,),
    "1 quarter": (4,),
    "1 week": (52,),
    "1 day": (7, 365),
    "1 business day": (5,),
    "1 hour": (24, 168),
    "30 minutes": (48, 336),
    "15 minutes": (96, 672),
    "10 minutes": (144,),
    "5 minutes": (288,),
    "1 minute": (60, 1440),
}
_FEWEST_SEASONS = 2.5  # that a series has to contain
_LONGEST = 2000  # rows
_ENOUGH_CYCLES = 5  # a season of fewer has to be stronger
_NEEDED, _NEEDED_IN_CALENDAR = 0.5, 0.25  # strengths


class Season(NamedTuple):
    """The season of a series."""

    period: int  # rows; 1 for none
    strength: float  # 0 for none, 1 for a series that repeats exactly


def find_season(values: np.ndarray, step: str | None = None) -> Season:
    """The number of rows in a season, and its strength.

        v_k = the variance of y_{t+k} - y_t over t
        strength(k) = 1 - v_k / max(v_{k/4}, ..., v_{3k/4})

    v_k is 0 where a series repeats itself after k rows but for a trend, and never falls
    for long in a random walk. A season is a local minimum of v that is strong, or less
    strong at a lag of the calendar. Of nearly equal minima the shortest is chosen, and
    of several columns the season whose strengths have the largest sum.

    Args:
      values: [N, D].
      step: the step between rows, `calendar_steps.Step.name`.

    Example:
      >>> t = np.arange(120.0)[:, None]
      >>> find_season(t + 10 * np.sin(2 * np.pi * t / 12)).period
      12
    """
    found = [_season_of(column, step) for column in values.T]
    totals: dict[int, float] = {}
    for season in found:
        totals[season.period] = totals.get(season.period, 0.0) + season.strength
    period = max(totals, key=lambda period: totals[period])
    strengths = [season.strength for season in found if season.period == period]
    return Season(period, sum(strengths) / len(strengths))


def _season_of(column: np.ndarray, step: str | None) -> Season:
    """The season of one column [N]."""
    longest = min(int(len(column) / _FEWEST_SEASONS), _LONGEST)
    if longest < 2:
        return Season(1, 0.0)
    v = _variances(column, min(len(column) - 2, longest + 1))
    lags = np.arange(longest + 1)
    cycles = len(column) / np.maximum(lags, 1)
    needed = _NEEDED + np.clip((_ENOUGH_CYCLES - cycles) / 10, 0, 0.25)
    strengths = np.zeros(longest + 1)
    for lag in range(2, longest + 1):
        if v[lag] < v[lag - 1] and v[lag] <= v[lag + 1]:
            strengths[lag] = _strength(v, lag)
    for lag in CALENDAR.get(step or "", ()):
        near = slice(lag - lag // 7, lag + lag // 7 + 1)
        if lag <= longest and strengths[near].any():
            # A slow season has a flat minimum, which noise moves.
            exact = _strength(v, lag)
            strengths[near] = np.where(
                strengths[near] > 1.2 * exact, strengths[near], 0
            )
            strengths[lag], needed[lag] = exact, _NEEDED_IN_CALENDAR
    found = np.flatnonzero(strengths > needed)
    if not len(found):
        return Season(1, 0.0)
    enough = 0.85 * strengths[found].max()
    period = int(found[strengths[found] >= enough][0])
    return Season(period, float(strengths[period]))


def _strength(v: np.ndarray, lag: int) -> float:
    """How far v falls at a lag, seen from its peak before."""
    between = v[max(1, lag // 4) : max(2, 3 * lag // 4 + 1)].max()
    return float(1 - v[lag] / between) if between > 0 else 0.0


def _variances(column: np.ndarray, longest: int) -> np.ndarray:
    """v_0 .. v_longest of a column; zeros if it is constant."""
    centered = column - column.mean()
    if centered.std() <= 1e-12 * np.abs(column).max():
        return np.zeros(longest + 1)
    lags = range(1, longest + 1)
    return np.array([0.0, *((centered[k:] - centered[:-k]).var() for k in lags)])
