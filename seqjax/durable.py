"""Files that are whole or absent, also after a killed process or a power failure.

A file is written under another name, flushed to the disk and renamed. Its folder is
flushed, too, since the new name is an entry of the folder (POSIX fsync and rename).
"""

import contextlib
import errno
import os
import shutil
from pathlib import Path

PARTIAL = ".partial"  # the end of the name of what is being written or deleted


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; a file that was there is replaced.

    Args:
      path: the file; its folder exists.
      content: all its bytes.

    Raises:
      OSError: if it cannot be written; the earlier file stays.
    """
    partial = path.with_name(path.name + PARTIAL)
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


def make_folder(path: Path) -> None:
    """Make a folder, and the folders above it that are missing."""
    missing = [p for p in (path, *path.parents) if not p.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync(made.parent)


def delete_folder(path: Path) -> None:
    """Delete a folder; its name is gone at once, so that no half of it is found."""
    if not path.name.endswith(PARTIAL):
        doomed = path.with_name(f"{path.name}.deleted{PARTIAL}")
        if doomed.exists():
            shutil.rmtree(doomed)
        path = path.rename(doomed)
        sync(path.parent)
    shutil.rmtree(path)


def sync(path: Path) -> None:
    """Flush a file or the entries of a folder to the disk.

    File systems that cannot flush a folder are left to themselves.
    """
    if os.name == "nt" and path.is_dir():  # no folder can be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def sync_tree(path: Path) -> None:
    """Flush a folder and everything below it."""
    for folder, _, files in os.walk(path, onerror=_raise):
        for name in files:
            sync(Path(folder, name))
        sync(Path(folder))


def files_below(path: Path) -> list[Path]:
    """All files below a folder, in the order of their names."""
    walk = os.walk(path, onerror=_raise)
    return sorted(Path(folder, name) for folder, _, names in walk for name in names)


def _raise(error: OSError) -> None:
    """`os.walk` would pass over a folder that it cannot list."""
    raise error
