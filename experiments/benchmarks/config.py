"""The settings that the benchmarks share, and the shapes they measure."""

import dataclasses
import re
from collections.abc import Sequence
from typing import TypeAlias

import seqjax
from experiments.common.errors import UserError
from experiments.common.settings import Settings, setting

StandardCell: TypeAlias = seqjax.RNN | seqjax.GRU | seqjax.LSTM
Shape: TypeAlias = tuple[int, ...]

CELLS: dict[str, type[StandardCell]] = {
    "lstm": seqjax.LSTM,
    "gru": seqjax.GRU,
    "rnn": seqjax.RNN,
}


@dataclasses.dataclass(frozen=True)
class BenchmarkConfig(Settings):
    """The settings of every benchmark."""

    shapes: tuple[str, ...] = setting(
        (), "Shapes to measure: sizes joined by x, shapes joined by commas."
    )
    rounds: int = setting(9, "Number of timed calls of each arm.", minimum=1)
    quick: bool = setting(
        False, "Whether to measure only a few small shapes in few rounds."
    )
    seed: int = setting(
        0, "Random seed of the parameters and inputs.", minimum=0, maximum=2**32 - 1
    )
    json: str = setting(
        "runs/benchmarks/benchmark.json", "JSON file for all measured numbers."
    )


@dataclasses.dataclass(frozen=True)
class CellBenchmarkConfig(BenchmarkConfig):
    """The settings of a benchmark that measures several cells."""

    cells: tuple[str, ...] = setting(
        tuple(CELLS), "Cells to measure, joined by commas.", choices=list(CELLS)
    )

    def check(self) -> None:
        if not self.cells:
            raise UserError(
                f"--cells is empty; give at least one of {', '.join(CELLS)}."
            )


def parse_shapes(texts: Sequence[str], letters: str) -> list[Shape]:
    """The shapes of --shapes without repetitions.

    Args:
      texts: shapes such as "35x20x650x650".
      letters: the names of the sizes, such as "TxBxDxH".

    Raises:
      UserError: if there is no shape, or one of another form.
    """
    if not texts:
        raise UserError(
            f"--shapes is empty; give at least one shape of the form {letters}."
        )
    return [_parse_shape(text, letters) for text in dict.fromkeys(texts)]


def _parse_shape(text: str, letters: str) -> Shape:
    sizes = text.split("x")
    positive = all(re.fullmatch("[0-9]{1,9}", size) and int(size) > 0 for size in sizes)
    expected = letters.count("x") + 1
    if not positive or len(sizes) != expected:
        raise UserError(
            f"--shapes: {text!r} is not of the form {letters}; give {expected} "
            f"positive integers joined by x."
        )
    return tuple(map(int, sizes))


def format_shape(shape: Sequence[int]) -> str:
    """A shape as it is given on the command line."""
    return "x".join(map(str, shape))


def format_shapes(shapes: Sequence[Shape]) -> tuple[str, ...]:
    """Shapes as values of --shapes."""
    return tuple(map(format_shape, shapes))
