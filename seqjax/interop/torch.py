"""Weights from and to `torch.nn.RNN`, `GRU` and `LSTM`, and their cells."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from seqjax.cell_protocol import Params
from seqjax.cells import (
    GRU,
    LSTM,
    RNN,
    GRUResetAfterParams,
    LSTMParams,
    RNNParams,
)
from seqjax.interop.layers import (
    Layer,
    biases,
    join,
    layers_of,
    refuse_textbook_gru,
)
from seqjax.interop.weights import Weights, as_array
from seqjax.recurrence import Unrollable

PROJECTION = "weight_hr"


def from_torch(
    source: Any, prefix: str = "", *, activation: str = "tanh", dropout: float = 0.0
) -> tuple[Unrollable, Params]:
    """The cell and the parameters of a recurrent layer of torch.

    torch adds two biases to each gate. The LSTM and the RNN here have their sum, the
    GRU has both.

    Args:
      source: a `torch.nn.RNN`, `GRU`, `LSTM`, `RNNCell`, `GRUCell` or `LSTMCell`, or a
        state dict: names -> tensors or arrays, such as `read_weights` returns.
      prefix: what precedes the names of the layer's weights in a whole model or its
        state dict, such as "encoder.rnn."; all other entries are ignored.
      activation: that of an RNN, "tanh" or "relu", which a state dict does not say.
      dropout: the dropout rate between layers, which a state dict does not say.
        Modules say both.

    Returns:
      (cell, params): an RNN, a GRU or an LSTM, a Bidirectional of one, or a Stack of
      these. The inputs of `seqjax.unroll` have the time axis first, as with
      `batch_first=False`.

    Raises:
      ValueError: naming the weight that is missing, has another shape or is unknown,
        and for an activation without an RNN.
      TypeError: if the source is neither a module nor a state dict.

    Example:
      >>> weights = to_torch(seqjax.GRU(3), seqjax.GRU(3).init(jax.random.key(0), 2))
      >>> cell, params = from_torch(weights)
      >>> cell, params.w_x.shape
      (GRU(hidden_size=3, reset_after=True), (2, 9))

    Source: the equations in the documentation of `torch.nn.LSTM`, `GRU` and `RNN`.
    """
    if hasattr(source, "state_dict"):
        source = source.get_submodule(prefix.removesuffix("."))
        activation = getattr(source, "nonlinearity", activation)
        dropout = getattr(source, "dropout", dropout)
        source = {f"{prefix}{k}": v for k, v in source.state_dict().items()}
    if not isinstance(source, Mapping):
        raise TypeError(
            f"from_torch: a module or a state dict was expected, got "
            f"{type(source).__name__}; read_weights reads a file"
        )
    _check_prefix(source, prefix)
    weights = Weights(
        {
            name.removeprefix(prefix): as_array(value)
            for name, value in source.items()
            if name.startswith(prefix)
        },
        f"from_torch: {prefix}",
    )
    projections = [name for name in weights.arrays if name.startswith(PROJECTION)]
    if projections:
        raise ValueError(
            f"from_torch: {prefix}{projections[0]}: LSTMs with projections are not "
            f"supported"
        )
    layers, size = [], None
    for suffixes in _layers(weights):
        pairs = [_direction(weights, suffix, size, activation) for suffix in suffixes]
        cells = [cell for cell, _ in pairs]
        if cells.count(cells[0]) != len(cells):
            raise ValueError(
                f"from_torch: the directions of a layer must be alike, got {cells}"
            )
        layers.append(Layer(cells[0], tuple(params for _, params in pairs)))
        size = len(cells) * cells[0].hidden_size
    weights.refuse_unread()
    if activation != "tanh" and not isinstance(layers[0].cell, RNN):
        raise ValueError(f"from_torch: {layers[0].cell} has no activation {activation}")
    return join(layers, dropout)


def _check_prefix(source: Mapping[str, Any], prefix: str) -> None:
    """Name the prefixes of recurrent layers, if there is none of this one."""
    prefixes = sorted(
        name.removesuffix(end)
        for name in source
        for end in ("weight_hh_l0", "weight_hh")
        if name.endswith(end)
    )
    if prefixes and prefix not in prefixes:
        there = " or ".join(f'prefix="{name}"' for name in prefixes)
        raise ValueError(
            f'from_torch: there is no layer with prefix="{prefix}"; expected {there}'
        )


def to_torch(cell: Unrollable, params: Params) -> dict[str, np.ndarray]:
    """The state dict of the recurrent layer of torch with these weights.

    `module.load_state_dict({k: torch.from_numpy(v) for k, v in found.items()})` loads
    it. The second bias of an LSTM and of an RNN is zero.

    Args:
      cell: an RNN, a GRU with reset_after=True or an LSTM, a Bidirectional of one, or a
        Stack of these with one hidden size and one number of directions.
      params: its parameters.

    Returns:
      {"weight_ih_l0": [G*H, D], "weight_hh_l0": [G*H, H], "bias_ih_l0": [G*H],
      "bias_hh_l0": [G*H], "weight_ih_l0_reverse": ..., "weight_ih_l1": ...}.

    Raises:
      ValueError: if torch has no such layer.

    Example:
      >>> cell = seqjax.Stack((seqjax.LSTM(3), seqjax.LSTM(3)))
      >>> weights = to_torch(cell, cell.init(jax.random.key(0), 2))
      >>> weights["weight_ih_l1"].shape
      (12, 3)
    """
    layers = layers_of(cell, params, "to_torch")
    refuse_textbook_gru(layers, "to_torch")
    kinds = {(layer.cell, len(layer.params)) for layer in layers}
    if len(kinds) > 1:
        raise ValueError(f"to_torch: the layers must be alike, got {cell!r}")
    found = {}
    for number, layer in enumerate(layers):
        for suffix, own in zip(("", "_reverse"), layer.params, strict=False):
            b_x, b_h = biases(own)
            arrays = {
                "weight_ih": np.asarray(own.w_x).T,
                "weight_hh": np.asarray(own.w_h).T,
                "bias_ih": np.asarray(b_x),
                "bias_hh": np.zeros_like(b_x) if b_h is None else np.asarray(b_h),
            }
            for name, array in arrays.items():
                found[f"{name}_l{number}{suffix}"] = np.ascontiguousarray(array)
    return found


def _layers(weights: Weights) -> Iterator[list[str]]:
    """For each layer the ends of the names of its weights, forward and backward."""
    if "weight_ih" in weights.arrays:  # a cell of torch
        yield [""]
        return
    number, is_both = 0, any(name.endswith("_reverse") for name in weights.arrays)
    while f"weight_ih_l{number}" in weights.arrays or number == 0:
        suffix = f"_l{number}"
        yield [suffix, f"{suffix}_reverse"] if is_both else [suffix]
        number += 1


def _direction(
    weights: Weights, suffix: str, input_size: int | None, activation: str
) -> tuple[Any, Params]:
    """The cell of one direction of a layer, and its parameters."""
    w_h = weights.read(f"weight_hh{suffix}", (None, None))
    rows, hidden = w_h.shape
    gates = rows // max(hidden, 1)
    if gates not in (1, 3, 4) or rows % hidden:
        weights.refuse(
            f"weight_hh{suffix}",
            "[G*H, H] with G = 1 (RNN), 3 (GRU) or 4 (LSTM)",
        )
    w_x = weights.read(f"weight_ih{suffix}", (rows, input_size))
    b_x = b_h = np.zeros(rows, w_x.dtype)
    if f"bias_ih{suffix}" in weights.arrays or f"bias_hh{suffix}" in weights.arrays:
        b_x = weights.read(f"bias_ih{suffix}", (rows,))
        b_h = weights.read(f"bias_hh{suffix}", (rows,))
    matrices = jnp.asarray(w_x.T), jnp.asarray(w_h.T)
    if gates == 3:
        own = GRUResetAfterParams(*matrices, jnp.asarray(b_x), jnp.asarray(b_h))
        return GRU(hidden), own
    b = jnp.asarray(b_x + b_h)
    if gates == 4:
        return LSTM(hidden), LSTMParams(*matrices, b)
    return RNN(hidden, activation), RNNParams(*matrices, b)
