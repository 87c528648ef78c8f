"""The time series from settings, and the settings that depend on it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.common.console import note
from experiments.common.workdir import RunConfig
from experiments.forecasting.config import AUTO, AUTO_MODELS, Config, DataConfig
from seqjax.data import series
from seqjax.data.calendar_steps import find_step
from seqjax.data.csv_columns import Columns, columns_of, read_columns
from seqjax.data.seasons import find_season
from seqjax.data.series import Scaling, Series
from seqjax.data.tables import read_parts
from seqjax.data.text import shown_path

DEFAULT_TAU, DEFAULT_HORIZON = 24, 12


def load_series(config: DataConfig, run: RunConfig, horizon: int) -> Series:
    """The series in the units of the data, with the period of the settings.

    Raises:
      DataError: if it cannot be read, or is too short for a forecast of `horizon` rows.
    """
    if config.csv is None:
        found = series.load(config.dataset, run.data_dir, run.seed)
    else:
        columns = config.target, config.time_column, config.missing
        tables = [columns_of(part, *columns) for part in read_parts(config.csv)]
        rows = horizon or default_horizon(len(tables[0].values))
        found = series.of_columns(series_name(config.csv), tables, horizon=rows)
    return found._replace(period=config.period)


def read_table(
    path: str, config: DataConfig, target: tuple[str, ...] | None
) -> Columns:
    """The columns of a file, or of standard input."""
    return read_columns(path, target, config.time_column, config.missing)


def series_name(paths: Sequence[str]) -> str:
    """What messages and tables call the series of these files."""
    return Path(shown_path(paths[0])).stem


def default_horizon(rows: int) -> int:
    """The steps that a series of so many rows is forecast by default."""
    return max(1, min(DEFAULT_HORIZON, rows // 6))


def settle(config: Config, found: Series) -> tuple[Config, Series]:
    """The settings without "auto", 0 or none, and the series with its period.

    The season is found in the rows before the test part, and tau is one season and a
    row, as far as at least half of the training rows remain to learn from.
    """
    period, notes = config.data.period, found.notes
    if period == 0:
        period, sentence = _find_period(found)
        notes = (*notes, sentence)
    horizon = config.model.horizon or default_horizon(len(found.values))
    rows = found.train[1] - found.train[0]
    tau = config.model.tau
    if tau is None:
        longest = max(2, (rows - horizon) // 2)
        tau = (min(period + 1 if period > 1 else DEFAULT_TAU, longest),)
    models: list[str] = []
    for name in config.model.models:
        models += AUTO_MODELS if name == AUTO else (name,)
    config = config.replace(
        period=period, horizon=horizon, tau=tau, models=tuple(dict.fromkeys(models))
    )
    return config, found._replace(period=period, notes=notes)


def _find_period(found: Series) -> tuple[int, str]:
    """The rows in a season, and a note that reports it."""
    step = None if found.times is None else find_step(found.times)
    season = find_season(
        found.values[: found.test[0]], None if step is None else step.name
    )
    if season.period == 1:
        return 1, f"{found.name}: no season was found; --period names one."
    return season.period, (
        f"{found.name}: a season of {season.period} rows was found (strength "
        f"{season.strength:.2f} of 1); --period names another."
    )


def settled_by_run(config: Config) -> Config:
    """The settings with those that `settle` found when the run was trained."""
    stored = Config.of_run(config.run.workdir)
    changes = {
        "period": config.data.period or stored.data.period,
        "horizon": config.model.horizon or stored.model.horizon,
        "tau": config.model.tau or stored.model.tau,
        "models": config.model.models,
    }
    if AUTO in config.model.models:
        changes["models"] = stored.model.models
    return config.replace(**changes)


def standardized(found: Series, scaling: Scaling | None) -> Series:
    """The series in the units of a Scaling; unchanged for None."""
    if scaling is None:
        return found
    return found._replace(values=(found.values - scaling.mean) / scaling.std)


def note_reading(found: Series) -> None:
    """Print notes on how a series was read, and if time does not advance evenly."""
    for sentence in found.notes:
        note(sentence)
    if found.times is None:
        return
    step = find_step(found.times)
    if step is None:
        note(
            f"{found.name}: the times follow no known step; rows are read as "
            f"successive, and forecasts are not dated."
        )
        return
    if len(step.gaps):
        note(
            f"{found.name}: the time step before {_lines(step.gaps)} differs from the "
            f"usual one, {step.name}; rows are read as successive."
        )


def _lines(rows: np.ndarray) -> str:
    lines = ", ".join(str(row + 2) for row in rows[:3])
    return f"line {lines}" + (f" and {len(rows) - 3} more" if len(rows) > 3 else "")
