"""The forecasting command: its modes, files, numbers and mistakes of the user."""

import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest

from experiments import forecasting
from experiments.forecasting.__main__ import main
from seqjax.data import series as data
from tests import commands
from tests.commands import files, metrics, refused, summary

RECIPES = Path(forecasting.__file__).parents[1] / "recipes"
SMALL = (
    *(
        "--cell=rnn",
        "--epochs=2",
        "--epoch_updates=1",
        "--hidden_size=6",
        "--batch_size=16",
    ),
    *("--eval_every=1", "--multistep=direct", "--normalize=none"),
)
TINY = (*SMALL, "--models=direct", "--tau=8", "--horizon=4", "--steps=1,4")
NUMBERS = {"mse", "mae", "mase", "coverage", "parameters", "k_step_mse", "valid_mse"}
FREE = {"free_running_mse", "fails_from_step"}
needs_data = pytest.mark.skipif(
    "SEQJAX_DATA_DIR" not in os.environ, reason="needs real data in SEQJAX_DATA_DIR"
)


def command(*argv):
    return commands.run(main, *argv)


def write_csv(path, number=160, gap=None):
    """Two columns with a season of 7, by the day."""
    days = np.arange("2020-01-01", "2021-01-01", dtype="M8[D]")[: number + 1]
    days = np.delete(days, number if gap is None else gap)
    t = np.arange(number)
    noise = np.random.default_rng(0).normal(size=(2, number)) * 0.1
    load = 100 + 10 * np.sin(2 * np.pi * t / 7) + noise[0]
    heat = t * 0.05 + noise[1]
    rows = zip(days, load, heat, strict=True)
    lines = [f"{day},{a:.4f},{b:.4f}\n" for day, a, b in rows]
    path.write_text("day,load,heat\n" + "".join(lines))
    return path


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("data") / "own.csv")


@pytest.fixture(scope="module")
def trained(own, tmp_path_factory):
    """(workdir, what training printed); not to be changed."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    result = train(own, workdir)
    assert result.code == 0, result.err
    return workdir, result.out


def train(own, workdir, *more):
    flags = (*SMALL, "--tau=14", "--horizon=7", "--period=7", "--head=gaussian")
    where = (f"--csv={own}", "--time_column=day", f"--workdir={workdir}")
    return command(*where, *flags, "--models=naive,linear,mlp,direct,latent", *more)


def test_train_writes_everything_it_promises(trained):
    workdir, out = trained
    folders = ("mlp_14", "direct_14", "latent_14")
    whole = {"report.html", "flags.txt", "summary.json", "forecasts.png", "fitted.npz"}
    assert {p.name for p in workdir.iterdir()} == {*whole, *folders}
    for name in folders:
        assert {p.name for p in (workdir / name).iterdir()} == {
            *("flags.txt", "metrics.jsonl", "checkpoints", "vocab.json", "model"),
            "learning_curve.png",
        }
        assert name in out
    assert (workdir / "forecasts.png").read_bytes().startswith(b"\x89PNG")
    models = summary(workdir)["models"]
    assert set(models) == {"naive_7", "linear_14", *folders}
    for name, numbers in models.items():
        free = name in ("naive_7", "latent_14")
        assert set(numbers) == (NUMBERS | FREE if free else NUMBERS)
        assert set(numbers["k_step_mse"]) == {"1", "4"}
        assert 0 < numbers["coverage"] <= 1  # of all models, by their validation errors
    assert models["linear_14"]["mse"] < models["naive_7"]["mse"]


def test_the_numbers_are_those_of_a_loop(trained, own):
    """The seasonal naive's, from the file itself."""
    rows = [line.split(",")[1:] for line in own.read_text().splitlines()[1:]]
    values = np.array(rows, float)
    train = values[:84]  # 160 rows: 106 before the last third, four fifths of them
    values = (values - train.mean(axis=0)) / train.std(axis=0)
    squares, absolutes, by_step = [], [], {1: [], 4: []}
    for origin in range(106, 160 - 7 + 1):
        for h in range(7):
            error = values[origin + h] - values[origin + h - 7]
            squares.append(error**2)
            absolutes.append(np.abs(error))
    for row in range(106, 160):
        for errors in by_step.values():
            errors.append((values[row] - values[row - 7]) ** 2)
    scale = np.abs(values[7:84] - values[:77]).mean(axis=0)
    numbers = summary(trained[0])["models"]["naive_7"]
    assert numbers["mse"] == pytest.approx(np.mean(squares), rel=1e-5)
    assert numbers["mae"] == pytest.approx(np.mean(absolutes), rel=1e-5)
    mase = (np.mean(absolutes, axis=0) / scale).mean()
    assert numbers["mase"] == pytest.approx(mase, rel=1e-5)
    for k, errors in by_step.items():
        found = numbers["k_step_mse"][str(k)]
        assert found == pytest.approx(np.mean(errors), rel=1e-5)
    free = [values[99 + i % 7] for i in range(54)]
    free_mse = np.mean((values[106:] - free) ** 2)
    assert numbers["free_running_mse"] == pytest.approx(free_mse, rel=1e-5)


def test_started_again_it_only_reports_again(trained, own):
    before = summary(trained[0])
    again = train(own, trained[0])
    assert again.code == 0, again.err
    assert "continuing from step" in again.err
    assert summary(trained[0])["models"] == before["models"]


def test_a_model_may_be_added(own, tmp_path):
    more = ("--models=mlp", "--epochs=1")
    assert train(own, tmp_path / "run", *more).code == 0
    before = files(tmp_path / "run" / "mlp_14" / "checkpoints")
    added = ("--models=mlp,encoder_decoder", "--tau=7,14", "--epochs=1")
    result = train(own, tmp_path / "run", *added)
    assert result.code == 0, result.err
    models = summary(tmp_path / "run")["models"]
    assert set(models) == {"mlp_7", "mlp_14", "encoder_decoder_14"}
    assert files(tmp_path / "run" / "mlp_14" / "checkpoints") == before


def test_forecast_goes_on_where_the_file_ends(trained, tmp_path):
    output = tmp_path / "next.csv"
    before = files(trained[0])
    flags = ("--mode=forecast", f"--workdir={trained[0]}")
    result = command(*flags)
    assert result.code == 0, result.err
    rows = list(csv.DictReader(io.StringIO(result.out)))
    assert len(rows) == 5 * 7 * 2
    assert [r["time"] for r in rows[:14:2]] == [
        f"2020-06-{9 + i:02d}" for i in range(7)
    ]
    for row in rows:
        assert float(row["lower"]) < float(row["forecast"]) < float(row["upper"])
    near = [r for r in rows if r["model"] == "linear_14" and r["column"] == "load"]
    want = 100 + 10 * np.sin(2 * np.pi * np.arange(160, 167) / 7)
    found = [float(r["forecast"]) for r in near]
    np.testing.assert_allclose(found, want, atol=0.5)
    assert command(*flags, f"--output={output}").out == ""
    assert output.read_text() == result.out
    assert files(trained[0]) == before


@pytest.mark.parametrize(
    "more",
    [
        (
            *("--models=direct", "--head=quantiles", "--segment=7", "--channels=joint"),
            *("--num_layers=2", "--dropout=0.3", "--normalize=last"),
        ),
        ("--models=encoder_decoder", "--noteacher_forcing", "--cell=lstm"),
        ("--models=latent", "--normalize=window", "--cell=rnn", "--checkpoint=last"),
        (
            *("--models=mlp,linear", "--multistep=recursive", "--target=heat"),
            *("--head=point", "--nostandardize", "--schedule=plateau", "--bfloat16"),
        ),
    ],
    ids=lambda more: more[0].removeprefix("--") + more[1],
)
def test_every_choice_trains_and_forecasts(own, tmp_path, more):
    workdir = tmp_path / "run"
    result = train(own, workdir, "--epochs=1", *more)
    assert result.code == 0, result.err
    again = command("--mode=forecast", f"--workdir={workdir}")
    assert again.code == 0, again.err
    assert np.isfinite(
        [float(r["forecast"]) for r in csv.DictReader(io.StringIO(again.out))]
    ).all()


def test_resumed_is_uninterrupted_bit_for_bit(tmp_path):
    options = (*TINY, "--schedule=constant", "--log_every=7", "--dropout=0.2")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command(f"--workdir={whole}", *options).code == 0
    for epochs in (1, 2):
        result = command(f"--workdir={parts}", *options, f"--epochs={epochs}")
        assert result.code == 0, result.err
    assert summary(whole)["models"] == summary(parts)["models"]
    lines = [metrics(d / "direct_8") for d in (whole, parts)]
    for some in lines:
        for line in some:
            line.pop("values_per_second", None)
    assert lines[0] == lines[1]


def test_the_sine_is_compared_with_its_noise(tmp_path):
    more = ("--models=linear", "--tau=64", "--horizon=64")
    result = command(f"--workdir={tmp_path / 'run'}", *more)
    assert result.code == 0, result.err
    found = summary(tmp_path / "run")
    noise = data.sine().values[604:] - data.sine_signal()[604:]
    assert found["noise_in_test"] == pytest.approx(np.mean(noise**2))
    numbers = found["models"]["linear_64"]
    assert set(numbers["k_step_mse"]) == {"1", "4", "16", "64"}
    # Least squares on 536 windows of 64: above the noise, and that not by much.
    assert 1 < numbers["k_step_mse"]["1"] / found["noise_in_test"] < 1.3
    assert "noise variance" in result.out and "fails from" in result.out


@needs_data
def test_the_published_split_of_etth1(tmp_path):
    """The naive forecast's error, computed here from the file."""
    more = ("--dataset=etth1", "--models=naive", "--horizon=24", "--period=1")
    result = command(f"--workdir={tmp_path / 'run'}", *more)
    assert result.code == 0, result.err
    path = os.path.join(os.environ["SEQJAX_DATA_DIR"], "ett", "ETTh1.csv")
    values = np.loadtxt(path, delimiter=",", skiprows=1, usecols=range(1, 8))
    values = (values - values[:8640].mean(axis=0)) / values[:8640].std(axis=0)
    errors = [
        np.mean((values[o : o + 24] - values[o - 1]) ** 2)
        for o in range(11520, 14400 - 24 + 1)
    ]
    found = summary(tmp_path / "run")["models"]["naive_1"]["mse"]
    assert found == pytest.approx(np.mean(errors), rel=1e-5)


# ---------------------------------------------------------------- bad input

BAD_FLAGS = {
    "--target=lode": "there is no column 'lode'; did you mean load?",
    "--time_column=date": "there is no column 'date'",
    "--models=linear,gru": "--models: there is no model 'gru'",
    "--cell=gru2": "there is no cell 'gru2'",
    "--tau=4,x": "--tau takes whole numbers joined by commas, got 'x'",
    "--tau=0": "--tau must be at least 1, got 0",
    "--tau=": "--tau is empty; give it a value",
    "--steps=0": "--steps must be at least 1, got 0",
    "--steps=": "--steps names no number",
    "--models=": "--models names no model",
    "--segment=4": "--models=direct: a segment must divide tau, got 4 and 14",
    "--head=quantiles": "--models=latent: quantiles cannot be fed back",
    "--head=normal": "there is no head 'normal'",
    "--bidirectional": "a bidirectional cell cannot be a forecaster",
    "--horizon=70": "is too short: for its train part there are 20 rows",
    "--tau=90": "is too short: for its train part there are 84 rows",
    "--missing=drop": "there is no missing 'drop'",
    "--csv=a.csv,b.csv": "--csv takes one file, or three for training, validation",
    "--csv=": "--csv is empty; give it a value",
    "--dataset=etth": "did you mean etth1",
}


@pytest.mark.parametrize(("flag", "sentence"), BAD_FLAGS.items(), ids=BAD_FLAGS)
def test_bad_flags_are_named(own, tmp_path, flag, sentence):
    refused(train(own, tmp_path / "run", flag), sentence)
    assert not (tmp_path / "run").exists()


def test_bad_cells_and_constant_columns_are_named(tmp_path):
    path = write_csv(tmp_path / "own.csv")
    text = path.read_text()
    path.write_text(text.replace("2020-02-01,", "2020-02-01,about "))
    result = train(path, tmp_path / "run")
    refused(result, "in 'load' on line 33")
    lines = [f"{line.split(',')[0]},{i},5" for i, line in enumerate(text.split()[1:])]
    path.write_text("\n".join(["day,load,heat", *lines]))
    refused(train(path, tmp_path / "run"), "column 'heat' is 5 on all 84")
    refused(train(tmp_path / "no", tmp_path / "run"), "does not exist")
    refused(command("--target=x"), "--target, --time_column and --missing need a --csv")
    assert not (tmp_path / "run").exists()


def test_gaps_are_noted(tmp_path):
    path = write_csv(tmp_path / "own.csv", gap=50)
    more = ("--models=naive",)
    result = train(path, tmp_path / "run", *more)
    assert result.code == 0
    assert "before line 52 differs" in result.err
    assert "rows are read as successive" in result.err


def test_another_run_in_the_workdir_is_refused_and_left_alone(trained, own, tmp_path):
    before = files(trained[0])
    refused(train(own, trained[0], "--hidden_size=7"), "holds another run")
    other = write_csv(tmp_path / "other.csv", number=150)
    refused(train(other, trained[0]), "a run on other data")
    refused(
        command("--mode=forecast", f"--workdir={tmp_path / 'none'}"), "holds no run"
    )
    assert files(trained[0]) == before


@pytest.mark.parametrize("horizon", [24, 720])
def test_the_flags_of_recipes_go_together(tmp_path, horizon):
    recipe = RECIPES / "etth1.flags"
    flags = (f"--flagfile={recipe}", f"--horizon={horizon}", "--mode=forecast")
    refused(command(*flags, f"--workdir={tmp_path / 'none'}"), "holds no run")
