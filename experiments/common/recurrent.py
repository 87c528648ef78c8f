"""The recurrent layers of a model, from settings."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax

import seqjax
from experiments.common.settings import Settings, setting

INITIALIZERS: dict[str, dict[str, Any]] = {
    "uniform": {},
    "orthogonal": {"w_h_init": jax.nn.initializers.orthogonal()},
    "normal": {
        "w_x_init": jax.nn.initializers.normal(0.01),
        "w_h_init": jax.nn.initializers.normal(0.01),
        "b_init": jax.nn.initializers.zeros,
    },
}
CELLS: dict[str, Callable[..., Any]] = {
    "rnn": lambda size, forget_bias, **init: seqjax.RNN(size, **init),
    "rnn_relu": lambda size, forget_bias, **init: seqjax.RNN(size, "relu", **init),
    "gru": lambda size, forget_bias, **init: seqjax.GRU(size, **init),
    "gru_textbook": lambda size, forget_bias, **init: seqjax.GRU(size, False, **init),
    "lstm": seqjax.LSTM,
    "lstm_layer_norm": seqjax.LayerNormLSTM,
    "lstm_peephole": seqjax.PeepholeLSTM,
    "lstm_coupled": seqjax.CoupledLSTM,
}


@dataclasses.dataclass(frozen=True)
class RecurrentConfig(Settings):
    """The cell, the number and the size of its layers, and their dropout."""

    cell: str = setting("lstm", "Recurrent cell of every layer.", choices=list(CELLS))
    hidden_size: int = setting(
        256, "Number of hidden units per layer.", minimum=1, maximum=10**6
    )
    num_layers: int = setting(
        1, "Number of recurrent layers.", minimum=1, maximum=10**3
    )
    bidirectional: bool = setting(
        False, "Whether each layer reads the sequence in both directions."
    )
    init: str = setting(
        "uniform",
        "Initial weights: uniform between -1/sqrt(hidden_size) and "
        "1/sqrt(hidden_size), orthogonal recurrent weights, or normal with deviation "
        "0.01.",
        choices=list(INITIALIZERS),
    )
    forget_bias: float = setting(
        0.0, "Value added to the initial bias of an LSTM's forget gate."
    )
    weight_norm: bool = setting(
        False,
        "Whether the matrices of the cells are given by the directions and the lengths "
        "of their columns (weight normalization).",
    )
    dropout: float = setting(
        0.1,
        "Dropout rate on the inputs, on the outputs and between layers.",
        minimum=0,
        maximum=0.99,
    )
    locked_dropout: bool = setting(
        False,
        "Whether a sequence keeps one dropout mask at all time steps (variational "
        "dropout).",
    )
    bfloat16: bool = setting(
        False,
        "Whether matrix products are computed in bfloat16, and the logits of a full "
        "softmax kept in it; the rest stays in float32.",
    )


def initializers(config: RecurrentConfig) -> dict[str, Any]:
    """The initializers of the cell's weights, as keyword arguments of a cell."""
    return INITIALIZERS[config.init]


def make_layer(
    config: RecurrentConfig,
    hidden_size: int | None = None,
    cells: Mapping[str, Callable[..., Any]] = CELLS,
) -> Any:
    """One layer of one direction, with `config.hidden_size` units by default."""
    size = hidden_size or config.hidden_size
    cell = cells[config.cell](size, config.forget_bias, **initializers(config))
    return seqjax.WeightNorm(cell) if config.weight_norm else cell


def make_cell(
    config: RecurrentConfig,
    hidden_size: int | None = None,
    cells: Mapping[str, Callable[..., Any]] = CELLS,
    last_size: int | None = None,
    dropout: float | None = None,
) -> Any:
    """All recurrent layers: a cell, a Bidirectional or a Stack.

    Args:
      config: the settings.
      hidden_size: number of units of a layer, by default `config.hidden_size`.
      cells: what --cell stands for.
      last_size: number of units of the last layer, if it differs.
      dropout: rate between layers, by default `config.dropout`.
    """
    sizes = [hidden_size] * config.num_layers
    sizes[-1] = last_size or hidden_size
    layers = [make_layer(config, size, cells) for size in sizes]
    if config.bidirectional:
        layers = [seqjax.Bidirectional(layer) for layer in layers]
    if len(layers) == 1:
        return layers[0]
    rate = config.dropout if dropout is None else dropout
    return seqjax.Stack(tuple(layers), rate, config.locked_dropout)


def with_precision(mode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Run a mode of a command with matrix products as `config.model.bfloat16` says."""

    @functools.wraps(mode)
    def run(config: Any) -> Any:
        with precision(config.model):
            return mode(config)

    return run


def precision(config: RecurrentConfig) -> contextlib.AbstractContextManager[Any]:
    """The context in which matrix products have the configured precision."""
    if config.bfloat16:
        return jax.default_matmul_precision("BF16_BF16_F32")
    return contextlib.nullcontext()
