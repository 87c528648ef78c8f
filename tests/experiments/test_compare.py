"""Runs side by side: their numbers, the flags that differ, the curves."""

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from experiments.compare.__main__ import Run, draw, flag_of, main, named, shown
from tests.commands import refused, run


@pytest.fixture
def runs(tmp_path):
    """Two folders of runs that differ in two flags."""
    for number, cell in enumerate(("gru", "lstm")):
        folder = tmp_path / "runs" / cell
        folder.mkdir(parents=True)
        lines = [f"--cell={cell}", "--hidden_size=8", f"--workdir={folder}"]
        lines += ["--nolocked_dropout"] if number else []
        text = "\n".join(["# Settings of a seqjax run, format 2.", *lines, ""])
        (folder / "flags.txt").write_text(text)
        summary = {"test_perplexity": 3.25 + number, "parameters": 123456}
        (folder / "summary.json").write_text(json.dumps(summary))
        lines = [{"step": 5 * i, "valid_perplexity": 9.0 - i} for i in range(1, 4)]
        lines += [{"step": 20, "train_perplexity": 2.0, "valid_loss": None}]
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        (folder / "metrics.jsonl").write_text(text)
    return [str(tmp_path / "runs" / cell) for cell in ("gru", "lstm")]


def test_numbers_flags_and_curves(runs, tmp_path):
    figure = tmp_path / "figure.png"
    found = run(main, *runs, f"--figure={figure}")
    assert found.code == 0, found.err
    rows = [line.split() for line in found.out.split("\n")]
    assert ["gru", "lstm"] in rows
    assert ["test_perplexity", "3.2500", "4.2500"] in rows
    assert ["parameters", "123,456", "123,456"] in rows
    assert ["cell", "gru", "lstm"] in rows
    assert ["locked_dropout", "-", "false"] in rows
    assert not any(row and row[0] in ("hidden_size", "workdir") for row in rows)
    assert "valid perplexity by minibatches" in found.out
    assert figure.stat().st_size > 5000


def test_another_number_is_drawn_on_request(runs, tmp_path):
    figure = f"--figure={tmp_path / 'figure.png'}"
    found = run(main, *runs, figure, "--metric=train_perplexity")
    assert "train perplexity by minibatches" in found.out
    refused(run(main, *runs, figure, "--metric=valid_perplexty"), "valid_perplexity")


def test_a_number_of_zero_is_a_point_of_the_curve(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: kept.append(self))
    lines = [{"step": i, "valid_f1": f1} for i, f1 in enumerate((0.0, 0.5, None, 0.0))]
    draw(tmp_path / "figure.png", [Run("a", {}, {}, lines)], "valid_f1")
    (curve,) = kept[0].axes[0].lines
    assert curve.get_xydata().tolist() == [[0, 0], [1, 0.5], [3, 0]]


def test_numbers_in_objects_have_names_with_points(runs, tmp_path):
    for folder, mse in zip(runs, (1.5, 2.25), strict=True):
        summary = {"models": {"linear": {"mse": mse}}, "best": "linear"}
        Path(folder, "summary.json").write_text(json.dumps(summary))
    found = run(main, *runs, f"--figure={tmp_path / 'figure.png'}")
    rows = [line.split() for line in found.out.split("\n")]
    assert ["models.linear.mse", "1.5000", "2.2500"] in rows


def test_what_is_no_run_is_refused(runs, tmp_path):
    refused(run(main, str(tmp_path)), "holds no run: there is no flags.txt")
    (tmp_path / "runs" / "gru" / "summary.json").write_text("{")
    refused(run(main, *runs), "gru holds a damaged file")


def test_names_are_the_shortest_that_differ(tmp_path):
    assert list(named(["a/x", "b/y"])) == ["x", "y"]
    assert list(named(["a/x", "b/x"])) == ["a/x", "b/x"]
    assert list(named(["a/x", "a/x"])) == ["x"]


@pytest.mark.parametrize(
    ("line", "flag"),
    [
        ("--cell=gru", ("cell", "gru")),
        ("--prompt=a=b", ("prompt", "a=b")),
        ("--bidirectional", ("bidirectional", "true")),
        ("--nobidirectional", ("bidirectional", "false")),
    ],
)
def test_lines_of_flags(line, flag):
    assert flag_of(line) == flag


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0.0000"),
        (0.01234567, "0.012346"),
        (3.14159265, "3.1416"),
        (12345.678, "12,346"),
        (1e-12, "1e-12"),
        (1234567, "1,234,567"),
        ("0123456789abcdef", "0123456789ab"),
    ],
)
def test_numbers_have_the_digits_that_matter(value, text):
    assert shown(value) == text
