"""The lock of a run: one process at a time trains in a folder.

The lock is of a file in it that names the process. The operating system frees it when
the process ends, however it ends, also between machines that share the folder (NFS
locks files, but no folders).
"""

import contextlib
import errno
import os
import platform
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
    holder = folder / HOLDER
    with contextlib.ExitStack() as stack:
        descriptor = _locked_file(holder)
        stack.callback(os.close, descriptor)
        stack.callback(holder.unlink, missing_ok=True)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}".encode())
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
    if not processes.agree(content.decode(errors="replace")):
        raise UserError(
            f"--workdir {folder} is not the same folder for this process as for "
            f"process 0; all processes need one that they share."
        )


def _locked_file(path: Path) -> int:
    """A descriptor of the file, which this process alone has locked."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(descriptor, path.parent)
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # the process before has deleted the file meanwhile


def _lock(descriptor: int, folder: Path) -> None:
    if fcntl is None:
        return
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
