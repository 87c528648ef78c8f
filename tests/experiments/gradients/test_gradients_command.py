"""The gradients command: its files, numbers and mistakes of the user."""

import csv
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import gradients
from experiments.gradients import Config, modes, run, tasks
from experiments.gradients.__main__ import main
from tests import commands
from tests.commands import files, metrics, refused, summary

RECIPES = Path(gradients.__file__).parents[1] / "recipes"
SMALL = (
    *("--hidden_size=8", "--num_steps=30", "--batch_size=4", "--epochs=1"),
    *("--radii=0.5,1.0,1.25", "--forget_biases=0,2", "--learning_rate=0.01"),
)
# Where the norms do not matter:
FEW = (*SMALL, "--num_steps=5", "--radii=1", "--forget_biases=")
EPOCH = 20  # minibatches, in these tests
NETWORKS = ("RNN, radius 0.5", "RNN, radius 1", "RNN, radius 1.25", "GRU")
LSTMS = ("LSTM, forget bias 0", "LSTM, forget bias 2")
NORMS = {
    *("norm_by_distance", "factor_per_step", "parameter_gradient_norm", "clip_factor"),
}


@pytest.fixture(autouse=True, scope="module")
def short_epochs():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tasks, "EPOCH", EPOCH)
        yield


def command(*argv):
    return commands.run(main, *argv)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(workdir, what training printed); not to be changed."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    result = command(*SMALL, "--lengths=3", "--cells=gru", f"--workdir={workdir}")
    assert result.code == 0, result.err
    return workdir, result.out


def columns(workdir):
    """gradient_norms.tsv as arrays by name."""
    with open(workdir / "gradient_norms.tsv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def test_the_command_writes_everything_it_promises(trained):
    workdir, out = trained
    names = ["adding_3_gru", "copy_3_gru"]
    whole = {"report.html", "flags.txt", "summary.json", "gradient_norms.tsv"}
    figures = {"gradient_norms.png", "tasks.png"}
    assert {p.name for p in workdir.iterdir()} == {*whole, *figures, *names}
    for name in figures:
        assert (workdir / name).read_bytes().startswith(b"\x89PNG")
    for name in names:
        assert {p.name for p in (workdir / name).iterdir()} == {
            *("flags.txt", "metrics.jsonl", "checkpoints", "learning_curve.png")
        }
        assert name in out
    found = summary(workdir)
    assert tuple(found["norms"]) == (*NETWORKS, *LSTMS)
    assert list(found["tasks"]) == names
    for norms in found["norms"].values():
        assert set(norms) == NORMS
        assert norms["norm_by_distance"]["0"] == pytest.approx(1, rel=1e-6)
    for name, numbers in found["tasks"].items():
        right = {"test_right"} if name.startswith("copy") else set()
        assert set(numbers) == {
            *NORMS,
            *right,
            *("test_loss", "baseline", "solved", "solved_from_step"),
            *("steps", "parameters", "seconds"),
        }
        assert numbers["steps"] == EPOCH and not numbers["solved"]
        assert set(numbers["norm_by_distance"]) >= {"0", "1"}


def test_the_radius_decides_whether_gradients_fade_or_explode(trained):
    """Where tanh does not bend, the factor per step goes to the radius."""
    norms = summary(trained[0])["norms"]
    for name, radius in zip(NETWORKS, (0.5, 1.0, 1.25), strict=False):
        assert norms[name]["factor_per_step"] == pytest.approx(radius, rel=0.03)
    plain, open_ = (norms[name]["factor_per_step"] for name in LSTMS)
    assert plain < 0.75 < open_ < 1  # sigmoid(0) = 0.5 and sigmoid(2) = 0.88


def test_clipping_scales_all_distances_alike(trained):
    norms, found = summary(trained[0])["norms"], columns(trained[0])
    for name in (*NETWORKS, *LSTMS):
        factor = min(1, 1 / norms[name]["parameter_gradient_norm"])
        assert norms[name]["clip_factor"] == pytest.approx(factor)
        clipped = found[f"{name}, clipped"]
        np.testing.assert_allclose(clipped, factor * found[name], rtol=1e-4)
    assert norms["RNN, radius 1.25"]["clip_factor"] < 0.1
    assert norms["RNN, radius 0.5"]["clip_factor"] == 1


def test_cut_gradients_are_full_ones_up_to_the_cut(trained):
    """T = 30 with cuts at 20: the last 10 states are reached."""
    found = columns(trained[0])
    full = found["by full"]
    np.testing.assert_array_equal(full, found["RNN, radius 1"])
    fixed = found["by truncated every 20 steps"]
    np.testing.assert_allclose(fixed[:10], full[:10], rtol=1e-4)
    assert not fixed[10:].any() and full[10:].all()
    one = found["by randomized (keep 0.95), single draws"]
    reached = int((one > 0).sum())
    expected = full[:reached] / 0.95 ** np.arange(reached)
    np.testing.assert_allclose(one[:reached], expected, rtol=1e-4)
    assert not one[reached:].any()
    # The mean of 1,000: at a distance d it varies by sqrt((0.95**-d - 1) / 1000).
    mean = found["by randomized, mean gradient of 1,000 draws"]
    deviation = np.sqrt((0.95 ** -np.arange(30) - 1) / 1000)
    assert (np.abs(mean / full - 1) <= 4 * deviation + 1e-4).all()


def test_an_rnn_of_linear_units_has_the_norms_of_its_matrix(tmp_path):
    """h stays near 0, so that dL/dh_{T-d} = w_h^d u: one number from powers."""
    more = ("--tasks=", "--radii=0.9", "--forget_biases=", "--input_scale=0")
    result = command(*FEW, *more, f"--workdir={tmp_path / 'run'}")
    assert result.code == 0, result.err
    k_matrix = jax.random.split(jax.random.key(0), 3)[2]
    w_h = np.asarray(jax.random.normal(k_matrix, (8, 8)), np.float64)
    w_h *= 0.9 / np.abs(np.linalg.eigvals(w_h)).max()
    u = np.asarray(jax.random.normal(jax.random.key(0), (32, 8)), np.float64)
    u /= np.linalg.norm(u, axis=-1, keepdims=True)
    found = columns(tmp_path / "run")["RNN, radius 0.9"]
    for d in range(5):
        want = np.linalg.norm(u @ np.linalg.matrix_power(w_h.T, d), axis=-1).mean()
        assert found[d] == pytest.approx(want, rel=1e-4)


@pytest.fixture
def without_norms(monkeypatch):
    """Nothing is measured on untrained networks."""
    monkeypatch.setattr(modes, "report_norms", lambda config, workdir: {})


def test_a_learned_task_is_reported_as_solved(tmp_path, without_norms):
    more = ("--tasks=adding", "--lengths=2", "--cells=rnn", "--epochs=30")
    result = command(*FEW, *more, "--batch_size=32", f"--workdir={tmp_path / 'run'}")
    assert result.code == 0, result.err
    numbers = summary(tmp_path / "run")["tasks"]["adding_2_rnn"]
    assert numbers["solved"] and numbers["test_loss"] < 0.01
    lines = metrics(tmp_path / "run" / "adding_2_rnn")
    valid = [line for line in lines if "valid_loss" in line]
    first = next(m["step"] for m in valid if m["valid_loss"] < 0.01)
    assert numbers["solved_from_step"] == first
    assert "yes" in result.out and "MSE below 0.01" in result.out


def test_resumed_is_uninterrupted_bit_for_bit(tmp_path, without_norms):
    options = (*FEW, "--tasks=copy", "--lengths=2", "--cells=rnn")
    cut = ("--backprop=randomized", "--backprop_keep=0.9", "--log_every=7")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert command(f"--workdir={whole}", *options, *cut, "--epochs=2").code == 0
    for epochs in (1, 2):
        more = (*options, *cut, f"--epochs={epochs}")
        result = command(f"--workdir={parts}", *more)
        assert result.code == 0, result.err
    assert "continuing from step 20" in result.err
    lines = [metrics(d / "copy_2_rnn") for d in (whole, parts)]
    for some in lines:
        for line in some:
            line.pop("predictions_per_second", None)
    assert lines[0] == lines[1]
    found = [summary(d)["tasks"]["copy_2_rnn"] for d in (whole, parts)]
    for numbers in found:
        numbers.pop("seconds")
    assert found[0] == found[1]
    full = tmp_path / "full"
    assert command(f"--workdir={full}", *options, "--epochs=2").code == 0
    loss = summary(full)["tasks"]["copy_2_rnn"]["test_loss"]
    assert loss != found[0]["test_loss"]  # which was of cut gradients


def test_a_network_may_be_added_and_the_others_stay(trained, tmp_path):
    workdir = tmp_path / "run"
    options = (*FEW, "--tasks=adding", f"--workdir={workdir}")
    assert command(*options, "--lengths=3", "--cells=gru").code == 0
    before = files(workdir / "adding_3_gru" / "checkpoints")
    result = command(*options, "--lengths=3,2", "--cells=gru")
    assert result.code == 0, result.err
    assert list(summary(workdir)["tasks"]) == ["adding_2_gru", "adding_3_gru"]
    assert files(workdir / "adding_3_gru" / "checkpoints") == before
    found = [summary(d)["tasks"]["adding_3_gru"] for d in (trained[0], workdir)]
    assert found[0]["test_loss"] == found[1]["test_loss"]
    before = files(workdir)
    result = command(*options, "--lengths=3", "--hidden_size=9")
    refused(result, "--hidden_size (8 there, 9 here)")
    assert files(workdir) == before


@pytest.mark.parametrize("recipe", ["adding_400"])
def test_recipes_start(tmp_path, recipe):
    path = RECIPES / f"{recipe}.flags"
    quick = ("--tasks=", "--num_steps=5", "--hidden_size=8")
    result = command(f"--flagfile={path}", *quick, f"--workdir={tmp_path / 'run'}")
    assert result.code == 0, result.err
    assert "--lengths=400" in (tmp_path / "run" / "flags.txt").read_text()


def test_measure_is_called_from_python(tmp_path):
    common = {"workdir": str(tmp_path / "run"), "num_steps": 5, "hidden_size": 8}
    config = Config.of(**common, tasks=("adding",), lengths=(2,), cells=("rnn",))
    assert (config.run.seed, config.optimizer.schedule) == (0, "constant")
    config = config.replace(epochs=1, radii=(0.5,), forget_biases=())
    found = run(config)
    assert list(found["norms"]) == ["RNN, radius 0.5", "GRU"]
    assert list(found["tasks"]) == ["adding_2_rnn"]
    assert found == summary(tmp_path / "run")
    other = run(config.replace(workdir=str(tmp_path / "other"), seed=1))
    loss = found["tasks"]["adding_2_rnn"]["test_loss"]
    assert other["tasks"]["adding_2_rnn"]["test_loss"] != loss


# ---------------------------------------------------------------- bad input

BAD_FLAGS = {
    "--tasks=adding,coppy": "--tasks: there is no task 'coppy'; did you mean copy",
    "--cells=lstn": "--cells: there is no cell 'lstn'; did you mean lstm",
    "--lengths=50,x": "--lengths takes whole numbers joined by commas, got 'x'",
    "--lengths=1": "--lengths must be at least 2, got 1",
    "--lengths=": "--lengths names no length",
    "--cells=": "--cells names no cell",
    "--radii=-1": "--radii must be at least 0, got -1",
    "--radii=nan": "--radii must be finite, got nan",
    "--radii=one": "--radii takes numbers joined by commas, got 'one'",
    "--forget_biases=inf": "--forget_biases must be finite, got inf",
    "--forget_biases=-101": "--forget_biases must be at least -100, got -101",
    "--num_steps=1": "--num_steps must be at least 2, got 1",
    "--bidirectional": "--bidirectional=True is not for this command",
    "--cell=gru": "--cell=gru is not for this command",
    "--num_layers=2": "--num_layers=2 is not for this command",
    "--dropout=0.1": "--dropout=0.1 is not for this command",
    "--backprop=truncated": "--backprop=truncated needs --backprop_steps",
    "--optimizer=adm": "did you mean adam",
    "--weight_decay=1": "--optimizer=adamw",
}


@pytest.mark.parametrize(("flag", "sentence"), BAD_FLAGS.items(), ids=BAD_FLAGS)
def test_bad_flags_are_named(tmp_path, flag, sentence):
    refused(command(*FEW, f"--workdir={tmp_path / 'run'}", flag), sentence)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "summary.json").write_text("mine")
    refused(command(*FEW, f"--workdir={tmp_path}"), "not a run that can be resumed")
    assert files(tmp_path) == {tmp_path / "summary.json": b"mine"}
