"""Recurrent cells: RNN, GRU and LSTM as frozen dataclasses with pure methods.

`Cell` in cell_protocol.py is their interface.

Letters: T time, D input, H hidden, G number of gates; `...` is any batch shape.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from seqjax.cell_parts import (
    Initializer,
    check_hidden_size,
    init_gates,
    project,
    uniform_by_hidden_size,
)
from seqjax.cell_protocol import Dot, Params
from seqjax.nn.activations import tanh


class RNNParams(NamedTuple):
    """Parameters of an RNN."""

    w_x: jax.Array  # [D, H]
    w_h: jax.Array  # [H, H]
    b: jax.Array  # [H]


@dataclass(frozen=True)
class RNN:
    """The plain recurrent cell (Elman network).

        h_t = phi(x_t @ w_x + h_{t-1} @ w_h + b)
        y_t = h_t

    Args:
      hidden_size: H, the width of the state and of y.
      activation: phi, "tanh" or "relu".
      w_x_init, w_h_init, b_init: initializers `(key, shape, dtype) -> array`, as in
        `jax.nn.initializers`. The default is torch's, `uniform_by_hidden_size`.

    Shapes: w_x [D, H], w_h [H, H], b [H]; the state is the array h [..., H].

    Raises:
      ValueError: hidden_size is below 1, or the activation is unknown.

    Example:
      >>> cell = seqjax.RNN(hidden_size=256)
      >>> params = cell.init(jax.random.key(0), input_size=28)
      >>> xs = jnp.zeros((35, 32, 28))  # [T, B, D]
      >>> h, ys = seqjax.unroll(cell, params, xs)
      >>> h.shape, ys.shape
      ((32, 256), (35, 32, 256))

    Source: Elman, "Finding structure in time", Cognitive Science 14, 1990.
    """

    hidden_size: int
    activation: str = "tanh"
    w_x_init: Initializer = field(default=uniform_by_hidden_size, repr=False)
    w_h_init: Initializer = field(default=uniform_by_hidden_size, repr=False)
    b_init: Initializer = field(default=uniform_by_hidden_size, repr=False)

    def __post_init__(self) -> None:
        check_hidden_size(self)
        if self.activation not in ("tanh", "relu"):
            raise ValueError(
                f'RNN: activation must be "tanh" or "relu", got {self.activation!r}'
            )

    @property
    def output_size(self) -> int:
        """Width of y: H."""
        return self.hidden_size

    @property
    def gate_size(self) -> int:
        """Width of one gate: H."""
        return self.hidden_size

    def init(
        self, key: jax.Array, input_size: int, dtype: DTypeLike = jnp.float32
    ) -> RNNParams:
        """Draw parameters for inputs of width `input_size`."""
        k_x, k_h, k_b = jax.random.split(key, 3)
        hidden = self.hidden_size
        return RNNParams(
            w_x=self.w_x_init(k_x, (input_size, hidden), dtype),
            w_h=self.w_h_init(k_h, (hidden, hidden), dtype),
            b=self.b_init(k_b, (hidden,), dtype),
        )

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> jax.Array:
        """Zeros in float32."""
        return jnp.zeros((*batch_shape, self.hidden_size), jnp.float32)

    def project(self, params: RNNParams, xs: jax.Array) -> jax.Array:
        """xs @ w_x: [T, ..., D] -> [T, ..., H]."""
        return project(self, params.w_x, xs)

    def step(
        self, params: RNNParams, state: jax.Array, z: jax.Array, dot: Dot = jnp.dot
    ) -> tuple[jax.Array, jax.Array]:
        """One time step from z [..., H]: (new state, y [..., H])."""
        phi = tanh if self.activation == "tanh" else jax.nn.relu
        h = phi(z + dot(state, params.w_h) + params.b)
        return h, h


class GRUParams(NamedTuple):
    """Parameters of a GRU with reset_after=False; gate order r z n."""

    w_x: jax.Array  # [D, 3H]
    w_h: jax.Array  # [H, 3H]
    b: jax.Array  # [3H]


class GRUResetAfterParams(NamedTuple):
    """Parameters of a GRU with reset_after=True; gate order r z n."""

    w_x: jax.Array  # [D, 3H]
    w_h: jax.Array  # [H, 3H]
    b_x: jax.Array  # [3H]
    b_h: jax.Array  # [3H]


@dataclass(frozen=True)
class GRU:
    """The gated recurrent unit; gate order r z n (reset, update, candidate).

    With `reset_after=True`, as in cuDNN and torch:

        x_r, x_z, x_n = split(x @ w_x + b_x)
        h_r, h_z, h_n = split(h @ w_h + b_h)
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = tanh(x_n + r * h_n)
        h' = z * h + (1 - z) * n

    With `reset_after=False`, as in textbooks, with one bias:

        x_r, x_z, x_n = split(x @ w_x + b)
        h_r, h_z = split(h @ w_h[:, :2H])
        r, z = sigmoid(x_r + h_r), sigmoid(x_z + h_z)
        n = tanh(x_n + (r * h) @ w_h[:, 2H:])
        h' = z * h + (1 - z) * n

    z near 1 keeps the old state. Texts that write h' = (1 - z) * h + z * n define the
    same model with 1 - z in place of z. To convert weights, negate the z blocks of
    w_x, w_h and the biases.

    Args:
      hidden_size: H, the width of the state and of y.
      reset_after: if True, r scales the product h @ w_h[:, 2H:]; if False, it scales
        the state h before the product.
      w_x_init, w_h_init, b_init: initializers, called once per gate.

    Shapes: w_x [D, 3H], w_h [H, 3H], biases [3H]; the state is the array h [..., H].

    Raises:
      ValueError: hidden_size is below 1.

    Example:
      >>> cell = seqjax.GRU(hidden_size=256)
      >>> params = cell.init(jax.random.key(0), input_size=28)
      >>> xs = jnp.zeros((35, 32, 28))  # [T, B, D]
      >>> h, ys = seqjax.unroll(cell, params, xs)
      >>> h.shape, ys.shape
      ((32, 256), (35, 32, 256))

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder",
    2014, arXiv:1406.1078, section 2.3. Version 1 of the
    paper resets after the product, version 3 before it.
    """

    hidden_size: int
    reset_after: bool = True
    w_x_init: Initializer = field(default=uniform_by_hidden_size, repr=False)
    w_h_init: Initializer = field(default=uniform_by_hidden_size, repr=False)
    b_init: Initializer = field(default=uniform_by_hidden_size, repr=False)

    def __post_init__(self) -> None:
        check_hidden_size(self)

    @property
    def output_size(self) -> int:
        """Width of y: H."""
        return self.hidden_size

    @property
    def gate_size(self) -> int:
        """Width of one gate: H."""
        return self.hidden_size

    def init(
        self, key: jax.Array, input_size: int, dtype: DTypeLike = jnp.float32
    ) -> GRUParams | GRUResetAfterParams:
        """Draw parameters for inputs of width `input_size`."""
        k_x, k_h, k_b, k_bh = jax.random.split(key, 4)
        hidden = self.hidden_size
        w_x = init_gates(self.w_x_init, k_x, (input_size, hidden), 3, dtype)
        w_h = init_gates(self.w_h_init, k_h, (hidden, hidden), 3, dtype)
        b_x = init_gates(self.b_init, k_b, (hidden,), 3, dtype)
        if not self.reset_after:
            return GRUParams(w_x, w_h, b_x)
        b_h = init_gates(self.b_init, k_bh, (hidden,), 3, dtype)
        return GRUResetAfterParams(w_x, w_h, b_x, b_h)

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> jax.Array:
        """Zeros in float32."""
        return jnp.zeros((*batch_shape, self.hidden_size), jnp.float32)

    def project(self, params: Params, xs: jax.Array) -> jax.Array:
        """xs @ w_x: [T, ..., D] -> [T, ..., 3H]."""
        return project(self, params.w_x, xs)

    def step(
        self, params: Params, state: jax.Array, z: jax.Array, dot: Dot = jnp.dot
    ) -> tuple[jax.Array, jax.Array]:
        """One time step from z [..., 3H]: (new state, y [..., H])."""
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
    """Parameters of an LSTM; gate order i f g o."""

    w_x: jax.Array  # [D, 4H]
    w_h: jax.Array  # [H, 4H]
    b: jax.Array  # [4H]


class LSTMState(NamedTuple):
    """State of an LSTM: the output h and the memory cell c."""

    h: jax.Array  # [..., H]
    c: jax.Array  # [..., H]


@dataclass(frozen=True)
class LSTM:
    """Long short-term memory; gate order i f g o (input, forget, candidate, output).

        i, f, g, o = split(x @ w_x + h @ w_h + b)
        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(c')
        y  = h'

    The form [x, h] @ W + b is the same model with w_x and w_h stacked by rows in W.

    Args:
      hidden_size: H, the width of h, c and y.
      forget_bias: constant added to the initial bias of the forget gate. 0 is torch's
        value. 1 makes an untrained network remember (Jozefowicz et al. 2015).
      w_x_init, w_h_init, b_init: initializers, called once per gate.

    Shapes: w_x [D, 4H], w_h [H, 4H], b [4H]; the state is LSTMState(h, c), each
    [..., H].

    Raises:
      ValueError: hidden_size is below 1.

    Example:
      >>> cell = seqjax.LSTM(hidden_size=256)
      >>> params = cell.init(jax.random.key(0), input_size=28)
      >>> xs = jnp.zeros((35, 32, 28))  # [T, B, D]
      >>> (h, c), ys = seqjax.unroll(cell, params, xs)
      >>> c.shape, ys.shape
      ((32, 256), (35, 32, 256))

    Source: Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9,
    1997, with the forget gate of Gers, Schmidhuber and Cummins, 2000.
    """

    hidden_size: int
    forget_bias: float = 0.0
    w_x_init: Initializer = field(default=uniform_by_hidden_size, repr=False)
    w_h_init: Initializer = field(default=uniform_by_hidden_size, repr=False)
    b_init: Initializer = field(default=uniform_by_hidden_size, repr=False)

    def __post_init__(self) -> None:
        check_hidden_size(self)

    @property
    def output_size(self) -> int:
        """Width of y: H."""
        return self.hidden_size

    @property
    def gate_size(self) -> int:
        """Width of one gate: H."""
        return self.hidden_size

    def init(
        self, key: jax.Array, input_size: int, dtype: DTypeLike = jnp.float32
    ) -> LSTMParams:
        """Draw parameters for inputs of width `input_size`."""
        k_x, k_h, k_b = jax.random.split(key, 3)
        hidden = self.hidden_size
        b = init_gates(self.b_init, k_b, (hidden,), 4, dtype)
        return LSTMParams(
            w_x=init_gates(self.w_x_init, k_x, (input_size, hidden), 4, dtype),
            w_h=init_gates(self.w_h_init, k_h, (hidden, hidden), 4, dtype),
            b=b.at[hidden : 2 * hidden].add(self.forget_bias),
        )

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> LSTMState:
        """Zeros in float32."""
        shape = (*batch_shape, self.hidden_size)
        return LSTMState(
            h=jnp.zeros(shape, jnp.float32), c=jnp.zeros(shape, jnp.float32)
        )

    def project(self, params: LSTMParams, xs: jax.Array) -> jax.Array:
        """xs @ w_x: [T, ..., D] -> [T, ..., 4H]."""
        return project(self, params.w_x, xs)

    def step(
        self, params: LSTMParams, state: LSTMState, z: jax.Array, dot: Dot = jnp.dot
    ) -> tuple[LSTMState, jax.Array]:
        """One time step from z [..., 4H]: (new state, y [..., H])."""
        gates = z + dot(state.h, params.w_h) + params.b
        i, f, g, o = jnp.split(gates, 4, axis=-1)  # [..., 4H] -> 4 x [..., H]
        c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * tanh(g)
        h = jax.nn.sigmoid(o) * tanh(c)
        return LSTMState(h, c), h
