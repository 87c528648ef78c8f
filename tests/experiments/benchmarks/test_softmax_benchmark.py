"""The softmax benchmark with small sizes."""

import json

from experiments.benchmarks import softmax
from experiments.benchmarks.softmax import main
from tests.commands import run


def test_softmaxes_are_measured(tmp_path):
    path = tmp_path / "numbers.json"
    argv = ("--shapes=500x30x8", "--rounds=1", "--chunk=100", f"--json={path}")
    result = run(main, *argv)
    assert result.code == 0, result.err
    (record,) = json.loads(path.read_text())["results"]
    assert set(record["arms"]) == {"full", "chunked", "adaptive"}
    full, chunked = (record["arms"][name] for name in ("full", "chunked"))
    assert chunked["temp_bytes"] < full["temp_bytes"]
    assert "memory/full" in result.out


def test_softmaxes_that_differ_are_not_timed(tmp_path, error_of, monkeypatch):
    monkeypatch.setitem(softmax.TOLERANCE, "float32", 0.0)
    path = tmp_path / "numbers.json"
    argv = ("--shapes=500x30x8", "--rounds=1", "--chunk=100", f"--json={path}")
    assert "500x30x8: the chunked softmax differs" in error_of(main, *argv)
    assert not path.exists()
