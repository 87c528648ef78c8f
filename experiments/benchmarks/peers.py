"""One recurrent layer of each library, as a function of the seqjax cell.

Each library is used in its fastest form: compiled as a whole, time first, weights as
arguments. See `layers` for the interface.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

import seqjax
from experiments.benchmarks.config import StandardCell
from experiments.benchmarks.layers import (
    JaxLayer,
    Layer,
    Params,
    State,
    TorchLayer,
    Weights,
    identity,
)
from seqjax.cells import GRUParams, LSTMState

FLAX_CELLS: dict[type[StandardCell], str] = {
    seqjax.LSTM: "OptimizedLSTMCell",
    seqjax.GRU: "GRUCell",
    seqjax.RNN: "SimpleCell",
}


def seqjax_layer(
    cell: StandardCell, bfloat16: bool = False, **options: Any
) -> JaxLayer:
    """The layer of seqjax.

    Args:
      cell: RNN, GRU or LSTM.
      bfloat16: compute products in bfloat16.
      **options: keyword arguments of `seqjax.unroll`.
    """

    def apply(params: Params, xs: jax.Array, state: State) -> tuple[State, jax.Array]:
        with jax.default_matmul_precision("BF16_BF16_F32" if bfloat16 else None):
            return seqjax.unroll(cell, params, xs, state, **options)

    return JaxLayer(cell, apply)


def linen_layer(cell: StandardCell) -> JaxLayer:
    """The RNN of flax.linen. Its GRU has one bias instead of two for r and for z."""
    from flax import linen as nn

    core = getattr(nn, FLAX_CELLS[type(cell)])(cell.hidden_size)
    layer = nn.RNN(core, time_major=True, return_carry=True)

    def convert(params: Params) -> Weights:
        if isinstance(cell, seqjax.RNN):
            return {
                "i": {"kernel": params.w_x, "bias": params.b},
                "h": {"kernel": params.w_h},
            }
        if isinstance(cell, seqjax.LSTM):
            w_x, w_h, b = (_gates(p, "ifgo") for p in params)
            weights = {f"i{g}": {"kernel": w_x[g]} for g in "ifgo"}
            return weights | {f"h{g}": {"kernel": w_h[g], "bias": b[g]} for g in "ifgo"}
        w_x, w_h, b_x, b_h = (_gates(p, "rzn") for p in params)
        b = {"r": b_x["r"] + b_h["r"], "z": b_x["z"] + b_h["z"], "n": b_x["n"]}
        weights = {f"i{g}": {"kernel": w_x[g], "bias": b[g]} for g in "rzn"}
        weights |= {f"h{g}": {"kernel": w_h[g]} for g in "rz"}
        return weights | {"hn": {"kernel": w_h["n"], "bias": b_h["n"]}}

    def apply(weights: Weights, xs: jax.Array, state: State) -> tuple[State, Any]:
        variables = {"params": {"cell": weights}}
        carry, ys = layer.apply(variables, xs, initial_carry=_to_flax(state))
        return _from_flax(carry, state), ys

    return JaxLayer(cell, apply, convert)


def nnx_layer(cell: StandardCell) -> JaxLayer:
    """The RNN of flax.nnx. Its GRU has no bias b_hn, which is set to zero in seqjax."""
    from flax import nnx

    def make() -> Any:
        core = getattr(nnx, FLAX_CELLS[type(cell)])(
            1,  # input size; the weights that `apply` merges have their own
            cell.hidden_size,
            dtype=None,  # SimpleCell would cast to float32
            rngs=nnx.Rngs(0),
        )
        return nnx.RNN(core, time_major=True, return_carry=True, rngs=False)

    graph, _ = nnx.split(nnx.eval_shape(make))

    def adapt(params: Params) -> Params:
        return params._replace(b_h=params.b_h.at[2 * cell.hidden_size :].set(0.0))

    def convert(params: Params) -> Weights:
        if isinstance(cell, seqjax.GRU):
            b = params.b_x + params.b_h  # b_hn is zero
            dense_i, dense_h = {"kernel": params.w_x, "bias": b}, {"kernel": params.w_h}
        elif isinstance(cell, seqjax.LSTM):
            dense_i = {"kernel": params.w_x}
            dense_h = {"kernel": params.w_h, "bias": params.b}
        else:
            dense_i = {"kernel": params.w_x, "bias": params.b}
            dense_h = {"kernel": params.w_h}
        return {"cell": {"dense_i": dense_i, "dense_h": dense_h}}

    def apply(weights: Weights, xs: jax.Array, state: State) -> tuple[State, Any]:
        layer = nnx.merge(graph, weights)
        carry, ys = layer(xs, initial_carry=_to_flax(state))
        return _from_flax(carry, state), ys

    if isinstance(cell, seqjax.GRU):
        return JaxLayer(cell, apply, convert, adapt, "no b_hn")
    return JaxLayer(cell, apply, convert)


def haiku_layer(cell: StandardCell) -> JaxLayer:
    """The cores of haiku.

    Its GRU applies the reset gate before the product, its VanillaRNN uses a relu.
    """
    import haiku as hk

    def forward(xs: jax.Array, state: State) -> Any:
        if isinstance(cell, seqjax.LSTM):
            core, state = hk.LSTM(cell.hidden_size), hk.LSTMState(*state)
        elif isinstance(cell, seqjax.GRU):
            core = hk.GRU(cell.hidden_size)
        else:
            core = hk.VanillaRNN(cell.hidden_size, double_bias=False)
        return hk.dynamic_unroll(core, xs, state)

    def convert(params: Params) -> Weights:
        if isinstance(cell, seqjax.LSTM):
            # haiku has the gate order i g f o and adds 1 to the forget gate.
            w_x, w_h, b = (_gates(p, "ifgo") for p in params)
            b["f"] = b["f"] - 1.0
            w = jnp.concatenate([_join(w_x, "igfo"), _join(w_h, "igfo")])
            return {"lstm/linear": {"w": w, "b": _join(b, "igfo")}}
        if isinstance(cell, seqjax.GRU):
            # haiku has the gate order z r n and h' = (1 - z) h + z n. Since
            # sigmoid(-x) = 1 - sigmoid(x), the weights of z change their sign.
            gates = (_gates(p, "rzn") for p in params)
            arrays = (_join(g | {"z": -g["z"]}, "zrn") for g in gates)
            return {"gru": dict(zip(("w_i", "w_h", "b"), arrays, strict=True))}
        return {
            "vanilla_rnn/linear": {"w": params.w_x, "b": params.b},
            "vanilla_rnn/linear_1": {"w": params.w_h},
        }

    transformed: Any = hk.without_apply_rng(hk.transform(forward))

    def apply(weights: Weights, xs: jax.Array, state: State) -> tuple[State, Any]:
        ys, last = transformed.apply(weights, xs, state)
        return (LSTMState(*last) if isinstance(state, LSTMState) else last), ys

    if isinstance(cell, seqjax.GRU):
        reset_before = dataclasses.replace(cell, reset_after=False)
        return JaxLayer(reset_before, apply, convert, _without_b_h, "resets before")
    if isinstance(cell, seqjax.RNN):
        relu = dataclasses.replace(cell, activation="relu")
        return JaxLayer(relu, apply, convert, identity, "relu")
    return JaxLayer(cell, apply, convert)


def _without_b_h(params: Params) -> GRUParams:
    return GRUParams(params.w_x, params.w_h, params.b_x)


def _to_flax(state: State) -> Any:
    """The carry of flax, (c, h) for an LSTM."""
    return (state.c, state.h) if isinstance(state, LSTMState) else state


def _from_flax(carry: Any, like: State) -> State:
    return LSTMState(carry[1], carry[0]) if isinstance(like, LSTMState) else carry


def _gates(array: jax.Array, order: str) -> dict[str, jax.Array]:
    """The blocks of the last axis [G*H] by gate."""
    return dict(zip(order, jnp.split(array, len(order), axis=-1), strict=True))


def _join(blocks: Mapping[str, jax.Array], order: str) -> jax.Array:
    return jnp.concatenate([blocks[gate] for gate in order], axis=-1)


# For each library, a function of the cell and of the options of its arms.
LIBRARIES: dict[str, Callable[..., Layer]] = {
    "seqjax": seqjax_layer,
    "linen": linen_layer,
    "nnx": nnx_layer,
    "haiku": haiku_layer,
    "torch": TorchLayer,
}
# The module that each peer imports.
MODULES = {
    "linen": "flax.linen",
    "nnx": "flax.nnx",
    "haiku": "haiku",
    "torch": "torch",
}
