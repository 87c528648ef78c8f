"""The training benchmark with small sizes: tables, JSON, and the check of losses."""

import json

import jax
import numpy as np
import pytest

from experiments.benchmarks import torch_language_model
from experiments.benchmarks.training import ARMS, Sizes, check_equal, main, make_model
from tests.commands import run

SMALL = ("--shapes=9x4x1x3x2,120x4x2x3x2", "--rounds=1", "--minibatches=2")


def test_training_prints_a_table_and_writes_all_numbers(tmp_path):
    pytest.importorskip("torch", reason="the peer is torch")
    path = tmp_path / "numbers.json"
    result = run(main, *SMALL, "--cells=lstm", f"--json={path}")
    assert result.code == 0, result.err
    assert "geometric mean" in result.out
    numbers = json.loads(path.read_text())
    assert numbers["benchmark"] == "training"
    assert [r["dropout"] for r in numbers["results"]] == [0.0, 0.5]
    for record in numbers["results"]:
        ours, theirs = (record["arms"][name] for name in ("seqjax", "torch"))
        tokens = int(record["shape"].split("x")[-2]) * 2 * record["minibatches"]
        for arm in (ours, theirs):
            rate = arm["tokens_per_second"]["median"]
            assert rate * arm["seconds"]["median"] == pytest.approx(tokens)
        ratio = ours["seconds"]["median"] / theirs["seconds"]["median"]
        assert record["ratio"] == pytest.approx(ratio)
        assert f"{ratio:.2f}" in result.out


def test_deep_grus_have_the_same_losses():
    pytest.importorskip("torch", reason="the peer is torch")
    model = make_model("gru", Sizes(120, 4, 2, 3, 2), 0.0)
    params = jax.device_get(model.init(jax.random.key(0)))
    tokens = np.random.default_rng(0).integers(0, 120, (5, 4, 2), dtype=np.int32)
    arms = {name: make(model, params, tokens) for name, make in ARMS.items()}
    check_equal("gru", arms)


def test_models_that_differ_are_not_timed(tmp_path, error_of, monkeypatch):
    pytest.importorskip("torch", reason="the peer is torch")

    def perturbed(model, params, tokens, bfloat16):
        params = jax.tree.map(lambda p: p * (1 + 1e-3), params)
        return torch_language_model.make_trainer(model, params, tokens)

    monkeypatch.setitem(ARMS, "torch", perturbed)
    path = tmp_path / "numbers.json"
    argv = (*SMALL, "--cells=rnn", f"--json={path}")
    assert "rnn 9x4x1x3x2: the mean losses differ" in error_of(main, *argv)
    assert not path.exists()
