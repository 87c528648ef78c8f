"""Recurrent layers as the ONNX operators LSTM, GRU and RNN."""

from typing import Any

import numpy as np

from seqjax.cell_protocol import Params
from seqjax.cells import GRU, LSTM, RNN, LSTMState
from seqjax.interop.layers import PlainCell
from seqjax.interop.onnx_graph import Graph
from seqjax.interop.weights import reorder
from seqjax.recurrence import Bidirectional, Stack, Unrollable

FORWARD, BACKWARD, BOTH = "forward", "reverse", "bidirectional"


def unroll(
    graph: Graph,
    cell: Unrollable,
    params: Params,
    xs: str,
    lengths: str | None,
    state: Any = None,
    direction: str = FORWARD,
) -> tuple[str, Any]:
    """Add `seqjax.unroll` to a graph.

    Args:
      graph: is added to.
      cell: an RNN, a GRU or an LSTM, a Stack or a Bidirectional of these.
      params: its parameters in float32.
      xs: the name of the inputs [T, B, D].
      lengths: the name of the lengths [B], int32.
      state: the initial state, with the name of an array [B, H] as each leaf; None is
        zeros.
      direction: "forward" or "reverse".

    Returns:
      (ys, state): the name of the outputs [T, B, H], and the last state with the name
      of an array [B, H] as each leaf.

    Raises:
      ValueError: if a cell has no operator.
    """
    if isinstance(cell, Stack):
        states = []
        for i, (layer, own) in enumerate(zip(cell.cells, params, strict=True)):
            initial = None if state is None else state[i]
            xs, last = unroll(graph, layer, own, xs, lengths, initial, direction)
            states.append(last)
        return xs, tuple(states)
    if not isinstance(cell, Bidirectional):
        ys, (last,) = _operator(
            graph, cell, (params,), xs, lengths, (state,), direction
        )
        return graph.add("Squeeze", ys, np.array([1])), last
    initial = (None, None) if state is None else state
    if isinstance(cell.cell, PlainCell) and direction == FORWARD:
        ys, last = _operator(
            graph, cell.cell, tuple(params), xs, lengths, initial, BOTH
        )
        if cell.merge == "sum":
            return graph.sum(ys, 1), last
        ys = graph.add("Transpose", ys, perm=[0, 2, 1, 3])  # [T, B, 2, H]
        return graph.add("Reshape", ys, np.array([0, 0, -1])), last
    directions = (FORWARD, BACKWARD) if direction == FORWARD else (BACKWARD, FORWARD)
    halves = [
        unroll(graph, cell.cell, own, xs, lengths, first, way)
        for own, first, way in zip(params, initial, directions, strict=True)
    ]
    names = [ys for ys, _ in halves]
    merged = (
        graph.add("Add", *names)
        if cell.merge == "sum"
        else graph.add("Concat", *names, axis=2)
    )
    return merged, tuple(last for _, last in halves)


def _operator(
    graph: Graph,
    cell: Any,
    params: tuple[Params, ...],
    xs: str,
    lengths: str | None,
    states: tuple[Any, ...],
    direction: str,
) -> tuple[str, tuple[Any, ...]]:
    """One operator: (ys [T, directions, B, H], the last state of each direction)."""
    if not isinstance(cell, PlainCell):
        raise ValueError(
            f"to_onnx: ONNX has no operator for the cell {cell!r}; to_stablehlo "
            f"exports any cell"
        )
    weights = [_weights(cell, own) for own in params]
    joined = [np.stack(arrays) for arrays in zip(*weights, strict=True)]
    attributes: dict[str, Any] = {
        "hidden_size": cell.hidden_size,
        "direction": direction,
    }
    if isinstance(cell, RNN):
        name = "Tanh" if cell.activation == "tanh" else "Relu"
        attributes["activations"] = [name] * len(params)
    if isinstance(cell, GRU):
        attributes["linear_before_reset"] = int(cell.reset_after)
    kind = type(cell).__name__
    is_lstm = isinstance(cell, LSTM)
    initial = _joined(graph, states, is_lstm)
    outputs = graph.add_all(
        kind, 3 if is_lstm else 2, xs, *joined, lengths, *initial, **attributes
    )
    ys, *last = outputs  # the last states [directions, B, H]
    split = [
        [graph.add("Gather", name, np.int64(i), axis=0) for name in last]
        for i in range(len(params))
    ]
    of_direction: Any = LSTMState if is_lstm else str
    return ys, tuple(of_direction(*names) for names in split)


def _joined(graph: Graph, states: tuple[Any, ...], is_lstm: bool) -> list[str]:
    """The initial states of all directions, [directions, B, H] each."""
    if states[0] is None:
        return []
    leaves = [tuple(state) if is_lstm else (state,) for state in states]
    return [
        graph.add("Concat", *(graph.unsqueeze(leaf, [0]) for leaf in part), axis=0)
        for part in zip(*leaves, strict=True)
    ]


def _weights(cell: PlainCell, own: Params) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(W [G*H, D], R [G*H, H], B [2*G*H]) in the order of gates of ONNX."""
    orders = {LSTM: ("ifgo", "iofg"), GRU: ("rzn", "zrn"), RNN: ("h", "h")}
    w_x, w_h, *biases = (reorder(a, *orders[type(cell)]) for a in own)
    b_x = biases[0]
    b_h = biases[1] if len(biases) == 2 else np.zeros_like(b_x)
    return w_x.T, w_h.T, np.concatenate([b_x, b_h])
