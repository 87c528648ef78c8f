"""The checksums of a checkpoint, by the program `sha256sum`."""

import subprocess
from pathlib import Path


def seal(checkpoint: Path) -> None:
    """Write SHA256SUMS anew, for the files as they are now."""
    names = sorted(p.name for p in checkpoint.iterdir() if p.is_file())
    names = [name for name in names if name != "SHA256SUMS"]
    sums = subprocess.check_output(["sha256sum", *names], cwd=checkpoint)
    (checkpoint / "SHA256SUMS").write_bytes(sums)


def is_whole(checkpoint: Path) -> bool:
    """Whether all files are as they were written."""
    command = ("sha256sum", "--check", "--strict", "--status", "SHA256SUMS")
    return subprocess.run(command, cwd=checkpoint, capture_output=True).returncode == 0
