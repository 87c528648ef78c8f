"""Speed of whole training steps of language models in seqjax and in PyTorch.

    python -m experiments.benchmarks.training
    python -m experiments.benchmarks.training --quick

The model has an embedding (one-hot input if the vocabulary is small), recurrent layers
and a softmax. It is trained by SGD with gradient clipping and carried state. The two
implementations (arms) start from the same weights, read the same minibatches and use
all cores. Their losses must agree first, without dropout, because the dropout masks
differ. Then models of several layers are timed with dropout, those of one layer
without.

The table shows medians of tokens per second, and the time of seqjax divided by the time
of torch: below 1, seqjax is faster. The benchmark needs torch.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Self, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

import seqjax
from experiments.benchmarks import environment, timing, torch_language_model
from experiments.benchmarks.bars import draw_bars
from experiments.benchmarks.config import (
    CELLS,
    CellBenchmarkConfig,
    Shape,
    format_shape,
    format_shapes,
    parse_shapes,
)
from experiments.benchmarks.results import (
    check_json,
    format_number,
    format_spread,
    write_json,
)
from experiments.common.command_line import launch
from experiments.common.console import note, print_columns
from experiments.common.errors import UserError
from experiments.common.settings import setting
from seqjax import training
from seqjax.backend import on_gpu
from seqjax.models.language_model import LanguageModel, LanguageModelParams

LETTERS = "VxHxLxTxB"
SHAPES: list[Shape] = [
    *((10000, 650, 2, 35, 20), (10000, 200, 2, 20, 20)),
    *((28, 256, 1, 35, 32), (5000, 256, 2, 35, 64)),
]
QUICK_SHAPES: list[Shape] = [(28, 256, 1, 35, 32)]
MAX_MINIBATCHES = 1000  # in a timed call
MAX_ONE_HOT = 100  # largest vocabulary with one-hot input
NUM_CHECKED = 5  # minibatches whose losses are compared
NUM_WARMUP = 3  # untimed minibatches before a timed call

# train(count) trains on the first `count` minibatches and returns their mean loss.
Trainer: TypeAlias = Callable[[int], float]


@dataclasses.dataclass(frozen=True)
class Config(CellBenchmarkConfig):
    """The settings of this benchmark."""

    shapes: tuple[str, ...] = setting(
        format_shapes(SHAPES),
        f"Shapes {LETTERS} to measure, joined by commas: vocabulary size, hidden size, "
        f"layers, time steps, batch size.",
    )
    json: str = setting(
        "runs/benchmarks/training.json", "JSON file for all measured numbers."
    )
    minibatches: int = setting(
        0,
        "Number of minibatches in a timed call; 0 selects as many as take about one "
        "second.",
        minimum=0,
        maximum=MAX_MINIBATCHES,
    )

    bfloat16: bool = setting(
        False, "Whether both compute products in bfloat16, and keep the logits in it."
    )

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """One small model in few rounds with --quick."""
        if not given.get("quick"):
            return cls()
        shapes = format_shapes(QUICK_SHAPES)
        return cls().replace(rounds=3, cells=("lstm",), shapes=shapes)


class Sizes(NamedTuple):
    """The sizes of a model and its minibatches: one shape of --shapes."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_steps: int
    batch_size: int

    @property
    def embed_size(self) -> int | None:
        """H, or None for one-hot input."""
        return None if self.vocab_size <= MAX_ONE_HOT else self.hidden_size

    @property
    def dropout(self) -> float:
        """The rate of Zaremba et al. 2014 for several layers, 0 for one layer."""
        return 0.5 if self.num_layers > 1 else 0.0


def make_model(cell_name: str, sizes: Sizes, dropout: float) -> LanguageModel:
    """The model of both arms; its `init` draws the weights of both."""
    cell = CELLS[cell_name](sizes.hidden_size)
    layers = seqjax.Stack((cell,) * sizes.num_layers, dropout)
    return LanguageModel(sizes.vocab_size, layers, sizes.embed_size, dropout=dropout)


def make_trainer(
    model: LanguageModel,
    params: LanguageModelParams,
    tokens: np.ndarray,
    bfloat16: bool = False,
) -> Trainer:
    """The training of seqjax; see `torch_language_model.make_trainer`."""
    optimizer = training.make_optimizer("sgd", 1.0, 1.0)
    step = training.make_train_step(
        lambda p, carry, window, key: model.loss(
            p, window, key if model.dropout else None, state=carry
        ),
        optimizer,
    )
    loop = training.make_train_loop(step, lambda windows, i: windows[i])
    params = jax.tree.map(jnp.array, params)  # a copy, because the loop donates it
    carry = model.initial_state((tokens.shape[-1],))
    state = training.init_state(params, optimizer, carry, jax.random.key(0))
    windows, plan = jnp.asarray(tokens), jnp.arange(len(tokens))

    def train(count: int) -> float:
        nonlocal state
        with jax.default_matmul_precision("BF16_BF16_F32" if bfloat16 else None):
            state, summed = loop(state, windows, plan, 0, count)
        return float(summed.total / summed.count)

    return train


ARMS: dict[str, Callable[..., Trainer]] = {
    "seqjax": make_trainer,
    "torch": torch_language_model.make_trainer,
}


def measure(config: Config, cell_name: str, sizes: Sizes) -> dict[str, Any]:
    """The record of one cell and shape: tokens per second of both arms.

    Raises:
      UserError: if the losses differ or become infinite.
    """
    rng = np.random.default_rng(config.seed)
    shape = (MAX_MINIBATCHES, sizes.num_steps + 1, sizes.batch_size)
    tokens = rng.integers(0, sizes.vocab_size, shape, dtype=np.int32)
    model = make_model(cell_name, sizes, 0.0)
    params = jax.device_get(model.init(jax.random.key(config.seed)))
    label = f"{cell_name} {format_shape(sizes)}"
    arms = make_arms(model, params, tokens, config.bfloat16)
    check_equal(label, arms, tolerance(config))
    if sizes.dropout:
        model = make_model(cell_name, sizes, sizes.dropout)
        arms = make_arms(model, params, tokens, config.bfloat16)
    count = config.minibatches or minibatches_per_second(arms)
    seconds = time_arms(arms, count, config.rounds)
    check_finite(label, arms)
    tokens_per_call = count * sizes.num_steps * sizes.batch_size
    spreads = timing.spreads(seconds)
    return {
        "cell": cell_name,
        "shape": format_shape(sizes),
        "dropout": sizes.dropout,
        "minibatches": count,
        "arms": {
            name: {
                "seconds": spreads[name],
                "tokens_per_second": timing.spread(
                    [tokens_per_call / s for s in times]
                ),
            }
            for name, times in seconds.items()
        },
        "ratio": spreads["seqjax"]["median"] / spreads["torch"]["median"],
    }


def make_arms(*args: Any) -> dict[str, Trainer]:
    """{arm: its Trainer}; the arguments are those of `make_trainer`."""
    return {name: make(*args) for name, make in ARMS.items()}


def tolerance(config: Config) -> float:
    """The largest relative difference of the arms' losses."""
    if config.bfloat16:
        return 1e-2
    return 1e-3 if on_gpu() else 1e-5  # on a GPU products are in TF32


def time_arms(
    arms: Mapping[str, Trainer], count: int, rounds: int
) -> dict[str, list[float]]:
    """{arm: seconds of each timed call of `count` minibatches}."""
    calls: dict[str, tuple[timing.Call, timing.Call]] = {
        name: (partial(train, NUM_WARMUP), partial(train, count))
        for name, train in arms.items()
    }
    return timing.interleave(calls, rounds)


def check_equal(
    label: str, arms: Mapping[str, Trainer], tolerance: float = 1e-5
) -> None:
    """Refuse arms whose mean losses over the first minibatches differ.

    Raises:
      UserError: naming the cell and shape by `label`, with both losses.
    """
    losses = {name: train(NUM_CHECKED) for name, train in arms.items()}
    ours, theirs = losses.values()
    if not math.isclose(ours, theirs, rel_tol=tolerance):
        both = " and ".join(f"{loss} in {name}" for name, loss in losses.items())
        raise UserError(f"{label}: the mean losses differ: {both}.")


def check_finite(label: str, arms: Mapping[str, Trainer]) -> None:
    """Refuse times after an infinite loss, because the training loop stops at it.

    Raises:
      UserError: naming the cell and shape by `label`, and the arm.
    """
    for name, train in arms.items():
        if not math.isfinite(train(1)):
            raise UserError(f"{label}: the loss of {name} is not finite.")


def minibatches_per_second(arms: Mapping[str, Trainer]) -> int:
    """The number of minibatches that the slower arm processes in about one second."""
    slowest = 0.0
    for train in arms.values():
        train(NUM_WARMUP)
        start = time.perf_counter()
        train(NUM_WARMUP)
        slowest = max(slowest, (time.perf_counter() - start) / NUM_WARMUP)
    return min(max(round(1.0 / slowest), 2), MAX_MINIBATCHES)


def summarize(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """{cell: `timing.summarize` of the ratios over the shapes}."""
    ratios: dict[str, Any] = {}
    for record in records:
        ratios.setdefault(record["cell"], {})[record["shape"]] = record["ratio"]
    return {cell: timing.summarize(by_shape) for cell, by_shape in ratios.items()}


def print_records(
    cell_name: str, records: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]
) -> None:
    """Print the table of one cell: one row per shape, and the mean of the ratios."""
    header = [LETTERS, "seqjax", "(range)", "torch", "(range)", "time seqjax/torch"]
    rows = []
    for record in records:
        row = [record["shape"]]
        for arm in record["arms"].values():
            row += format_spread(arm["tokens_per_second"], 0)
        rows.append([*row, format_number(record["ratio"], 2)])
    mean = format_number(summary["geometric_mean"], 2)
    rows.append(["geometric mean", *[""] * 4, mean])
    print_columns(f"{cell_name}, tokens/s", header, rows)


def run(config: Config) -> dict[str, Any]:
    """Measure all cells at all shapes; returns the summary of the ratios."""
    shapes = parse_shapes(config.shapes, LETTERS)
    check_json(config.json)
    environment.require("torch")
    environment.prepare()
    records: list[dict[str, Any]] = []
    for cell_name in dict.fromkeys(config.cells):
        for shape in shapes:
            note(f"{cell_name} {format_shape(shape)} ...")
            records.append(measure(config, cell_name, Sizes(*shape)))
            write_json("training", config, records, summarize(records))
        of_cell = [record for record in records if record["cell"] == cell_name]
        print_records(cell_name, of_cell, summarize(records)[cell_name])
    print(f"bars: {draw_bars(config.json)}")
    return summarize(records)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the benchmark with these arguments, by default those of the process."""
    launch(__doc__, Config, {"run": run}, argv)


if __name__ == "__main__":
    main()
