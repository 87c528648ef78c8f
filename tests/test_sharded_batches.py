"""A batch on eight devices: each computes an eighth, and nothing is gathered."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import sharded_batches


@pytest.fixture(scope="module")
def found():
    """What `python -m tests.sharded_batches` prints; jax counts its devices once."""
    command = [sys.executable, "-m", "tests.sharded_batches"]
    root = Path(__file__).parents[1]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "name",
    [*sharded_batches.CELLS, *sharded_batches.FORMS, *sharded_batches.MODELS],
)
def test_each_device_computes_its_share(name, found):
    assert found[name]["gathers"] == 0
    assert 1 / 8 <= found[name]["share"] < 1.1 / 8
    assert found[name]["error"] < 1e-5
