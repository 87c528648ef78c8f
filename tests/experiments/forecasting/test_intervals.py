"""Calibrated intervals: their widths by brute force, and their coverage."""

import math

import numpy as np
import pytest

from experiments.forecasting.intervals import interval_widths, with_intervals
from seqjax.nn.forecast_heads import Forecast


def draw(rng, shape, own):
    """A Forecast around 0, and whether it has intervals of its own."""
    mean = rng.normal(size=shape)
    if not own:
        return Forecast(mean)
    return Forecast(mean, mean - rng.exponential(size=shape), mean + 1)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
def test_widths_are_those_of_a_loop(own, coverage):
    rng = np.random.default_rng(0)
    found, truth = draw(rng, (3, 20, 2), own), rng.normal(size=(3, 20, 2))
    is_valid = rng.random((3, 20)) < 0.7
    widths = interval_widths(found, truth, is_valid, coverage)
    for h in range(3):
        for d in range(2):
            scores = []
            for n in np.flatnonzero(is_valid[h]):
                error = truth[h, n, d] - found.mean[h, n, d]
                half = 1.0
                if own:
                    end = (found.upper if error >= 0 else found.lower)[h, n, d]
                    half = abs(end - found.mean[h, n, d])
                scores.append(abs(error) / half)
            rank = min(math.ceil(coverage * (len(scores) + 1)), len(scores))
            assert widths[h, d] == pytest.approx(sorted(scores)[rank - 1])
    held = with_intervals(found, widths)
    inside = (held.lower <= truth + 1e-9) & (truth - 1e-9 <= held.upper)
    for h in range(3):  # the share that the widths were made for
        share = inside[h, is_valid[h]].mean(axis=0)
        assert (share >= min(coverage, 1)).all()


@pytest.mark.parametrize("own", [False, True])
def test_new_values_of_the_same_distribution_are_covered(own):
    rng = np.random.default_rng(1)
    hits = []
    for _ in range(300):
        truth = rng.normal(size=(1, 31, 1))
        mean = np.zeros((1, 31, 1))
        found = Forecast(mean, mean - 0.2, mean + 3) if own else Forecast(mean)
        is_valid = np.arange(31)[None] < 30
        held = with_intervals(found, interval_widths(found, truth, is_valid, 0.8))
        hits.append(held.lower[0, 30, 0] <= truth[0, 30, 0] <= held.upper[0, 30, 0])
    assert np.mean(hits) == pytest.approx(0.8, abs=0.07)  # 3 standard deviations


def test_without_widths_a_forecast_stays_as_it_is():
    found = draw(np.random.default_rng(0), (2, 3, 1), own=True)
    assert with_intervals(found, None) is found


def test_an_interval_without_width_is_widened():
    mean = np.zeros((1, 4, 1))
    found = Forecast(mean, mean, mean)
    truth = np.ones((1, 4, 1))
    widths = interval_widths(found, truth, np.ones((1, 4), bool), 0.5)
    held = with_intervals(found, widths)
    np.testing.assert_allclose(held.upper, 1)
