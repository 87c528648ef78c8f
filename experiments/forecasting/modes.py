"""The modes of the forecasting command: train and forecast."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.console import print_columns
from experiments.common.line_io import write_text
from experiments.common.recurrent import with_precision
from experiments.common.training_run import open_run
from experiments.common.workdir import Workdir
from experiments.forecasting.config import Config
from experiments.forecasting.data import load_series, note_gaps
from experiments.forecasting.evaluate import (
    FAIL_FACTOR,
    FAIL_ROWS,
    ForecastScores,
    score,
)
from experiments.forecasting.figures import draw_forecasts
from experiments.forecasting.model import Forecaster, build_forecasters
from experiments.forecasting.output import ForecastRow, csv_text, forecast_rows
from experiments.forecasting.training import (
    fit_params,
    load_forecaster_params,
    train_forecaster,
)
from seqjax import metrics
from seqjax.data.series import NOISE, Scaling, Series, sine_signal
from seqjax.nn.forecast_heads import forecast_all

FIGURE = "forecasts.png"


def open_workdir(config: Config, name: str = "", training: bool = True) -> Workdir:
    """The folder of the run, or of the forecaster `name` in it."""
    path = Path(config.run.workdir) / name
    # The seed draws the noise of the sine: it stays that of the run.
    return open_run(config, (FIGURE,), training=training, fixed={"seed"}, path=path)


@with_precision
def train(config: Config) -> dict[str, Any]:
    """Train and compare all forecasters; the entries of summary.json."""
    workdir = open_workdir(config)
    series, scaling = load_series(config.data, config.run)
    forecasters = build_forecasters(config.model, series)
    folders = open_folders(config, workdir, forecasters)
    for folder in folders.values():
        folder.check_data(series.sha256)
    note_gaps(series)
    horizon, steps = config.model.horizon, config.evaluation.steps
    key, seconds, scores = jax.random.key(config.run.seed), 0.0, {}
    with workdir.open_for_training():
        for forecaster in forecasters:
            if forecaster.is_trained:
                print(forecaster.name, flush=True)
                folder = folders[forecaster.name]
                params, progress = train_forecaster(config, forecaster, series, folder)
                seconds += progress.seconds
            else:
                params = fit_params(forecaster, series)
            scores[forecaster.name] = score(
                forecaster, params, series, horizon, steps, key
            )
        return report(config, workdir, series, scaling, scores, seconds)


def open_folders(
    config: Config, workdir: Workdir, forecasters: list[Forecaster]
) -> dict[str, Workdir]:
    """The folders of the forecasters to train, and of those that the run has already.

    All are opened before training, so that nothing is trained if one does not fit.
    """
    names = {forecaster.name for forecaster in forecasters if forecaster.is_trained}
    names |= {path.parent.name for path in workdir.path.glob("*/flags.txt")}
    return {name: open_workdir(config, name) for name in sorted(names)}


@with_precision
def forecast(config: Config) -> list[ForecastRow]:
    """Forecasts of the values after the last row, also written as CSV.

    They have the units of the data.
    """
    open_workdir(config, training=False)
    series, scaling = load_series(config.data, config.run)
    values = jnp.asarray(series.values, jnp.float32)
    origin, key = np.array([len(values)]), jax.random.key(config.run.seed)
    rows: list[ForecastRow] = []
    for forecaster in build_forecasters(config.model, series):
        if forecaster.is_trained:
            folder = open_workdir(config, forecaster.name, training=False)
            params = load_forecaster_params(config, forecaster, series, folder)
        else:
            params = fit_params(forecaster, series)
        found = forecast_all(
            forecaster.model, params, values, origin, config.model.horizon, key
        )
        if scaling is not None:
            found = jax.tree.map(lambda a: a * scaling.std + scaling.mean, found)
        rows += forecast_rows(forecaster.name, series, found)
    write_text(config.output.output, csv_text(rows))
    return rows


def report(
    config: Config,
    workdir: Workdir,
    series: Series,
    scaling: Scaling | None,
    scores: Mapping[str, ForecastScores],
    seconds: float,
) -> dict[str, Any]:
    """Write summary.json and the figure, print the tables; the summary."""
    summary = {
        "models": {name: found.numbers for name, found in scores.items()},
        "test_rows": series.test,
        "seconds": seconds,
        "dataset_sha256": series.sha256,
    }
    noise = None
    if config.data.csv is None and config.data.dataset == "sine" and scaling is None:
        begin, end = series.test
        noise = metrics.mse(sine_signal()[begin:end], series.values[begin:end])
        summary |= {"noise_variance": NOISE**2, "noise_in_test": noise}
    workdir.write_summary(summary)
    horizon = config.model.horizon
    draw_forecasts(workdir.file(FIGURE), series, scaling, scores, horizon)
    units = "units of the data" if scaling is None else "standardized data"
    print_errors(f"{series.name}, {horizon} steps, {units}", scores)
    print_errors_by_step(series, scores, noise)
    print(f"training took {seconds:.1f} s; files in {workdir.path}")
    return summary


def print_errors(title: str, scores: Mapping[str, ForecastScores]) -> None:
    """The table of errors over the whole horizon."""
    rows = []
    for name, found in scores.items():
        errors = (found.numbers[k] for k in ("mse", "mae", "mase", "coverage"))
        parameters = f"{found.numbers['parameters']:,}"
        rows.append((name, parameters, *map(_rounded, errors)))
    header = ("model", "parameters", "MSE", "MAE", "MASE", "coverage")
    print_columns(title, header, rows)


def print_errors_by_step(
    series: Series, scores: Mapping[str, ForecastScores], noise: float | None
) -> None:
    """The table of errors k steps ahead, over the same rows for every k."""
    begin = series.test[0]
    steps = sorted({k for found in scores.values() for k in found.k_steps})
    rows = []
    for name, found in scores.items():
        numbers, fails = found.numbers, ""
        errors = [numbers["k_step_mse"].get(str(k)) for k in steps]
        if found.free_running is not None:
            step = numbers["fails_from_step"]
            fails = "never" if step is None else str(begin + step)
        free_running = numbers.get("free_running_mse")
        rows.append((name, *map(_rounded, [*errors, free_running]), fails))
    if noise is not None:
        rows.append(("noise variance", *(_rounded(noise) for _ in steps), "", ""))
    header = ("model", *(f"k = {k}" for k in steps), "free-running", "fails from t")
    title = f"MSE k steps ahead, and free-running from t = {begin} on"
    print_columns(title, header, rows)
    print(
        f"(The free-running forecast fails where its MSE over {FAIL_ROWS} rows exceeds "
        f"{FAIL_FACTOR} times the one-step MSE.)"
    )


def _rounded(number: float | None) -> str:
    return "" if number is None else f"{number:.4f}"
