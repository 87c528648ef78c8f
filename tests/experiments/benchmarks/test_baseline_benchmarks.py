"""The benchmark of the baselines in small: equal first, then tables and JSON."""

import json

import pytest

from tests.commands import Command


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    command = Command("experiments.benchmarks.baselines", tmp_path_factory.mktemp("x"))
    yield command
    command.close()


def test_it_prints_tables_and_writes_all_numbers(command, tmp_path):
    path = tmp_path / "numbers.json"
    result = command("--shapes=30x4", "--rounds=2", f"--json={path}")
    assert result.code == 0, result.err
    for words in ("filter, TxK 30x4", "smoother, TxK 30x4", "sequential", "parallel"):
        assert words in result.out
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


def test_bad_shapes_are_named(command, tmp_path):
    for flag in ("--shapes=30", "--shapes=30x0", "--shapes="):
        result = command(flag, f"--json={tmp_path / 'numbers.json'}")
        assert result.code == 2 and "--shapes" in result.err
    assert not (tmp_path / "numbers.json").exists()


def test_ngrams_are_timed_where_their_peer_is(command, tmp_path):
    pytest.importorskip("nltk", reason="the peer is nltk")
    path = tmp_path / "numbers.json"
    patches = [
        ("experiments.benchmarks.baselines", "QUICK_SHAPES", [(30, 4)]),
        ("experiments.benchmarks.ngram_baseline", "QUICK_SIZES", [(500, 3)]),
    ]
    result = command("--quick", "--rounds=2", f"--json={path}", patches=patches)
    assert result.code == 0, result.err
    assert "characters x order 500x3" in result.out and "nltk" in result.out
    numbers = json.loads(path.read_text())
    assert [r["shape"] for r in numbers["summary"]["ngrams"]] == ["500x3"]
    assert len(numbers["results"]) == 2


def test_what_is_not_equal_is_not_timed(command, tmp_path):
    """Last, since the patch stays."""
    patch = ("experiments.benchmarks.baselines", "TOLERANCE", -1.0)
    flags = ("--shapes=30x4", f"--json={tmp_path / 'numbers.json'}")
    result = command(*flags, patches=[patch])
    assert result.code == 2
    assert "30x4, filter, sequential: not the reference's model" in result.err
