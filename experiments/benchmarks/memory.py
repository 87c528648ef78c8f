"""Peak memory of forward+backward, one process per arm.

    python -m experiments.benchmarks.memory '["torch", {}, "lstm", [35, 20, 650, 650]]'

prints {"peak_bytes": N}: the highest resident memory during the first call, minus the
resident memory before it, when inputs are loaded and programs compiled. Linux only.
"""

import ctypes
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.benchmarks import environment, layers, peers
from experiments.benchmarks.config import CELLS, Shape
from experiments.benchmarks.layers import LoadedLayer
from experiments.common.console import note
from seqjax.backend import on_gpu

ROOT = Path(__file__).parents[2]
STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def peak_bytes(
    library: str, options: Mapping[str, Any], cell_name: str, sizes: Shape
) -> int | None:
    """The peak memory in a new process; None if it cannot be measured.

    Args:
      library: a key of `peers.LIBRARIES`.
      options: keyword arguments of that layer.
      cell_name: a key of `CELLS`.
      sizes: (T, B, D, H).
    """
    if on_gpu() or not CLEAR.exists():
        return None
    request = json.dumps([library, options, cell_name, sizes])
    done = subprocess.run(
        [sys.executable, "-m", "experiments.benchmarks.memory", request],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:  # for example, killed for lack of memory
        note(f"memory of {library}: the process exited with code {done.returncode}.")
        return None
    return json.loads(done.stdout)["peak_bytes"]


def measure(
    library: str, options: Mapping[str, Any], cell_name: str, sizes: Shape
) -> int:
    """The peak memory in this process, which must not have run anything else.

    See `peak_bytes` for the arguments.
    """
    environment.prepare()

    def load(sizes: Shape) -> LoadedLayer:
        cell = CELLS[cell_name](sizes[-1])
        return peers.LIBRARIES[library](cell, **options).load(layers.draw(cell, sizes))

    # A first, small call loads code and starts threads: some 10 MB.
    load((sizes[0], 2, 32, 32)).backward()
    loaded = load(sizes)
    _return_freed_memory()
    CLEAR.write_text("5")  # resets VmHWM, the highest resident memory
    before = _resident_bytes("VmHWM")
    loaded.backward()
    return _resident_bytes("VmHWM") - before


def _resident_bytes(field: str) -> int:
    (kilobytes,) = re.findall(rf"^{field}:\s*(\d+) kB$", STATUS.read_text(), re.M)
    return int(kilobytes) * 1024


def _return_freed_memory() -> None:
    """Return freed blocks to the system, because their reuse would not be counted."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # in glibc
    if malloc_trim is not None:
        malloc_trim(0)


if __name__ == "__main__":
    print(json.dumps({"peak_bytes": measure(*json.loads(sys.argv[1]))}))
