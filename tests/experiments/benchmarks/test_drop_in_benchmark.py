"""The benchmark of flax's modules with small sizes."""

import json

import pytest

from experiments.benchmarks import drop_in
from experiments.benchmarks.drop_in import main
from tests.commands import run

SMALL = ("--shapes=5x2x3x4", "--rounds=1")


@pytest.mark.parametrize("more", [(), ("--both",)], ids=["one", "both"])
def test_both_apis_are_measured(tmp_path, more):
    path = tmp_path / "numbers.json"
    argv = (*SMALL, "--apis=nnx,linen", "--cells=gru", f"--json={path}", *more)
    result = run(main, *argv)
    assert result.code == 0, result.err
    written = json.loads(path.read_text())
    assert [record["api"] for record in written["results"]] == ["nnx", "linen"]
    for record in written["results"]:
        times = {name: record["seconds"][name]["median"] for name in ("flax", "seqjax")}
        assert record["ratio"] == times["seqjax"] / times["flax"]
    assert "geometric mean, linen:" in result.out


def test_results_that_differ_are_not_timed(tmp_path, error_of, monkeypatch):
    monkeypatch.setitem(drop_in.TOLERANCE, "float32", -1.0)
    path = tmp_path / "numbers.json"
    sentence = error_of(main, *SMALL, "--cells=rnn", f"--json={path}")
    assert "nnx, rnn, 5x2x3x4: the results differ by" in sentence
    assert not path.exists()
