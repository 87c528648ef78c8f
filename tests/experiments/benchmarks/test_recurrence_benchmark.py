"""The recurrence benchmark with small sizes: tables, JSON, comparisons, defaults."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from experiments.benchmarks import environment, peers
from experiments.benchmarks.recurrence import Config, installed_peers, main
from experiments.benchmarks.recurrence_arms import steps_per_segment
from tests.commands import run

SMALL = ("--shapes=4x2x3x5,3x1x6x4", "--cells=rnn", "--rounds=1")


def test_recurrence_prints_tables_and_writes_all_numbers(tmp_path):
    path = tmp_path / "deep" / "numbers.json"
    argv = (*SMALL, "--peers=linen", "--nomemory", f"--json={path}")
    result = run(main, *argv)
    assert result.code == 0, result.err
    for text in ("rnn, TxBxDxH", "4x2x3x5", "products alone", "geometric mean"):
        assert text in result.out
    assert {p.name for p in path.parent.iterdir()} == {"numbers.json", "numbers.png"}
    numbers = json.loads(path.read_text())
    assert numbers["benchmark"] == "recurrence"
    assert numbers["machine"]["versions"]["jax"] == jax.__version__
    assert numbers["flags"]["cells"] == ["rnn"]
    assert numbers["rounds"] == 1
    assert [r["shape"] for r in numbers["results"]] == ["4x2x3x5", "3x1x6x4"]
    for record in numbers["results"]:
        assert list(record["arms"]) == ["seqjax", "plain scan", "linen"]
        for arm in (*record["arms"].values(), record["products"]):
            assert 0 < arm["forward"]["low"] <= arm["forward"]["median"]
            median = arm["backward"]["median"]
            assert arm["gflops"] == pytest.approx(record["flops"] / median / 1e9)
        assert record["arms"]["linen"]["compile_seconds"] > 0
        assert record["arms"]["linen"]["temp_bytes"] >= 0
        assert record["arms"]["linen"]["peak_bytes"] is None
        assert record["peak_gflops"] >= record["products"]["gflops"] > 0
    ratios = [r["arms"]["linen"]["ratio"]["backward"] for r in numbers["results"]]
    summary = numbers["summary"]["rnn"]["linen"]["backward"]
    assert summary["geometric_mean"] == pytest.approx(np.sqrt(np.prod(ratios)))
    assert summary["worst"] == max(ratios)


def test_each_arm_is_compared_with_the_same_function(tmp_path):
    pytest.importorskip("torch", reason="its bfloat16 is an arm")
    pytest.importorskip("haiku", reason="its relu is an arm")
    path = tmp_path / "numbers.json"
    argv = ("--cells=rnn", "--shapes=4x2x3x5", "--rounds=1", "--nomemory")
    argv = (*argv, "--peers=haiku,torch", "--bfloat16", f"--json={path}")
    result = run(main, *argv)
    assert result.code == 0, result.err
    arms = json.loads(path.read_text())["results"][0]["arms"]
    references = {
        "haiku": "seqjax, relu",
        "torch": "seqjax",
        "seqjax bfloat16": "seqjax",
        "torch bfloat16": "seqjax bfloat16",
    }
    for label, reference in references.items():
        medians = (arms[name]["backward"]["median"] for name in (reference, label))
        ours, theirs = medians
        assert arms[label]["ratio"]["backward"] == pytest.approx(ours / theirs)


def test_long_compares_with_checkpoints(tmp_path):
    path = tmp_path / "numbers.json"
    argv = ("--long", "--shapes=16x2x3x4", "--rounds=1", "--nomemory")
    result = run(main, *argv, f"--json={path}")
    assert result.code == 0, result.err
    assert "every 4" in result.out
    (record,) = json.loads(path.read_text())["results"]
    assert record["cell"] == "lstm"
    assert list(record["arms"]) == ["seqjax", "every 4"]


def perturbed_linen(cell):
    layer = peers.linen_layer(cell)
    return dataclasses.replace(
        layer, convert=lambda p: layer.convert(p._replace(w_h=p.w_h * (1 + 1e-6)))
    )


def test_arms_that_differ_are_not_timed(tmp_path, error_of, monkeypatch):
    monkeypatch.setitem(peers.LIBRARIES, "linen", perturbed_linen)
    path = tmp_path / "numbers.json"
    argv = (*SMALL, "--peers=linen", f"--json={path}")
    assert "linen, RNN" in error_of(main, *argv)
    assert not path.exists()


def test_unknown_peer_is_refused(error_of):
    sentence = error_of(main, "--peers=linen,torsh")
    assert "--peers: there is no peer 'torsh'; did you mean torch" in sentence


def test_missing_peers_are_left_out(capsys, monkeypatch):
    monkeypatch.setattr(environment, "installed", lambda package: package != "haiku")
    assert installed_peers(["haiku", "linen"]) == ["linen"]
    assert "haiku is left out: haiku is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(("num_steps", "segment"), [(1, 1), (16, 4), (8192, 64)])
def test_segments_are_about_the_square_root(num_steps, segment):
    assert steps_per_segment(Config().segment, num_steps) == segment
    assert steps_per_segment(5, num_steps) == 5


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"rounds": 9, "memory": True, "cells": ("lstm", "gru", "rnn")}),
        ({"quick": True}, {"rounds": 3, "memory": False}),
        ({"quick": True, "memory": True}, {"rounds": 3, "memory": True}),
        ({"long": True}, {"cells": ("lstm",), "peers": (), "rounds": 9}),
        ({"long": True, "shapes": ("9x1x1x1",)}, {"shapes": ("9x1x1x1",)}),
        ({"long": True}, {"json": "runs/benchmarks/recurrence_long.json"}),
    ],
)
def test_defaults_depend_on_quick_and_long(given, expected):
    config = Config.of(**given)
    assert {name: getattr(config, name) for name in expected} == expected
