"""The bars of benchmarks: geometric means of times, from the JSON alone."""

import json

import pytest
from matplotlib.figure import Figure

from experiments.benchmarks.bars import draw_bars, main, ratios
from tests.commands import refused, run


def arm(seconds):
    return {"seconds": {"median": seconds, "low": 0.9 * seconds, "high": 9.0}}


RECORDS = [
    {"cell": "gru", "shape": "1x2", "arms": {"seqjax": arm(2.0), "torch": arm(1.0)}},
    {"cell": "gru", "shape": "3x4", "arms": {"seqjax": arm(1.0), "torch": arm(8.0)}},
    {"cell": "rnn", "shape": "1x2", "arms": {"seqjax": arm(2.0), "torch": arm(3.0)}},
]


def write(path, records):
    machine = {"date": "2026-11-27T00:00:00"}
    content = {"benchmark": "training", "machine": machine, "results": records}
    path.write_text(json.dumps(content))
    return path


def test_times_are_divided_by_those_of_seqjax():
    both = {"seqjax": [1, 1], "torch": [0.5, 8]}
    assert ratios(RECORDS) == {"gru": both, "rnn": {"seqjax": [1], "torch": [1.5]}}
    beams = [{"beam": 5, "shape": "1", "seconds": {"a": {"median": 2.0}}}]
    assert ratios(beams) == {"beam 5": {"a": [1]}}
    passes = {"seqjax": {"forward": {"median": 9.0}, "backward": {"median": 2.0}}}
    assert ratios([{"shape": "1", "arms": passes}]) == {"1": {"seqjax": [1]}}


def test_a_bar_is_the_geometric_mean_over_the_shapes(tmp_path, monkeypatch):
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: kept.append(self))
    draw_bars(write(tmp_path / "my.json", RECORDS))
    bars = kept[0].axes[0].patches
    assert [bar.get_width() for bar in bars] == pytest.approx([2, 1.5])
    _, labels = kept[0].axes[0].get_legend_handles_labels()
    assert labels == ["torch"]


def test_the_command_draws_beside_the_file(tmp_path):
    result = run(main, write(tmp_path / "my.json", RECORDS))
    assert result.out == f"{tmp_path / 'my.png'}\n"
    assert (tmp_path / "my.png").read_bytes().startswith(b"\x89PNG")


def test_other_files_are_refused(tmp_path):
    refused(run(main, tmp_path / "none.json"), "none.json does not exist")
    (tmp_path / "my.json").write_text("{}")
    refused(run(main, tmp_path / "my.json"), "my.json holds no arms of a benchmark")
    refused(run(main, write(tmp_path / "my.json", [{"shape": "1"}])), "holds no arms")
