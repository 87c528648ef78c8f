"""Folders of files with their checksums, so that damage is noticed.

SHA256SUMS is what the program `sha256sum` writes; `sha256sum -c SHA256SUMS` reads it.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from seqjax import durable

CHECKSUMS = "SHA256SUMS"


class DamagedFolderError(ValueError):
    """The files of a folder are not those that were written."""


def write(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write a folder, and flush it to the disk.

    Args:
      path: the folder; what is there is replaced.
      contents: the names of the files -> their bytes.

    Raises:
      OSError: if a file cannot be written.
    """
    if path.exists():
        shutil.rmtree(path)
    path.mkdir()
    for name, content in {**contents, CHECKSUMS: _checksums(contents)}.items():
        with open(path / name, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    durable.sync(path)


def read(path: Path) -> dict[str, bytes]:
    """The contents of a folder that `write` wrote.

    Raises:
      DamagedFolderError: if a file is missing, cannot be read or has another content.
    """
    try:
        sums = (path / CHECKSUMS).read_bytes()
        lines = sums.decode("ascii").split("\n")[:-1]
        names = [line.split("  ", 1)[1] for line in lines]
        files = {name: (path / name).read_bytes() for name in names}
    except (OSError, ValueError, IndexError):  # missing, unreadable, or no such lines
        files, sums = {}, b"damaged"
    if sums != _checksums(files):
        raise DamagedFolderError(
            f"{path} is damaged: its files do not match its {CHECKSUMS}"
        )
    return files


def _checksums(contents: Mapping[str, bytes]) -> bytes:
    sums = {name: hashlib.sha256(contents[name]).hexdigest() for name in contents}
    return "".join(f"{sums[name]}  {name}\n" for name in contents).encode()
