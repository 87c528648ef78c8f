"""The option --cell puts a cell of any module under the laws."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CELLS = """
from tests.law_cells import MGU


class Mine(MGU):
    pass


class WithoutDot(MGU):
    def step(self, params, h, z, dot=None):
        return super().step(params, h, z)
"""


def last_line(name, folder):
    """What pytest says of one law on a cell."""
    (folder / "own_module.py").write_text(CELLS)
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "pytest", "tests/test_cell_laws.py"]
    options = [f"--cell={name}", "-k=(Mine or WithoutDot) and recurrent_product"]
    done = subprocess.run(
        [*command, *options, "--color=no", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    return (done.stdout or done.stderr).strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "outcome"), [("Mine", "1 passed"), ("WithoutDot", "1 failed")]
)
def test_the_laws_run_on_the_cell(name, outcome, tmp_path):
    assert outcome in last_line(f"own_module:{name}", tmp_path)


@pytest.mark.parametrize("name", ["own_module:Absent", "absent:Mine", ":Mine"])
def test_a_cell_that_is_not_there_is_named(name, tmp_path):
    assert last_line(name, tmp_path).startswith(f"ERROR: --cell={name}: ")
