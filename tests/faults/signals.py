"""Sends SIGTERM to a run in each of its phases, and starts it again.

    python -m tests.faults.signals
    python -m tests.faults.signals --runs=classification --phases=saving --tries=20

The signal comes at a random moment after the phase begins. The run must end within a
moment with exit code 143 and a line that says what is saved, in training its very step.
The same command, started again, must go on from there and end equal bit for bit to a
run that was never disturbed.
"""

import argparse
import contextlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.common import activity, training_run
from seqjax import decoding
from seqjax.checkpoint import Checkpoints
from tests import quick
from tests.faults import forked
from tests.faults.runs import damaged

MOMENT = 10.0  # seconds within which a run ends
ACTIVITIES = {  # the names of `activity.begin`
    "reading": "the data",
    "initialization": "the parameters",
    "compilation": "the training step",
    "training": "the training",
    "validation": "the validation",
    "evaluation": "the evaluation",
}
BEFORE_TRAINING = ("reading", "initialization", "compilation")
PHASES = (*ACTIVITIES, "saving", "between epochs", "sampling")


def main() -> None:
    """Try the phases that the flags name; exit code 1 if one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", default="language_model,classification")
    parser.add_argument("--phases", default=",".join(PHASES))
    parser.add_argument("--tries", type=int, default=5, help="of each phase")
    options = parser.parse_args()
    os.environ |= {"XLA_FLAGS": quick.XLA_FLAGS, "JAX_PLATFORMS": "cpu"}
    is_right = True
    with tempfile.TemporaryDirectory(prefix="signals-") as name:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{name}/programs"
        for run in options.runs.split(","):
            forked.prepare(run, Path(name))
            expected = forked.start(run, Path(name, run), compare=True)
            assert expected.left is not None, expected.err
            for phase in options.phases.split(","):
                if phase == "sampling" and run != "language_model":
                    continue
                folder = Path(name, f"{run}-{phase}")
                tries = [
                    attempt(run, phase, folder, expected.left)
                    for _ in range(options.tries)
                ]
                is_right &= not any(wrong for _, wrong in tries)
                codes = dict(Counter(code for code, _ in tries))
                print(f"{run}, {phase}: exit codes {codes}", flush=True)
                for wrong in filter(None, (wrong for _, wrong in tries)):
                    print(f"  {wrong}", flush=True)
    sys.exit(0 if is_right else 1)


def attempt(
    run: str, phase: str, folder: Path, expected: dict[str, Any]
) -> tuple[int, str | None]:
    """(exit code of the run that gets the signal, what is wrong)."""
    seed, wait = random.random(), random.choice((0.0, 0.01, 0.1))
    ended = forked.start(run, folder, lambda: trap(phase, folder, wait * seed))
    took = time.time() - float((folder / "sent").read_text())
    last = ended.err.splitlines()[-1] if ended.err else ""
    wrong = None
    if ended.code != 128 + signal.SIGTERM or not last.startswith("interrupted: "):
        wrong = f"ended with {ended.code}: {ended.err}"
    elif took > MOMENT:
        wrong = f"ended after {took:.1f} s"
    elif broken := damaged(folder / "run"):
        wrong = f"damaged: {broken}"
    else:
        saved = saved_by(last)
        if phase not in BEFORE_TRAINING and not saved:
            wrong = f"saved nothing: {last}"
        again = forked.start(run, folder, compare=True)
        wrong = wrong or forked.differences(expected, again)
        wrong = wrong or forked.lost(saved, again)
    shutil.rmtree(folder)
    return ended.code, wrong


def saved_by(line: str) -> int:
    """The step that a closing line says is saved; 0 if it says none."""
    found = re.match(r"interrupted: step ([\d,]+) is saved in ", line)
    return int(found[1].replace(",", "")) if found else 0


def trap(phase: str, folder: Path, wait: float) -> None:
    """Let this process send itself the signal after the phase begins."""

    def send() -> None:
        time.sleep(wait)
        (folder / "sent").write_text(str(time.time()))
        os.kill(os.getpid(), signal.SIGTERM)

    def begun() -> None:
        with contextlib.suppress(RuntimeError):  # it was started by an earlier phase
            thread.start()

    thread = threading.Thread(target=send, daemon=True)
    if phase in ACTIVITIES:
        wrap(activity, "begin", lambda what: what == ACTIVITIES[phase] and begun())
    elif phase == "sampling":
        wrap(decoding, "stream", lambda *_, **__: begun())
    elif phase == "saving":
        wrap(Checkpoints, "save", lambda *_: begun())
    else:
        wrap(training_run, "epoch_rng", lambda seed, epoch: epoch == 1 and begun())


def wrap(owner: Any, name: str, first: Callable[..., object]) -> None:
    """Call `first` before a function, with the same arguments."""
    function = getattr(owner, name)

    def both(*args: Any, **options: Any) -> Any:
        first(*args, **options)
        return function(*args, **options)

    setattr(owner, name, both)


if __name__ == "__main__":
    main()
