"""Kills one of two processes at random moments, and starts both again: the long form.

    python -m tests.devices.kills --tries=20

Each try starts a run of two processes, sends SIGKILL to one of them after a random
time, and starts both again until the run is finished. The other process must end with
exit code 2 and a sentence within a minute, no checkpoint may be lost, and what the run
leaves must equal, bit for bit, what an undisturbed run leaves.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from seqjax.checkpoint import Checkpoints
from tests.devices.groups import finished, group, left, write_text

# A process that is killed before it answers is waited for.
LONG = (
    "--epochs=30",
    "--eval_every=10",
    "--checkpoint_every=20",
    "--connect_seconds=20",
)
MINUTE = 60.0


def attempt(folder: Path, workdir: str, seconds: float) -> list[str]:
    """The starts of a try, in words; asserts how each of them ends."""
    told, saved = [], 0
    checkpoints = Checkpoints(folder / workdir / "checkpoints" / "last")
    while True:
        with group(folder, 2, *LONG, workdir=workdir) as run:
            victim = random.randrange(2)
            after = random.uniform(0, seconds)
            try:
                run.processes[victim].wait(after)
            except subprocess.TimeoutExpired:
                run.processes[victim].kill()
                begin = time.monotonic()
                codes, lines = run.wait(MINUTE), run.last_lines()
                assert codes[1 - victim] in (0, 2), lines
                # Where it ended well, the other had nothing left to tell it.
                if codes[1 - victim] == 2:
                    told_by = run.errors[1 - victim].read_text()  # jax may add its own
                    assert "\nerror: " in f"\n{told_by}", told_by
                took = time.monotonic() - begin
                told.append(f"{victim} after {after:.1f} s (noticed in {took:.1f} s)")
                step = max(checkpoints.steps(), default=0)
                assert step >= saved, f"step {saved} was lost, {step} is the newest"
                saved = step
                continue
            assert run.wait(MINUTE) == [0, 0], run.last_lines()
            begun = f"continuing from step {saved} in "
            assert not saved or begun in run.errors[0].read_text(), begun
            return told


def main() -> None:
    """Make as many tries as --tries says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=20)
    options = parser.parse_args()
    kills = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        folder = Path(name)
        write_text(folder / "text")
        finished(folder, 2, *LONG, workdir="compiled")
        begin = time.monotonic()
        expected = finished(folder, 2, *LONG, workdir="undisturbed")
        seconds = time.monotonic() - begin
        for number in range(options.tries):
            told = attempt(folder, f"run{number}", 1.2 * seconds)
            kills += len(told)
            same = left(folder / f"run{number}") == expected
            print(f"try {number}: killed {', '.join(told) or 'nothing'}; ", end="")
            print("equal" if same else "NOT EQUAL", flush=True)
            if not same:
                sys.exit(1)
    print(f"{kills} kills in {options.tries} tries, all equal")


if __name__ == "__main__":
    main()
