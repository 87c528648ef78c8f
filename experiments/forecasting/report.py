"""The closing tables of a forecasting run, what their words mean, and what follows."""

from typing import NamedTuple

from experiments.common.console import print_columns, print_text
from experiments.forecasting.config import Config
from experiments.forecasting.evaluate import FAIL_FACTOR, FAIL_ROWS, ForecastScores
from experiments.forecasting.fitted import Fitted
from seqjax.data.series import Series

BASELINES = ("naive", "linear")


class Report(NamedTuple):
    """What the tables show."""

    config: Config
    series: Series
    fitted: Fitted
    scores: dict[str, ForecastScores]


def print_report(report: Report, noise: float | None) -> None:
    """Print the tables and the closing lines.

    Args:
      report: the scores.
      noise: the variance of the noise in the test rows, where it is known.
    """
    print_errors(report)
    print_errors_by_step(report, noise)
    print_conclusion(report)


def print_errors(report: Report) -> None:
    """The table of errors over the whole horizon, the best model marked."""
    config, series, fitted, scores = report
    best = fitted.best_first(list(scores))[0]
    rows = []
    for name, found in scores.items():
        numbers = found.numbers
        errors = (numbers[k] for k in ("valid_mse", "mse", "mae", "mase", "coverage"))
        shown = f"{name} *" if name == best else name
        rows.append((shown, f"{numbers['parameters']:,}", *map(_rounded, errors)))
    units = "units of the data" if fitted.scaling is None else "standardized data"
    horizon = config.model.horizon
    header = ("model", "parameters", "valid MSE", "MSE", "MAE", "MASE", "coverage")
    print_columns(f"{series.name}, {horizon} steps, {units}", header, rows)
    season = f"season of {series.period} rows" if series.period > 1 else "value"
    print_text(f"The seasonal naive forecast repeats the last {season}.")
    if any(found.numbers["coverage"] is not None for found in scores.values()):
        share = f"{100 * config.model.interval:g}"
        print_text(f"Intervals should hold {share} % of the values.")


def print_errors_by_step(report: Report, noise: float | None) -> None:
    """The table of errors k steps ahead, over the same rows for every k."""
    _, series, _, scores = report
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
    print_text(
        f"A free-running forecast fails where its MSE over {FAIL_ROWS} rows exceeds "
        f"{FAIL_FACTOR} times the one-step MSE."
    )


def print_conclusion(report: Report) -> None:
    """Which model to use, and whether networks are worth their training."""
    _, _, fitted, scores = report
    best = fitted.best_first(list(scores))[0]
    mse = {name: found.numbers["mse"] for name, found in scores.items()}
    print_text(
        f"Best on the validation part: {best} (test MSE {_rounded(mse[best])}); "
        f"--mode=forecast writes it first."
    )
    baselines = {n: e for n, e in mse.items() if n.startswith(BASELINES)}
    if not baselines:
        return
    winner = min(baselines, key=lambda name: baselines[name])
    losers = [n for n, e in mse.items() if n not in baselines and e > mse[winner]]
    if losers:
        verb = "loses" if len(losers) == 1 else "lose"
        print_text(
            f"{', '.join(losers)} {verb} to {winner} on the test part (MSE "
            f"{_rounded(mse[winner])}): a network is not worth its training there."
        )


def _rounded(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:.4f}" if number >= 0.001 or number == 0 else f"{number:.1e}"
