"""Forecasts as rows of a CSV file."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from seqjax.data.calendar_steps import find_step
from seqjax.data.series import Series
from seqjax.data.timestamps import written
from seqjax.nn.forecast_heads import Forecast


class ForecastRow(NamedTuple):
    """A forecast of one value, in the units of the data."""

    model: str
    step: int  # 1 for the first row after the series
    time: Any  # a number, or a date as the data write it; "" if they have none
    column: str
    forecast: float
    lower: float | None  # the ends of the interval; None without one
    upper: float | None


def forecast_rows(
    name: str, series: Series, forecast: Forecast
) -> Iterator[ForecastRow]:
    """Rows of the forecasts that follow a series, step by step, column by column.

    Args:
      name: the name of the forecaster.
      series: the series.
      forecast: arrays [horizon, 1, D].
    """
    mean, lower, upper = forecast
    for h, time in enumerate(_next_times(series, len(mean))):
        for d, column in enumerate(series.columns):
            yield ForecastRow(
                name,
                h + 1,
                time,
                column,
                float(mean[h, 0, d]),
                None if lower is None else float(lower[h, 0, d]),
                None if upper is None else float(upper[h, 0, d]),
            )


def _next_times(series: Series, horizon: int) -> list[Any]:
    """The times after the last; empty if the series has none or no known step."""
    step = None if series.times is None else find_step(series.times)
    if step is None:
        return [""] * horizon
    times = step.following(horizon)
    if series.form == "{time}":
        return list(times)
    return [written(time, series.form) for time in times]


def csv_text(rows: Sequence[ForecastRow]) -> str:
    """A CSV file with a header; numbers have all digits that distinguish them."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ForecastRow._fields)
    for row in rows:
        numbers = (row.forecast, row.lower, row.upper)
        written = (None if x is None else repr(x) for x in numbers)
        writer.writerow((*row[:4], *written))
    return text.getvalue()
