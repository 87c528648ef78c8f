"""A batch on eight devices: each computes an eighth, and nothing is gathered."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.devices.sharded_batches import SUBJECTS, WAYS


@pytest.fixture(scope="module")
def found():
    """The numbers; a process of its own, because jax counts its devices once."""
    command = [sys.executable, "-m", "tests.devices.sharded_batches"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SUBJECTS)
def test_each_device_computes_its_share(name, way, found):
    numbers = found[name][way]
    assert numbers["gathers"] == 0
    assert 1 / 8 <= numbers["share"] < 1.1 / 8
    assert numbers["error"] < 2e-6
