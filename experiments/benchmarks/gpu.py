"""What seqjax does on a GPU, in one command that ends in time.

    python -m experiments.benchmarks.gpu
    python -m experiments.benchmarks.gpu --budget=300 --parts=laws,layers

Parts, the most important measurements first:

  laws       each cell against the plain loop in float64 on the CPU: lengths, reverse,
             segments, carried state, gradients; the largest relative errors
  layers     one layer, forward / forward+backward in milliseconds, beside PyTorch and
             flax.nnx; with temporary memory
  training   whole training steps of language models beside PyTorch
  decoding   beam search beside a loop in PyTorch
  softmax    wide softmaxes: full, chunked and adaptive

A measurement that fails is recorded with its error, and those that no longer fit in
the budget are named. Each table shows the time of seqjax divided by that of the peer:
below 1, seqjax is faster. PyTorch needs a build for the GPU. The command also runs on a
CPU, with --quick in small sizes.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, TypeAlias

from experiments.benchmarks import (
    decoding,
    environment,
    equality,
    gpu_laws,
    layers,
    peers,
    recurrence,
    softmax,
    training,
)
from experiments.benchmarks.config import CELLS, BenchmarkConfig, Shape, format_shape
from experiments.benchmarks.recurrence_arms import TOLERANCE, of_float32
from experiments.benchmarks.results import check_json, format_number, write_json
from experiments.common.command_line import launch
from experiments.common.console import note, print_columns
from experiments.common.errors import UserError
from experiments.common.settings import setting

Record: TypeAlias = dict[str, Any]
PARTS = ("laws", "layers", "training", "decoding", "softmax")
TOLERANCES = {"bfloat16": 1e-1, "float16": 2e-2}  # where all arrays have this dtype


@dataclasses.dataclass(frozen=True)
class Config(BenchmarkConfig):
    """The settings of this benchmark."""

    shapes: tuple[str, ...] = setting((), "Must be empty: each part has its shapes.")
    rounds: int = setting(5, "Number of timed calls of each arm.", minimum=1)
    json: str = setting(
        "runs/benchmarks/gpu.json", "JSON file for all measured numbers."
    )
    budget: float = setting(
        450.0, "Seconds after which no further measurement starts.", minimum=1.0
    )
    parts: tuple[str, ...] = setting(
        PARTS, "Parts to measure, joined by commas.", choices=PARTS
    )

    def check(self) -> None:
        if self.shapes:
            raise UserError("--shapes is not for this benchmark; give --parts instead.")

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """Few rounds with --quick."""
        return cls(rounds=2) if given.get("quick") else cls()


class Measurement(NamedTuple):
    """A row of a table: `run` returns its numbers and the texts of its columns."""

    part: str
    label: str
    run: Callable[[], tuple[Any, dict[str, str]]]


def measurements(config: Config) -> Iterator[Measurement]:
    """All measurements, the most important ones first."""
    quick = config.quick
    for name in gpu_laws.CELLS:
        yield Measurement("laws", name, functools.partial(law, name))
    first: list[Shape] = (
        [(5, 2, 4, 8)] if quick else [(70, 20, 400, 1150), (1024, 16, 768, 768)]
    )
    more: list[Shape] = [(70, 20, 384, 1152), (128, 64, 256, 256), (35, 20, 650, 650)]
    more = [] if quick else more
    yield from layer_rows(config, first, ("lstm", "gru"))
    models = [
        training.Sizes(10_000, 650, 2, 35, 20),
        training.Sizes(33_278, 1150, 3, 70, 20),
        training.Sizes(33_278, 1152, 3, 70, 20),
    ]
    for model in [training.Sizes(50, 8, 2, 5, 2)] if quick else models:
        for bfloat16 in (False, True):
            kind = "bfloat16" if bfloat16 else "float32"
            label = f"{format_shape(model)} {kind}"
            run = functools.partial(train, config, model, bfloat16)
            yield Measurement("training", label, run)
    sizes: Shape = (30, 8, 5, 3) if quick else (8000, 512, 25, 32)
    for beam_size in (1, 5, 10):
        run = functools.partial(decode, config, sizes, beam_size)
        yield Measurement("decoding", f"{format_shape(sizes)} beam {beam_size}", run)
    sizes = (300, 20, 8) if quick else (250_000, 2048, 512)
    run = functools.partial(wide_softmax, config, sizes)
    yield Measurement("softmax", format_shape(sizes), run)
    yield from layer_rows(config, more, ("lstm", "gru"))
    yield from layer_rows(config, [*first, *more], ("rnn",))


def layer_rows(
    config: Config, shapes: Sequence[Shape], cells: Sequence[str]
) -> Iterator[Measurement]:
    """The measurements of layers, for each shape, dtype and cell."""
    for sizes in shapes:
        for dtype in ("float32", "bfloat16", "float16"):
            for cell in cells:
                run = functools.partial(layer, config, cell, sizes, dtype)
                label = f"{format_shape(sizes)} {cell} {dtype}"
                yield Measurement("layers", label, run)


def law(name: str) -> tuple[Any, dict[str, str]]:
    """The errors of one cell."""
    found = gpu_laws.check(name)
    return found, {dtype: f"{error:.1e}" for dtype, error in found.items()}


def layer(
    config: Config, cell_name: str, sizes: Shape, dtype: str
) -> tuple[Any, dict[str, str]]:
    """One layer in all libraries that are installed, after a comparison of results."""
    cell = CELLS[cell_name](sizes[-1])
    problem = layers.draw(cell, sizes, seed=config.seed)
    others = ["nnx", "torch"] if dtype == "float32" else ["torch"]
    others = [name for name in others if environment.installed(peers.MODULES[name])]
    names = ["seqjax", *others]
    of_arm = {name: peers.LIBRARIES[name](cell) for name in names}
    loaded = {name: arm.load(problem, dtype) for name, arm in of_arm.items()}
    want = equality.tensors(of_arm["seqjax"], loaded["seqjax"], problem)
    tolerance = TOLERANCES.get(dtype, TOLERANCE[of_float32()])
    for name, arm in of_arm.items():
        if name != "seqjax" and arm.adapt is of_arm["seqjax"].adapt:
            got = equality.tensors(arm, loaded[name], problem)
            equality.compare(f"{name}, {cell}, {dtype}", got, want, tolerance)
    spreads = recurrence.time_layers(loaded, config.rounds)
    row = {
        f"{name} ms": " / ".join(
            format_number(1e3 * times[kind]["median"], 2)
            for kind in ("forward", "backward")
        )
        for name, times in spreads.items()
    }
    ours = spreads["seqjax"]
    for name in others:
        row[f"time/{name}"] = " / ".join(
            format_number(ours[kind]["median"] / spreads[name][kind]["median"], 2)
            for kind in ("forward", "backward")
        )
    temp = loaded["seqjax"].temp_bytes
    row["temporary MB"] = format_number(None if temp is None else temp / 1e6)
    return {"arms": spreads, "temp_bytes": temp}, row


def train(
    config: Config, sizes: training.Sizes, bfloat16: bool
) -> tuple[Any, dict[str, str]]:
    """Whole training steps of a language model of LSTMs."""
    settings = training.Config(
        rounds=config.rounds, seed=config.seed, bfloat16=bfloat16
    )
    record = training.measure(settings, "lstm", sizes)
    row = {
        f"{name} tokens/s": format_number(arm["tokens_per_second"]["median"], 0)
        for name, arm in record["arms"].items()
    }
    return record, row | {"time/torch": format_number(record["ratio"], 2)}


def decode(config: Config, sizes: Shape, beam_size: int) -> tuple[Any, dict[str, str]]:
    """Beam search of a translation model."""
    settings = decoding.Config(rounds=config.rounds, seed=config.seed)
    record = decoding.measure(settings, sizes, beam_size)
    row = {
        f"{name} sentences/s": format_number(
            record["arms"][name]["sentences_per_second"]["median"], 1
        )
        for name in ("seqjax", "torch")
    }
    row["time/torch"] = format_number(record["ratio"], 2)
    return record, row | {"outside the step": f"{record['outside']:.0%}"}


def wide_softmax(config: Config, sizes: Shape) -> tuple[Any, dict[str, str]]:
    """The loss and its gradients by all softmaxes."""
    settings = softmax.Config(rounds=config.rounds, seed=config.seed)
    record = softmax.measure(settings, sizes)
    row = {}
    for name, arm in record["arms"].items():
        row[f"{name} ms"] = format_number(1e3 * arm["seconds"]["median"], 2)
        row[f"{name} MB"] = format_number(arm["temp_bytes"] / 1e6, 0)
    return record, row


def guarded(measurement: Measurement) -> Record:
    """The record of a measurement, with its error if it failed."""
    record: Record = {"part": measurement.part, "label": measurement.label}
    try:
        numbers, row = measurement.run()
    except Exception as error:  # whatever it is, the others must still run
        first = str(error).partition("\n")[0] or type(error).__name__
        note(f"{measurement.part}, {measurement.label}: {first}")
        return record | {"error": f"{type(error).__name__}: {error}"}
    return record | {"numbers": numbers, "row": row}


def print_records(records: Sequence[Record]) -> None:
    """Print one table per part."""
    for part in PARTS:
        rows = [r for r in records if r["part"] == part]
        columns = list(dict.fromkeys(key for r in rows for key in r.get("row", {})))
        if not rows:
            continue
        table = [
            [r["label"], *(r.get("row", {}).get(c, "-") for c in columns)] for r in rows
        ]
        print_columns(part, ["", *columns], table)


def run(config: Config) -> list[Record]:
    """Measure what fits in the budget; returns the records.

    Raises:
      UserError: if no measurement succeeded.
    """
    start = time.monotonic()
    check_json(config.json)
    environment.prepare()
    records: list[Record] = []
    left_out = []
    for measurement in measurements(config):
        if measurement.part not in config.parts:
            continue
        if time.monotonic() - start > config.budget:
            left_out.append(f"{measurement.part}: {measurement.label}")
            continue
        note(f"{measurement.part}, {measurement.label} ...")
        records.append(guarded(measurement))
        seconds = round(time.monotonic() - start, 1)
        summary = {"left_out": left_out, "seconds": seconds}
        write_json("gpu", config, records, summary)
    print_records(records)
    if left_out:
        write_json("gpu", config, records, summary | {"left_out": left_out})
        note(f"beyond the budget of {config.budget:g} s: {'; '.join(left_out)}")
    if all("error" in record for record in records):
        raise UserError("no measurement succeeded; the notes above say why.")
    return records


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with these arguments, by default those of the process."""
    launch(__doc__, Config, {"run": run}, argv)


if __name__ == "__main__":
    main()
