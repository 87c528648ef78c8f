"""Own series from a CSV file to dated forecasts, also of newer files."""

import csv
import io
import json
from itertools import pairwise

import numpy as np
import pytest

from experiments.forecasting.__main__ import main
from tests import commands
from tests.commands import files, refused, summary

TINY = (
    *(
        "--cell=rnn",
        "--epochs=2",
        "--epoch_updates=1",
        "--hidden_size=4",
        "--mlp_size=4",
    ),
    *("--cell=rnn", "--batch_size=16"),
)
BASELINES = "--models=naive,linear"
TRAIN, TEST = 64, 80  # the first rows that do not train, and that test, of 120


def command(*argv, stdin=b""):
    return commands.run(main, *argv, stdin=stdin)


def values(number=120, seed=0):
    """A trend, a season of 12 and noise."""
    t, rng = np.arange(number), np.random.default_rng(seed)
    return np.round(
        100 + 0.5 * t + 10 * np.sin(t * np.pi / 6) + rng.normal(size=number), 3
    )


def text(numbers, first=0, zone=""):
    """A CSV file with a row for the first day of each month from 2010 on."""
    months = np.datetime64("2010-01") + np.arange(first, first + len(numbers)).astype(
        "m8[M]"
    )
    at = "T00:00" + zone if zone else ""
    rows = [f"{m}-01{at},{x}" for m, x in zip(months, numbers, strict=True)]
    return "\n".join(["date,load", *rows, ""])


def write(path, content):
    path.write_text(content)
    return path


def rows(result):
    assert result.code == 0, result.err
    return list(csv.DictReader(io.StringIO(result.out)))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """(workdir, what training printed) of all models; not to be changed."""
    folder = tmp_path_factory.mktemp("months")
    path = write(folder / "months.csv", text(values()))
    where = (f"--csv={path}", "--time_column=date", f"--workdir={folder / 'run'}")
    result = command(*where, *TINY)
    assert result.code == 0, result.err
    return folder / "run", result


def train_baselines(folder, content, *more):
    """The folder of a run with models that need no training."""
    path = write(folder / "my.csv", content)
    result = command(f"--csv={path}", f"--workdir={folder / 'run'}", BASELINES, *more)
    assert result.code == 0, result.err
    return folder / "run", result


# ---------------------------------------------------------------- defaults


def test_the_season_is_found_and_sets_the_models(run):
    workdir, result = run
    found = summary(workdir)
    assert found["period"] == 12
    assert "a season of 12 rows was found" in result.err
    assert set(found["models"]) == {"naive_12", "linear_13", "mlp_13", "direct_13"}
    flags = (workdir / "flags.txt").read_text().splitlines()
    for line in ("--period=12", "--tau=13", "--horizon=12"):
        assert line in flags


def test_the_best_model_on_validation_is_marked_and_written_first(run):
    workdir, result = run
    found = summary(workdir)
    errors = {name: numbers["valid_mse"] for name, numbers in found["models"].items()}
    best = min(errors, key=errors.get)
    assert found["best"] == best == "linear_13"  # the networks are hardly trained
    assert "linear_13 *" in result.out
    assert "Best on the validation part: linear_13" in result.out
    assert "mlp_13, direct_13 lose to linear_13 on the test part" in result.out
    forecasts = command("--mode=forecast", f"--workdir={workdir}")
    order = list(dict.fromkeys(row["model"] for row in rows(forecasts)))
    assert order == sorted(errors, key=errors.get)
    assert f"first: {best}" in forecasts.err


def test_the_tables_explain_their_words(run):
    for word in (
        "valid MSE",
        "MSE",
        "MAE",
        "MASE",
        "coverage",
        "free-running",
        "from t",
        "k",
    ):
        assert run[1].out.count(f"  {word}: ") == (2 if word == "MSE" else 1), word
    assert "Intervals should hold 90 % of the values" in run[1].out
    assert "repeats the last season of 12 rows" in run[1].out


def least_squares(train, tau):
    """The weights of a linear autoregression, by the normal equations."""
    windows = np.lib.stride_tricks.sliding_window_view(train, tau + 1)
    inputs = np.hstack([windows[:, :tau], np.ones((len(windows), 1))])
    return np.linalg.solve(inputs.T @ inputs, inputs.T @ windows[:, tau])


def linear_forecast(weights, history, horizon):
    history = list(history)
    for _ in range(horizon):
        history.append(np.dot(weights[:-1], history[1 - len(weights) :]) + weights[-1])
    return np.array(history[-horizon:])


def test_validation_errors_and_coverage_are_those_of_a_loop(run):
    data = values()
    train = (data - data[:TRAIN].mean()) / data[:TRAIN].std()
    weights = least_squares(train[:TRAIN], 13)
    squares, by_step = [], [[] for _ in range(12)]
    for origin in range(TRAIN - 11, TEST):
        ahead = linear_forecast(weights, train[:origin], 12)
        for h in range(12):
            if TRAIN <= origin + h < TEST:
                by_step[h].append(abs(ahead[h] - train[origin + h]))
        if TRAIN <= origin <= TEST - 12:
            squares.append((ahead - train[origin : origin + 12]) ** 2)
    numbers = summary(run[0])["models"]["linear_13"]
    assert numbers["valid_mse"] == pytest.approx(np.mean(squares), rel=1e-4)
    # Of 16 errors, the interval of 90 % is as wide as the 16th of 17 ranks.
    widths = [sorted(errors)[15] for errors in by_step]
    hits = []
    for origin in range(TEST, 120 - 11):
        errors = linear_forecast(weights, train[:origin], 12)
        errors -= train[origin : origin + 12]
        hits += list(np.abs(errors) <= widths)
    assert numbers["coverage"] == pytest.approx(np.mean(hits))


def test_short_series_train_by_updates_and_stop_early(tmp_path):
    path = write(tmp_path / "my.csv", text(values()))
    where = (f"--csv={path}", "--time_column=date", f"--workdir={tmp_path / 'run'}")
    more = ("--models=mlp", "--epochs=50", "--epoch_updates=7", "--patience=2")
    result = command(*where, *TINY, *more, "--learning_rate=1", "--normalize=none")
    assert result.code == 0, result.err
    lines = (tmp_path / "run" / "mlp_13" / "metrics.jsonl").read_text().splitlines()
    steps = [line["step"] for line in map(json.loads, lines) if "valid_loss" in line]
    # 51 windows make 3 minibatches of 16; three passes reach 7.
    assert steps == [9 * (i + 1) for i in range(len(steps))]
    assert len(steps) < 50


# ---------------------------------------------------------------- newer data


@pytest.fixture(scope="module")
def newer(run):
    """A file that goes on after the training data, and one with its new rows alone."""
    data, folder = values(150), run[0].parent
    assert (data[:120] == values()).all()
    return (
        write(folder / "newer.csv", text(data)),
        write(folder / "new_rows.csv", text(data[110:], first=110)),
    )


def test_a_trained_model_goes_on_from_a_newer_file(run, newer):
    workdir, _ = run
    before = files(workdir)
    whole, part = (
        rows(command("--mode=forecast", f"--workdir={workdir}", f"--csv={path}"))
        for path in newer
    )
    assert whole == part  # what the models read ends both files
    by_input = command("--mode=forecast", f"--workdir={workdir}", f"--input={newer[0]}")
    assert rows(by_input) == whole
    found = [row for row in whole if row["model"] == "linear_13"]
    assert [row["time"] for row in found[:2]] == ["2022-07-01", "2022-08-01"]
    data = values(150)
    want = linear_forecast(least_squares(data[:TRAIN], 13), data, 12)
    np.testing.assert_allclose([float(row["forecast"]) for row in found], want, 1e-4)
    repeated = [row["forecast"] for row in whole if row["model"] == "naive_12"]
    assert repeated == [repr(x) for x in data[-12:].tolist()]
    other = rows(command("--mode=forecast", f"--workdir={workdir}"))
    assert other != whole and other[0]["time"] == "2020-01-01"
    assert files(workdir) == before


def test_evaluate_scores_the_rows_after_those_that_trained(run, newer):
    workdir, _ = run
    before = files(workdir)
    data = values(150)
    scaled = (data - data[:TRAIN].mean()) / data[:TRAIN].std()

    def naive(first):
        origins = range(first, len(data) - 11)
        return np.mean(
            [(scaled[o : o + 12] - scaled[o - 12 : o]) ** 2 for o in origins]
        )

    # 13 rows of the second file warm the models up.
    for path, first in zip(newer, (TEST, 110 + 13), strict=True):
        result = command("--mode=evaluate", f"--workdir={workdir}", f"--input={path}")
        assert result.code == 0, result.err
        line = next(x for x in result.out.splitlines() if x.startswith(" naive_12"))
        assert f"{naive(first):.4f}" in line.split()
    again = command("--mode=evaluate", f"--workdir={workdir}")
    line = next(x for x in again.out.splitlines() if x.startswith(" naive_12"))
    assert f"{summary(workdir)['models']['naive_12']['mse']:.4f}" in line.split()
    assert files(workdir) == before


def test_unsuitable_newer_files_are_refused(run, tmp_path):
    workdir, _ = run
    before = files(workdir)
    for content, sentence in {
        text(values()[:12]): "has 12 rows, but the models read 13",
        "date,heat\n2020-01-01,1\n": "no column 'load'; there are date and heat",
        "date,load\n": "but no rows below it",
        text(values()[:20]).replace(",100.", ",x"): "in 'load' on line 2",
    }.items():
        path = write(tmp_path / "newer.csv", content)
        for mode in ("forecast", "evaluate"):
            flags = (f"--mode={mode}", f"--workdir={workdir}", f"--csv={path}")
            refused(command(*flags), sentence)
    path = write(tmp_path / "newer.csv", text(values()[:20], first=150))
    flags = ("--mode=evaluate", f"--workdir={workdir}", f"--csv={path}")
    refused(command(*flags), "has 7 rows to score, but --horizon=12 needs 12")
    flags = ("--mode=evaluate", f"--workdir={workdir}", "--models=latent")
    refused(command(*flags), "holds no latent_13; train it there")
    assert files(workdir) == before


def test_a_run_without_its_fitted_numbers_is_refused(tmp_path):
    workdir, _ = train_baselines(tmp_path, text(values()), "--time_column=date")
    (workdir / "fitted.npz").write_bytes(b"PK")
    flags = ("--mode=forecast", f"--workdir={workdir}")
    refused(command(*flags), "fitted.npz is damaged")
    (workdir / "fitted.npz").unlink()
    refused(command(*flags), "holds no fitted.npz; start its training again")


# ---------------------------------------------------------------- files


def test_three_files_train_validate_and_test(tmp_path):
    data = values()
    bounds = [0, 70, 90, 120]
    paths = [
        write(tmp_path / f"{i}.csv", text(data[a:b], first=a))
        for i, (a, b) in enumerate(pairwise(bounds))
    ]
    names = ",".join(map(str, paths))
    where = ("--time_column=date", f"--workdir={tmp_path / 'run'}", BASELINES)
    result = command(f"--csv={names}", *where)
    assert result.code == 0, result.err
    assert summary(tmp_path / "run")["test_rows"] == [90, 120]
    found = rows(command("--mode=forecast", f"--workdir={tmp_path / 'run'}"))
    assert found[0]["time"] == "2020-01-01"
    turned = ",".join(map(str, paths[::-1]))
    other = ("--time_column=date", f"--workdir={tmp_path / 'other'}", BASELINES)
    refused(command(f"--csv={turned}", *other), "later times were expected")


def test_standard_input_is_a_file(tmp_path):
    where = ("--time_column=date", f"--workdir={tmp_path / 'run'}", BASELINES)
    result = command("--csv=-", *where, stdin=text(values()).encode())
    assert result.code == 0, result.err
    newer = text(values(150)).encode()
    flags = ("--mode=forecast", f"--workdir={tmp_path / 'run'}")
    found = rows(command(*flags, "--input=-", stdin=newer))
    assert found[0]["time"] == "2022-07-01"
    bad = command("--csv=-", *where, stdin=b"date,load\n2020-01-01,x\n2020-02-01,1\n")
    refused(bad, "standard input has 'x' in 'load' on line 2")


def test_missing_numbers_are_refused_or_filled(tmp_path):
    lines = text(values()).splitlines()
    lines[50] = lines[50].split(",")[0] + ","
    content = "\n".join(lines)
    path = write(tmp_path / "my.csv", content)
    where = (f"--csv={path}", "--time_column=date", f"--workdir={tmp_path / 'run'}")
    refused(command(*where, BASELINES), "no number in 'load' on line 51")
    result = command(*where, BASELINES, "--missing=interpolate")
    assert result.code == 0, result.err
    assert "--missing=interpolate filled 1 cells: 'load' on line 51" in result.err


@pytest.mark.parametrize("number", range(6))
def test_a_few_rows_are_refused_in_a_sentence(tmp_path, number):
    path = write(tmp_path / "my.csv", text(values()[:number]))
    result = command(f"--csv={path}", f"--workdir={tmp_path / 'run'}")
    refused(result, "--time_column=date" if number else "but no rows below it")
    flags = (f"--csv={path}", "--time_column=date", f"--workdir={tmp_path / 'run'}")
    refused(command(*flags), "my" if number else "but no rows below it")
    assert not (tmp_path / "run").exists()


# ---------------------------------------------------------------- what is written


def forecast_times(folder, content):
    workdir, _ = train_baselines(
        folder, content, "--time_column=date", "--horizon=3", "--period=1", "--tau=2"
    )
    result = command("--mode=forecast", f"--workdir={workdir}", "--models=naive")
    return [row["time"] for row in rows(result)], result


@pytest.mark.parametrize(
    ("dates", "want"),
    [
        (
            np.arange("1960", "2000", dtype="M8[Y]").astype("M8[D]"),
            ["2000-01-01", "2001-01-01", "2002-01-01"],
        ),
        (
            np.arange("2010-02", "2014-02", dtype="M8[M]").astype("M8[D]")
            - np.timedelta64(1, "D"),
            ["2014-01-31", "2014-02-28", "2014-03-31"],
        ),
        (
            np.busday_offset("2020-03-02", range(40)),
            ["2020-04-27", "2020-04-28", "2020-04-29"],
        ),
        (
            [
                str(day).replace("-", "")
                for day in np.arange("2020-01-01", "2020-02-29", dtype="M8[D]")
            ],
            ["2020-02-29", "2020-03-01", "2020-03-02"],
        ),
        (
            [f"2020-01-{i // 24 + 1:02}T{i % 24:02}:00:00+05:30" for i in range(50)],
            [f"2020-01-03T0{i}:00:00+05:30" for i in (2, 3, 4)],
        ),
        (range(40), ["40", "41", "42"]),
        (
            [f"{2010 + i // 4}Q{i % 4 + 1}" for i in range(42)],
            ["2020Q3", "2020Q4", "2021Q1"],
        ),
        (
            [f"2020-W{week:02}" for week in range(4, 53)],
            ["2020-W53", "2021-W01", "2021-W02"],
        ),
    ],
    ids=[
        *("years", "month ends", "business days", "compact", "zone", "numbers"),
        *("quarters", "weeks"),
    ],
)
def test_forecasts_are_dated_by_the_calendar(tmp_path, dates, want):
    lines = [f"{date},{i % 5 + i / 7:.2f}" for i, date in enumerate(dates)]
    times, result = forecast_times(tmp_path, "\n".join(["date,load", *lines, ""]))
    assert times == want
    assert result.err == ""


def test_times_without_a_step_give_no_dates(tmp_path):
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.integers(1, 40, 50))
    lines = [f"{time},{i % 5}" for i, time in enumerate(times)]
    found, result = forecast_times(tmp_path, "\n".join(["date,load", *lines, ""]))
    assert found == ["", "", ""]
    assert "the times follow no known step" in result.err


def test_forecasts_have_all_digits(tmp_path):
    numbers = [20123457 + 123457 * i + (i % 12) * 1001 for i in range(60)]
    lines = [f"{i},{x}" for i, x in enumerate(numbers)]
    content = "\n".join(["t,population", *lines, ""])
    workdir, _ = train_baselines(tmp_path, content, "--time_column=t", "--period=12")
    found = rows(command("--mode=forecast", f"--workdir={workdir}"))
    naive = [row["forecast"] for row in found if row["model"] == "naive_12"]
    assert naive[:10] == [f"{x}.0" for x in numbers[-12:-2]]
    linear = [float(row["forecast"]) for row in found if row["model"].startswith("lin")]
    assert linear[0] == pytest.approx(numbers[-1] + 123457, abs=2e4)
    assert len(found[0]["lower"]) > 8


def test_a_summary_is_strict_json(tmp_path):
    lines = [f"{i},{(7 * i) % 24}" for i in range(200)]  # repeats exactly
    content = "\n".join(["t,$a^{ in $_%", *lines, ""])
    workdir, result = train_baselines(tmp_path, content, "--time_column=t")
    assert "a season of 24 rows was found" in result.err

    def refuse(name):
        raise AssertionError(name)

    stored = json.loads((workdir / "summary.json").read_text(), parse_constant=refuse)
    assert stored["models"]["naive_24"]["mase"] is None
    assert stored["models"]["naive_24"]["mse"] == pytest.approx(0, abs=1e-12)
    # The name of the column is no formula.
    assert (workdir / "forecasts.png").read_bytes().startswith(b"\x89PNG")
