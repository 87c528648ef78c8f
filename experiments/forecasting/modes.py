"""The modes of the forecasting command: train, forecast and evaluate."""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.console import note
from experiments.common.errors import UserError
from experiments.common.line_io import write_text
from experiments.common.recurrent import with_precision
from experiments.common.training_run import open_run
from experiments.common.workdir import Workdir
from experiments.forecasting.config import Config
from experiments.forecasting.data import (
    load_series,
    note_reading,
    read_table,
    series_name,
    settle,
    settled_by_run,
    standardized,
)
from experiments.forecasting.evaluate import ForecastScores, score, validate
from experiments.forecasting.figures import draw_forecasts
from experiments.forecasting.fitted import FITTED, Fitted, read_fitted, write_fitted
from experiments.forecasting.intervals import with_intervals
from experiments.forecasting.model import Forecaster, build_forecasters
from experiments.forecasting.output import ForecastRow, csv_text, forecast_rows
from experiments.forecasting.report import Report, print_report
from experiments.forecasting.training import (
    load_forecaster_params,
    on_device,
    train_forecaster,
)
from seqjax import metrics
from seqjax.baselines.autoregressive import LinearAR, SeasonalNaive
from seqjax.data import series as series_data
from seqjax.data.series import NOISE, Series, sine_signal
from seqjax.nn.forecast_heads import Forecast, forecast_all

FIGURE = "forecasts.png"


def open_workdir(config: Config, name: str = "", training: bool = True) -> Workdir:
    """The folder of the run, or of the forecaster `name` in it."""
    path = Path(config.run.workdir) / name
    # The seed draws the noise of the sine: it stays that of the run.
    files = (FIGURE, FITTED)
    return open_run(config, files, training=training, fixed={"seed"}, path=path)


@with_precision
def train(config: Config) -> dict[str, Any]:
    """Train and compare all forecasters; the entries of summary.json."""
    found = load_series(config.data, config.run, config.model.horizon)
    config, found = settle(config, found)
    workdir = open_workdir(config)
    forecasters = build_forecasters(config.model, found)
    scaling = None
    if config.data.standardize:
        found, scaling = series_data.standardize(found)
    folders = open_folders(config, workdir, forecasters)
    for folder in (workdir, *folders.values()):
        folder.check_data(found.sha256)
    note_reading(found)
    train_rows = found.values[slice(*found.train)]
    last = None if found.times is None else found.times[found.valid[1] - 1]
    fitted = Fitted(found.columns, scaling, train_rows, last, {}, {}, found.sha256)
    key, seconds, scores = jax.random.key(config.run.seed), 0.0, {}
    coverage = config.model.interval if config.model.calibrate else None
    horizon, steps = config.model.horizon, config.evaluation.steps
    with workdir.open_for_training():
        for forecaster in forecasters:
            name, params = forecaster.name, None
            if forecaster.is_trained:
                print(name, flush=True)
                folder = folders[name]
                params, progress = train_forecaster(config, forecaster, found, folder)
                seconds += progress.seconds
            elif isinstance(forecaster.model, LinearAR):
                fitted.linear[name] = forecaster.model.fit(train_rows)
                params = on_device(fitted.linear[name])
            checked = validate(forecaster, params, found, horizon, coverage, key)
            fitted.validations[name] = checked
            scores[name] = score(
                *(forecaster, params, found, train_rows, horizon, steps, key),
                widths=checked.widths,
            )
            scores[name].numbers["valid_mse"] = checked.mse
        write_fitted(workdir, fitted)
        return summarize(config, workdir, found, fitted, scores, seconds)


def open_folders(
    config: Config, workdir: Workdir, forecasters: list[Forecaster]
) -> dict[str, Workdir]:
    """The folders of the forecasters to train, and of those that the run has already.

    All are opened before training, so that nothing is trained if one does not fit.
    """
    names = {forecaster.name for forecaster in forecasters if forecaster.is_trained}
    names |= {path.parent.name for path in workdir.path.glob("*/flags.txt")}
    return {name: open_workdir(config, name) for name in sorted(names)}


def summarize(
    config: Config,
    workdir: Workdir,
    series: Series,
    fitted: Fitted,
    scores: dict[str, ForecastScores],
    seconds: float,
) -> dict[str, Any]:
    """Write summary.json and the figure, print the tables; the summary."""
    best = fitted.best_first(list(scores))[0]
    summary = {
        "models": {name: found.numbers for name, found in scores.items()},
        "best": best,
        "period": series.period,
        "test_rows": series.test,
        "seconds": seconds,
        "dataset_sha256": series.sha256,
    }
    noise = None
    is_sine = config.data.csv is None and config.data.dataset == "sine"
    if is_sine and fitted.scaling is None:
        begin, end = series.test
        noise = metrics.mse(sine_signal()[begin:end], series.values[begin:end])
        summary |= {"noise_variance": NOISE**2, "noise_in_test": noise}
    workdir.write_summary(summary)
    horizon = config.model.horizon
    figure = workdir.file(FIGURE)
    draw_forecasts(figure, series, fitted.scaling, scores, horizon)
    print_report(Report(config, series, fitted, scores), noise)
    print(f"Training took {seconds:.1f} s; files in {workdir.path}.")
    return summary


# ---------------------------------------------------------------- of a trained run


class _Run(NamedTuple):
    """A trained run, and a series in the units of the data for its models."""

    config: Config
    workdir: Workdir
    fitted: Fitted
    series: Series

    def params(self, forecaster: Forecaster) -> Any:
        """The parameters of a forecaster; None if it has none."""
        name = forecaster.name
        if name not in self.fitted.validations:
            raise UserError(
                f"{self.workdir.path} holds no {name}; train it there, with it among "
                f"--models."
            )
        if forecaster.is_trained:
            folder = open_workdir(self.config, name, training=False)
            return load_forecaster_params(self.config, forecaster, folder)
        if isinstance(forecaster.model, LinearAR):
            return on_device(self.fitted.linear[name])
        return None


def open_trained(config: Config) -> _Run:
    """The run in --workdir, and the series of --input, --csv or --dataset."""
    open_workdir(config, training=False)
    config = settled_by_run(config)
    workdir = open_workdir(config, training=False)
    fitted = read_fitted(workdir)
    newer = config.output.input
    paths = config.data.csv if newer is None else (newer,)
    if paths is None:
        return _Run(
            *(config, workdir, fitted),
            load_series(config.data, config.run, config.model.horizon),
        )
    tables = [read_table(path, config.data, fitted.columns) for path in paths]
    name = series_name(paths)
    if len(tables) == 1 and tables[0].sha256 != fitted.sha256:
        found = series_data.whole(name, tables[0])
    else:
        found = series_data.of_columns(name, tables, horizon=config.model.horizon)
    return _Run(config, workdir, fitted, found._replace(period=config.data.period))


@with_precision
def forecast(config: Config) -> list[ForecastRow]:
    """Forecasts of the values after the last row, also written as CSV.

    They have the units of the data; those of the best forecaster on the validation part
    come first.
    """
    run = open_trained(config)
    config, fitted, found = run.config, run.fitted, run.series
    forecasters = build_forecasters(config.model, found, parts=())
    check_rows(found, forecasters)
    note_reading(found)
    values = jnp.asarray(standardized(found, fitted.scaling).values, jnp.float32)
    origin, key = np.array([len(values)]), jax.random.key(config.run.seed)
    rows: dict[str, list[ForecastRow]] = {}
    for forecaster in forecasters:
        params = run.params(forecaster)
        ahead = forecast_all(
            forecaster.model, params, values, origin, config.model.horizon, key
        )
        ahead = with_intervals(ahead, fitted.validations[forecaster.name].widths)
        ahead = in_data_units(forecaster, ahead, found, fitted)
        rows[forecaster.name] = list(forecast_rows(forecaster.name, found, ahead))
    order = fitted.best_first(list(rows))
    if len(order) > 1:
        note(f"best on the validation part, and first: {order[0]}.")
    written = [row for name in order for row in rows[name]]
    write_text(config.output.output, csv_text(written))
    return written


def check_rows(found: Series, forecasters: list[Forecaster]) -> None:
    """Refuse a series with fewer rows than a forecaster reads."""
    tau = max(forecaster.model.tau for forecaster in forecasters)
    if len(found.values) < tau:
        raise UserError(
            f"{found.name} has {len(found.values)} rows, but the models read {tau}."
        )


def in_data_units(
    forecaster: Forecaster, found: Forecast, series: Series, fitted: Fitted
) -> Forecast:
    """A Forecast [horizon, 1, D] in the units of the data, in float64."""
    scaling = fitted.scaling
    found = jax.tree.map(lambda a: np.asarray(a, np.float64), found)
    if scaling is not None:
        found = jax.tree.map(lambda a: a * scaling.std + scaling.mean, found)
    if isinstance(forecaster.model, SeasonalNaive):  # repeats the very numbers
        period = forecaster.model.period
        rows: Any = series.values[-period:][np.arange(len(found.mean)) % period]
        found = found._replace(mean=rows[:, None])
    return found


@with_precision
def evaluate(config: Config) -> dict[str, Any]:
    """Score the forecasters of a run on its test part, or on the rows of a file.

    Of a file that goes on after the training data by its times, only the rows that
    neither trained nor validated are scored; of any other file, all rows are.
    """
    run = open_trained(config)
    config, fitted, found = run.config, run.fitted, run.series
    forecasters = build_forecasters(config.model, found, parts=())
    check_rows(found, forecasters)
    note_reading(found)
    horizon = config.model.horizon
    if found.sha256 != fitted.sha256:
        begin = first_new_row(found, fitted, max(f.model.tau for f in forecasters))
        found = found._replace(test=(begin, len(found.values)))
    if found.test[1] - found.test[0] < horizon:
        raise UserError(
            f"{found.name} has {found.test[1] - found.test[0]} rows to score, but "
            f"--horizon={horizon} needs {horizon}."
        )
    found, key = standardized(found, fitted.scaling), jax.random.key(config.run.seed)
    scores = {}
    for forecaster in forecasters:
        params = run.params(forecaster)
        checked = fitted.validations[forecaster.name]
        scores[forecaster.name] = score(
            *(forecaster, params, found, fitted.train, horizon),
            *(config.evaluation.steps, key, checked.widths),
        )
        scores[forecaster.name].numbers["valid_mse"] = checked.mse
    print_report(Report(config, found, fitted, scores), noise=None)
    return {
        "models": {name: found.numbers for name, found in scores.items()},
        "best": fitted.best_first(list(scores))[0],
        "test_rows": found.test,
        "dataset_sha256": found.sha256,
    }


def first_new_row(found: Series, fitted: Fitted, tau: int) -> int:
    """The first row of another file to score: after those that trained the models."""
    begin = min(tau, len(found.values))
    last = fitted.last_time
    if found.times is None or last is None or found.times.dtype.kind != last.dtype.kind:
        note(f"{found.name}: all rows from row {begin + 1} on are scored.")
        return begin
    new = int(np.searchsorted(found.times, last, side="right"))
    if new == len(found.times):
        note(
            f"{found.name} has no rows after {last}, the last that trained the models."
        )
        return begin
    return max(begin, new)
