"""Sweeps: a grid of runs, resumed as a whole, compared in a table and a figure."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments.sweep.__main__ import main
from experiments.sweep.grid import COMMANDS, command_of, make_runs, parse_grid
from tests.commands import refused, run
from tests.small_language_model import write_corpus

ROOT = Path(__file__).parents[2]


def flags(folder):
    """A Markov chain, which is counted at once."""
    corpus = write_corpus(folder / "text")
    return "--command=markov", f"--corpus={corpus}", f"--workdir={folder / 'sweep'}"


def test_a_grid_is_run_and_compared_and_not_run_again(tmp_path):
    grid = ("--grid", "level=char,word", "seed=0,1", "--jobs=2")
    found = run(main, *flags(tmp_path), *grid)
    assert found.code == 0, found.err
    sweep = tmp_path / "sweep"
    names = {
        f"level={level},seed={seed}" for level in ("char", "word") for seed in (0, 1)
    }
    assert {p.name for p in sweep.iterdir() if p.is_dir()} == names
    written = json.loads((sweep / "sweep.json").read_text())
    assert written["metric"] == "valid_perplexity"
    for row in written["rows"]:
        summaries = [
            json.loads(
                (sweep / f"level={row['level']},seed={s}/summary.json").read_text()
            )
            for s in (0, 1)
        ]
        values = [s["valid_perplexity"] for s in summaries]
        assert row["runs"] == 2 and row["failed"] == 0
        np.testing.assert_allclose(row["mean"], np.mean(values))
        np.testing.assert_allclose(row["deviation"], np.std(values, ddof=1))
    assert (sweep / "sweep.png").stat().st_size > 1000
    assert "valid_perplexity of 4 runs" in found.out
    times = {p: p.stat().st_mtime_ns for p in sweep.glob("*/summary.json")}
    again = run(main, *flags(tmp_path), *grid, "--metric=test_perplexity")
    assert again.code == 0 and "done" not in again.out
    assert {p: p.stat().st_mtime_ns for p in times} == times
    assert "test_perplexity of 4 runs" in again.out


def test_runs_with_other_flags_are_not_taken_for_finished(tmp_path):
    """They are started, and refuse the flags themselves."""
    grid = ("--grid", "seed=0,1")
    assert run(main, *flags(tmp_path), *grid, "--order=1").code == 0
    found = run(main, *flags(tmp_path), *grid, "--order=3")
    assert found.code == 2
    last = found.err.splitlines()[-1]
    assert "2 of 2 runs failed" in last and "--order (1 there, 3 here)" in last
    assert run(main, *flags(tmp_path), *grid, "--order=1").code == 0


def test_a_grid_may_be_given_in_parts(tmp_path):
    argv = (*flags(tmp_path), "--grid", "order=1,2", "--grid", "seed=0,1")
    assert run(main, *argv).code == 0
    names = {p.name for p in (tmp_path / "sweep").iterdir() if p.is_dir()}
    assert names == {f"order={n},seed={s}" for n in (1, 2) for s in (0, 1)}


def test_a_run_that_fails_is_named_and_the_others_are_compared(tmp_path):
    (tmp_path / "sweep" / "seed=1").mkdir(parents=True)
    (tmp_path / "sweep" / "seed=1" / "summary.json").write_text("{}")
    found = run(main, *flags(tmp_path), "--grid", "seed=0,1")
    assert found.code == 2
    last = found.err.splitlines()[-1]
    assert last.startswith("error: 1 of 2 runs failed; ")
    assert "seed=1 holds summary.json but no flags.txt" in last


def test_where_all_runs_fail_the_first_one_is_named(tmp_path):
    (tmp_path / "text").write_text("a")
    argv = ("--command=markov", f"--corpus={tmp_path / 'text'}", "--grid", "seed=0,1")
    found = run(main, *argv, f"--workdir={tmp_path / 'sweep'}")
    assert found.code == 2
    assert found.err.splitlines()[-1].startswith("error: 2 of 2 runs failed; ")


MISTAKES = {
    "--grid is missing": (),
    "--grid seed: a flag and its values": ("--grid", "seed"),
    "two combinations have the folder": ("--grid", "corpus=a/b,a_b"),
    "--grid seed=: a flag and its values": ("--grid", "seed="),
    "--grid seed=1,1: a value is there twice": ("--grid", "seed=1,1"),
    "--grid seed=2: --seed cannot be given there": ("--grid", "seed=1", "seed=2"),
    "--workdir cannot be given there": ("--grid", "workdir=a,b"),
    "there is no flag '--sede'": ("--grid", "sede=1,2"),
    "--seed must be": ("--grid", "seed=-1"),
    "--jobs must be at least 1, got 0": ("--grid", "seed=1", "--jobs=0"),
}


@pytest.mark.parametrize(("sentence", "given"), MISTAKES.items())
def test_mistakes_are_one_sentence_before_anything_is_run(tmp_path, sentence, given):
    refused(run(main, *flags(tmp_path), *given), sentence)
    assert not (tmp_path / "sweep").exists()


def test_every_command_can_be_swept():
    folders = (path.parent.name for path in ROOT.glob("experiments/*/__main__.py"))
    assert set(folders) - {"compare", "sweep", "tokens"} == set(COMMANDS)


def test_the_command_is_that_of_the_recipe():
    for path in (ROOT / "experiments" / "recipes").glob("*.flags"):
        command = command_of(None, [f"--flagfile={path}"])
        assert f"experiments.{command} " in path.read_text()


def test_a_command_must_be_known(tmp_path):
    refused(run(main, "--command=markow", "--grid", "seed=1"), "markov")
    file = tmp_path / "own.flags"
    file.write_text("--seed=1\n")
    sentence = "no comment of a --flagfile names one"
    refused(run(main, f"--flagfile={file}", "--grid", "seed=1"), sentence)


def test_every_combination_is_a_run_with_a_folder_of_its_own(tmp_path):
    grid = parse_grid(["seed=0,1,2", "--order=1,2"])
    runs = make_runs(grid, ["--level=char"], tmp_path)
    values = [(run.values["seed"], run.values["order"]) for run in runs]
    assert values == [(s, o) for s in "012" for o in "12"]
    assert len({run.workdir for run in runs}) == 6
    assert runs[0].flags[-1] == f"--workdir={tmp_path / 'seed=0,order=1'}"


def test_a_signal_reaches_the_runs_and_the_sweep_goes_on(tmp_path):
    corpus = write_corpus(tmp_path / "text")
    command = [
        *(sys.executable, "-m", "experiments.sweep", "--command=language_model"),
        *(f"--corpus={corpus}", f"--workdir={tmp_path / 'sweep'}", "--cell=rnn"),
        *("--hidden_size=4", "--embed_size=4", "--epochs=2000", "--eval_every=100"),
        *("--grid", "seed=0,1", "--jobs=2"),
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, env=dict(os.environ)
    ) as process:
        logs = [
            tmp_path / "sweep" / f"seed={seed}" / "metrics.jsonl" for seed in (0, 1)
        ]
        end = time.monotonic() + 60
        while not all(log.exists() for log in logs) and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
        assert process.stderr.read().startswith(b"interrupted: ")
    for log in logs:
        text = (log.parent / "log.txt").read_text()
        assert "interrupted: step" in text.splitlines()[-1], text
