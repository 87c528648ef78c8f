"""Interleaved timing of several arms, and statistics of the times."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

Call: TypeAlias = Callable[[], Any]


def interleave(
    calls: Mapping[str, tuple[Call, Call]], rounds: int
) -> dict[str, list[float]]:
    """Time all arms round by round, so that a slow period affects all of them.

    Args:
      calls: {arm: (untimed, timed)}, functions that return when their results are
        computed. `untimed` runs before each `timed`, to warm up caches and threads.
      rounds: the number of timed calls of each arm.

    Returns:
      {arm: seconds of each timed call}.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (untimed, timed) in calls.items():
            time.sleep(0.002)  # idle threads of torch keep a core busy for a while
            untimed()
            start = time.perf_counter()
            timed()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def time_calls(calls: Mapping[str, Call], rounds: int) -> dict[str, list[float]]:
    """`interleave`, with two untimed calls before each timed one."""
    return interleave(
        {name: (_twice(call), call) for name, call in calls.items()}, rounds
    )


def _twice(call: Call) -> Call:
    return lambda: (call(), call())


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median and the range."""
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
    }


def spreads(seconds: Mapping[str, Sequence[float]]) -> dict[str, dict[str, float]]:
    """The `spread` of each arm."""
    return {name: spread(times) for name, times in seconds.items()}


def summarize(ratios: Mapping[str, float]) -> dict[str, Any]:
    """The geometric mean of ratios, and the highest one with its shape.

    Args:
      ratios: {shape: time of seqjax / time of the peer}.
    """
    worst = max(ratios, key=ratios.__getitem__)
    return {
        "geometric_mean": statistics.geometric_mean(ratios.values()),
        "worst": ratios[worst],
        "worst_shape": worst,
    }
