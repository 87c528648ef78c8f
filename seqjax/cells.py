"""Recurrent cells: RNN, GRU and LSTM as frozen dataclasses with pure methods.

A cell is four functions and no hidden state:

    params = cell.init(key, input_size)          # NamedTuple of arrays
    state = cell.initial_state(batch_shape)      # NamedTuple or array
    zs = cell.project(params, xs)                # all that needs no state, for all T
    state, y = cell.step(params, state, z, dot)  # one time step

`project` is called once before the loop and `step` inside it. `step` multiplies by
recurrent weights only through `dot`, so that an engine may watch the products.
Any object with these four functions and `hidden_size`, the width of y, is a cell;
`seqjax.unroll` runs it.

Letters: T time, D input, H hidden, G gates; `...` is any batch shape.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from seqjax.nn.activations import tanh
from seqjax.nn.layers import matmul

Array = jax.Array
# (key, shape, dtype) -> array, as in jax.nn.initializers
Initializer = Callable[..., Array]
Dot = Callable[[Array, Array], Array]


def uniform_by_hidden_size(key, shape, dtype=jnp.float32):
    """U(-1/sqrt(H), 1/sqrt(H)) for a block `shape` [..., H]: torch's default."""
    bound = shape[-1] ** -0.5
    return jax.random.uniform(key, shape, dtype, minval=-bound, maxval=bound)


def _init_gates(init, key, shape, gates, dtype):
    """Draw each gate's block on its own and join them: [..., H] -> [..., G*H]."""
    keys = jax.random.split(key, gates)
    return jnp.concatenate([init(k, shape, dtype) for k in keys], axis=-1)


class RNNParams(NamedTuple):
    """Parameters of an RNN."""

    w_x: Array  # [D, H]
    w_h: Array  # [H, H]
    b: Array  # [H]


@dataclasses.dataclass(frozen=True)
class RNN:
    """The plain recurrent layer of Elman.

        h_t = phi(x_t @ w_x + h_{t-1} @ w_h + b)
        y_t = h_t

    Args:
      hidden_size: H.
      activation: phi, "tanh" or "relu".
      w_x_init, w_h_init, b_init: initializers `(key, shape, dtype) -> array`, as in
        `jax.nn.initializers`; the default is torch's uniform.

    Shapes: w_x [D, H], w_h [H, H], b [H]; the state is the array h [..., H].

    Raises:
      ValueError: for a hidden size below 1 or an unknown activation.

    Example:
      >>> cell = seqjax.RNN(hidden_size=256)
      >>> params = cell.init(jax.random.key(0), input_size=28)
      >>> h, ys = seqjax.unroll(cell, params, xs)        # xs [T, B, 28], ys [T, B, 256]

    Source: Elman, "Finding structure in time", Cognitive Science 14, 1990.
    """

    hidden_size: int
    activation: str = "tanh"
    w_x_init: Initializer = dataclasses.field(
        default=uniform_by_hidden_size, repr=False
    )
    w_h_init: Initializer = dataclasses.field(
        default=uniform_by_hidden_size, repr=False
    )
    b_init: Initializer = dataclasses.field(default=uniform_by_hidden_size, repr=False)

    def __post_init__(self):
        _check_hidden_size(self)
        if self.activation not in ("tanh", "relu"):
            raise ValueError(
                f'RNN: activation must be "tanh" or "relu", got {self.activation!r}'
            )

    def init(self, key, input_size, dtype=jnp.float32):
        """Fresh parameters for inputs of width `input_size`."""
        k_x, k_h, k_b = jax.random.split(key, 3)
        hidden = self.hidden_size
        return RNNParams(
            w_x=self.w_x_init(k_x, (input_size, hidden), dtype),
            w_h=self.w_h_init(k_h, (hidden, hidden), dtype),
            b=self.b_init(k_b, (hidden,), dtype),
        )

    def initial_state(self, batch_shape=()):
        """Zeros, float32, for a batch of any shape."""
        return jnp.zeros((*batch_shape, self.hidden_size), jnp.float32)

    def project(self, params, xs):
        """The products that need no state: [T, ..., D] -> [T, ..., G*H]."""
        return matmul(xs, params.w_x)  # [T, ..., H]

    def step(self, params, state, z, dot: Dot = jnp.dot):
        """One time step from the projection z [..., G*H]: (new state, y [..., H])."""
        phi = tanh if self.activation == "tanh" else jax.nn.relu
        h = phi(z + dot(state, params.w_h) + params.b)
        return h, h


class GRUParams(NamedTuple):
    """Parameters of a GRU with the reset before the product; gates r z n."""

    w_x: Array  # [D, 3H]
    w_h: Array  # [H, 3H]
    b: Array  # [3H]


class GRUResetAfterParams(NamedTuple):
    """Parameters of a GRU with the reset after the product; gates r z n."""

    w_x: Array  # [D, 3H]
    w_h: Array  # [H, 3H]
    b_x: Array  # [3H]
    b_h: Array  # [3H]


@dataclasses.dataclass(frozen=True)
class GRU:
    """The gated recurrent unit; gate order r z n (reset, update, candidate).

    With `reset_after=True`, the default, as in cuDNN and torch:

        x_r, x_z, x_n = split(x @ w_x + b_x)
        h_r, h_z, h_n = split(h @ w_h + b_h)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = tanh(x_n + r * h_n)
        h' = z * h + (1 - z) * n

    With `reset_after=False`, as in the textbooks, one bias:

        x_r, x_z, x_n = split(x @ w_x + b)
        h_r, h_z = split(h @ w_h[:, :2H])
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = tanh(x_n + (r * h) @ w_h[:, 2H:])
        h' = z * h + (1 - z) * n

    z near 1 keeps the old state. Texts that write h' = (1 - z) * h + z * n mean the
    same model with z replaced by 1 - z: negate w_x[z], w_h[z] and the bias.

    Args:
      hidden_size: H.
      reset_after: whether r scales the product (True) or the state (False).
      w_x_init, w_h_init, b_init: initializers, called gate by gate.

    Shapes: w_x [D, 3H], w_h [H, 3H], biases [3H]; the state is the array h [..., H].

    Raises:
      ValueError: for a hidden size below 1.

    Example:
      >>> cell = seqjax.GRU(hidden_size=256)
      >>> params = cell.init(jax.random.key(0), input_size=28)
      >>> h, ys = seqjax.unroll(cell, params, xs)        # xs [T, B, 28], ys [T, B, 256]

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder",
    2014, arXiv:1406.1078, section 2.3 (v1 has the reset after the product, v3 before).
    """

    hidden_size: int
    reset_after: bool = True
    w_x_init: Initializer = dataclasses.field(
        default=uniform_by_hidden_size, repr=False
    )
    w_h_init: Initializer = dataclasses.field(
        default=uniform_by_hidden_size, repr=False
    )
    b_init: Initializer = dataclasses.field(default=uniform_by_hidden_size, repr=False)

    def __post_init__(self):
        _check_hidden_size(self)

    def init(self, key, input_size, dtype=jnp.float32):
        """Fresh parameters for inputs of width `input_size`."""
        k_x, k_h, k_b, k_bh = jax.random.split(key, 4)
        hidden = self.hidden_size
        w_x = _init_gates(self.w_x_init, k_x, (input_size, hidden), 3, dtype)
        w_h = _init_gates(self.w_h_init, k_h, (hidden, hidden), 3, dtype)
        b_x = _init_gates(self.b_init, k_b, (hidden,), 3, dtype)
        if not self.reset_after:
            return GRUParams(w_x, w_h, b_x)
        b_h = _init_gates(self.b_init, k_bh, (hidden,), 3, dtype)
        return GRUResetAfterParams(w_x, w_h, b_x, b_h)

    def initial_state(self, batch_shape=()):
        """Zeros, float32, for a batch of any shape."""
        return jnp.zeros((*batch_shape, self.hidden_size), jnp.float32)

    def project(self, params, xs):
        """The products that need no state: [T, ..., D] -> [T, ..., G*H]."""
        return matmul(xs, params.w_x)  # [T, ..., 3H]

    def step(self, params, state, z, dot: Dot = jnp.dot):
        """One time step from the projection z [..., G*H]: (new state, y [..., H])."""
        h = state
        b_x = params.b_x if self.reset_after else params.b
        x_r, x_z, x_n = jnp.split(z + b_x, 3, axis=-1)  # [..., 3H] -> 3 x [..., H]
        if self.reset_after:
            h_r, h_z, h_n = jnp.split(dot(h, params.w_h) + params.b_h, 3, axis=-1)
            r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
            n = tanh(x_n + r * h_n)
        else:
            w_rz, w_n = jnp.split(params.w_h, [2 * self.hidden_size], axis=-1)
            h_r, h_z = jnp.split(dot(h, w_rz), 2, axis=-1)
            r, z = jax.nn.sigmoid(x_r + h_r), jax.nn.sigmoid(x_z + h_z)
            n = tanh(x_n + dot(r * h, w_n))
        h = z * h + (1 - z) * n
        return h, h


class LSTMParams(NamedTuple):
    """Parameters of an LSTM; gates i f g o."""

    w_x: Array  # [D, 4H]
    w_h: Array  # [H, 4H]
    b: Array  # [4H]


class LSTMState(NamedTuple):
    """The output h and the memory c of an LSTM."""

    h: Array  # [..., H]
    c: Array  # [..., H]


@dataclasses.dataclass(frozen=True)
class LSTM:
    """Long short-term memory; gate order i f g o (input, forget, cell, output).

        i, f, g, o = split(x @ w_x + h @ w_h + b)
        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(c')
        y  = h'

    The form on the concatenation, [x, h] @ W + b, is the same model with
    W = [w_x; w_h] stacked by rows.

    Args:
      hidden_size: H.
      forget_bias: added to the initial bias of the forget gate; 1 makes a new network
        remember (Jozefowicz et al. 2015), 0 is torch's.
      w_x_init, w_h_init, b_init: initializers, called gate by gate.

    Shapes: w_x [D, 4H], w_h [H, 4H], b [4H]; the state is LSTMState(h, c), each
    [..., H].

    Raises:
      ValueError: for a hidden size below 1.

    Example:
      >>> cell = seqjax.LSTM(hidden_size=256)
      >>> params = cell.init(jax.random.key(0), input_size=28)
      >>> (h, c), ys = seqjax.unroll(cell, params, xs)   # xs [T, B, 28], ys [T, B, 256]

    Source: Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9,
    1997, with the forget gate of Gers, Schmidhuber and Cummins, 2000.
    """

    hidden_size: int
    forget_bias: float = 0.0
    w_x_init: Initializer = dataclasses.field(
        default=uniform_by_hidden_size, repr=False
    )
    w_h_init: Initializer = dataclasses.field(
        default=uniform_by_hidden_size, repr=False
    )
    b_init: Initializer = dataclasses.field(default=uniform_by_hidden_size, repr=False)

    def __post_init__(self):
        _check_hidden_size(self)

    def init(self, key, input_size, dtype=jnp.float32):
        """Fresh parameters for inputs of width `input_size`."""
        k_x, k_h, k_b = jax.random.split(key, 3)
        hidden = self.hidden_size
        b = _init_gates(self.b_init, k_b, (hidden,), 4, dtype)
        return LSTMParams(
            w_x=_init_gates(self.w_x_init, k_x, (input_size, hidden), 4, dtype),
            w_h=_init_gates(self.w_h_init, k_h, (hidden, hidden), 4, dtype),
            b=b.at[hidden : 2 * hidden].add(self.forget_bias),
        )

    def initial_state(self, batch_shape=()):
        """Zeros, float32, for a batch of any shape."""
        shape = (*batch_shape, self.hidden_size)
        return LSTMState(
            h=jnp.zeros(shape, jnp.float32), c=jnp.zeros(shape, jnp.float32)
        )

    def project(self, params, xs):
        """The products that need no state: [T, ..., D] -> [T, ..., G*H]."""
        return matmul(xs, params.w_x)  # [T, ..., 4H]

    def step(self, params, state, z, dot: Dot = jnp.dot):
        """One time step from the projection z [..., G*H]: (new state, y [..., H])."""
        gates = z + dot(state.h, params.w_h) + params.b
        i, f, g, o = jnp.split(gates, 4, axis=-1)  # [..., 4H] -> 4 x [..., H]
        c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * tanh(g)
        h = jax.nn.sigmoid(o) * tanh(c)
        return LSTMState(h, c), h


def _check_hidden_size(cell):
    if cell.hidden_size < 1:
        raise ValueError(
            f"{type(cell).__name__}: hidden_size must be at least 1, "
            f"got {cell.hidden_size}"
        )
