"""One case: a run whose n-th file operation fails, and the same run started again."""

import ctypes
import errno
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults import forked
from tests.faults.runs import damaged

FAULTS = {
    "ENOSPC": errno.ENOSPC,  # this and all later ones that need space
    "EIO": errno.EIO,
    "EACCES": errno.EACCES,
    "KILL": 0,
}


class Outcome(NamedTuple):
    """What became of a case."""

    reached: bool  # whether the run got as far as the operation
    operation: str
    code: int  # the exit code of the disturbed run
    wrong: str | None


def undisturbed(name: str, folder: Path) -> tuple[list[str], dict[str, Any]]:
    """The kinds of the file operations of a whole run, and what it leaves."""
    ended = start(name, folder, 0, 0, compare=True)
    assert ended.left is not None, ended.err
    return [line.split()[1] for line in log(folder)], ended.left


def run(
    name: str, fault: str, folder: Path, expected: dict[str, Any], number: int
) -> Outcome:
    """The disturbed run and the second start, in a folder of their own."""
    folder = folder / f"{name}-{fault}-{number}"
    code, err, _ = start(name, folder, number, FAULTS[fault])
    operations = log(folder)
    if len(operations) < number:
        shutil.rmtree(folder)
        wrong = None if code == 0 else f"ended with {code} before it was reached: {err}"
        return Outcome(False, f"operation {number}", code, wrong)
    wrong = is_wrong(code, err, fault)
    if wrong is None and (broken := damaged(folder / "run")):
        wrong = f"damaged: {broken}"
    if wrong is None:
        again = start(name, folder, 0, 0, compare=True)
        saved = saved_before(operations[: number - 1])
        wrong = forked.differences(expected, again) or forked.lost(saved, again)
    if wrong is None:
        shutil.rmtree(folder)
    return Outcome(True, operations[number - 1], code, wrong)


def saved_before(operations: list[str]) -> int:
    """The newest step whose checkpoint had got its name; 0 if there was none."""
    names = (re.search(r" rename .*/last/(\d+)$", x) for x in operations)
    return max((int(found[1]) for found in names if found), default=0)


def is_wrong(code: int, err: str, fault: str) -> str | None:
    """What is wrong with how a disturbed run ended."""
    last = err.splitlines()[-1] if err else ""
    if fault == "KILL":
        return None if code == -signal.SIGKILL else f"ended with {code}"
    if code == 2 and last.startswith("error: ") and "Traceback" not in err:
        return None
    return None if code == 0 else f"ended with {code}: {err}"


def log(folder: Path) -> list[str]:
    """The file operations of the last start in a folder."""
    return (folder / "log").read_text().splitlines()


def start(
    name: str, folder: Path, number: int, fault: int, compare: bool = False
) -> forked.Ended:
    """A start whose operation `number` fails; 0 is none."""
    library, workdir = ctypes.CDLL(None), os.fsencode(folder / "run")
    record = folder / "log"
    record.unlink(missing_ok=True)
    lasting = int(fault == errno.ENOSPC)

    def before() -> None:
        library.arm(workdir, number, fault, lasting, os.fsencode(record))

    def after() -> None:
        library.arm(b"", 0, 0, 0, os.devnull.encode())

    return forked.start(name, folder, before, after, compare)
