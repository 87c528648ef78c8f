"""The baselines benchmark with small sizes: tables, JSON, and the check of results."""

import json
from functools import partial

import pytest

from experiments.benchmarks import (
    baselines,
    environment,
    hidden_markov_baseline,
    ngram_baseline,
)
from experiments.benchmarks.baselines import main
from tests.commands import run

command = partial(run, main)


def test_baselines_prints_tables_and_writes_all_numbers(tmp_path):
    path = tmp_path / "numbers.json"
    result = command("--shapes=30x4", "--rounds=2", f"--json={path}")
    assert result.code == 0, result.err
    for text in ("filter, TxK 30x4", "smoother, TxK 30x4", "sequential", "parallel"):
        assert text in result.out
    records = json.loads(path.read_text())["results"]
    assert [r["task"] for r in records] == ["filter", "smoother"]
    for record in records:
        assert {"sequential", "parallel", "numpy"} <= set(record["arms"])
        ours = [
            record["arms"][name]["seconds"]["median"]
            for name in ("sequential", "parallel")
        ]
        for arm in record["arms"].values():
            assert 0 < arm["seconds"]["low"] <= arm["seconds"]["median"]
            ratio = min(ours) / arm["seconds"]["median"]
            assert arm["ratio"] == pytest.approx(ratio)


def test_bad_shapes_are_refused(tmp_path):
    for flag in ("--shapes=30", "--shapes=30x0", "--shapes="):
        result = command(flag, f"--json={tmp_path / 'numbers.json'}")
        assert result.code == 2 and "--shapes" in result.err
    assert not (tmp_path / "numbers.json").exists()


def test_ngrams_are_timed_if_nltk_is_installed(tmp_path, monkeypatch):
    pytest.importorskip("nltk", reason="the peer is nltk")
    path = tmp_path / "numbers.json"
    monkeypatch.setattr(baselines, "QUICK_SHAPES", [(30, 4)])
    monkeypatch.setattr(ngram_baseline, "QUICK_SIZES", [(500, 3)])
    result = command("--quick", "--rounds=2", f"--json={path}")
    assert result.code == 0, result.err
    assert "characters x order 500x3" in result.out and "nltk" in result.out
    numbers = json.loads(path.read_text())
    assert [r["shape"] for r in numbers["summary"]["ngrams"]] == ["500x3"]
    assert len(numbers["results"]) == 2


def test_missing_peers_are_left_out_with_a_note(tmp_path, monkeypatch):
    monkeypatch.setattr(environment, "installed", lambda package: False)
    path = tmp_path / "numbers.json"
    result = command("--shapes=30x4", "--ngrams", "--rounds=2", f"--json={path}")
    assert result.code == 0, result.err
    assert "dynamax is left out: dynamax is not installed" in result.err
    assert "n-gram counts are left out: nltk is not installed" in result.err
    records = json.loads(path.read_text())["results"]
    assert all("dynamax" not in record["arms"] for record in records)


def test_results_that_differ_are_not_timed(tmp_path, error_of, monkeypatch):
    monkeypatch.setattr(hidden_markov_baseline, "TOLERANCE", -1.0)
    path = tmp_path / "numbers.json"
    sentence = error_of(main, "--shapes=30x4", f"--json={path}")
    assert "30x4, filter, sequential: log Z differs from the reference" in sentence
    assert not path.exists()
