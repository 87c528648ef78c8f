"""Peak memory of forward+backward, each arm in a process of its own.

    python -m experiments.benchmarks.memory '["torch", {}, "lstm", [35, 20, 650, 650]]'

prints {"peak_bytes": N}: by how much the resident memory rises above what it was right
before the first call, when inputs are there and all is compiled. Linux alone tells it.
"""

import ctypes
import json
import re
import subprocess
import sys
from pathlib import Path

from experiments import run
from experiments.benchmarks import arms, peers, timing

ROOT = Path(__file__).parents[2]
STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def peak_bytes(library, options, cell_name, sizes):
    """The rise in a fresh process; None where it cannot be measured.

    Args:
      library: a key of `peers.LIBRARIES`.
      options: keyword arguments of that layer.
      cell_name: a key of `timing.CELLS`.
      sizes: (T, B, D, H).
    """
    if not CLEAR.exists():
        return None
    request = json.dumps([library, options, cell_name, sizes])
    done = subprocess.run(
        [sys.executable, "-m", "experiments.benchmarks.memory", request],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if done.returncode:  # such as killed for want of memory
        run.note(f"memory of {library}: the process ended with {done.returncode}.")
        return None
    return json.loads(done.stdout)["peak_bytes"]


def measure(library, options, cell_name, sizes):
    """The rise in this process, which should have run nothing else."""
    timing.prepare()

    def load(sizes):
        cell = timing.CELLS[cell_name](sizes[-1])
        return peers.LIBRARIES[library](cell, **options).load(arms.draw(cell, sizes))

    # The first call of all brings in code and threads: some 10 MB that are not its own.
    load((sizes[0], 2, 32, 32)).backward()
    loaded = load(sizes)
    _give_back_freed_memory()
    CLEAR.write_text("5")  # the high-water mark falls to what is resident now
    before = _resident("VmHWM")
    loaded.backward()
    return _resident("VmHWM") - before


def _resident(field):
    match = re.search(rf"^{field}:\s*(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    return int(match.group(1)) * 1024


def _give_back_freed_memory():
    """What compiling left free would hide as much of the rise."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


if __name__ == "__main__":
    print(json.dumps({"peak_bytes": measure(*json.loads(sys.argv[1]))}))
