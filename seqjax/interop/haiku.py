"""Weights from and to the recurrent cores of haiku."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from seqjax.cell_protocol import Params
from seqjax.cells import GRU, LSTM, RNN, GRUParams, LSTMParams, RNNParams
from seqjax.interop.layers import PlainCell
from seqjax.interop.weights import Weights, as_array, reorder


def from_haiku(source: Mapping[str, Any]) -> tuple[PlainCell, Params]:
    """The cell and the parameters of a `haiku.LSTM`, `GRU` or `VanillaRNN`.

    The gates of haiku's LSTM are in the order i g f o, and it adds 1 to the forget
    gate, which is added to the bias here. Its GRU resets before the product, and keeps
    the old state with 1 - z: the signs of the weights of z change. Its VanillaRNN has
    relu.

    Args:
      source: the parameters of one core, as `hk.transform(...).init` returns them, such
        as {"lstm/linear": {"w": [D + H, 4H], "b": [4H]}}; the name of the core does
        not matter.

    Returns:
      (cell, params): an LSTM, a GRU with reset_after=False, or an RNN with relu.

    Raises:
      ValueError: naming the weight that is missing, has another shape or is unknown.

    Example:
      >>> gru = {"gru": {"w_i": np.ones((2, 9)), "w_h": np.ones((3, 9))}}
      >>> gru["gru"]["b"] = np.zeros(9)
      >>> from_haiku(gru)[0]
      GRU(hidden_size=3, reset_after=False)

    Source: the equations in the documentation of `haiku.LSTM`, `GRU` and `VanillaRNN`.
    """
    arrays: dict[str, np.ndarray] = {}
    for module, own in source.items():
        last = module.rpartition("/")[2]
        prefix = f"{last}." if last.startswith("linear") else ""  # a core has any name
        arrays |= {f"{prefix}{name}": as_array(array) for name, array in own.items()}
    weights = Weights(arrays, "from_haiku: ")
    read: Callable[[Weights], tuple[PlainCell, Params]] = _gru
    if "linear.w" in arrays:
        read = _rnn if "linear_1.w" in arrays else _lstm
    found = read(weights)
    weights.refuse_unread()
    return found


def to_haiku(cell: PlainCell, params: Params) -> dict[str, dict[str, np.ndarray]]:
    """The parameters of the core of haiku with these weights, see `from_haiku`.

    1 is subtracted from the bias of an LSTM's forget gate. That rounds it to a multiple
    of 2**-24, where it is smaller; all other weights are exact.

    Args:
      cell: an LSTM, a GRU with reset_after=False, or an RNN with relu.
      params: its parameters.

    Returns:
      {module: {name: array}}, float32.

    Raises:
      ValueError: if haiku has no such core.

    Example:
      >>> cell = seqjax.LSTM(3)
      >>> to_haiku(cell, cell.init(jax.random.key(0), 2))["lstm/linear"]["w"].shape
      (5, 12)
    """
    own = [np.asarray(array) for array in params]
    if isinstance(cell, LSTM):
        w_x, w_h, b = (reorder(array, "ifgo", "igfo") for array in own)
        hidden = cell.hidden_size
        b[2 * hidden : 3 * hidden] -= 1
        return {"lstm/linear": {"w": np.concatenate([w_x, w_h]), "b": b}}
    if isinstance(params, GRUParams):
        w_x, w_h, b = (_negate_z(reorder(array, "rzn", "zrn"), 0) for array in own)
        return {"gru": {"w_i": w_x, "w_h": w_h, "b": b}}
    if isinstance(cell, RNN) and cell.activation == "relu":
        w_x, w_h, b = own
        return {
            "vanilla_rnn/linear": {"w": w_x, "b": b},
            "vanilla_rnn/linear_1": {"w": w_h, "b": np.zeros_like(b)},
        }
    raise ValueError(
        f"to_haiku: an LSTM, a GRU with reset_after=False or an RNN with "
        f'activation="relu" was expected, got {cell!r}'
    )


def _lstm(weights: Weights) -> tuple[LSTM, LSTMParams]:
    rows, columns = weights.read("linear.w", (None, None)).shape
    hidden = columns // 4
    if columns % 4 or not 0 < hidden < rows:
        weights.refuse("linear.w", "[D + H, 4H]")
    w = reorder(weights.arrays["linear.w"], "igfo", "ifgo")
    b = reorder(weights.read("linear.b", (columns,)), "igfo", "ifgo")
    b[hidden : 2 * hidden] += 1
    w_x, w_h = np.split(w, [rows - hidden])
    return LSTM(hidden), LSTMParams(*map(jnp.asarray, (w_x, w_h, b)))


def _gru(weights: Weights) -> tuple[GRU, GRUParams]:
    hidden = weights.read("w_h", (None, None)).shape[0]
    arrays = (
        weights.read("w_i", (None, 3 * hidden)),
        weights.read("w_h", (hidden, 3 * hidden)),
        weights.read("b", (3 * hidden,)),
    )
    own = (_negate_z(reorder(array, "zrn", "rzn"), 1) for array in arrays)
    return GRU(hidden, reset_after=False), GRUParams(*map(jnp.asarray, own))


def _rnn(weights: Weights) -> tuple[RNN, RNNParams]:
    w_h = weights.read("linear_1.w", (None, None))
    hidden = w_h.shape[1]
    weights.read("linear_1.w", (hidden, hidden))
    w_x = weights.read("linear.w", (None, hidden))
    b = weights.read("linear.b", (hidden,))
    if "linear_1.b" in weights.arrays:  # double_bias=True
        b = b + weights.read("linear_1.b", (hidden,))
    return RNN(hidden, "relu"), RNNParams(*map(jnp.asarray, (w_x, w_h, b)))


def _negate_z(array: np.ndarray, block: int) -> np.ndarray:
    """The array with the signs of one of its three blocks of columns changed."""
    size = array.shape[-1] // 3
    array[..., block * size : (block + 1) * size] *= -1
    return array
