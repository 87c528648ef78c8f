"""The decoding benchmark with small sizes: tables, JSON, and the check of searches."""

import json

import pytest

from experiments.benchmarks.decoding import main
from experiments.benchmarks.torch_beam import TorchTranslator
from tests.commands import run


def test_decoding_prints_a_table_and_writes_all_numbers(tmp_path):
    pytest.importorskip("torch", reason="the peer is torch")
    path = tmp_path / "numbers.json"
    argv = ("--shapes=30x8x5x3", "--beams=1,3", "--rounds=1", f"--json={path}")
    result = run(main, *argv)
    assert result.code == 0, result.err
    assert "outside the step" in result.out
    records = json.loads(path.read_text())["results"]
    assert [record["beam"] for record in records] == [1, 3]
    for record in records:
        ours, theirs = (record["arms"][name]["seconds"] for name in ("seqjax", "torch"))
        assert record["ratio"] == pytest.approx(ours["median"] / theirs["median"])
        assert 0 < record["mean_length"] <= 5


def test_searches_that_differ_are_not_timed(tmp_path, error_of, monkeypatch):
    pytest.importorskip("torch", reason="the peer is torch")
    translate = TorchTranslator.translate

    def lower_score(self, source):
        (tokens, score), *rest = translate(self, source)
        return [(tokens, score - 0.1), *rest]

    monkeypatch.setattr(TorchTranslator, "translate", lower_score)
    path = tmp_path / "numbers.json"
    argv = ("--shapes=30x8x5x3", "--beams=3", "--rounds=1", f"--json={path}")
    assert "beam size 3, sentence 0" in error_of(main, *argv)
    assert not path.exists()
