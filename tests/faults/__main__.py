"""Lets every file operation of a run fail, one after another, and starts it again.

    python -m tests.faults
    python -m tests.faults --runs=classification --faults=KILL --every=10

For n = 1, 2, 3 ... operation n of a run on its workdir raises ENOSPC, EIO or EACCES, or
the process is killed there, until a run ends without reaching n. A run that fails must
say so in one sentence, with exit code 2, and leave whole checkpoints. The same command,
started again, must go on from the newest checkpoint, or a later step, and end equal bit
for bit to a run that was never disturbed. Needs Linux and a C compiler, `cc`.
"""

import argparse
import functools
import itertools
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

from tests import quick
from tests.faults import case, forked

SOURCE = Path(__file__).parent / "file_operations.c"


def main() -> None:
    """Try the operations that the flags name; exit code 1 if something is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", default="language_model,classification")
    parser.add_argument("--faults", default=",".join(case.FAULTS))
    parser.add_argument("--first", type=int, default=1, help="number of the first")
    parser.add_argument("--every", type=int, default=1, help="from one to the next")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        if "LD_PRELOAD" not in os.environ:
            sys.exit(preloaded(folder))
        found = [check(name, options, Path(folder)) for name in options.runs.split(",")]
    sys.exit(0 if all(found) else 1)


def preloaded(folder: str) -> int:
    """The exit code of this command with the library of file operations."""
    library = f"{folder}/file_operations.so"
    flags = ("-O1", "-Wall", "-shared", "-fPIC", "-o", library)
    subprocess.run(["cc", *flags, str(SOURCE), "-ldl"], check=True)
    environment = {
        "LD_PRELOAD": library,
        "XLA_FLAGS": quick.XLA_FLAGS,
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": f"{folder}/programs",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    command = [sys.executable, "-m", "tests.faults", *sys.argv[1:]]
    return subprocess.run(command, env=os.environ | environment).returncode


def check(name: str, options: argparse.Namespace, folder: Path) -> bool:
    """Whether a run passes with each of its operations failing in each way.

    The processes fork after the imports, which would take most of the time.
    """
    forked.prepare(name, folder)
    case.undisturbed(name, folder / f"{name}-compiled")
    operations, expected = case.undisturbed(name, folder / f"{name}-undisturbed")
    kinds = Counter(operations).most_common()
    listed = ", ".join(f"{kind} {number}" for kind, number in kinds)
    say(f"{name}: {len(operations)} file operations: {listed}")
    is_right = True
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        for fault in options.faults.split(","):
            try_one = functools.partial(case.run, name, fault, folder, expected)
            exits = Counter[int]()
            numbers = itertools.count(options.first, options.every)
            for outcome in outcomes(pool, try_one, numbers, options.jobs):
                exits[outcome.code] += 1
                if outcome.wrong:
                    is_right = False
                    say(f"{name}, {fault}, {outcome.operation}: {outcome.wrong}")
            listed = ", ".join(f"{code}: {n} times" for code, n in exits.items())
            say(f"{name}, {fault}: {exits.total()} failed; exit codes {listed}")
    return is_right


def outcomes(
    pool: Pool, try_one: Any, numbers: Iterator[int], jobs: int
) -> Iterator[case.Outcome]:
    """What became of operation after operation, until one is not reached."""
    while True:
        found = pool.map(try_one, itertools.islice(numbers, jobs), chunksize=1)
        yield from (outcome for outcome in found if outcome.reached or outcome.wrong)
        if any(not outcome.reached and not outcome.wrong for outcome in found):
            return


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
