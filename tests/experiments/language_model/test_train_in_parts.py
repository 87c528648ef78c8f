"""A train loop whose calls see parts of a plan, of one length."""

import numpy as np
import pytest

from experiments.language_model.model import in_parts
from seqjax.training import Metrics


def recorded(calls, bad=None):
    """A loop that sums the rows that count, and skips one in each call."""

    def run(state, data, rows, end, total, count):
        calls.append((rows.shape, end))
        total += float(rows[:end].sum())
        if bad in rows[:end]:
            total = np.nan
        return state + end, Metrics(total, count + end, 1.0, 2.0, 3.0, 1)

    return run


@pytest.mark.parametrize(("begin", "end"), [(0, 0), (2, 5), (0, 7), (3, 10)])
def test_parts_are_the_rows_in_order(begin, end):
    plan, calls = np.arange(20).reshape(10, 2), []
    state, found = in_parts(recorded(calls), 3)(100, None, plan, begin, end, 0.5, 2.0)
    assert state == 100 + end - begin
    assert found.total == 0.5 + plan[begin:end].sum()
    assert found.count == 2.0 + end - begin
    assert found.skipped == len(calls) == max(1, -(-(end - begin) // 3))
    assert {shape for shape, _ in calls} == {(3, 2)}


def test_a_loss_that_is_not_finite_ends_the_call():
    plan, calls = np.arange(20).reshape(10, 2), []
    state, found = in_parts(recorded(calls, bad=7), 3)(0, None, plan, 0, 10)
    assert np.isnan(found.total)
    assert len(calls) == 2
    assert state == 6
