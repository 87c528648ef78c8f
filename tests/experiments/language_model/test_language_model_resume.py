"""Runs of the language model that are stopped, damaged, resumed or diverge."""

import platform
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.common.errors import UserError
from experiments.common.training_run import open_run
from experiments.language_model import Config
from seqjax.checkpoint import Checkpoints
from tests.commands import files, metrics, summary
from tests.small_language_model import (
    ROOT,
    SMALL,
    UNSTABLE,
    arrays,
    command,
    kill_after,
    refused,
    saved_steps,
    start,
    train,
)


def test_a_finished_run_started_again_only_reports(corpus, finished, capsys):
    workdir = finished
    first, written = summary(workdir), metrics(workdir)
    assert train(corpus, workdir) == 0
    assert "continuing from step" in capsys.readouterr().err
    assert metrics(workdir) == written
    again = summary(workdir)
    assert {**again, "seconds": 0} == {**first, "seconds": 0}


@pytest.mark.parametrize("lost", ["deleted", "damaged"])
def test_where_the_last_checkpoints_are_lost_the_best_one_goes_on(
    corpus, finished, capsys, lost
):
    workdir = finished
    last = workdir / "checkpoints" / "last"
    best = Checkpoints(workdir / "checkpoints" / "best").steps()[-1]
    before, written = summary(workdir), metrics(workdir)
    for path in last.iterdir():
        (path / "SHA256SUMS").unlink()
    if lost == "deleted":
        shutil.rmtree(last)
    assert train(corpus, workdir) == 0
    err = capsys.readouterr().err
    assert f"Continuing from the best one.\ncontinuing from step {best} in " in err
    assert timeless(metrics(workdir)) == timeless(written)
    again = summary(workdir)
    assert {**again, "seconds": 0, "tokens_per_second": 0} == {
        **before,
        "seconds": 0,
        "tokens_per_second": 0,
    }


def timeless(lines):
    return [{k: v for k, v in m.items() if "per_second" not in k} for m in lines]


def test_another_run_that_began_meanwhile_is_refused(corpus, tmp_path, capsys):
    """Its settings are compared again when the folder is locked."""
    config = Config.of(corpus=str(corpus), workdir=str(tmp_path / "run"))
    workdir = open_run(config)
    train(corpus, tmp_path / "run")
    with (
        pytest.raises(UserError, match="holds another run"),
        workdir.open_for_training(),
    ):
        pass


def test_a_reader_that_leaves_while_it_trains_is_no_success(corpus, tmp_path):
    """As `| head -1` does; the exit code is that of a closed pipe."""
    with start(corpus, tmp_path / "run", "--epochs=100", stdout=subprocess.PIPE) as run:
        run.stdout.readline()
        run.stdout.close()
        assert run.wait(60) == 128 + signal.SIGPIPE


def test_an_end_within_an_epoch_is_no_plateau(corpus, tmp_path):
    """A run in two starts lowers the rate as often as one in a single start."""
    options = ("--learning_rate=0", "--schedule=plateau", "--decay=0.5")
    for tokens in (3000, 6000):
        train(corpus, tmp_path / "two", *options, f"--train_tokens={tokens}")
    train(corpus, tmp_path / "one", *options, "--train_tokens=6000")
    scales = []
    for name in ("one", "two"):
        newest = saved_steps(tmp_path / name)[-1]
        folder = tmp_path / name / "checkpoints" / "last" / str(newest)
        scales.append(arrays(folder)[".learning_rate_scale"])
    assert scales == [0.5, 0.5]


def test_more_epochs_of_a_constant_rate_go_on(corpus, tmp_path):
    workdir, whole = tmp_path / "run", tmp_path / "whole"
    constant = "--schedule=constant"
    train(corpus, workdir, constant)
    assert train(corpus, workdir, constant, "--epochs=3") == 0
    train(corpus, whole, constant, "--epochs=3")
    assert summary(workdir)["train_perplexity"] == summary(whole)["train_perplexity"]


def test_a_finished_run_is_given_more(corpus, tmp_path, capsys):
    """Where the schedule spans the run, not before it is finished."""
    workdir, more = tmp_path / "run", ("--epochs=3", "--schedule=cosine")
    train(corpus, workdir, "--schedule=cosine")
    step, first = saved_steps(workdir)[-1], metrics(workdir)
    last = Checkpoints(workdir / "checkpoints" / "last")
    for fewer in ("--epochs=1", "--hidden_size=13"):
        argv = (f"--corpus={corpus}", f"--workdir={workdir}", *SMALL, *more, fewer)
        assert "holds another run" in refused(capsys, *argv)
    assert train(corpus, workdir, *more) == 0
    assert f"continuing from step {step} " in capsys.readouterr().err
    assert metrics(workdir)[: len(first)] == first
    rates = [m["learning_rate"] for m in metrics(workdir) if "learning_rate" in m]
    trained = [m for m in first if "learning_rate" in m]
    assert rates[len(trained)] > rates[len(trained) - 1]  # of the longer schedule
    assert saved_steps(workdir)[-1] == 1.5 * step
    assert last.progress()["epoch"] == 3


def test_an_unfinished_run_keeps_its_schedule(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    train(corpus, workdir, "--schedule=cosine")
    last = Checkpoints(workdir / "checkpoints" / "last")
    folder = workdir / "checkpoints" / "last" / str(last.steps()[-1])
    shutil.rmtree(folder)
    before = files(workdir)
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *SMALL, "--epochs=3")
    assert "given more only when it is finished" in refused(capsys, *argv)
    assert files(workdir) == before


def test_a_folder_of_any_name_trains_goes_on_and_is_read(corpus, tmp_path, capsys):
    workdir = tmp_path / "a[b]*" / "c\\d ü{e}" / "gs:" / "run?"
    train(corpus, workdir)
    assert train(corpus, workdir) == 0
    assert "continuing from step" in capsys.readouterr().err
    assert command(f"--workdir={workdir}", "--mode=generate") == 0


def test_killed_and_resumed_is_uninterrupted_bit_for_bit(corpus, tmp_path):
    """Killed without warning, then interrupted; dropout, deep state and all."""
    more = (
        *("--num_layers=2", "--dropout=0.3", "--epochs=12", "--log_every=1"),
        *("--checkpoint_every=17", "--eval_every=3", "--cell=gru"),
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(corpus, whole, *more).wait() == 0
    kill_after(start(corpus, broken, *more), broken, 60)
    written = len(metrics(broken)[:-1])
    assert 0 < written < len(metrics(whole))
    process = start(corpus, broken, *more)
    assert kill_after(process, broken, written + 20, signal.SIGTERM) == 143
    lines = Path(f"{broken}.err").read_text().splitlines()
    assert any(line.startswith("continuing from step") for line in lines)
    saved = f"step {saved_steps(broken)[-1]:,} is saved in {broken}"
    said = f"interrupted: {saved}; the same command continues from there."
    assert lines[-1] == said
    assert start(corpus, broken, *more).wait() == 0
    assert "continuing from step" in Path(f"{broken}.err").read_text()

    def without_times(workdir):
        return [
            {k: v for k, v in line.items() if k != "tokens_per_second"}
            for line in metrics(workdir)
        ]

    assert without_times(broken) == without_times(whole)
    for kind in ("last", "best"):
        ours, theirs = (w / "checkpoints" / kind for w in (broken, whole))
        assert {p.name for p in ours.iterdir()} == {p.name for p in theirs.iterdir()}
        for folder in ours.iterdir():
            a, b = arrays(folder), arrays(theirs / folder.name)
            assert set(a) == set(b)
            for name in a:
                assert np.asarray(a[name]).tobytes() == np.asarray(b[name]).tobytes()
    assert summary(broken)["sample"] == summary(whole)["sample"]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(corpus, finished, capsys):
    workdir = finished
    finished, written = summary(workdir), metrics(workdir)
    before, step = saved_steps(workdir)
    newest = workdir / "checkpoints" / "last" / str(step)
    victim = max(newest.rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    victim.write_bytes(victim.read_bytes()[:-10])
    capsys.readouterr()
    assert train(corpus, workdir) == 0
    err = capsys.readouterr().err
    assert f"{newest} is damaged" in err
    assert f"continuing from step {before} " in err
    assert [m["step"] for m in metrics(workdir)] == [m["step"] for m in written]
    assert summary(workdir)["test_perplexity"] == finished["test_perplexity"]


def test_a_damaged_best_checkpoint_gives_way_to_the_last(finished, capsys):
    workdir = finished
    for seal in (workdir / "checkpoints" / "best").rglob("SHA256SUMS"):
        seal.write_text("")
    generate = (f"--workdir={workdir}", "--mode=generate")
    capsys.readouterr()
    assert command(*generate) == 0
    fallen_back = capsys.readouterr()
    assert fallen_back.err.endswith("Using the last.\n")
    assert command(*generate, "--checkpoint=last") == 0
    assert capsys.readouterr().out == fallen_back.out


def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(finished, capsys):
    workdir = finished
    newest = workdir / "checkpoints" / "last" / str(saved_steps(workdir)[-1])
    (newest / "SHA256SUMS").write_text("")
    argv = (f"--workdir={workdir}", "--mode=generate", "--checkpoint=last")
    capsys.readouterr()
    assert command(*argv) == 0
    err = capsys.readouterr().err
    assert f"{newest} is damaged" in err
    assert err.endswith("Using the one before.\n")


def test_no_whole_checkpoint_is_said(corpus, finished, capsys):
    workdir = finished
    for seal in workdir.rglob("SHA256SUMS"):
        seal.write_text("")
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *SMALL)
    assert "no checkpoint in" in refused(capsys, *argv)
    assert "no checkpoint in" in refused(capsys, *argv[1:2], "--mode=generate")


def test_parameters_that_are_not_finite_are_never_saved(corpus, tmp_path, capsys):
    """The loss of the step is finite; what it leads to is not."""
    workdir = tmp_path / "run"
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *SMALL, *UNSTABLE)
    assert command(*argv, "--learning_rate=1e38", "--train_tokens=40") == 2
    assert "was not finite at step 1; none is kept" in capsys.readouterr().err
    assert not (workdir / "checkpoints").exists()
    # The advice can be followed where nothing was kept: the folder is free.
    assert command(*argv, "--learning_rate=0.01", "--train_tokens=40") == 0


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(
    corpus, tmp_path, capsys
):
    workdir = tmp_path / "run"
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *SMALL, *UNSTABLE)
    assert command(*argv, "--learning_rate=1e30") == 2
    err = capsys.readouterr().err
    assert "was not finite at step " in err
    assert "none is kept" in err
    assert err.count("\n") == 1
    calm = tmp_path / "calm"
    argv = (f"--corpus={corpus}", f"--workdir={calm}", *SMALL, *UNSTABLE)
    assert command(*argv, "--learning_rate=0.01") == 0
    kept = saved_steps(calm)
    text = (calm / "flags.txt").read_text()
    (calm / "flags.txt").write_text(text.replace("rate=0.01", "rate=1e+30"))
    assert command(*argv, "--learning_rate=1e30", "--epochs=9") == 2
    assert f"the checkpoint of step {kept[-1]} is kept" in capsys.readouterr().err
    assert saved_steps(calm) == kept


def test_damaged_metrics_are_dropped_and_damaged_flags_are_said(
    corpus, finished, capsys
):
    workdir = finished
    before = metrics(workdir)
    with open(workdir / "metrics.jsonl", "ab") as file:
        file.write(b'{}\n5\n\xff\n{"step": 1')
    assert train(corpus, workdir) == 0
    assert metrics(workdir) == before
    (workdir / "flags.txt").write_bytes(b"\xff\xfe")
    assert "UTF-8" in refused(capsys, f"--workdir={workdir}", "--mode=generate")
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *SMALL)
    assert "flags.txt is damaged" in refused(capsys, *argv)


def test_two_processes_do_not_train_in_one_workdir(corpus, tmp_path, capsys):
    """The process is named; the lock of one that was killed is free."""
    workdir = tmp_path / "run"
    workdir.mkdir()
    code = (
        "import pathlib, sys, time\n"
        "from experiments.common.run_lock import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n"
        "    print(flush=True)\n"
        "    time.sleep(60)\n"
    )
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *SMALL)
    with subprocess.Popen(
        [sys.executable, "-c", code, workdir], cwd=ROOT, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        sentence = f"process {holder.pid} on {platform.node()} is training in {workdir}"
        assert sentence in refused(capsys, *argv)
        assert {p.name for p in workdir.iterdir()} == {".lock"}
        holder.kill()
    assert command(*argv) == 0
