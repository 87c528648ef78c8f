"""What the benchmarks share: settings, timing, memory, operation counts, JSON."""

import pytest

import seqjax
from experiments.benchmarks import (
    gemm,
    layers,
    memory,
    peers,
    recurrence,
    results,
    timing,
    training,
)


@pytest.mark.parametrize("module", [recurrence, training])
@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        ("--shapes=35x20x650", "--shapes: '35x20x650' is not of the form "),
        ("--shapes=1x2x3x4x5,1x0x3x4x5", " is not of the form "),
        ("--shapes=axbxcxd", "'axbxcxd' is not of the form "),
        ("--shapes=", "--shapes is empty"),
        ("--cells=lstn", "--cells: there is no cell 'lstn'; did you mean lstm"),
        ("--cells=", "--cells is empty"),
        ("--rounds=0", "--rounds"),
        ("--json=/proc/none/numbers.json", "--json /proc/none/numbers.json"),
    ],
)
def test_wrong_flags_are_refused(module, argv, sentence, error_of):
    assert sentence in error_of(module.main, argv)


def test_peak_memory_is_that_of_one_call():
    """At least the temporary memory by XLA's count, but not that of a process."""
    if not memory.CLEAR.exists():
        pytest.skip("peak memory is measured on Linux only")
    sizes = (64, 16, 128, 128)
    cell = seqjax.LSTM(sizes[-1])
    loaded = peers.seqjax_layer(cell).load(layers.draw(cell, sizes))
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


def test_arms_are_interleaved():
    called = []
    calls = {
        name: (
            lambda n=name: called.append("warm " + n),
            lambda n=name: called.append(n),
        )
        for name in "ab"
    }
    seconds = timing.interleave(calls, rounds=2)
    assert called == ["warm a", "a", "warm b", "b"] * 2
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2}


def test_calls_are_warmed_up_twice():
    called = []
    calls = {name: lambda n=name: called.append(n) for name in "ab"}
    seconds = timing.time_calls(calls, rounds=1)
    assert called == ["a"] * 3 + ["b"] * 3
    assert {name: len(times) for name, times in seconds.items()} == {"a": 1, "b": 1}


def test_json_is_replaced_at_once_or_not_at_all(tmp_path):
    path = tmp_path / "numbers.json"
    config = recurrence.Config.of(json=str(path))
    results.write_json("recurrence", config, [1], {})
    whole = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        results.write_json("recurrence", config, [float("nan")], {})
    assert path.read_bytes() == whole
