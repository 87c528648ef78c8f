"""Speed of hidden Markov models and n-gram counts in seqjax and in other libraries.

    python -m experiments.benchmarks.baselines
    python -m experiments.benchmarks.baselines --quick

Hidden Markov models: one sequence of T steps, K states, random potentials. "filter"
computes the log-likelihood and the distribution of each state given the past.
"smoother" computes the log-likelihood, the distributions given the whole sequence, and
the expected transitions, which one iteration of Baum-Welch needs. The peers are dynamax
and a NumPy loop. Every implementation (arm) must agree with the loop in float64 before
it is timed in float32. "sequential" and "parallel" are the two arms of seqjax.

N-grams: the characters of the embedded text are counted, and the model of relative
frequencies is built. The peer is nltk.lm. With --shapes, which are shapes of hidden
Markov models, n-grams are not measured by default.

Peers that are not installed are left out with a note (pip install dynamax nltk).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

from experiments.benchmarks import (
    environment,
    hidden_markov_baseline,
    ngram_baseline,
)
from experiments.benchmarks.bars import draw_bars
from experiments.benchmarks.config import (
    BenchmarkConfig,
    Shape,
    format_shape,
    format_shapes,
    parse_shapes,
)
from experiments.benchmarks.hidden_markov_baseline import TASKS
from experiments.benchmarks.results import check_json, format_spread, write_json
from experiments.common.command_line import launch
from experiments.common.console import note, print_columns
from experiments.common.settings import setting

LETTERS = "TxK"
SHAPES: list[Shape] = [(10_000, 64)]
QUICK_SHAPES: list[Shape] = [(500, 16)]


@dataclasses.dataclass(frozen=True)
class Config(BenchmarkConfig):
    """The settings of this benchmark."""

    shapes: tuple[str, ...] = setting(
        format_shapes(SHAPES),
        f"Shapes {LETTERS} of hidden Markov models to measure, joined by commas: time "
        f"steps, states.",
    )
    json: str = setting(
        "runs/benchmarks/baselines.json", "JSON file for all measured numbers."
    )
    ngrams: bool = setting(True, "Whether to measure n-gram counts.")

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """Small shapes with --quick; no n-grams if shapes are given."""
        config = cls(ngrams="shapes" not in given)
        if not given.get("quick"):
            return config
        return config.replace(rounds=3, shapes=format_shapes(QUICK_SHAPES))


def print_hidden_markov(records: Sequence[Mapping[str, Any]]) -> None:
    """Print one section per shape and task, one row per arm."""
    sections: dict[str, Any] = {}
    for record in records:
        rows = sections.setdefault(f"{record['task']}, {LETTERS} {record['shape']}", [])
        for name, arm in record["arms"].items():
            times = format_spread(arm["seconds"], 1, 1e3)
            rows.append([name, *times, f"{arm['ratio']:.2f}"])
    header = ["arm", "ms", "(range)", "faster seqjax arm / arm"]
    print_columns("hidden Markov model", header, sections)


def measure_ngrams(config: Config) -> list[dict[str, Any]]:
    """The records of n-gram counts; a note and none if nltk is not installed."""
    if not config.ngrams:
        return []
    if not environment.installed("nltk"):
        note("n-gram counts are left out: nltk is not installed.")
        return []
    sizes = ngram_baseline.QUICK_SIZES if config.quick else ngram_baseline.SIZES
    records = []
    for num_tokens, order in sizes:
        note(f"{num_tokens:,} characters, order {order} ...")
        records.append(ngram_baseline.measure(num_tokens, order, config.rounds))
    return records


def print_ngrams(records: Sequence[Mapping[str, Any]]) -> None:
    """Print one section per size, one row per arm."""
    sections: dict[str, Any] = {}
    for record in records:
        rows = sections.setdefault(f"characters x order {record['shape']}", [])
        ours = record["arms"]["seqjax"]["seconds"]["median"]
        for name, arm in record["arms"].items():
            times = format_spread(arm["seconds"], 1, 1e3)
            speed = f"{arm['tokens_per_second']['median']:,.0f}"
            ratio = f"{ours / arm['seconds']['median']:.3f}"
            rows.append([name, *times, speed, ratio])
    header = ["arm", "ms", "(range)", "characters/s", "seqjax / arm"]
    print_columns("n-gram counts and relative frequencies", header, sections)


def run(config: Config) -> list[dict[str, Any]]:
    """Measure the hidden Markov models and the n-grams; returns their records."""
    shapes = parse_shapes(config.shapes, LETTERS)
    check_json(config.json)
    environment.prepare()
    if not environment.installed("dynamax"):
        note("dynamax is left out: dynamax is not installed.")
    records = []
    for sizes in shapes:
        for task in TASKS:
            note(f"{format_shape(sizes)}, {task} ...")
            records.append(
                hidden_markov_baseline.measure(sizes, task, config.rounds, config.seed)
            )
            write_json("baselines", config, records, {})
    print_hidden_markov(records)
    ngrams = measure_ngrams(config)
    if ngrams:
        write_json("baselines", config, records, {"ngrams": ngrams})
        print_ngrams(ngrams)
    print(f"bars: {draw_bars(config.json)}")
    return records + ngrams


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with these arguments, by default those of the process."""
    launch(__doc__, Config, {"run": run}, argv)


if __name__ == "__main__":
    main()
