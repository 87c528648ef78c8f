"""The benchmark commands in small: tables, JSON, bad input, and that equality bites."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

import seqjax
from experiments import run
from experiments.benchmarks import (
    arms,
    equality,
    gemm,
    memory,
    peers,
    timing,
    torch_beam,
)
from experiments.benchmarks import decoding as decoding_benchmark
from experiments.benchmarks import recurrence as recurrence_benchmark
from experiments.benchmarks import training as training_benchmark

SMALL = ("--shapes=4x2x3x5,3x1x6x4", "--cells=rnn", "--rounds=1")
SMALL_MODELS = ("--shapes=9x4x1x3x2,120x4x2x3x2", "--rounds=1", "--minibatches=2")


@pytest.fixture(autouse=True)
def as_a_user(tmp_path_factory, monkeypatch):
    """Standard promotion, and compiled programs kept out of the user's cache."""
    cache = tmp_path_factory.getbasetemp() / "xla"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(cache))
    jax.config.update("jax_compilation_cache_dir", str(cache))
    with jax.numpy_dtype_promotion("standard"):
        yield
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_enable_compilation_cache", True)


def command(module, *argv):
    """Run a benchmark in this process; its exit code."""
    with flagsaver.flagsaver():
        flags.FLAGS.unparse_flags()
        try:
            run.launch(module.main, module, [module.__name__, *argv])
        except SystemExit as stop:
            return stop.code or 0


def refused(capsys, module, *argv):
    """The one sentence on stderr that goes with exit code 2."""
    assert command(module, *argv) == 2
    printed = capsys.readouterr()
    lines = [x for x in printed.err.splitlines() if x.startswith("error: ")]
    assert len(lines) == 1
    assert "Traceback" not in printed.err
    return lines[0]


def test_recurrence_prints_tables_and_writes_all_numbers(tmp_path, capsys):
    path = tmp_path / "deep" / "numbers.json"
    argv = (*SMALL, "--peers=linen", "--nomemory", f"--json={path}")
    assert command(recurrence_benchmark, *argv) == 0
    out = capsys.readouterr().out
    for word in ("rnn, TxBxDxH", "4x2x3x5", "products alone", "geometric mean"):
        assert word in out
    assert [p.name for p in path.parent.iterdir()] == ["numbers.json"]
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


def test_each_arm_is_held_against_its_own_model(tmp_path):
    pytest.importorskip("torch", reason="its bfloat16 is an arm")
    pytest.importorskip("haiku", reason="its relu is an arm")
    path = tmp_path / "numbers.json"
    argv = ("--cells=rnn", "--shapes=4x2x3x5", "--rounds=1", "--nomemory")
    argv = (*argv, "--peers=haiku,torch", "--bfloat16", f"--json={path}")
    assert command(recurrence_benchmark, *argv) == 0
    arms = json.loads(path.read_text())["results"][0]["arms"]
    rivals = {
        "haiku": "seqjax, relu",
        "torch": "seqjax",
        "seqjax bfloat16": "seqjax",
        "torch bfloat16": "seqjax bfloat16",
    }
    for label, rival in rivals.items():
        medians = (arms[name]["backward"]["median"] for name in (rival, label))
        ours, theirs = medians
        assert arms[label]["ratio"]["backward"] == pytest.approx(ours / theirs)


def test_long_compares_with_checkpoints(tmp_path, capsys):
    path = tmp_path / "numbers.json"
    argv = ("--long", "--shapes=16x2x3x4", "--rounds=1", "--nomemory")
    assert command(recurrence_benchmark, *argv, f"--json={path}") == 0
    assert "every 4" in capsys.readouterr().out
    (record,) = json.loads(path.read_text())["results"]
    assert record["cell"] == "lstm"
    assert list(record["arms"]) == ["seqjax", "every 4"]


def test_training_prints_a_table_and_writes_all_numbers(tmp_path, capsys):
    pytest.importorskip("torch", reason="the peer is torch")
    path = tmp_path / "numbers.json"
    argv = (*SMALL_MODELS, "--cells=lstm", f"--json={path}")
    assert command(training_benchmark, *argv) == 0
    out = capsys.readouterr().out
    assert "geometric mean" in out
    numbers = json.loads(path.read_text())
    assert numbers["benchmark"] == "training"
    assert [r["dropout"] for r in numbers["results"]] == [0.0, 0.5]
    for record in numbers["results"]:
        ours, theirs = (record["arms"][name] for name in ("seqjax", "torch"))
        steps = int(record["shape"].split("x")[-2]) * 2 * record["minibatches"]
        for arm in (ours, theirs):
            rate = arm["tokens_per_second"]["median"]
            assert rate * arm["seconds"]["median"] == pytest.approx(steps)
        ratio = ours["seconds"]["median"] / theirs["seconds"]["median"]
        assert record["ratio"] == pytest.approx(ratio)
        assert f"{ratio:.2f}" in out


def test_decoding_prints_a_table_and_writes_all_numbers(tmp_path, capsys):
    pytest.importorskip("torch", reason="the peer is torch")
    path = tmp_path / "numbers.json"
    argv = ("--shapes=30x8x5x3", "--beams=1,3", "--rounds=1", f"--json={path}")
    assert command(decoding_benchmark, *argv) == 0
    assert "outside the step" in capsys.readouterr().out
    records = json.loads(path.read_text())["results"]
    assert [record["beam"] for record in records] == [1, 3]
    for record in records:
        ours, theirs = (record["arms"][name]["seconds"] for name in ("seqjax", "torch"))
        assert record["ratio"] == pytest.approx(ours["median"] / theirs["median"])
        assert 0 < record["mean_length"] <= 5


def test_searches_that_differ_are_not_timed(tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch", reason="the peer is torch")
    translate = torch_beam.TorchTranslator.translate

    def worse(self, source):
        (tokens, score), *rest = translate(self, source)
        return [(tokens, score - 0.1), *rest]

    monkeypatch.setattr(torch_beam.TorchTranslator, "translate", worse)
    path = tmp_path / "numbers.json"
    argv = ("--shapes=30x8x5x3", "--beams=3", "--rounds=1", f"--json={path}")
    assert "beam 3, sentence 0" in refused(capsys, decoding_benchmark, *argv)
    assert not path.exists()


def test_deep_grus_have_the_same_losses():
    pytest.importorskip("torch", reason="the peer is torch")
    sizes = training_benchmark.Sizes(120, 4, 2, 3, 2)
    model = training_benchmark.make_model("gru", sizes, 0.0)
    params = jax.device_get(model.init(jax.random.key(0)))
    tokens = np.random.default_rng(0).integers(0, 120, (5, 4, 2), dtype=np.int32)
    arms = {
        name: arm("gru", sizes, 0.0, params, tokens)
        for name, arm in training_benchmark.ARMS.items()
    }
    training_benchmark.check_equal("gru", arms)


@pytest.mark.parametrize("cell", timing.CELLS)
@pytest.mark.parametrize("peer", peers.MODULES)
def test_peers_are_equal_in_float64(cell, peer):
    pytest.importorskip(peers.MODULES[peer], reason="a peer is optional")
    cell = timing.CELLS[cell](5)
    names = (
        ("seqjax", "torch") if peer == "torch" else (peer,)
    )  # torch is the reference
    layers = {name: peers.LIBRARIES[name](cell) for name in names}
    equality.check_float64(layers, cell, (4, 3, 2, 5))


PERTURBED = {
    "ys": lambda state, ys: (state, ys * (1 + 1e-6)),
    r"last state\.c": lambda state, ys: (state._replace(c=state.c + 1e-6), ys),
    "gradient of": lambda state, ys: (jax.lax.stop_gradient(state), ys),
}


@pytest.mark.parametrize("tensor", PERTURBED)
def test_equality_check_names_arm_cell_and_tensor(tensor):
    cell = seqjax.LSTM(5)
    layer = peers.seqjax_layer(cell)

    def apply(weights, xs, state):
        return PERTURBED[tensor](*layer.apply(weights, xs, state))

    other = dataclasses.replace(layer, apply=apply)
    with pytest.raises(run.UserError, match=rf"^other, LSTM\(.*{tensor}"):
        equality.check_float64({"other": other}, cell, (4, 3, 2, 5))


def test_nan_is_not_equal():
    one, nan = {"ys": np.ones(2)}, {"ys": np.array([1.0, np.nan])}
    equality.compare("arm", one, one, 1e-9)
    with pytest.raises(run.UserError, match="ys"):
        equality.compare("arm", nan, one, 1e-9)


def perturbed_linen(cell):
    layer = peers.linen_layer(cell)
    return dataclasses.replace(
        layer, take=lambda p: layer.take(p._replace(w_h=p.w_h * (1 + 1e-6)))
    )


def test_arms_that_differ_are_not_timed(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(peers.LIBRARIES, "linen", perturbed_linen)
    path = tmp_path / "numbers.json"
    argv = (*SMALL, "--peers=linen", f"--json={path}")
    assert "linen, RNN" in refused(capsys, recurrence_benchmark, *argv)
    assert not path.exists()


def test_models_that_differ_are_not_timed(tmp_path, capsys, monkeypatch):
    pytest.importorskip("torch", reason="the peer is torch")

    def perturbed(cell_name, sizes, dropout, params, tokens):
        params = jax.tree.map(lambda p: p * (1 + 1e-3), params)
        return training_benchmark.torch_arm(cell_name, sizes, dropout, params, tokens)

    monkeypatch.setitem(training_benchmark.ARMS, "torch", perturbed)
    argv = (*SMALL_MODELS, "--cells=rnn", f"--json={tmp_path / 'numbers.json'}")
    assert "arms differ" in refused(capsys, training_benchmark, *argv)


@pytest.mark.parametrize("module", [recurrence_benchmark, training_benchmark])
@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ("--shapes=35x20x650", "--shapes: '35x20x650' is not "),
        ("--shapes=1x2x3x4x5,1x0x3x4x5", " is not "),
        ("--shapes=axbxcxd", "'axbxcxd' is not "),
        ("--shapes=", "--shapes is empty"),
        ("--cells=lstn", "--cells: there is no cell 'lstn'; did you mean lstm"),
        ("--cells=", "--cells is empty"),
        ("--rounds=0", "--rounds"),
        ("--json=/proc/none/numbers.json", "--json /proc/none/numbers.json"),
    ],
)
def test_wrong_flags_are_refused(module, argv, sentence, capsys):
    assert sentence in refused(capsys, module, argv)


def test_unknown_peer_is_refused(capsys):
    sentence = refused(capsys, recurrence_benchmark, "--peers=linen,torsh")
    assert "--peers: there is no peer 'torsh'; did you mean torch" in sentence


def test_peers_that_are_missing_are_left_out(capsys, monkeypatch):
    monkeypatch.setattr(timing, "installed", lambda package: package != "haiku")
    with flagsaver.flagsaver():
        flags.FLAGS(["benchmark", "--peers=haiku,linen"])
        assert recurrence_benchmark.chosen_peers() == ["linen"]
    assert "haiku is left out: haiku is not installed" in capsys.readouterr().err


def test_peak_memory_is_that_of_one_call():
    """At least what XLA says it needs for this, and no whole process."""
    if not memory.CLEAR.exists():
        pytest.skip("only Linux tells")
    sizes = (64, 16, 128, 128)
    cell = seqjax.LSTM(sizes[-1])
    loaded = peers.seqjax_layer(cell).load(arms.draw(cell, sizes))
    peak = memory.peak_bytes("seqjax", {}, "lstm", sizes)
    assert 0.7 * loaded.temp_bytes < peak < 3 * loaded.temp_bytes


@pytest.mark.parametrize(("gates", "flops"), [(1, 3024), (4, 12096)])
def test_flops_by_hand(gates, flops):
    """3 times 2 * T*B * GH * (D + H), with T*B 6, D 5, H 7."""
    assert gemm.flops((2, 3, 5, 7), gates) == flops


def test_geometric_mean_by_hand():
    summary = timing.summarize({"a": 0.5, "b": 2.0, "c": 8.0})
    assert summary["geometric_mean"] == pytest.approx(2.0)
    assert (summary["worst"], summary["worst_shape"]) == (8.0, "c")


def test_median_and_range_by_hand():
    assert timing.spread([3.0, 1.0, 2.0, 9.0]) == {"median": 2.5, "low": 1, "high": 9}


def test_arms_take_turns():
    said = []
    calls = {
        name: (lambda n=name: said.append("warm " + n), lambda n=name: said.append(n))
        for name in "ab"
    }
    seconds = timing.take_turns(calls, rounds=2)
    assert said == ["warm a", "a", "warm b", "b"] * 2
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2}


@pytest.mark.parametrize(("steps", "segment"), [(1, 1), (16, 4), (8192, 64)])
def test_segments_are_about_the_square_root(steps, segment):
    with flagsaver.flagsaver():
        flags.FLAGS(["benchmark"])
        assert recurrence_benchmark.segment((steps, 1, 1, 1)) == segment


def test_json_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "numbers.json"
    with flagsaver.flagsaver():
        flags.FLAGS(["benchmark"])
        timing.write_json(path, recurrence_benchmark, [1], {})
        whole = path.read_bytes()
        with pytest.raises(ValueError, match="JSON"):
            timing.write_json(path, recurrence_benchmark, [float("nan")], {})
    assert path.read_bytes() == whole
