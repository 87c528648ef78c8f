"""The defaults of the forecasting command depend on the data; calls from Python."""

import os

import numpy as np
import pytest

from experiments.common.settings import entries
from experiments.forecasting import Config, forecast, train
from experiments.forecasting.__main__ import main
from experiments.forecasting.config import CSV, DEFAULTS
from seqjax.data import series
from tests import commands
from tests.commands import summary

needs_data = pytest.mark.skipif(
    "SEQJAX_DATA_DIR" not in os.environ, reason="needs real data in SEQJAX_DATA_DIR"
)


def values(config):
    return {entry.name: entry.value for entry in entries(config)}


def test_the_config_without_arguments_is_that_of_the_sine():
    assert Config.of() == Config() == Config.of(dataset="sine")
    found = values(Config())
    assert found["models"] == ("linear", "mlp", "latent")
    assert (found["tau"], found["horizon"]) == ((4, 16, 64), 64)
    assert (found["optimizer"], found["weight_decay"]) == ("adamw", 0.3)
    assert (found["cell"], found["hidden_size"], found["dropout"]) == ("gru", 32, 0.0)


def test_every_data_set_has_defaults_of_its_own():
    assert {"sine", *DEFAULTS} == {*series.NAMES, CSV}
    airline, own = Config.of(dataset="airline"), Config.of(csv="my.csv")
    assert values(airline) | {"dataset": "sine"} == values(Config()) | {
        **{"period": 12, "tau": None, "horizon": 12, "multistep": "recursive"},
        **{"models": ("auto",), "standardize": True, "calibrate": True},
        **{"normalize": "last", "epochs": 20, "epoch_updates": 100, "eval_every": 1},
        **{"patience": 4, "optimizer": "adam", "learning_rate": 0.004},
        **{"weight_decay": 0.0},
    }
    assert values(own) | {"period": 12, "horizon": 12} == values(airline) | {
        **{"dataset": "sine", "csv": ("my.csv",)}
    }


def test_what_is_given_wins_over_the_defaults_of_the_data():
    config = Config.of(dataset="etth1", tau=(48,), epochs=3)
    assert (config.model.tau, config.train.epochs) == ((48,), 3)
    assert config.model.segment == DEFAULTS["etth1"]["segment"]


def test_weight_decay_is_for_adamw_alone():
    assert Config.of(optimizer="sgd").optimizer.weight_decay == 0
    assert Config.of(optimizer="adamw").optimizer.weight_decay == 0.3


@needs_data
@pytest.mark.parametrize("name", series.NAMES)
def test_seasons_are_those_of_the_data(name):
    assert Config.of(dataset=name).data.period == series.load(name).period


@pytest.mark.parametrize(
    "given", [{}, {"dataset": "airline"}, {"csv": "my.csv"}], ids=str
)
def test_help_shows_the_defaults_that_are_used(given):
    flags = [f"--{name}={value}" for name, value in given.items()]
    result = commands.run(main, "--help", *flags)
    assert result.code == 0
    lines = result.out.splitlines()
    for name, value in values(Config.defaults(given)).items():
        shown = str(value)
        if isinstance(value, tuple):
            shown = ",".join(map(str, value)) or "none"
        index = next(
            i
            for i, line in enumerate(lines)
            if line in (f"  --{name}", f"  --[no]{name}")
        )
        default = next(line for line in lines[index:] if "(default: " in line)
        assert default.strip().lower() == f"(default: {shown})".lower()


def test_train_and_forecast_are_called_from_python(tmp_path, capsys):
    common = {"workdir": str(tmp_path / "run"), "models": ("naive", "mlp"), "tau": (8,)}
    config = Config.of(**common, horizon=5, epochs=1, interval=0.8, head="gaussian")
    found = train(config)
    assert found["models"]["mlp_8"]["mse"] > 0
    assert found["models"] == summary(tmp_path / "run")["models"]
    capsys.readouterr()
    rows = forecast(config)
    assert [(row.model, row.step) for row in rows] == [
        (name, step) for name in ("naive_1", "mlp_8") for step in range(1, 6)
    ]
    last = series.sine().values[-1, 0]
    np.testing.assert_allclose([row.forecast for row in rows[:5]], last, rtol=1e-6)
    assert all(row.lower < row.forecast < row.upper for row in rows[5:])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(rows)
    other = train(config.replace(workdir=str(tmp_path / "other"), seed=1))
    assert other["noise_in_test"] != found["noise_in_test"]
