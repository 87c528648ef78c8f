"""The times after a series go on as its calendar does."""

import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data.calendar_steps import find_step

fuzz = settings(deadline=None, max_examples=50)
SECOND = np.timedelta64(1, "s")


def days(*texts):
    return np.array(texts, "M8[D]")


def first_days(begin, end):
    return np.arange(begin, end, dtype="M8[M]").astype("M8[D]")


def last_days(begin, end):
    return first_days(begin, end) + (
        first_days(*(np.datetime64(m) + np.timedelta64(1, "M") for m in (begin, end)))
        - first_days(begin, end)
        - np.timedelta64(1, "D")
    )


FORTNIGHT = np.timedelta64(14, "D")
BUSINESS = [  # 2020-05-01 is a Friday
    day
    for day in (datetime.date(2020, 3, 2) + datetime.timedelta(i) for i in range(95))
    if day.weekday() < 5
]
SERIES = {  # name: (whole series, how many of its rows are to be forecast, step)
    "months": (first_days("2010-01", "2016-01"), 14, "1 month"),
    "three months": (first_days("2010-01", "2010-06"), 2, "1 month"),
    "bare months": (np.arange("2010-01", "2016-01", dtype="M8[M]"), 14, "1 month"),
    "month ends": (last_days("2010-01", "2016-03"), 26, "1 month"),
    "the 30th": (
        days("2019-12-30", "2020-01-30", "2020-02-29", "2020-03-30", "2020-04-30"),
        *(1, "1 month"),
    ),
    "the 15th at nine": (
        first_days("2010-01", "2013-01")
        + 14 * np.timedelta64(1, "D")
        + 9 * np.timedelta64(1, "h"),
        *(14, "1 month"),
    ),
    "quarters": (first_days("2010-01", "2020-01")[::3], 5, "1 quarter"),
    "quarter ends": (last_days("2010-01", "2020-01")[2::3], 5, "1 quarter"),
    "two quarter ends of 30 days": (
        days("2021-06-30", "2021-09-30", "2021-12-31", "2022-03-31"),
        *(2, "1 quarter"),
    ),
    "ends of February": (
        days("2021-02-28", "2022-02-28", "2023-02-28", "2024-02-29"),
        *(1, "1 year"),
    ),
    "half years": (last_days("2010-01", "2020-01")[5::6], 5, "6 months"),
    "years": (first_days("1960-01", "2020-01")[::12], 9, "1 year"),
    "fiscal years": (last_days("1960-01", "2020-01")[5::12], 9, "1 year"),
    "leap days": (last_days("1960-01", "2020-01")[1::12], 9, "1 year"),
    "decades": (first_days("1900-01", "2020-01")[::120], 3, "10 years"),
    "business days": (np.array(BUSINESS, "M8[D]"), 12, "1 business day"),
    "business month ends": (
        np.busday_offset(last_days("2018-01", "2021-01"), 0, "backward"),
        *(13, "1 month"),
    ),
    "first business days": (
        np.busday_offset(first_days("2018-01", "2021-01"), 0, "forward"),
        *(13, "1 month"),
    ),
    "Sunday to Thursday": (
        np.busday_offset("2020-01-05", range(40), "forward", [1, 1, 1, 1, 0, 0, 1]),
        *(9, "some days of each week"),
    ),
    "Monday, Wednesday, Friday": (
        np.busday_offset("2020-01-06", range(40), "forward", "Mon Wed Fri"),
        *(9, "some days of each week"),
    ),
    "the 1st and the 15th": (
        np.sort(np.concatenate([d := first_days("2020-01", "2021-01"), d + FORTNIGHT])),
        *(5, "some days of each month"),
    ),
    "the 15th and the last": (
        np.sort(np.concatenate([d + FORTNIGHT, last_days("2020-01", "2021-01")])),
        *(5, "some days of each month"),
    ),
    "weeks": (np.arange("2020-01-06", "2021-01-01", 7, dtype="M8[D]"), 9, "1 week"),
    "days": (np.arange("2020-02-20", "2020-04-01", dtype="M8[D]"), 9, "1 day"),
    "four weekdays": (np.arange("2020-01-06", "2020-01-12", dtype="M8[D]"), 2, "1 day"),
    "second days": (np.arange("2020-01-01", "2020-03-01", 2, "M8[D]"), 9, "2 days"),
    "hours": (np.arange("2020-02-28T20", "2020-03-02", dtype="M8[h]"), 9, "1 hour"),
    "90 minutes": (
        np.arange("2020-02-28T20:00", "2020-03-02", 90, dtype="M8[m]"),
        *(9, "90 minutes"),
    ),
    "milliseconds": (
        np.arange("2020-02-28T20", "2020-02-28T21", 250, dtype="M8[ms]")[:60],
        *(9, "0.25 seconds"),
    ),
    "year numbers": (np.arange(1960, 2020), 9, "1"),
    "tenths": (np.array([float(f"{i / 10}") for i in range(80)]), 9, "0.1"),
}


@pytest.mark.parametrize("name", SERIES)
def test_a_series_goes_on_as_it_would(name):
    whole, horizon, step_name = SERIES[name]
    step = find_step(whole[:-horizon])
    assert step.name == step_name
    assert len(step.gaps) == 0
    found = step.following(horizon)
    assert found.dtype == whole.dtype
    np.testing.assert_array_equal(found, whole[-horizon:])


@pytest.mark.parametrize("name", ["months", "business days", "days", "hours", "tenths"])
def test_absent_rows_are_gaps_and_change_no_step(name):
    whole, horizon, step_name = SERIES[name]
    rows = np.delete(np.arange(len(whole) - horizon), [5, 11, 12])
    step = find_step(whole[rows])
    assert step.name == step_name
    assert step.gaps.tolist() == [5, 10]
    np.testing.assert_array_equal(step.following(horizon), whole[-horizon:])


@fuzz
@given(
    minutes=st.sampled_from([1, 5, 10, 15, 30, 60, 120, 1440]),
    number=st.integers(60, 200),
    seed=st.integers(0, 1000),
    adds_up=st.booleans(),
)
def test_jitter_does_not_become_the_step(minutes, number, seed, adds_up):
    rng = np.random.default_rng(seed)
    jitter = rng.integers(-2, 3, number)
    if adds_up:
        jitter = np.cumsum(rng.choice([-1, 0, 1], number)) if minutes > 1 else jitter
    exact = np.datetime64("2020-01-01T00:10:00") + np.timedelta64(60, "s") * (
        np.arange(number) * minutes
    )
    step = find_step(exact + jitter * SECOND)
    found = step.following(3)
    last = (exact + jitter * SECOND)[-1]
    assert (found == last + np.arange(1, 4) * minutes * 60).all()
    assert len(step.gaps) == 0


def test_measured_numbers_have_the_step_of_their_line():
    rng = np.random.default_rng(0)
    times = 5 + 0.5 * np.arange(200) + rng.normal(size=200) * 0.01
    step = find_step(times)
    assert step.name == "0.5"
    np.testing.assert_allclose(step.following(2), times[-1] + [0.5, 1])


@pytest.mark.parametrize(
    "times",
    [
        days("2020-01-01"),
        days("2020-01-01", "2020-01-17", "2020-01-18", "2020-03-07", "2020-03-20"),
        np.cumsum(np.random.default_rng(0).integers(1, 30, 50)),
        np.cumsum(np.random.default_rng(0).exponential(size=50)),
        np.array([], float),
    ],
    ids=range(5),
)
def test_times_without_a_step_have_none(times):
    assert find_step(times) is None
