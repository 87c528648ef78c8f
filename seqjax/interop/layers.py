"""Cells as a list of layers, the form in which other libraries name their weights."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from seqjax.cell_protocol import Params
from seqjax.cells import GRU, LSTM, RNN, GRUParams, GRUResetAfterParams
from seqjax.recurrence import Bidirectional, Stack, Unrollable

PlainCell: TypeAlias = RNN | GRU | LSTM


class Layer(NamedTuple):
    """A cell that runs over a sequence in one direction or in both."""

    cell: PlainCell
    params: tuple[Params, ...]  # of the forward cell, and of the backward cell


def layers_of(cell: Unrollable, params: Params, where: str) -> list[Layer]:
    """The layers of a cell from the input up.

    Args:
      cell: an RNN, a GRU or an LSTM, a Bidirectional of one, or a Stack of these.
      params: its parameters.
      where: what is done, for the sentence of an error.

    Raises:
      ValueError: if a layer is something else.
    """
    if isinstance(cell, Stack):
        pairs = zip(cell.cells, params, strict=True)
        return [layer for c, p in pairs for layer in layers_of(c, p, where)]
    if isinstance(cell, Bidirectional) and cell.merge != "concat":
        raise ValueError(f'{where}: merge must be "concat", got {cell.merge!r}')
    inner, both = (
        (cell.cell, tuple(params))
        if isinstance(cell, Bidirectional)
        else (cell, (params,))
    )
    if not isinstance(inner, PlainCell):
        raise ValueError(
            f"{where}: the layers must be RNNs, GRUs, LSTMs or Bidirectionals of "
            f"these, got {inner!r}"
        )
    return [Layer(inner, both)]


def join(layers: Sequence[Layer], dropout: float = 0.0) -> tuple[Unrollable, Params]:
    """The cell of these layers and its parameters: a Stack if there are several."""
    cells = tuple(
        Bidirectional(layer.cell) if len(layer.params) == 2 else layer.cell
        for layer in layers
    )
    params = tuple(
        layer.params if len(layer.params) == 2 else layer.params[0] for layer in layers
    )
    if len(cells) == 1:
        return cells[0], params[0]
    return Stack(cells, dropout), params


def gates(cell: PlainCell) -> int:
    """The number of gates in a row of w_x."""
    return {RNN: 1, GRU: 3, LSTM: 4}[type(cell)]


def biases(params: Any) -> tuple[Any, Any]:
    """(bias beside the inputs, bias beside the state, or None if there is one)."""
    if isinstance(params, GRUResetAfterParams):
        return params.b_x, params.b_h
    return params.b, None


def refuse_textbook_gru(layers: Sequence[Layer], where: str) -> None:
    """Refuse a GRU that resets before the product.

    Args:
      layers: the layers.
      where: the beginning of the error's sentence.

    Raises:
      ValueError: naming `where`.
    """
    for layer in layers:
        if isinstance(layer.params[0], GRUParams):
            raise ValueError(
                f"{where}: a GRU must have reset_after=True, as all GRUs there have"
            )
