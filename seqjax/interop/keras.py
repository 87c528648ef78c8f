"""Weights from and to the recurrent layers of Keras 3."""

from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqjax.cell_protocol import Params
from seqjax.cells import (
    GRU,
    LSTM,
    RNN,
    GRUParams,
    GRUResetAfterParams,
    LSTMParams,
    RNNParams,
)
from seqjax.interop.layers import PlainCell, join, layers_of
from seqjax.interop.weights import Weights, as_array, reorder
from seqjax.recurrence import Bidirectional, Stack, Unrollable

NAMES = ("kernel", "recurrent_kernel", "bias")


def from_keras(
    source: Any, *, activation: str = "tanh", dropout: float = 0.0
) -> tuple[Unrollable, Params]:
    """The cell and the parameters of a recurrent layer of Keras.

    Args:
      source: a built `keras.layers.SimpleRNN`, `GRU`, `LSTM` or `Bidirectional`; or the
        arrays of one in the order of its `get_weights()`; or a list of such layers,
        from the input up.
      activation: that of a SimpleRNN, "tanh" or "relu", which arrays do not say.
      dropout: the dropout rate between the layers of a list.

    Returns:
      (cell, params), see `from_torch`; the inputs of `seqjax.unroll` are time-major.

    Raises:
      ValueError: naming the weight that is missing, has another shape or is unknown, or
        the setting of a layer that the cells here do not have.

    Example:
      >>> kernel, recurrent, bias = np.ones((2, 12)), np.ones((3, 12)), np.ones(12)
      >>> cell, params = from_keras([kernel, recurrent, bias])
      >>> cell, params.w_x.shape
      (LSTM(hidden_size=3, forget_bias=0.0), (2, 12))

    Source: the documentation of `keras.layers.LSTM`, `GRU` and `SimpleRNN`.
    """
    if isinstance(source, Sequence) and any(hasattr(x, "get_weights") for x in source):
        layers = [
            layer
            for part in source
            for layer in layers_of(*from_keras(part), "from_keras")
        ]
        return join(layers, dropout)
    merge, reset_after = "concat", True
    if hasattr(source, "get_weights"):
        activation, merge, reset_after = _check_layer(source, activation)
        source = source.get_weights()
    arrays = [as_array(array) for array in source]
    halves = [arrays]
    if len(arrays) in (4, 6):
        halves = [arrays[: len(arrays) // 2], arrays[len(arrays) // 2 :]]
    pairs = [_cell(half, activation, reset_after) for half in halves]
    if len(pairs) == 1:
        return pairs[0]
    if pairs[0][0] != pairs[1][0]:
        raise ValueError("from_keras: both directions must have the same sizes")
    cell = Bidirectional(pairs[0][0], merge)
    return cell, tuple(own for _, own in pairs)


def to_keras(cell: Unrollable, params: Params) -> Any:
    """The arrays for `set_weights` of the layer of Keras with these weights.

    Args:
      cell: an RNN, a GRU or an LSTM, a Bidirectional of one, or a Stack of these.
      params: its parameters.

    Returns:
      [kernel, recurrent_kernel, bias] of a cell, those of both directions one after
      the other of a Bidirectional, and of a Stack a list of these lists.

    Raises:
      ValueError: if a layer is something else.

    Example:
      >>> cell = seqjax.GRU(3)
      >>> [a.shape for a in to_keras(cell, cell.init(jax.random.key(0), 2))]
      [(2, 9), (3, 9), (2, 9)]
    """
    if isinstance(cell, Stack):
        pairs = zip(cell.cells, params, strict=True)
        return [to_keras(c, p) for c, p in pairs]
    if isinstance(cell, Bidirectional) and isinstance(cell.cell, PlainCell):
        return [array for own in params for array in to_keras(cell.cell, own)]
    ((_, (own,)),) = layers_of(cell, params, "to_keras")
    arrays = [np.asarray(array) for array in own]
    if isinstance(cell, GRU):
        arrays = [reorder(array, "rzn", "zrn") for array in arrays]
        if cell.reset_after:
            arrays[2:] = [np.stack(arrays[2:])]
    return arrays


def _cell(
    arrays: Sequence[np.ndarray], activation: str, reset_after: bool
) -> tuple[PlainCell, Params]:
    """The cell of Keras with these arrays; without a bias `reset_after` decides."""
    where = "from_keras: "
    if len(arrays) not in (2, 3):
        raise ValueError(
            f"{where}2 or 3 arrays of a direction were expected, {', '.join(NAMES)}, "
            f"got {len(arrays)}"
        )
    weights = Weights(dict(zip(NAMES, arrays, strict=False)), where)
    hidden, columns = weights.read("recurrent_kernel", (None, None)).shape
    gates = columns // max(hidden, 1)
    if gates not in (1, 3, 4) or columns % hidden:
        expected = "[H, G*H] with G = 1 (SimpleRNN), 3 (GRU) or 4 (LSTM)"
        weights.refuse("recurrent_kernel", expected)
    w_x = weights.read("kernel", (None, columns))
    if len(arrays) == 3:
        reset_after = arrays[2].ndim == 2
    shape = (2, columns) if gates == 3 and reset_after else (columns,)
    w_h, bias = arrays[1], np.zeros(shape, w_x.dtype)
    if "bias" in weights.arrays:
        bias = weights.read("bias", shape)
    own: Iterable[jax.Array] = map(jnp.asarray, (w_x, w_h, bias))
    if gates != 3:
        if gates == 4:
            return LSTM(hidden), LSTMParams(*own)
        return RNN(hidden, activation), RNNParams(*own)
    biases = [bias] if bias.ndim == 1 else list(bias)
    own = (jnp.asarray(reorder(a, "zrn", "rzn")) for a in (w_x, w_h, *biases))
    if len(biases) == 1:
        return GRU(hidden, reset_after=False), GRUParams(*own)
    return GRU(hidden), GRUResetAfterParams(*own)


def _check_layer(layer: Any, activation: str) -> tuple[str, str, bool]:
    """(activation, merge, reset_after) of a layer, if the cells here have its settings.

    Raises:
      ValueError: naming a setting that they have not.
    """
    config, merge = layer.get_config(), "concat"
    if hasattr(layer, "forward_layer"):
        merge = str(config["merge_mode"])
        if merge not in ("concat", "sum"):
            raise ValueError(
                f"from_keras: merge_mode must be concat or sum, got "
                f"{config['merge_mode']}"
            )
        config = layer.forward_layer.get_config()
    elif config.get("go_backwards"):
        raise ValueError("from_keras: go_backwards is an argument of unroll, reverse")
    gate = config.get("recurrent_activation", "sigmoid")
    if gate != "sigmoid":
        raise ValueError(
            f"from_keras: recurrent_activation must be sigmoid, got {gate}"
        )
    if "recurrent_activation" in config:
        if config["activation"] != "tanh":
            raise ValueError(
                f"from_keras: activation must be tanh, got {config['activation']}"
            )
        return activation, merge, config.get("reset_after", True)
    return config["activation"], merge, True
