"""The peers of one recurrent layer, each a function of the seqjax cell: see `arms`.

Every library at its best: compiled whole, time first, weights as arguments.
"""

import dataclasses

import jax
import jax.numpy as jnp

import seqjax
from experiments.benchmarks.arms import JaxLayer, TorchLayer, same
from seqjax.cells import GRUParams

FLAX_CELLS = {
    seqjax.LSTM: "OptimizedLSTMCell",
    seqjax.GRU: "GRUCell",
    seqjax.RNN: "SimpleCell",
}


def seqjax_layer(cell, bfloat16=False, **options):
    """This project's; `options` are keyword arguments of `seqjax.unroll`."""

    def apply(params, xs, state):
        with jax.default_matmul_precision("BF16_BF16_F32" if bfloat16 else None):
            return seqjax.unroll(cell, params, xs, state, **options)

    return JaxLayer(cell, apply)


def linen_layer(cell):
    """flax.linen's RNN. Its GRU adds the two biases of r and z into one."""
    from flax import linen as nn

    core = getattr(nn, FLAX_CELLS[type(cell)])(cell.hidden_size)
    layer = nn.RNN(core, time_major=True, return_carry=True)

    def take(params):
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

    def apply(weights, xs, state):
        variables = {"params": {"cell": weights}}
        carry, ys = layer.apply(variables, xs, initial_carry=_flax_carry(state))
        return _our_state(state, carry), ys

    return JaxLayer(cell, apply, take)


def nnx_layer(cell):
    """flax.nnx's RNN. Its GRU has no bias within r * (...): ours is zero there."""
    from flax import nnx

    def make():
        core = getattr(nnx, FLAX_CELLS[type(cell)])(
            1,  # the input's width, which the weights decide
            cell.hidden_size,
            dtype=None,  # SimpleCell would cast to float32
            rngs=nnx.Rngs(0),
        )
        return nnx.RNN(core, time_major=True, return_carry=True, rngs=False)

    graph, _ = nnx.split(nnx.eval_shape(make))

    def ours(params):
        return params._replace(b_h=params.b_h.at[2 * cell.hidden_size :].set(0.0))

    def take(params):
        if isinstance(cell, seqjax.GRU):
            b = params.b_x + params.b_h  # of n nothing is added
            dense_i, dense_h = {"kernel": params.w_x, "bias": b}, {"kernel": params.w_h}
        elif isinstance(cell, seqjax.LSTM):
            dense_i = {"kernel": params.w_x}
            dense_h = {"kernel": params.w_h, "bias": params.b}
        else:
            dense_i = {"kernel": params.w_x, "bias": params.b}
            dense_h = {"kernel": params.w_h}
        return {"cell": {"dense_i": dense_i, "dense_h": dense_h}}

    def apply(weights, xs, state):
        layer = nnx.merge(graph, weights)
        carry, ys = layer(xs, initial_carry=_flax_carry(state))
        return _our_state(state, carry), ys

    if isinstance(cell, seqjax.GRU):
        return JaxLayer(cell, apply, take, ours, "no b_hn")
    return JaxLayer(cell, apply, take)


def haiku_layer(cell):
    """haiku's cores. Its GRU resets before the product, its VanillaRNN is a relu's."""
    import haiku as hk

    def forward(xs, state):
        if isinstance(cell, seqjax.LSTM):
            core, state = hk.LSTM(cell.hidden_size), hk.LSTMState(*state)
        elif isinstance(cell, seqjax.GRU):
            core = hk.GRU(cell.hidden_size)
        else:
            core = hk.VanillaRNN(cell.hidden_size, double_bias=False)
        return hk.dynamic_unroll(core, xs, state)

    def take(params):
        if isinstance(cell, seqjax.LSTM):
            # Gates i g f o; one is added to the forget gate.
            w_x, w_h, b = (_gates(p, "ifgo") for p in params)
            b["f"] = b["f"] - 1.0
            w = jnp.concatenate([_join(w_x, "igfo"), _join(w_h, "igfo")])
            return {"lstm/linear": {"w": w, "b": _join(b, "igfo")}}
        if isinstance(cell, seqjax.GRU):
            # Gates z r n, and h' = (1 - z) h + z n: our z negated.
            w_x, w_h, b = (_gates(p, "rzn") for p in params)
            w_x, w_h, b = (_join(p | {"z": -p["z"]}, "zrn") for p in (w_x, w_h, b))
            return {"gru": {"w_i": w_x, "w_h": w_h, "b": b}}
        return {
            "vanilla_rnn/linear": {"w": params.w_x, "b": params.b},
            "vanilla_rnn/linear_1": {"w": params.w_h},
        }

    transformed = hk.without_apply_rng(hk.transform(forward))

    def apply(weights, xs, state):
        ys, last = transformed.apply(weights, xs, state)
        return (type(state)(*last) if isinstance(state, tuple) else last), ys

    if isinstance(cell, seqjax.GRU):
        before = dataclasses.replace(cell, reset_after=False)
        return JaxLayer(before, apply, take, _without_b_h, "resets before")
    if isinstance(cell, seqjax.RNN):
        relu = dataclasses.replace(cell, activation="relu")
        return JaxLayer(relu, apply, take, same, "relu")
    return JaxLayer(cell, apply, take)


def _without_b_h(params):
    return GRUParams(params.w_x, params.w_h, params.b_x)


def _flax_carry(state):
    """flax carries (c, h)."""
    return (state.c, state.h) if isinstance(state, tuple) else state


def _our_state(like, carry):
    return type(like)(carry[1], carry[0]) if isinstance(like, tuple) else carry


def _gates(array, order):
    """Blocks of the last axis [G*H] by gate name."""
    return dict(zip(order, jnp.split(array, len(order), axis=-1), strict=True))


def _join(blocks, order):
    return jnp.concatenate([blocks[gate] for gate in order], axis=-1)


LIBRARIES = {
    "seqjax": seqjax_layer,
    "linen": linen_layer,
    "nnx": nnx_layer,
    "haiku": haiku_layer,
    "torch": TorchLayer,
}
MODULES = {
    "linen": "flax.linen",
    "nnx": "flax.nnx",
    "haiku": "haiku",
    "torch": "torch",
}
