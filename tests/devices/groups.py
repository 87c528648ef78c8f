"""Runs of several processes on loopback, each with a deadline that kills them all."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests import quick
from tests.faults.runs import left_by

ROOT = Path(__file__).parents[2]
DEADLINE = 150.0  # seconds
SMALL = (
    *("--cell=lstm", "--hidden_size=8", "--embed_size=8", "--batch_size=8"),
    *("--num_steps=10", "--epochs=4", "--length=5", "--ngram_order=0"),
    *("--log_every=5", "--checkpoint_every=20", "--dropout=0.2"),
)


def write_text(path: Path) -> Path:
    """A text of 4,000 characters."""
    rng = np.random.default_rng(0)
    path.write_text("".join(rng.choice(list("abcd \n"), 4000)))
    return path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Group:
    """The processes of one run; `with` kills whatever is left of them."""

    def __init__(
        self,
        folder: Path,
        flags: Sequence[Sequence[str]],
        devices: int = 1,
        module: str = "experiments.language_model",
    ):
        """Start a process for each list of flags, with so many simulated devices."""
        folder.mkdir(exist_ok=True)
        environment = os.environ | {
            "XLA_FLAGS": f"{quick.XLA_FLAGS} "
            f"--xla_force_host_platform_device_count={devices}",
            "XDG_CACHE_HOME": str(folder / "cache"),
            "JAX_PLATFORMS": "cpu",
        }
        self.errors = [folder / f"err{i}" for i in range(len(flags))]
        self.processes = []
        for path, given in zip(self.errors, flags, strict=True):
            start = [sys.executable, "-m", module, *given]
            with open(path, "w") as err, open(f"{path}.out", "w") as out:
                self.processes.append(
                    subprocess.Popen(
                        start, cwd=ROOT, env=environment, stdout=out, stderr=err
                    )
                )

    def __enter__(self) -> "Group":
        return self

    def __exit__(self, *_: Any) -> None:
        for process in self.processes:
            process.kill()
            process.wait()

    def wait(self, seconds: float = DEADLINE) -> list[int]:
        """The exit codes."""
        end = time.monotonic() + seconds
        return [p.wait(max(0.1, end - time.monotonic())) for p in self.processes]

    def last_lines(self) -> list[str]:
        """The last line that each process wrote to stderr."""
        texts = (path.read_text().strip() for path in self.errors)
        return [text.splitlines()[-1] if text else "" for text in texts]


@contextlib.contextmanager
def group(
    folder: Path, number: int, *more: str, devices: int = 1, workdir: str = "run"
) -> Iterator[Group]:
    """A run of `number` processes in `folder`/`workdir`; its text is `folder`/text."""
    flags = [f"--corpus={folder / 'text'}", f"--workdir={folder / workdir}", *SMALL]
    with Group(folder, flags_of_each(number, *flags, *more), devices) as started:
        yield started


def flags_of_each(number: int, *flags: str) -> list[list[str]]:
    """The flags of each of `number` processes of a run."""
    if number == 1:
        return [[*flags]]
    where = f"--coordinator=127.0.0.1:{free_port()}", f"--num_processes={number}"
    return [[*flags, *where, f"--process_id={i}"] for i in range(number)]


def finished(folder: Path, number: int, *more: str, **options: Any) -> dict[str, Any]:
    """What a whole run leaves, without its flags."""
    with group(folder, number, *more, **options) as run:
        codes = run.wait()
        assert codes == [0] * number, run.last_lines()
    return left(folder / str(options.get("workdir", "run")))


def left(workdir: Path) -> dict[str, Any]:
    """What a run leaves, without its flags."""
    found = left_by(workdir)
    del found["flags"]
    return found
