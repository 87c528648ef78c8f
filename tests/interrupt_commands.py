"""Interrupts whole commands at random moments, and lets them go on: the long form.

    python -m tests.interrupt_commands --tries=40

Each try starts a short run, sends it one to three signals after a random time, checks
its exit code, its last line and how long it took, and starts it again until it is
finished. Its numbers must then be those of an uninterrupted run.
"""

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
SMALL = ("--hidden_size=8", "--epochs=3", "--checkpoint_every=7", "--log_every=5")
COMMANDS = {
    "language_model": (*SMALL, "--max_tokens=20000", "--length=20", "--num_steps=16"),
    "translation": (*SMALL, "--max_pairs=300", "--vocab_size=60", "--beam_size=2"),
    "classification": SMALL,
    "tagging": SMALL,
    "poems": (*SMALL, "--samples=4"),
    "forecasting": (*SMALL, "--tau=4", "--mlp_size=4"),
    "hidden_markov": ("--max_tokens=2000", "--num_states=3", "--iterations=9"),
}
SIGNALS = (signal.SIGINT, signal.SIGTERM)
MOMENT = 10.0  # seconds within which a command ends
TIMES = ("seconds", "per_second", "time")  # parts of names of what may differ


def start(name: str, workdir: Path) -> subprocess.Popen[bytes]:
    """The command as a process of its own, with a cache of programs beside its run."""
    command = [sys.executable, "-m", f"experiments.{name}", f"--workdir={workdir}"]
    return subprocess.Popen(
        [*command, *COMMANDS[name]],
        cwd=ROOT,
        env=os.environ | {"XDG_CACHE_HOME": str(workdir.parent / "cache")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def interrupt(process: subprocess.Popen[bytes], after: float) -> float | None:
    """Send signals after some seconds; how long the end took, None if it was before.

    Python itself starts first: the seconds count from when SIGTERM is handled.
    """
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None and status.exists():
        (caught,) = re.findall(r"SigCgt:\s*(\w+)", status.read_text())
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            break
        time.sleep(0.001)
    try:
        process.wait(after)
        return None
    except subprocess.TimeoutExpired:
        pass
    began = time.monotonic()
    for _ in range(random.randint(1, 3)):
        process.send_signal(random.choice(SIGNALS))
        time.sleep(random.choice((0.0, 0.3)))
    process.wait()
    return time.monotonic() - began


def numbers(workdir: Path) -> list[object]:
    """summary.json and the lines of metrics.jsonl, without times."""
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    objects = [
        json.loads((workdir / "summary.json").read_text()),
        *map(json.loads, lines),
    ]
    return [
        {k: v for k, v in found.items() if not any(t in k for t in TIMES)}
        for found in objects
    ]


def attempt(name: str, seconds: float, expected: list[object]) -> str:
    """One try; a line about it.

    Args:
      seconds: how long the uninterrupted run took.
      expected: its numbers.
    """
    with tempfile.TemporaryDirectory() as folder:
        workdir, told = Path(folder) / "run", []
        while True:
            process = start(name, workdir)
            took = interrupt(process, random.uniform(0, 1.2 * seconds))
            assert process.stderr is not None
            err = process.stderr.read().decode()
            if took is None or process.returncode == 0:
                break
            told.append(f"{took:.1f} s")
            lines = err.splitlines()
            assert process.returncode in [128 + s for s in SIGNALS], (name, err)
            assert lines[-1].startswith("interrupted: "), (name, err)
            assert "Traceback" not in err and took < MOMENT, (name, took, err)
        assert process.returncode == 0, (name, err)
        assert numbers(workdir) == expected, name
    return f"{name}: ended after {', '.join(told) or 'no signal'}, then finished"


def main() -> None:
    """Run as many tries as --tries says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--commands", default=",".join(COMMANDS))
    options = parser.parse_args()
    # A shell turns SIGINT off for background jobs, and processes would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names = options.commands.split(",")
    whole = {}
    for i in range(options.tries):
        name = names[i % len(names)]
        if name not in whole:
            with tempfile.TemporaryDirectory() as folder:
                began, workdir = time.monotonic(), Path(folder) / "run"
                process = start(name, workdir)
                _, err = process.communicate()
                assert process.returncode == 0, err.decode()
                whole[name] = (time.monotonic() - began, numbers(workdir))
        print(attempt(name, *whole[name]), flush=True)


if __name__ == "__main__":
    main()
