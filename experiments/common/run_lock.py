"""The lock of a run: one process at a time trains in a folder.

The lock is of the folder itself, and the operating system frees it when its process
ends, however it ends. A file names the process meanwhile.
"""

import contextlib
import errno
import os
import platform
import zlib
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]  # the module is absent there

from experiments.common import processes
from experiments.common.console import note
from experiments.common.errors import UserError

HOLDER = ".lock"  # the name of the file
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A block in which no other process gets the lock of a folder.

    Raises:
      UserError: naming the process that has it.
      OSError: if the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        if fcntl is not None:
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            _lock(descriptor, folder)
        holder = folder / HOLDER
        stack.callback(holder.unlink, missing_ok=True)
        holder.write_text(f"process {os.getpid()} on {platform.node()}")
        yield


def check_shared(folder: Path) -> None:
    """Refuse a folder that is not the same for all processes; all call this.

    Raises:
      UserError: if this process does not see the lock of process 0 there.
    """
    if not processes.several():
        return
    content = b""
    processes.wait()  # process 0 has written it
    with contextlib.suppress(OSError):
        content = (folder / HOLDER).read_bytes()
    mine = float(zlib.crc32(content))
    if processes.of_first([mine]) != [mine]:
        raise UserError(
            f"--workdir {folder} is not the same folder for this process as for "
            f"process 0; all processes need one that they share."
        )


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = "another process"
        with contextlib.suppress(OSError, UnicodeDecodeError):
            holder = (folder / HOLDER).read_bytes().decode() or holder
        raise UserError(
            f"{holder} is training in {folder}; choose another --workdir."
        ) from None
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        note(f"{folder} cannot be locked: start no other run there.")
