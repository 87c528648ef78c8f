"""Runs one command over a grid of settings, several runs at a time.

Examples:
    python -m experiments.sweep --command=language_model --grid dropout=0.2,0.35
    python -m experiments.sweep --jobs=2 --grid learning_rate=1,2,4 seed=0,1,2
        --flagfile=experiments/recipes/time_machine_lstm.flags

Every combination is a run in a folder of its own below --workdir, where its output is
in log.txt. Started again, finished runs stay, and the others go on where they were.
Other flags go to the command. At the end a table and a figure compare the means over
the seeds by --metric, by default a number of the validation part.
"""

import argparse
import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.common import activity, interrupts
from experiments.common.command_line import exit_on_mistakes, parse
from experiments.common.errors import UserError
from experiments.common.flag_files import expand
from experiments.common.run_lock import locked
from experiments.sweep.grid import Run, command_of, make_runs, parse_grid
from experiments.sweep.report import choose_metric, read_summaries, report
from seqjax import durable
from seqjax.checkpoint import CheckpointError, Checkpoints

STARTED = "started_with.txt"  # the flags of a finished run


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "python -m experiments.sweep", description=__doc__, formatter_class=form
    )
    parser.add_argument("--command", help="Command to run, such as language_model.")
    parser.add_argument(
        "--grid", nargs="+", action="extend", default=[], help="Flags and values."
    )
    parser.add_argument("--jobs", type=int, default=1, help="Number of runs at a time.")
    parser.add_argument("--workdir", default="runs/sweep", help="Folder of the sweep.")
    parser.add_argument("--metric", help="Number of summary.json to compare.")
    options, rest = parser.parse_known_args(argv)
    if argv is None:  # a process of our own
        activity.start()
    with exit_on_mistakes():
        sweep(options, rest)


def sweep(options: argparse.Namespace, flags: Sequence[str]) -> list[dict[str, Any]]:
    """Run what is not finished, and report; the rows of the table.

    Raises:
      UserError: for mistakes in the flags, and if a run has failed.
    """
    if options.jobs < 1:
        raise UserError(f"--jobs must be at least 1, got {options.jobs}.")
    if not options.grid:
        raise UserError("--grid is missing, such as --grid seed=0,1,2.")
    folder = Path(options.workdir)
    command = command_of(options.command, flags)
    runs = make_runs(parse_grid(options.grid), flags, folder)
    check(command, runs)
    durable.make_folder(folder)
    interrupts.keep(f"finished runs stay in {folder}; the same command goes on")
    with locked(folder):
        rest = [r for r in runs if not is_finished(command, r)]
        activity.begin("the runs")
        failed = run_all(command, rest, options.jobs, len(runs))
        summaries, rows = read_summaries(runs), []
        if any(summaries) or not failed:
            metric = choose_metric(options.metric, summaries)
            rows = report(folder, runs, metric, summaries)
    if failed:
        (first, sentence), *_ = failed.items()
        raise UserError(
            f"{len(failed)} of {len(runs)} runs failed; {first}: {sentence}"
        )
    return rows


def check(command: str, runs: Sequence[Run]) -> None:
    """Refuse flags as the command itself would, before any run."""
    modes = importlib.import_module(f"experiments.{command}.__main__").MODES
    config_class = importlib.import_module(f"experiments.{command}").Config
    for run in runs:
        parse(None, config_class, modes, run.flags)


def is_finished(command: str, run: Run) -> bool:
    """Whether a run has ended with a summary, and with the flags of this sweep."""
    names = ("flags.txt", "summary.json", STARTED)
    if not all((run.workdir / name).exists() for name in names):
        return False
    if (run.workdir / STARTED).read_bytes() != started_with(command, run):
        return False  # the run itself says whether it can go on with these
    last = Checkpoints(run.workdir / "checkpoints" / "last")
    try:
        return not last.steps() or bool(last.progress()["finished"])
    except (CheckpointError, KeyError):
        return False  # the run itself says what is wrong


def started_with(command: str, run: Run) -> bytes:
    """The command and the flags of a run, one a line."""
    return "\n".join([command, *expand(run.flags), ""]).encode()


def run_all(
    command: str, runs: Sequence[Run], jobs: int, number: int
) -> dict[str, str]:
    """Run them, `jobs` at a time: {workdir: last line of its log} of those that fail.

    Raises:
      KeyboardInterrupt: after a signal, when the runs have saved.
    """
    waiting, free = list(runs), list(range(jobs))
    running: dict[int, tuple[Run, subprocess.Popen[bytes]]] = {}  # by their slots
    failed: dict[str, str] = {}
    stopping = False
    with interrupts.held():
        while running or (waiting and not stopping):
            if interrupts.requested() and not stopping:
                stopping = True
                for _, process in running.values():
                    process.send_signal(signal.SIGTERM)
            while waiting and free and not stopping:
                slot, run = free.pop(0), waiting.pop(0)
                running[slot] = run, start(command, run, slot, jobs)
            for slot, (run, process) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[slot]
                free.append(slot)
                if process.returncode and not stopping:
                    failed[str(run.workdir)] = reason(run)
                if process.returncode == 0:
                    content = started_with(command, run)
                    durable.write_bytes(run.workdir / STARTED, content)
                done, code = number - len(waiting) - len(running), process.returncode
                state = f"failed with exit code {code}" if code else "done"
                if code and stopping:
                    state = "is interrupted"
                print(f"{done} of {number}: {run.workdir.name} {state}", flush=True)
                activity.word()
            time.sleep(0.05)
    return failed


def start(command: str, run: Run, slot: int, jobs: int) -> "subprocess.Popen[bytes]":
    """A run in a process of its own, on its share of the cores."""
    durable.make_folder(run.workdir)
    with open(run.workdir / "log.txt", "ab") as log:
        # In a session of its own, it gets Ctrl-C from `run_all` alone.
        process = subprocess.Popen(
            [sys.executable, "-m", f"experiments.{command}", *run.flags],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        with contextlib.suppress(OSError):  # it has ended
            share = cores[slot % len(cores) :: jobs]
            os.sched_setaffinity(process.pid, share)
    return process


def reason(run: Run) -> str:
    """The last error of a run's log, or its last line."""
    text = (run.workdir / "log.txt").read_bytes().decode(errors="replace")
    lines = text.rstrip("\n").split("\n")
    return next((x for x in reversed(lines) if x.startswith("error: ")), lines[-1])


if __name__ == "__main__":
    main()
