"""A long run, watched from outside: memory, open files, compilations, speed stay flat.

    python -m tests.soak --minutes=30

Trains the default language model with a checkpoint every 100 minibatches and a
validation every epoch, and reads the process every few seconds. After the first fifth,
the last fifth must have no more open files, no compilation, at most 2 % more resident
memory and at most 10 % less speed. Needs Linux.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

MEMORY, SPEED = 1.02, 0.9


class Sample(NamedTuple):
    """What the process holds at one moment."""

    seconds: float
    megabytes: float
    files: int
    compilations: int


def sample(process: subprocess.Popen[bytes], begin: float, err: Path) -> Sample:
    status = Path(f"/proc/{process.pid}/status").read_text()
    (resident,) = (r for r in status.split("\n") if r.startswith("VmRSS:"))
    return Sample(
        time.monotonic() - begin,
        int(resident.split()[1]) / 1024,
        len(os.listdir(f"/proc/{process.pid}/fd")),
        err.read_text().count("Finished XLA compilation"),
    )


def watch(folder: Path, minutes: float) -> list[Sample]:
    """Train for so many minutes, then interrupt."""
    flags = (
        *(f"--workdir={folder / 'run'}", "--epochs=1000000", "--checkpoint_every=100"),
        "--schedule=constant",
    )
    err, samples, begin = folder / "err", [], time.monotonic()
    with open(err, "wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "experiments.language_model", *flags],
            env=os.environ | {"JAX_LOG_COMPILES": "1"},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    with process:
        while time.monotonic() - begin < 60 * minutes:
            time.sleep(2)
            assert process.poll() is None, err.read_text()[-500:]
            samples.append(sample(process, begin, err))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    return samples


def speeds(metrics: Path) -> list[float]:
    """Tokens a second of each line of metrics."""
    lines = map(json.loads, metrics.read_text().splitlines())
    return [m["tokens_per_second"] for m in lines if "tokens_per_second" in m]


def main() -> None:
    """Watch a run; exit code 1 if something grows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        samples = watch(Path(name), options.minutes)
        measured = speeds(Path(name, "run", "metrics.jsonl"))
    fifth, part = len(samples) // 5, len(measured) // 5
    early, late = samples[fifth : 2 * fifth], samples[-fifth:]
    numbers = {
        "memory": [statistics.median(s.megabytes for s in x) for x in (early, late)],
        "files": [max(s.files for s in x) for x in (early, late)],
        "compilations": [x[-1].compilations for x in (early, late)],
        "speed": [
            statistics.median(x) for x in (measured[part : 2 * part], measured[-part:])
        ],
    }
    for what, (before, after) in numbers.items():
        print(f"{what}: {before:,.0f} in the second fifth, {after:,.0f} in the last")
    flat = (
        numbers["memory"][1] <= MEMORY * numbers["memory"][0]
        and numbers["files"][1] <= numbers["files"][0]
        and numbers["compilations"][1] == numbers["compilations"][0]
        and numbers["speed"][1] >= SPEED * numbers["speed"][0]
    )
    print(f"{samples[-1].seconds / 60:.0f} minutes: {'flat' if flat else 'NOT FLAT'}")
    sys.exit(0 if flat else 1)


if __name__ == "__main__":
    main()
