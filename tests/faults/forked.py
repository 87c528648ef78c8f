"""A start of a command in a fork of this process, whose imports it has."""

import importlib
import os
import pickle
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from experiments.common.plots import draw_learning_curve
from tests.faults.runs import RUNS, left_by, write_data


class Ended(NamedTuple):
    """How a start ended."""

    code: int
    err: str
    left: dict[str, Any] | None  # `left_by` of its workdir, if it was asked for


def prepare(name: str, folder: Path) -> None:
    """Import what a command imports, which takes most of a start; write its data."""
    importlib.import_module(f"experiments.{name}.__main__")
    importlib.import_module("safetensors.numpy")
    draw_learning_curve(folder / "imports.png", [{"step": 1, "train_perplexity": 2.0}])
    write_data(name, folder / f"{name}.txt")


def start(
    name: str,
    folder: Path,
    before: Callable[[], object] = lambda: None,
    after: Callable[[], object] = lambda: None,
    compare: bool = False,
) -> Ended:
    """Run a command whose workdir is `folder`/run, in a process of its own.

    Args:
      name: a key of RUNS.
      folder: holds the workdir, and what the command prints.
      before: called in that process first.
      after: called there after the command, before what it leaves is read.
      compare: whether to read that.
    """
    folder.mkdir(exist_ok=True)
    process = os.fork()
    if process == 0:
        _child(lambda: _command(name, folder, before, after, compare), folder)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    left = None
    if compare and code == 0:
        left = pickle.loads((folder / "left").read_bytes())
    return Ended(code, (folder / "err").read_text(), left)


def _child(function: Callable[[], object], folder: Path) -> None:
    """Call a function as a process does, and end."""
    code = 1
    try:
        for stream, file in ((1, "out"), (2, "err")):
            flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY
            os.dup2(os.open(folder / file, flags), stream)
        function()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _command(
    name: str,
    folder: Path,
    before: Callable[[], object],
    after: Callable[[], object],
    compare: bool,
) -> None:
    workdir = folder / "run"
    data = f"--corpus={folder.parent / name}.txt"
    sys.argv = [name, data, f"--workdir={workdir}", *RUNS[name]]
    before()
    importlib.import_module(f"experiments.{name}.__main__").main()
    after()
    if compare:
        (folder / "left").write_bytes(pickle.dumps(left_by(workdir)))


def lost(saved: int, ended: Ended) -> str | None:
    """What is wrong with a start that should go on from this step, or a later one."""
    found = re.search(r"continuing from step (\d+) in ", ended.err)
    begun = int(found[1]) if found else 0
    return f"step {saved} was lost: it began at {begun}" if begun < saved else None


def differences(expected: dict[str, Any], ended: Ended) -> str | None:
    """What is wrong with a start that should leave what was expected."""
    if ended.code != 0:
        return f"the second start ended with {ended.code}: {ended.err}"
    found = ended.left or {}
    differ = [key for key in expected if found.get(key) != expected[key]]
    return f"the second start differs in {differ}" if differ else None
