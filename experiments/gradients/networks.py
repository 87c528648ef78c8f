"""The untrained networks whose gradients are measured."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import seqjax
from experiments.gradients.config import NormsConfig
from seqjax.cell_protocol import Cell, Params

BATCH_SIZE = 32  # sequences over which norms are averaged


class Network(NamedTuple):
    """A cell with its parameters and the inputs [T, B, D] that it reads."""

    cell: Cell
    params: Params
    xs: jax.Array


def untrained_networks(
    config: NormsConfig, hidden_size: int, seed: int
) -> dict[str, Network]:
    """{name: Network}: RNNs by spectral radius, a GRU, LSTMs by forget bias."""
    k_xs, k_params, k_matrix = jax.random.split(jax.random.key(seed), 3)
    shape = (config.num_steps, BATCH_SIZE, 2)
    xs = jax.random.normal(k_xs, shape) * config.input_scale
    found = {}
    for radius in sorted(set(config.radii)):
        cell = seqjax.RNN(hidden_size, b_init=jax.nn.initializers.zeros)
        matrix = jax.random.normal(k_matrix, (hidden_size, hidden_size))
        params = cell.init(k_params, 2)._replace(w_h=with_radius(matrix, radius))
        found[rnn_name(radius)] = Network(cell, params, xs)
    gru = seqjax.GRU(hidden_size)
    found["GRU"] = Network(gru, gru.init(k_params, 2), xs)
    for bias in sorted(set(config.forget_biases)):
        lstm = seqjax.LSTM(hidden_size, forget_bias=bias)
        name = f"LSTM, forget bias {bias:g}"
        found[name] = Network(lstm, lstm.init(k_params, 2), xs)
    return found


def rnn_name(radius: float) -> str:
    """The name of the RNN with this spectral radius."""
    return f"RNN, radius {radius:g}"


def name_of_stablest(config: NormsConfig) -> str:
    """The name of the RNN whose radius is nearest to 1; the GRU if there is no RNN."""
    radii = sorted(set(config.radii))
    nearest = min(radii, key=lambda radius: abs(radius - 1), default=None)
    return "GRU" if nearest is None else rnn_name(nearest)


def with_radius(matrix: Any, radius: float) -> jax.Array:
    """The matrix scaled to this spectral radius, the largest modulus of eigenvalues."""
    matrix = np.asarray(matrix, np.float64)
    largest = np.abs(np.linalg.eigvals(matrix)).max()
    return jnp.asarray(matrix * (radius / largest), jnp.float32)
