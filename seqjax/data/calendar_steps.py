"""The step of a time column: months, business days, hours ..., and the times after it.

A rule numbers its dates: the first days of months, the last days of months, business
days, times at a constant distance. The step of a series is the most frequent distance
in that numbering, and its next times are the dates of the numbers that follow.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

_DAY = np.timedelta64(1, "D")
_MONDAY_TO_FRIDAY = (True,) * 5 + (False,) * 2
_NAMES = {1: "month", 3: "quarter", 12: "year"}
_SECONDS = {"week": 604800, "day": 86400, "hour": 3600, "minute": 60, "second": 1}
# To these a step between measurements is rounded: times of day in seconds.
_ROUND = (86400, 3600, 1800, 900, 600, 300, 60, 30, 15, 10, 5, 1, 0.1, 0.01, 0.001)
_MOST_JITTER = 0.25  # of a step
_SHORTEST_MONTHS = 26 * 86400  # seconds; longer steps are of a calendar or exact
_ENOUGH = 1 / 2  # the share of the rows that must be one step apart


class Step(NamedTuple):
    """The step between the rows of a series."""

    name: str  # such as "1 month" or "5 minutes"
    gaps: np.ndarray  # the rows before which the distance is another one, int [n]
    following: Callable[[int], np.ndarray]  # h -> the h times after the last, [h]


class _Rule(NamedTuple):
    name: str
    numbers: np.ndarray  # [N], increasing integers
    to_times: Callable[[np.ndarray], np.ndarray]  # numbers -> times


def find_step(times: np.ndarray) -> Step | None:
    """The step of a series; None if there are fewer than two rows or no rule fits.

    Rules for dates, in this order: the same day of every month or year, where months
    that are too short have their last day; the last day of the month; the first or the
    last business day of the month; two to four days of the month; the same days of the
    week, such as business days; a constant distance. Times with a time of day, and
    numbers, may deviate from their step by measurement: it is then that of the line
    through all times, rounded to a number that is as round as the deviations allow.

    Args:
      times: increasing, datetime64, integers or floats, [N].

    Example:
      >>> ends = np.array(["2020-01-31", "2020-02-29", "2020-03-31"], "M8[D]")
      >>> find_step(ends).following(2).astype(str).tolist()
      ['2020-04-30', '2020-05-31']
    """
    if len(times) < 2:
        return None
    if np.issubdtype(times.dtype, np.datetime64):
        for rule in _calendar_rules(times):
            distances = np.diff(rule.numbers)
            step, share = _most_frequent(distances)
            is_step = step == 1 or (step > 1 and rule.name == "month")
            if is_step and (distances > 0).all() and share > _ENOUGH:
                return _calendar_step(rule, int(step), distances)
    return _constant_step(times)


def _calendar_step(rule: _Rule, step: int, distances: np.ndarray) -> Step:
    last, name = rule.numbers[-1], rule.name
    if name == "month":
        years, rest = divmod(step, 12)
        name = f"{years} years" if years and not rest else f"{step} months"
        name = f"1 {_NAMES[step]}" if step in _NAMES else name
    return Step(
        name,
        1 + np.flatnonzero(distances != step),
        lambda horizon: rule.to_times(last + step * np.arange(1, horizon + 1)),
    )


def _most_frequent(distances: np.ndarray) -> tuple[Any, float]:
    """The most frequent distance, and its share."""
    kinds, counts = np.unique(distances, return_counts=True)
    return kinds[counts.argmax()], counts.max() / len(distances)


# ---------------------------------------------------------------- calendars


def _calendar_rules(times: np.ndarray) -> Iterator[_Rule]:
    """The rules by which all times are dates, whatever their time of day."""
    dates = times.astype("M8[D]")
    time_of_day = times[-1] - dates[-1]

    def dated(name: str, numbers: np.ndarray, to_dates: Callable[..., Any]) -> _Rule:
        def to_times(numbers: np.ndarray) -> np.ndarray:
            return (to_dates(numbers) + time_of_day).astype(times.dtype)

        return _Rule(name, numbers, to_times)

    months = dates.astype("M8[M]").astype(int)
    for to_date in (*_monthly(dates), _last_business_day, _first_business_day):
        if (to_date(months) == dates).all():
            yield dated("month", months, to_date)
    if numbered := _several_a_month(dates, months):
        yield dated("some days of each month", *numbered)
    if (mask := _days_of_the_week(dates)) is not None:
        monday = np.datetime64("1970-01-05")
        first = np.busday_offset(monday, 0, "forward", weekmask=mask)
        is_business = mask == _MONDAY_TO_FRIDAY
        name = "1 business day" if is_business else "some days of each week"
        yield dated(
            name,
            np.busday_count(first, dates, weekmask=mask),
            lambda numbers: np.busday_offset(first, numbers, weekmask=mask),
        )


def _last_days(months: np.ndarray) -> np.ndarray:
    return (months + 1).astype("M8[M]").astype("M8[D]") - _DAY


def _on_day(day: int) -> Callable[[np.ndarray], np.ndarray]:
    """months -> dates on this day, or on the last day of a month that has none."""

    def to_date(months: np.ndarray) -> np.ndarray:
        dates = np.asarray(months).astype("M8[M]").astype("M8[D]") + (day - 1) * _DAY
        return np.minimum(dates, _last_days(np.asarray(months)))

    return to_date


def _monthly(dates: np.ndarray) -> tuple[Callable[[np.ndarray], np.ndarray], ...]:
    return _on_day(31), _on_day(int(_day_of_month(dates).max()))


def _day_of_month(dates: np.ndarray) -> np.ndarray:
    return (dates - dates.astype("M8[M]").astype("M8[D]")).astype(int) + 1


def _last_business_day(months: np.ndarray) -> np.ndarray:
    return np.busday_offset(_last_days(np.asarray(months)), 0, "backward")


def _first_business_day(months: np.ndarray) -> np.ndarray:
    first = np.asarray(months).astype("M8[M]").astype("M8[D]")
    return np.busday_offset(first, 0, "forward")


def _several_a_month(
    dates: np.ndarray, months: np.ndarray
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]] | None:
    """Numbers of dates on two to four days of each month, such as 1 and 15."""
    days = np.where(dates == _last_days(months), 31, _day_of_month(dates))
    kinds, counts = np.unique(days, return_counts=True)
    count = len(kinds)
    if not (2 <= count <= 4 and counts.min() >= 2):
        return None
    on_days = [_on_day(int(day)) for day in kinds]

    def to_date(numbers: np.ndarray) -> np.ndarray:
        each = np.stack([on_day(numbers // count) for on_day in on_days])
        return each[numbers % count, np.arange(len(numbers))]

    return months * count + np.searchsorted(kinds, days), to_date


def _days_of_the_week(dates: np.ndarray) -> tuple[bool, ...] | None:
    """The days of the week on which dates fall, if these are two to six days.

    A series from Monday to Friday has to cross a weekend; of other days, each has to
    occur twice.
    """
    weekday = (dates.astype(int) + 3) % 7  # 1970-01-01 was a Thursday
    counts = np.bincount(weekday, minlength=7)
    mask = tuple(bool(count) for count in counts)
    crosses = (dates[-1] - dates[0]).astype(int) > weekday[-1] - weekday[0]
    if not any(mask[5:]) and crosses:
        step, share = _most_frequent(np.diff(np.busday_count(dates[0], dates)))
        if step == 1 and share > _ENOUGH:
            return _MONDAY_TO_FRIDAY
    if 2 <= sum(mask) <= 6 and counts[counts > 0].min() >= 2:
        return mask
    return None


# ---------------------------------------------------------------- constant distances


def _constant_step(times: np.ndarray) -> Step | None:
    """The step of times at a constant distance, exact or by measurement."""
    is_dates = np.issubdtype(times.dtype, np.datetime64)
    units = times.astype(np.int64) if is_dates else times
    distances = np.diff(units)
    step, share = _exact_step(distances)
    if share > _ENOUGH or _are_multiples(distances, step, share):
        gaps = 1 + np.flatnonzero(~_close(distances, step))
        return _evenly(times, units, step, gaps)
    if is_dates and times.dtype in (np.dtype("M8[D]"), np.dtype("M8[M]")):
        return None  # dates are not measured
    second = _units_per_second(times) if is_dates else None
    return _measured_step(times, units, distances, second)


def _exact_step(distances: np.ndarray) -> tuple[Any, float]:
    """The most frequent distance and its share; floats are equal up to rounding."""
    step = np.median(distances)
    share = float(np.mean(_close(distances, step)))
    if share > _ENOUGH and not np.issubdtype(distances.dtype, np.integer):
        return float(f"{distances[_close(distances, step)].mean():.9g}"), share
    return _most_frequent(distances)


def _close(distances: np.ndarray, step: Any) -> np.ndarray:
    return np.isclose(distances, step, rtol=1e-6, atol=0)


def _are_multiples(distances: np.ndarray, step: Any, share: float) -> bool:
    """Whether rows are missing from a regular series, and so distances vary."""
    ratios = distances / step
    return share > _ENOUGH / 2 and bool(np.isclose(ratios, np.rint(ratios)).all())


def _measured_step(
    times: np.ndarray,
    units: np.ndarray,
    distances: np.ndarray,
    second: float | None,
) -> Step | None:
    """The step of times that deviate from it: the slope of the line through them."""
    middle = float(np.median(distances))
    counts = np.rint(distances / middle)
    deviations = np.abs(distances - counts * middle)
    if len(times) < 5 or np.quantile(deviations, 0.9) > _MOST_JITTER * middle:
        return None
    if (counts < 1).any() or (second and middle >= _SHORTEST_MONTHS * second):
        return None
    numbers = np.concatenate([[0], np.cumsum(counts)])
    slope = np.polyfit(numbers, (units - units[0]).astype(np.float64), 1)[0]
    # If the deviations add up, the mean of n steps is known up to 1 / sqrt(n) of them.
    tolerance = 3 * np.median(np.abs(distances - middle)) / np.sqrt(len(times))
    step = _rounded(float(slope), float(tolerance), second)
    return _evenly(times, units, step, 1 + np.flatnonzero(counts != 1))


def _rounded(step: float, tolerance: float, second: float | None) -> float:
    """The roundest number within the tolerance: of time units, or of digits."""
    if second is not None:
        candidates = [unit * second for unit in _ROUND]
    else:
        powers = range(int(np.floor(np.log10(step))), -12, -1)
        candidates = [10.0**power for power in powers]
    for unit in candidates:
        multiple = round(step / unit)
        if multiple >= 1 and abs(multiple * unit - step) <= tolerance:
            return multiple * unit
    return step


def _units_per_second(times: np.ndarray) -> float:
    moments = np.array([0, 1], "M8[s]").astype(times.dtype).astype(np.int64)
    if moments[1]:
        return float(moments[1])
    units = np.array([0, 1]).astype(times.dtype).astype("M8[s]").astype(np.int64)
    return 1 / float(units[1])


def _evenly(times: np.ndarray, units: np.ndarray, step: Any, gaps: np.ndarray) -> Step:
    """Times that go on at a step, which is given in the unit of the times."""

    def following(horizon: int) -> np.ndarray:
        offsets = step * np.arange(1, horizon + 1)
        if np.issubdtype(units.dtype, np.integer):
            offsets = np.rint(offsets).astype(np.int64)
            return (units[-1] + offsets).astype(times.dtype)
        # The digits of 0.1 + 0.2 are those of the times, not those of the sum.
        return np.array([float(f"{value:.15g}") for value in units[-1] + offsets])

    return Step(_name(times, step), gaps, following)


def _name(times: np.ndarray, step: Any) -> str:
    if not np.issubdtype(times.dtype, np.datetime64):
        return f"{step:g}"
    seconds = step / _units_per_second(times)
    for name, unit in _SECONDS.items():
        if seconds >= unit and abs(seconds / unit - round(seconds / unit)) < 1e-9:
            number = round(seconds / unit)
            return f"{number} {name}{'s' * (number > 1)}"
    return f"{seconds:g} seconds"
