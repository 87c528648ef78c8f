"""Weights from and to the recurrent cells of `flax.linen` and `flax.nnx`."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import jax
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
    PlainCell,
    biases,
    join,
    layers_of,
    refuse_textbook_gru,
)
from seqjax.interop.weights import Weights
from seqjax.recurrence import Unrollable

CELLS = ("LSTMCell", "OptimizedLSTMCell", "GRUCell", "SimpleCell")
FORWARD, BACKWARD = "forward_rnn", "backward_rnn"


def from_flax(
    source: Any, *, activation: str = "tanh", dropout: float = 0.0
) -> tuple[Unrollable, Params]:
    """The cell and the parameters of a recurrent layer of flax.

    Args:
      source: a module of `flax.nnx`: an LSTMCell, OptimizedLSTMCell, GRUCell or
        SimpleCell, an RNN of one, or a Bidirectional of two such RNNs; or the
        parameters of such a module of `flax.linen` or `flax.nnx` as nested dicts of
        arrays, such as `variables["params"]`; or a list of these, from the input up.
      activation: that of a SimpleCell, "tanh" or "relu", which parameters do not say.
      dropout: the dropout rate between the layers of a list.

    Returns:
      (cell, params), see `from_torch`.

    Raises:
      ValueError: naming the weight that is missing, has another shape or is unknown,
        or the setting of a module that the cells here do not have.

    Example:
      >>> from flax import linen as nn
      >>> xs = jnp.zeros((2, 35, 28))  # [B, T, D]
      >>> variables = nn.RNN(nn.OptimizedLSTMCell(8)).init(jax.random.key(0), xs)
      >>> cell, params = from_flax(variables["params"])
      >>> seqjax.unroll(cell, params, jnp.swapaxes(xs, 0, 1))[1].shape
      (35, 2, 8)

    Source: the equations in the documentation of `flax.linen.LSTMCell`, `GRUCell` and
    `SimpleCell`.
    """
    if isinstance(source, Sequence):
        layers = [
            layer
            for part in source
            for layer in layers_of(*from_flax(part, activation=activation), "from_flax")
        ]
        return join(layers, dropout)
    if not isinstance(source, Mapping):
        activation = _check_module(source, activation)
        source = _nnx_params(source)
    params = dict(source)
    for wrapper in ("params", "cell"):
        while set(params) == {wrapper}:
            params = params[wrapper]
    if FORWARD not in params and BACKWARD not in params:
        cell, own = cell_of(params, activation, "from_flax: ")
        return join([Layer(cell, (own,))])
    where = "from_flax: {}."
    pairs = [
        cell_of(params.get(name, {}).get("cell", {}), activation, where.format(name))
        for name in (FORWARD, BACKWARD)
    ]
    if pairs[0][0] != pairs[1][0]:
        raise ValueError(
            f"from_flax: both directions must be alike, got {pairs[0][0]} and "
            f"{pairs[1][0]}"
        )
    return join([Layer(pairs[0][0], tuple(own for _, own in pairs))])


def to_flax(cell: Unrollable, params: Params, api: str = "nnx") -> Any:
    """The parameters of the recurrent layer of flax with these weights.

    Args:
      cell: an RNN, a GRU with reset_after=True or an LSTM, a Bidirectional of one, or a
        Stack of these.
      params: its parameters.
      api: "linen" or "nnx". An LSTM becomes an OptimizedLSTMCell of nnx.

    Returns:
      Nested dicts of arrays: of a cell those of the flax cell, for `nnx.update` or as
      `{"params": {"cell": ...}}` of an RNN of linen; of a Bidirectional
      `{"forward_rnn": {"cell": ...}, "backward_rnn": {"cell": ...}}`; of a Stack a
      list.

    Raises:
      ValueError: if flax has no such layer. The GRUCell of nnx has no bias of the
        state, so b_h must be zero there; that of linen has one for the candidate.

    Example:
      >>> cell = seqjax.LSTM(8)
      >>> found = to_flax(cell, cell.init(jax.random.key(0), 28), "nnx")
      >>> found["dense_i"]["kernel"].shape
      (28, 32)
    """
    if api not in ("linen", "nnx"):
        raise ValueError(f'to_flax: api must be "linen" or "nnx", got {api!r}')
    layers = layers_of(cell, params, "to_flax")
    refuse_textbook_gru(layers, "to_flax")
    write = _to_linen if api == "linen" else _to_nnx
    found: list[Any] = []
    for layer in layers:
        cells = [write(layer.cell, own) for own in layer.params]
        found.append(cells[0])
        if len(cells) == 2:
            found[-1] = {FORWARD: {"cell": cells[0]}, BACKWARD: {"cell": cells[1]}}
    return found if len(found) > 1 else found[0]


GATES = {  # the names of linen, of products with the inputs and with the state
    LSTM: (("ii", "if", "ig", "io"), ("hi", "hf", "hg", "ho")),
    GRU: (("ir", "iz", "in"), ("hr", "hz", "hn")),
    RNN: (("i",), ("h",)),
}


def cell_of(
    source: Mapping[str, Any], activation: str, where: str
) -> tuple[PlainCell, Params]:
    """The cell with the parameters of one of flax, which may be traced.

    Args:
      source: nested dicts of arrays.
      activation: that of a SimpleCell.
      where: begins the sentences of errors.

    Raises:
      ValueError: naming the weight that is missing, has another shape or is unknown.
    """
    weights = Weights(_flat(source), where)
    named = [k for k, v in GATES.items() if f"{v[1][0]}.kernel" in weights.arrays]
    kind, arrays = _separate(weights, named[0]) if named else _fused(weights)
    weights.refuse_unread()
    w_x, w_h, b_x, b_h = arrays
    hidden = w_h.shape[0]
    if kind is LSTM:
        return LSTM(hidden), LSTMParams(w_x, w_h, b_h)
    if kind is GRU:
        return GRU(hidden), GRUResetAfterParams(w_x, w_h, b_x, b_h)
    return RNN(hidden, activation), RNNParams(w_x, w_h, b_x)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"hi.kernel": array} of nested dicts."""
    found: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            # nnx names a gate "if_"; linen may box an array with its partitioning.
            array = value.unbox() if hasattr(value, "unbox") else value
            found[f"{prefix}{name}".replace("if_.", "if.")] = jnp.asarray(array)
    return found


Arrays: TypeAlias = tuple[Any, Any, Any, Any]  # w_x, w_h, b_x, b_h


def _separate(weights: Weights, kind: type) -> tuple[type, Arrays]:
    """The weights of a cell with one kernel for each gate and input."""
    of_inputs, of_state = GATES[kind]
    hidden = weights.read(f"{of_state[0]}.kernel", (None, None)).shape[1]
    size = weights.read(f"{of_inputs[0]}.kernel", (None, hidden)).shape[0]

    def kernels(names: Sequence[str], rows: int) -> jax.Array:
        found = [weights.read(f"{name}.kernel", (rows, hidden)) for name in names]
        return jnp.concatenate(found, axis=1)

    def bias(names: Sequence[str]) -> jax.Array:
        zeros = jnp.zeros(hidden, weights.arrays[f"{names[0]}.kernel"].dtype)
        found = [
            weights.read(f"{name}.bias", (hidden,))
            if f"{name}.bias" in weights.arrays
            else zeros
            for name in names
        ]
        return jnp.concatenate(found)

    biased = {LSTM: of_state, GRU: (*of_inputs, "hn"), RNN: of_inputs}[kind]
    for name in biased:
        weights.read(f"{name}.bias", (hidden,))
    matrices = kernels(of_inputs, size), kernels(of_state, hidden)
    return kind, (*matrices, bias(of_inputs), bias(of_state))


def _fused(weights: Weights) -> tuple[type, Arrays]:
    """The kind of a cell of nnx with one kernel for all gates, and its weights."""
    w_h = weights.read("dense_h.kernel", (None, None))
    hidden, columns = w_h.shape
    kinds = {1: RNN, 3: GRU, 4: LSTM}
    gates = columns // max(hidden, 1)
    if gates not in kinds or columns % hidden:
        expected = "[H, G*H] with G = 1 (SimpleCell), 3 (GRUCell) or 4 (LSTM)"
        weights.refuse("dense_h.kernel", expected)
    w_x = weights.read("dense_i.kernel", (None, columns))
    zeros = jnp.zeros(columns, w_x.dtype)
    if gates == 4:
        bias = weights.read("dense_h.bias", (columns,))
        return LSTM, (w_x, w_h, zeros, bias)
    return kinds[gates], (w_x, w_h, weights.read("dense_i.bias", (columns,)), zeros)


def _to_linen(cell: PlainCell, own: Params) -> dict[str, Any]:
    """The parameters of the cell of linen."""
    of_inputs, of_state = GATES[type(cell)]
    b_x, b_h = biases(own)
    kernels = _parts(of_inputs, own.w_x) | _parts(of_state, own.w_h)
    if isinstance(cell, GRU):
        # Its gates r and z have one bias, beside the inputs.
        hidden = cell.hidden_size
        of_gates = np.where(np.arange(3 * hidden) < 2 * hidden, b_h, 0)
        bias = _parts(of_inputs, b_x + of_gates)
        bias["hn"] = np.asarray(b_h)[2 * hidden :]
    else:
        bias = _parts(of_state if isinstance(cell, LSTM) else of_inputs, b_x)
    found: dict[str, Any] = {name: {"kernel": kernels[name]} for name in kernels}
    for name, array in bias.items():
        found[name]["bias"] = array
    return found


def _parts(names: Sequence[str], array: Any) -> dict[str, np.ndarray]:
    """The blocks of columns of an array by the names of their gates."""
    blocks = np.split(np.asarray(array), len(names), axis=-1)
    return dict(zip(names, blocks, strict=True))


def _to_nnx(cell: PlainCell, own: Params) -> dict[str, Any]:
    """The parameters of the cell of nnx, of an LSTM those of OptimizedLSTMCell."""
    bias, b_h = biases(own)
    if isinstance(cell, GRU):
        if np.asarray(b_h)[2 * cell.hidden_size :].any():
            raise ValueError(
                "to_flax: the GRUCell of nnx has no bias of the state, and that of the "
                'candidate, b_h[2H:], is not zero; api="linen" has one'
            )
        bias = bias + b_h
    found = {
        "dense_i": {"kernel": np.asarray(own.w_x)},
        "dense_h": {"kernel": np.asarray(own.w_h)},
    }
    name = "dense_h" if isinstance(cell, LSTM) else "dense_i"
    found[name]["bias"] = np.asarray(bias)
    return found


def _nnx_params(module: Any) -> dict[str, Any]:
    """The parameters of a module of nnx as nested dicts."""
    from flax import nnx

    return nnx.to_pure_dict(nnx.state(module, nnx.Param))


def _check_module(module: Any, activation: str) -> str:
    """The activation of a module of nnx, if the cells here have its settings.

    Raises:
      ValueError: naming what they have not.
    """
    parts = [module]
    if hasattr(module, FORWARD):
        parts = [module.forward_rnn, module.backward_rnn]
        merge = getattr(module.merge_fn, "__name__", "")
        if merge != "_concatenate":
            raise ValueError(
                f"from_flax: the outputs of a Bidirectional must be concatenated, got "
                f"merge_fn {merge or module.merge_fn!r}"
            )
    elif getattr(module, "reverse", False):
        raise ValueError(
            "from_flax: the RNN reads backward; give its cell, and reverse=True to "
            "unroll"
        )
    for cell in (getattr(part, "cell", part) for part in parts):
        if type(cell).__name__ not in CELLS:
            raise ValueError(
                f"from_flax: one of {', '.join(CELLS)} was expected, got "
                f"{type(cell).__name__}"
            )
        found = activation_of(cell)
        if found is None:
            raise ValueError(
                f"from_flax: the {type(cell).__name__} has settings that no cell here "
                f"has: gate_fn must be sigmoid, activation_fn tanh (or relu in a "
                f"SimpleCell), and residual False"
            )
        if cell.dtype not in (None, cell.param_dtype):
            raise ValueError(
                f"from_flax: the {type(cell).__name__} computes in another dtype than "
                f"that of its weights: {jnp.dtype(cell.dtype)}"
            )
        activation = found if type(cell).__name__ == "SimpleCell" else activation
    return activation


def activation_of(cell: Any) -> str | None:
    """The activation of a cell of flax; None if no cell here has its settings.

    Args:
      cell: one of CELLS, of `flax.linen` or `flax.nnx`.
    """
    function = cell.activation_fn
    if getattr(cell, "residual", False):
        return None
    if getattr(cell, "gate_fn", jax.nn.sigmoid) is not jax.nn.sigmoid:
        return None
    if function is jax.nn.relu and type(cell).__name__ == "SimpleCell":
        return "relu"
    return "tanh" if function is jnp.tanh else None
