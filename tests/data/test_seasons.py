"""Seasons are found where there are some, and not where there are none."""

import numpy as np
import pytest

from seqjax.data.seasons import find_season


def season(period, number, size, seed, smooth):
    """A trend, a season and noise of standard deviation 1."""
    rng, t = np.random.default_rng(seed), np.arange(number)
    pattern = rng.normal(size=period)
    if smooth:
        pattern = 1.4 * np.sin(2 * np.pi * np.arange(period) / period)
    series = 0.1 * t + size * pattern[t % period] + rng.normal(size=number)
    return series[:, None]


@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize(
    ("period", "number"), [(4, 60), (7, 100), (12, 80), (12, 120), (24, 200)]
)
def test_clear_seasons_are_found(period, number, smooth):
    found = [find_season(season(period, number, 4, s, smooth)) for s in range(20)]
    right = sum(one.period == period for one in found)
    assert right >= 19
    assert all(0 <= one.strength <= 1 for one in found)


def random_walks(rng):
    return np.cumsum(rng.normal(size=(120, 1)), axis=0)


def noise(rng):
    return rng.normal(size=(120, 1))


def autoregression(rng):
    values = np.zeros((120, 1))
    for t in range(1, 120):
        values[t] = 0.9 * values[t - 1] + rng.normal()
    return values


@pytest.mark.parametrize("draw", [random_walks, noise, autoregression])
@pytest.mark.parametrize("step", [None, "1 month"])
def test_series_without_a_season_have_none(draw, step):
    rng = np.random.default_rng(0)
    found = sum(find_season(draw(rng), step).period != 1 for _ in range(60))
    assert found <= 3


def test_an_exact_season_is_the_shortest_that_repeats():
    t = np.arange(240)
    values = np.random.default_rng(0).normal(size=24)[t % 24][:, None]
    assert find_season(values) == (24, 1.0)
    assert find_season(values + t[:, None]).period == 24
    assert find_season(np.hstack([values, 3 * values])).period == 24


def test_the_season_of_most_columns_is_chosen():
    t = np.arange(240)
    rng = np.random.default_rng(0)
    day, week = rng.normal(size=24)[t % 24], rng.normal(size=7)[t % 7]
    assert find_season(np.stack([day, week, 2 * week], axis=1)) == (7, 1.0)
    assert find_season(np.stack([day, week + day, day + t], axis=1)).period == 24


def test_a_slow_season_is_that_of_the_calendar():
    t = np.arange(1100)
    rng = np.random.default_rng(0)
    noisy = 4 * np.sin(2 * np.pi * t / 365)[:, None] + 2 * rng.normal(size=(1100, 1))
    assert find_season(noisy, "1 day").period == 365


@pytest.mark.parametrize(
    "values", [np.zeros((100, 2)), np.zeros((3, 1)), np.arange(50.0)[:, None]]
)
def test_constants_trends_and_few_rows_have_none(values):
    assert find_season(values) == (1, 0.0)
