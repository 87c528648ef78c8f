"""What one changed import gives a model of flax: RNN of seqjax.interop and of flax.

    python -m experiments.benchmarks.drop_in
    python -m experiments.benchmarks.drop_in --quick
    python -m experiments.benchmarks.drop_in --apis=nnx,linen --both

Each pair computes the loss and the gradients of all parameters and inputs of one RNN
(or, with --both, of a Bidirectional) with the same parameters, forward and backward,
in turns. Both must agree first. The table shows medians of milliseconds and the time of
seqjax divided by that of flax.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx

from experiments.benchmarks import environment, timing
from experiments.benchmarks.bars import draw_bars
from experiments.benchmarks.config import (
    CellBenchmarkConfig,
    Shape,
    format_shape,
    format_shapes,
    parse_shapes,
)
from experiments.benchmarks.recurrence import QUICK_SHAPES, SHAPES
from experiments.benchmarks.recurrence_arms import TOLERANCE, of_float32
from experiments.benchmarks.results import check_json, format_number, write_json
from experiments.common.command_line import launch
from experiments.common.console import note, print_columns
from experiments.common.errors import UserError
from experiments.common.settings import setting
from seqjax.interop import linen as fast_linen
from seqjax.interop import nnx as fast_nnx

LETTERS = "TxBxDxH"
CELLS = {"lstm": "OptimizedLSTMCell", "gru": "GRUCell", "rnn": "SimpleCell"}
LIBRARIES: dict[str, dict[str, Any]] = {
    "nnx": {"flax": nnx, "seqjax": fast_nnx},
    "linen": {"flax": linen, "seqjax": fast_linen},
}


@dataclasses.dataclass(frozen=True)
class Config(CellBenchmarkConfig):
    """The settings of this benchmark."""

    shapes: tuple[str, ...] = setting(
        format_shapes(SHAPES),
        f"Shapes {LETTERS} to measure, joined by commas: steps, batch, input size, "
        f"hidden size.",
    )
    apis: tuple[str, ...] = setting(
        ("nnx",), "APIs of flax to measure.", choices=list(LIBRARIES)
    )
    both: bool = setting(False, "Whether to measure a Bidirectional.")
    json: str = setting(
        "runs/benchmarks/drop_in.json", "JSON file for all measured numbers."
    )

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """Small shapes and few rounds with --quick."""
        if not given.get("quick"):
            return cls()
        return cls(shapes=format_shapes(QUICK_SHAPES), rounds=3)


def make_arm(
    api: str, library: Any, kind: str, sizes: Shape, both: bool, seed: int
) -> tuple[Any, tuple[Any, ...]]:
    """(program, arguments); the program returns (loss, gradients)."""
    steps, batch, inputs, hidden = sizes
    rng = np.random.default_rng(seed)
    xs = jnp.asarray(rng.normal(size=(batch, steps, inputs)), jnp.float32)
    width = hidden * (2 if both else 1)
    weights = jnp.asarray(rng.normal(size=(batch, steps, width)), jnp.float32)
    arguments: tuple[Any, ...]
    if api == "nnx":
        cells = [getattr(nnx, kind)(inputs, hidden, rngs=nnx.Rngs(i)) for i in (0, 1)]
        rnns = [library.RNN(cell, rngs=False) for cell in cells]
        layer = library.Bidirectional(*rnns, rngs=False) if both else rnns[0]
        graph, params = nnx.split(layer)
        carry: Any = jnp.zeros((batch, hidden))
        carry = (carry, carry) if "LSTM" in kind else carry
        carry = (carry, carry) if both else carry

        def run(params: Any, xs: jax.Array) -> jax.Array:
            return nnx.merge(graph, params)(xs, initial_carry=carry)

        arguments = params, xs
    else:
        rnns = [library.RNN(getattr(linen, kind)(hidden)) for _ in range(2)]
        module = library.Bidirectional(*rnns) if both else rnns[0]

        def run(params: Any, xs: jax.Array) -> jax.Array:
            return module.apply(params, xs)

        arguments = module.init(jax.random.key(seed), xs[:1, :1]), xs

    def loss(params: Any, xs: jax.Array) -> jax.Array:
        return jnp.vdot(weights, run(params, xs))

    program = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(*arguments).compile()
    return program, arguments


def measure(config: Config, api: str, cell: str, sizes: Shape) -> dict[str, Any]:
    """The record of one API, cell and shape.

    Raises:
      UserError: if the two libraries differ.
    """
    arms = {
        name: make_arm(api, library, CELLS[cell], sizes, config.both, config.seed)
        for name, library in LIBRARIES[api].items()
    }
    results = {name: program(*arguments) for name, (program, arguments) in arms.items()}
    pairs = zip(*map(jax.tree.leaves, results.values()), strict=True)
    for theirs, ours in pairs:
        error = float(jnp.abs(ours - theirs).max() / jnp.abs(theirs).max())
        if not error <= TOLERANCE[of_float32()]:
            raise UserError(
                f"{api}, {cell}, {format_shape(sizes)}: the results differ by "
                f"{error:.1e} of the largest number."
            )

    def call(name: str) -> timing.Call:
        program, arguments = arms[name]
        return lambda: jax.block_until_ready(program(*arguments))

    calls = {name: call(name) for name in arms}
    seconds = timing.spreads(timing.time_calls(calls, config.rounds))
    ratio = seconds["seqjax"]["median"] / seconds["flax"]["median"]
    return {
        "api": api,
        "cell": cell,
        "shape": format_shape(sizes),
        "seconds": seconds,
        "ratio": ratio,
    }


def summarize(records: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The geometric means of the ratios of each API, also at H 650 alone."""
    found = {}
    for api in dict.fromkeys(record["api"] for record in records):
        own = [record for record in records if record["api"] == api]
        found[api] = statistics.geometric_mean(r["ratio"] for r in own)
        wide = [r["ratio"] for r in own if r["shape"].endswith("x650")]
        if wide:
            found[f"{api}, H 650"] = statistics.geometric_mean(wide)
    return found


def print_records(records: Sequence[Mapping[str, Any]]) -> None:
    """Print one row per API, cell and shape."""

    def milliseconds(spread: Mapping[str, float]) -> str:
        median, low, high = (
            format_number(1e3 * spread[name]) for name in ("median", "low", "high")
        )
        return f"{median} ({low}-{high})"

    rows = [
        [
            *(record["api"], record["cell"], record["shape"]),
            *(milliseconds(record["seconds"][name]) for name in ("flax", "seqjax")),
            format_number(record["ratio"], 2),
        ]
        for record in records
    ]
    header = ["API", "cell", LETTERS, "flax, ms", "seqjax, ms", "seqjax/flax"]
    print_columns("forward+backward of an RNN", header, rows)


def run(config: Config) -> list[dict[str, Any]]:
    """Measure all pairs; returns the records."""
    shapes = parse_shapes(config.shapes, LETTERS)
    check_json(config.json)
    environment.prepare()
    records: list[dict[str, Any]] = []
    for api in config.apis:
        for cell in config.cells:
            for sizes in shapes:
                note(f"{api}, {cell}, {format_shape(sizes)} ...")
                records.append(measure(config, api, cell, sizes))
                write_json("drop_in", config, records, summarize(records))
    print_records(records)
    for name, mean in summarize(records).items():
        print(f"geometric mean, {name}: {mean:.2f}")
    print(f"bars: {draw_bars(config.json)}")
    return records


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with these arguments, by default those of the process."""
    launch(__doc__, Config, {"run": run}, argv)


if __name__ == "__main__":
    main()
