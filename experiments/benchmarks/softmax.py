"""Time and memory of softmax losses over a wide vocabulary.

    python -m experiments.benchmarks.softmax
    python -m experiments.benchmarks.softmax --quick

Each arm computes the loss and the gradients of hidden states, weights and biases:

  full       all logits at once
  chunked    the same function, some words at a time
  adaptive   an adaptive softmax with two clusters of rare words; labels follow Zipf's
             law

full and chunked must agree first. The table shows medians of milliseconds, XLA's count
of temporary memory, and both divided by those of full.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import environment, timing
from experiments.benchmarks.bars import draw_bars
from experiments.benchmarks.config import (
    BenchmarkConfig,
    Shape,
    format_shape,
    format_shapes,
    parse_shapes,
)
from experiments.benchmarks.recurrence_arms import TOLERANCE, of_float32
from experiments.benchmarks.results import check_json, format_number, write_json
from experiments.common.command_line import launch
from experiments.common.console import note, print_columns
from experiments.common.errors import UserError
from experiments.common.settings import setting
from seqjax.nn import layers, losses
from seqjax.nn.adaptive_softmax import adaptive_init

LETTERS = "VxNxH"
SHAPES: list[Shape] = [
    *((10_000, 2048, 512), (50_000, 2048, 512), (250_000, 2048, 512)),
]
QUICK_SHAPES: list[Shape] = [(10_000, 256, 64)]


@dataclasses.dataclass(frozen=True)
class Config(BenchmarkConfig):
    """The settings of this benchmark."""

    shapes: tuple[str, ...] = setting(
        format_shapes(SHAPES),
        f"Shapes {LETTERS} to measure, joined by commas: vocabulary size, positions, "
        f"hidden size.",
    )
    rounds: int = setting(3, "Number of timed calls of each arm.", minimum=1)
    json: str = setting(
        "runs/benchmarks/softmax.json", "JSON file for all measured numbers."
    )
    chunk: int = setting(
        4096, "Number of words at a time of the arms chunked and adaptive.", minimum=1
    )

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """A small shape with --quick."""
        if not given.get("quick"):
            return cls()
        return cls(shapes=format_shapes(QUICK_SHAPES))


def make_arms(sizes: Shape, chunk: int, seed: int) -> dict[str, tuple[Any, Any]]:
    """{arm: (program, arguments)}; a program returns (loss, gradients)."""
    vocab_size, positions, hidden_size = sizes
    rng = np.random.default_rng(seed)
    hidden = jnp.asarray(rng.normal(size=(positions, hidden_size)), jnp.float32)
    k_out, k_adaptive = jax.random.split(jax.random.key(seed))
    out = layers.dense_init(k_out, hidden_size, vocab_size)
    clusters = (vocab_size // 20, vocab_size // 4)
    adaptive = adaptive_init(k_adaptive, hidden_size, vocab_size, clusters)
    ranks = np.exp(rng.uniform(0, np.log(vocab_size), positions))  # p(r) ~ 1 / r
    labels = jnp.asarray(ranks.astype(np.int32) - 1)

    def full(params: Any, hidden: jax.Array) -> Any:
        return losses.cross_entropy(layers.dense(params, hidden), labels)

    def chunked(params: Any, hidden: jax.Array) -> Any:
        return losses.chunked_cross_entropy(
            hidden, params.w, params.b, labels, chunk=chunk
        )

    def by_clusters(params: Any, hidden: jax.Array) -> Any:
        return losses.adaptive_cross_entropy(params, hidden, labels, chunk=chunk)

    def program(loss: Callable[..., Any], *args: Any) -> tuple[Any, Any]:
        def mean(params: Any, hidden: jax.Array) -> jax.Array:
            total, count = loss(params, hidden)
            return total / count

        return jax.jit(jax.value_and_grad(mean, (0, 1))).lower(*args).compile(), args

    return {
        "full": program(full, out, hidden),
        "chunked": program(chunked, out, hidden),
        "adaptive": program(by_clusters, adaptive, hidden),
    }


def measure(config: Config, sizes: Shape) -> dict[str, Any]:
    """The record of one shape.

    Raises:
      UserError: if full and chunked differ.
    """
    arms = make_arms(sizes, config.chunk, config.seed)
    check_equal(sizes, *(arms[name][0](*arms[name][1]) for name in ("full", "chunked")))

    def call(name: str) -> timing.Call:
        program, args = arms[name]
        return lambda: jax.block_until_ready(program(*args))

    for name in arms:  # the first call is slower
        call(name)()
    calls = {name: (lambda: None, call(name)) for name in arms}
    spreads = timing.spreads(timing.interleave(calls, config.rounds))
    return {
        "shape": format_shape(sizes),
        "arms": {
            name: {
                "seconds": spreads[name],
                "temp_bytes": program.memory_analysis().temp_size_in_bytes,
            }
            for name, (program, _) in arms.items()
        },
    }


def check_equal(sizes: Shape, full: Any, chunked: Any) -> None:
    """Refuse losses or gradients that differ.

    Raises:
      UserError: naming the shape and the difference.
    """
    for a, b in zip(jax.tree.leaves(full), jax.tree.leaves(chunked), strict=True):
        error = float(jnp.abs(a - b).max() / jnp.abs(a).max())
        if not error <= TOLERANCE[of_float32()]:
            raise UserError(
                f"{format_shape(sizes)}: the chunked softmax differs from the full one "
                f"by {error:.1e} of the largest number."
            )


def print_records(records: Sequence[Mapping[str, Any]]) -> None:
    """Print one row per shape and arm."""
    header = [LETTERS, "softmax", "ms", "time/full", "temporary MB", "memory/full"]
    rows = []
    for record in records:
        full = record["arms"]["full"]
        for name, arm in record["arms"].items():
            seconds, temp = arm["seconds"]["median"], arm["temp_bytes"]
            row = [format_number(1e3 * seconds), seconds / full["seconds"]["median"]]
            row += [format_number(temp / 1e6, 0), temp / full["temp_bytes"]]
            row = [x if isinstance(x, str) else format_number(x, 2) for x in row]
            rows.append([record["shape"], name, *row])
    print_columns("loss and gradients", header, rows)


def run(config: Config) -> list[dict[str, Any]]:
    """Measure all shapes; returns the records."""
    shapes = parse_shapes(config.shapes, LETTERS)
    check_json(config.json)
    environment.prepare()
    records = []
    for sizes in shapes:
        note(f"{format_shape(sizes)} ...")
        records.append(measure(config, sizes))
        write_json("softmax", config, records, {})
    print_records(records)
    print(f"bars: {draw_bars(config.json)}")
    return records


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with these arguments, by default those of the process."""
    launch(__doc__, Config, {"run": run}, argv)


if __name__ == "__main__":
    main()
