"""Speed and memory of one recurrent layer in seqjax, flax, haiku and PyTorch.

    python -m experiments.benchmarks.recurrence
    python -m experiments.benchmarks.recurrence --quick
    python -m experiments.benchmarks.recurrence --long

An arm is one implementation of the layer. All arms have the same weights and inputs.
Before they are timed, they must agree with a reference in float64 at small sizes, and
with seqjax in float32 at the measured sizes.

Two computations are timed: forward, and forward+backward with the gradients of all
weights, the inputs and the initial state. --long measures one long sequence, with and
without checkpoints in time. --bfloat16 adds arms with products in bfloat16. Peers that
are not installed are left out.

A ratio is the time of seqjax divided by the time of the arm: below 1, seqjax is faster.
A peer that computes another function is compared with the seqjax layer of that
function: the GRU of haiku applies the reset gate before the product, and its RNN uses
a relu.

Rows and columns of the tables:
  products alone   the matrix products of the layer without the rest
  peak             the highest rate of these products
  peak MB          memory that forward+backward adds to its process, with gradients
  temporary MB     XLA's count of this memory, without gradients
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

from experiments.benchmarks import environment, gemm, layers, memory, peers, timing
from experiments.benchmarks import recurrence_arms as arms
from experiments.benchmarks.bars import draw_bars
from experiments.benchmarks.config import (
    CELLS,
    CellBenchmarkConfig,
    Shape,
    format_shape,
    format_shapes,
    parse_shapes,
)
from experiments.benchmarks.layers import LoadedLayer
from experiments.benchmarks.recurrence_arms import ArmSpec
from experiments.benchmarks.recurrence_tables import (
    LETTERS,
    print_records,
    print_summary,
    summarize,
)
from experiments.benchmarks.results import check_json, write_json
from experiments.common.command_line import launch
from experiments.common.console import note
from experiments.common.settings import setting

SHAPES: list[Shape] = [
    *((35, 20, 650, 650), (64, 64, 512, 512), (35, 32, 256, 256)),
    *((100, 16, 128, 128), (200, 1, 256, 256), (32, 1024, 28, 32)),
    (70, 20, 400, 1150),
]
QUICK_SHAPES: list[Shape] = [(35, 32, 256, 256), (100, 16, 128, 128)]
LONG_SHAPES: list[Shape] = [(8192, 8, 256, 256)]
QUICK_LONG_SHAPES: list[Shape] = [(1024, 8, 64, 64)]


@dataclasses.dataclass(frozen=True)
class Config(CellBenchmarkConfig):
    """The settings of this benchmark."""

    shapes: tuple[str, ...] = setting(
        format_shapes(SHAPES),
        f"Shapes {LETTERS} to measure, joined by commas: time steps, batch size, input "
        f"size, hidden size.",
    )
    json: str = setting(
        "runs/benchmarks/recurrence.json", "JSON file for all measured numbers."
    )
    peers: tuple[str, ...] = setting(
        tuple(peers.MODULES),
        "Libraries to compare with, joined by commas.",
        choices=list(peers.MODULES),
    )
    memory: bool = setting(True, "Whether to measure peak memory.")
    long: bool = setting(
        False,
        "Whether to measure one long sequence, with and without checkpoints in time.",
    )
    segment: int = setting(
        0,
        "Number of steps between two checkpoints with --long; 0 selects a power of two "
        "near the square root of T.",
        minimum=0,
    )
    bfloat16: bool = setting(
        False, "Whether to add arms of seqjax and torch with products in bfloat16."
    )

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """Few rounds with --quick; one cell without peers with --long."""
        config, quick, long = cls(), given.get("quick"), given.get("long")
        shapes = SHAPES
        if quick:
            config, shapes = config.replace(rounds=3, memory=False), QUICK_SHAPES
        if long:
            json = "runs/benchmarks/recurrence_long.json"
            config = config.replace(cells=("lstm",), peers=(), json=json)
            shapes = QUICK_LONG_SHAPES if quick else LONG_SHAPES
        return config.replace(shapes=format_shapes(shapes))


def installed_peers(names: Sequence[str]) -> list[str]:
    """The peers that are installed; prints a note for each of the others."""
    found = [name for name in names if environment.installed(peers.MODULES[name])]
    for name in names:
        if name not in found:
            note(f"{name} is left out: {peers.MODULES[name]} is not installed.")
    return found


def measure(
    config: Config, cell_name: str, sizes: Shape, specs: Mapping[str, ArmSpec]
) -> dict[str, Any]:
    """The record of one cell and shape, with the measurements of every arm.

    Raises:
      UserError: if an arm differs from seqjax in float32.
    """
    cell = CELLS[cell_name](sizes[-1])
    problem = layers.draw(cell, sizes, seed=config.seed)
    of_arm = arms.make_layers(specs, cell)
    loaded = {label: layer.load(problem) for label, layer in of_arm.items()}
    arms.check_in_float32(specs, of_arm, loaded, problem)
    spreads = time_layers(loaded, config.rounds)
    flops = gemm.flops(sizes, gemm.GATES[cell_name])
    numbers: dict[str, Any] = {}
    for label, layer in of_arm.items():
        reference = spreads[arms.reference_label(label, layer, cell)]
        numbers[label] = {
            "note": layer.note,
            **spreads[label],
            "ratio": {
                kind: reference[kind]["median"] / times["median"]
                for kind, times in spreads[label].items()
            },
            "gflops": flops / spreads[label]["backward"]["median"] / 1e9,
            "compile_seconds": loaded[label].compile_seconds,
            "temp_bytes": loaded[label].temp_bytes,
            "peak_bytes": peak_bytes(config, specs.get(label), cell_name, sizes),
        }
    record = {"cell": cell_name, "shape": format_shape(sizes), "flops": flops}
    products = gemm.measure(sizes, gemm.GATES[cell_name], config.rounds)
    return {**record, "arms": numbers, **products}


def time_layers(
    loaded: Mapping[str, LoadedLayer], rounds: int
) -> dict[str, dict[str, dict[str, float]]]:
    """{arm: {"forward", "backward": spread of the seconds}}."""
    spreads: dict[str, Any] = {label: {} for label in loaded}
    for kind in ("forward", "backward"):
        calls = {label: getattr(layer, kind) for label, layer in loaded.items()}
        for label, times in timing.time_calls(calls, rounds).items():
            spreads[label][kind] = timing.spread(times)
    return spreads


def peak_bytes(
    config: Config, arm: ArmSpec | None, cell_name: str, sizes: Shape
) -> int | None:
    """The peak memory of an arm; None if it is not measured."""
    if not config.memory or arm is None:
        return None
    return memory.peak_bytes(arm.library, arm.options, cell_name, sizes)


def run(config: Config) -> dict[str, Any]:
    """Measure all cells at all shapes; returns the summary of the ratios."""
    shapes = parse_shapes(config.shapes, LETTERS)
    peer_names = installed_peers(list(dict.fromkeys(config.peers)))
    check_json(config.json)
    environment.prepare()
    records: list[dict[str, Any]] = []
    checked: set[tuple[str, Shape]] = set()
    cells = list(dict.fromkeys(config.cells))
    for cell_name in cells:
        for sizes in shapes:
            note(f"{cell_name} {format_shape(sizes)} ...")
            steps = None
            if config.long:
                steps = arms.steps_per_segment(config.segment, sizes[0])
            specs = arms.choose_arms(peer_names, steps, config.bfloat16)
            small = arms.float64_sizes(sizes, steps)
            if (cell_name, small) not in checked:
                checked.add((cell_name, small))
                arms.check_in_float64(specs, cell_name, small)
            records.append(measure(config, cell_name, sizes, specs))
            summary = summarize(records)
            write_json("recurrence", config, records, summary)
        print_records(cell_name, [r for r in records if r["cell"] == cell_name])
    if summary[cells[0]]:
        print_summary(summary)
    print(f"bars: {draw_bars(config.json)}")
    return summary


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with these arguments, by default those of the process."""
    launch(__doc__, Config, {"run": run}, argv)


if __name__ == "__main__":
    main()
