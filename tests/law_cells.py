"""The cells that the laws and the engine's tests run on.

To put a new cell under the laws, add it to `CELLS`, or run them with the option
`--cell=module:Class`, which also takes a cell that is not of this repository.
"""

import dataclasses
import importlib
from typing import NamedTuple

import jax
import jax.numpy as jnp

import seqjax
from seqjax.nn.layers import matmul

H = 5


class LeakyParams(NamedTuple):
    w_x: jax.Array
    w_h: jax.Array
    w_r: jax.Array


@dataclasses.dataclass(frozen=True)
class Leaky:
    """No published cell: two products, one of them gated, and a step counter.

    Its output differs from its state, and it gives no hint on the width of a gate.
    """

    output_size: int

    def init(self, key, input_size):
        k_x, k_h, k_r = jax.random.split(key, 3)
        square = (self.output_size, self.output_size)
        return LeakyParams(
            w_x=jax.random.normal(k_x, (input_size, self.output_size)),
            w_h=0.5 * jax.random.normal(k_h, square),
            w_r=0.5 * jax.random.normal(k_r, square),
        )

    def initial_state(self, batch_shape=()):
        return jnp.zeros((*batch_shape, self.output_size)), jnp.zeros(batch_shape, int)

    def project(self, params, xs):
        return {"z": xs @ params.w_x}

    def step(self, params, state, z, dot=jnp.dot):
        h, count = state
        leak = jax.nn.sigmoid(dot(h, params.w_r))
        h = (1 - leak) * h + leak * jnp.tanh(z["z"] + dot(leak * h, params.w_h))
        return (h, count + 1), 2 * h


class MGUParams(NamedTuple):
    w_x: jax.Array  # [D, 2H]
    w_f: jax.Array  # [H, H]
    w_h: jax.Array  # [H, H]
    b_f: jax.Array  # [H]
    b_h: jax.Array  # [H]


@dataclasses.dataclass(frozen=True)
class MGU:
    """The minimal gated unit of Zhou et al. (2016), which seqjax does not have.

    f  = sigmoid(x W_f + h U_f + b_f)
    h' = (1 - f) * h + f * tanh(x W_h + (f * h) U_h + b_h)
    """

    hidden_size: int

    @property
    def output_size(self):
        return self.hidden_size

    @property
    def gate_size(self):
        return self.hidden_size

    def init(self, key, input_size):
        keys = jax.random.split(key, 5)
        size = self.hidden_size
        shapes = [(input_size, 2 * size), (size, size), (size, size), (size,), (size,)]
        draws = map(jax.random.normal, keys, shapes)
        return MGUParams(*(0.5 * draw for draw in draws))

    def initial_state(self, batch_shape=()):
        return jnp.zeros((*batch_shape, self.hidden_size))

    def project(self, params, xs):
        return matmul(xs, params.w_x)

    def step(self, params, h, z, dot=jnp.dot):
        x_f, x_h = jnp.split(z, 2, axis=-1)
        f = jax.nn.sigmoid(x_f + dot(h, params.w_f) + params.b_f)
        n = jnp.tanh(x_h + dot(f * h, params.w_h) + params.b_h)
        h = (1 - f) * h + f * n
        return h, h


CELLS = {
    "rnn": seqjax.RNN(H),
    "rnn_relu": seqjax.RNN(H, activation="relu"),
    "gru": seqjax.GRU(H),
    "gru_textbook": seqjax.GRU(H, reset_after=False),
    "lstm": seqjax.LSTM(H, forget_bias=1.0),
    "layer_norm": seqjax.LayerNormLSTM(H),
    "peephole": seqjax.PeepholeLSTM(H),
    "coupled": seqjax.CoupledLSTM(H),
    "mogrifier": seqjax.MogrifierLSTM(H, rounds=2),
    "zoneout": seqjax.Zoneout(seqjax.LSTM(H), rates=(0.1, 0.3)),
    "weight_norm": seqjax.WeightNorm(seqjax.LSTM(H)),
    "own": Leaky(H),
}
STACKS = {
    "stack": seqjax.Stack((seqjax.LSTM(4), Leaky(H))),
}
BIDIRECTIONAL = {
    "bidirectional": seqjax.Bidirectional(seqjax.LSTM(H)),
    "bidirectional_sum": seqjax.Bidirectional(seqjax.GRU(H), merge="sum"),
    "nested": seqjax.Stack(
        (seqjax.Bidirectional(seqjax.Stack((seqjax.RNN(4), Leaky(H)))), seqjax.GRU(H))
    ),
}
FORWARD = CELLS | STACKS
ALL = FORWARD | BIDIRECTIONAL


def add(name):
    """Put a cell under the laws.

    Args:
      name: "module:Class", where Class(H) is a cell with H units.
    """
    module, _, of_class = name.partition(":")
    cell = getattr(importlib.import_module(module), of_class)(H)
    for cells in (CELLS, FORWARD, ALL):
        cells[of_class] = cell
