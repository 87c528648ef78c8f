"""The scaling benchmark with small sizes, and what it reads of compiled programs."""

import json

from experiments.benchmarks.scaling import main
from experiments.benchmarks.scaling_step import collectives
from tests.commands import run

HLO = """
  %all-reduce.1 = f32[3,5]{1,0} all-reduce(%a), replica_groups={{0,1}}
  %t = (f32[4]{0}, bf16[2,2]{1,0}) all-reduce(%b, %c), channel_id=1
  ROOT %g = s32[]{} all-gather-start(%d), dimensions={0}
  %x = f32[9]{0} fusion(%all-reduce.1), calls=%all-reduce_computation
"""


def test_collectives_are_counted_with_their_bytes():
    assert collectives(HLO) == {
        "all-reduce": {"number": 2, "bytes": 4 * 15 + 4 * 4 + 2 * 4},
        "all-gather": {"number": 1, "bytes": 4},
    }


def test_layouts_are_measured(tmp_path):
    path = tmp_path / "numbers.json"
    result = run(main, "--quick", f"--json={path}")
    assert result.code == 0, result.err
    (record,) = json.loads(path.read_text())["results"]
    one, two, processes = record["layouts"].values()
    assert 0.5 <= two["flops"] / one["flops"] < 0.55
    assert one["collectives"] == {} and set(two["collectives"]) == {"all-reduce"}
    size = two["collectives"]["all-reduce"]["bytes"]
    assert two["parameter_bytes"] <= size <= 1.01 * two["parameter_bytes"] + 64
    assert processes["flops"] == two["flops"] and processes["collective_seconds"] > 0
    assert "throughput of 2 processes" in result.out
