"""Variants of the LSTM: layer normalization, peepholes, coupled gates, Mogrifier.

Letters: T time, D input, H hidden, R rank; `...` is any batch shape.
"""

import itertools
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from seqjax.cell_parts import (
    Initializer,
    check_hidden_size,
    check_input,
    init_gates,
    project,
    uniform_by_hidden_size,
)
from seqjax.cell_protocol import Dot
from seqjax.cells import LSTMState
from seqjax.nn.activations import tanh
from seqjax.nn.layers import layer_norm


@dataclass(frozen=True)
class _Variant:
    """What the variants share: their settings and the state of an LSTM."""

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
    def gate_size(self) -> int | None:
        """Width of one gate: H."""
        return self.hidden_size

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> LSTMState:
        """Zeros in float32."""
        shape = (*batch_shape, self.hidden_size)
        return LSTMState(
            h=jnp.zeros(shape, jnp.float32), c=jnp.zeros(shape, jnp.float32)
        )

    def project(self, params: Any, xs: jax.Array) -> jax.Array:
        """xs @ w_x: [T, ..., D] -> [T, ..., G*H]."""
        return project(self, params.w_x, xs)

    def _weights(
        self, key: jax.Array, input_size: int, num_gates: int, dtype: DTypeLike
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """w_x [D, G*H], w_h [H, G*H] and b [G*H], without a forget bias."""
        k_x, k_h, k_b = jax.random.split(key, 3)
        size = self.hidden_size
        return (
            init_gates(self.w_x_init, k_x, (input_size, size), num_gates, dtype),
            init_gates(self.w_h_init, k_h, (size, size), num_gates, dtype),
            init_gates(self.b_init, k_b, (size,), num_gates, dtype),
        )

    def _with_forget_bias(self, b: jax.Array, gate: int) -> jax.Array:
        begin = gate * self.hidden_size
        return b.at[begin : begin + self.hidden_size].add(self.forget_bias)


class LayerNormLSTMParams(NamedTuple):
    """Parameters of a LayerNormLSTM; gate order i f g o."""

    w_x: jax.Array  # [D, 4H]
    w_h: jax.Array  # [H, 4H]
    b: jax.Array  # [4H]
    gain_x: jax.Array  # [4H]
    gain_h: jax.Array  # [4H]
    gain_c: jax.Array  # [H]
    b_c: jax.Array  # [H]


@dataclass(frozen=True)
class LayerNormLSTM(_Variant):
    """An LSTM whose products and memory cell are normalized.

        i, f, g, o = split(norm(x @ w_x) * gain_x + norm(h @ w_h) * gain_h + b)
        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(norm(c') * gain_c + b_c)
        y  = h'

    norm(a) = (a - mean(a)) / sqrt(var(a) + 1e-5) over the features, all four gates
    together.

    Args:
      hidden_size, forget_bias, w_x_init, w_h_init, b_init: as `LSTM`.

    Shapes: w_x [D, 4H], w_h [H, 4H], b, gain_x, gain_h [4H], gain_c, b_c [H]; the state
    is LSTMState(h, c), each [..., H].

    Raises:
      ValueError: hidden_size is below 1.

    Example:
      >>> cell = seqjax.LayerNormLSTM(hidden_size=16, forget_bias=1.0)
      >>> params = cell.init(jax.random.key(0), input_size=3)
      >>> (h, c), ys = seqjax.unroll(cell, params, jnp.zeros((5, 2, 3)))
      >>> c.shape, ys.shape
      ((2, 16), (5, 2, 16))

    Source: Ba, Kiros and Hinton, "Layer normalization", 2016, arXiv:1607.06450,
    equations 20 to 22.
    """

    def init(
        self, key: jax.Array, input_size: int, dtype: DTypeLike = jnp.float32
    ) -> LayerNormLSTMParams:
        """Draw parameters for inputs of width `input_size`; the gains are 1."""
        w_x, w_h, b = self._weights(key, input_size, 4, dtype)
        size = self.hidden_size
        return LayerNormLSTMParams(
            w_x,
            w_h,
            self._with_forget_bias(b, 1),
            gain_x=jnp.ones(4 * size, dtype),
            gain_h=jnp.ones(4 * size, dtype),
            gain_c=jnp.ones(size, dtype),
            b_c=jnp.zeros(size, dtype),
        )

    def project(self, params: LayerNormLSTMParams, xs: jax.Array) -> jax.Array:
        """norm(xs @ w_x) * gain_x: [T, ..., D] -> [T, ..., 4H]."""
        return layer_norm(project(self, params.w_x, xs), params.gain_x)

    def step(
        self,
        params: LayerNormLSTMParams,
        state: LSTMState,
        z: jax.Array,
        dot: Dot = jnp.dot,
    ) -> tuple[LSTMState, jax.Array]:
        """One time step from z [..., 4H]: (new state, y [..., H])."""
        gates = z + layer_norm(dot(state.h, params.w_h), params.gain_h) + params.b
        i, f, g, o = jnp.split(gates, 4, axis=-1)  # [..., 4H] -> 4 x [..., H]
        c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * tanh(g)
        h = jax.nn.sigmoid(o) * tanh(layer_norm(c, params.gain_c, params.b_c))
        return LSTMState(h, c), h


class PeepholeLSTMParams(NamedTuple):
    """Parameters of a PeepholeLSTM; gate order i f g o."""

    w_x: jax.Array  # [D, 4H]
    w_h: jax.Array  # [H, 4H]
    b: jax.Array  # [4H]
    p_i: jax.Array  # [H]
    p_f: jax.Array  # [H]
    p_o: jax.Array  # [H]


@dataclass(frozen=True)
class PeepholeLSTM(_Variant):
    """An LSTM whose gates also read the memory cell.

        i, f, g, o = split(x @ w_x + h @ w_h + b)
        c' = sigmoid(f + p_f * c) * c + sigmoid(i + p_i * c) * tanh(g)
        h' = sigmoid(o + p_o * c') * tanh(c')
        y  = h'

    Args:
      hidden_size, forget_bias, w_x_init, w_h_init, b_init: as `LSTM`; b_init also draws
        the peepholes.

    Shapes: w_x [D, 4H], w_h [H, 4H], b [4H], p_i, p_f, p_o [H]; the state is
    LSTMState(h, c), each [..., H].

    Raises:
      ValueError: hidden_size is below 1.

    Example:
      >>> cell = seqjax.PeepholeLSTM(hidden_size=16)
      >>> params = cell.init(jax.random.key(0), input_size=3)
      >>> (h, c), ys = seqjax.unroll(cell, params, jnp.zeros((5, 2, 3)))
      >>> c.shape, ys.shape
      ((2, 16), (5, 2, 16))

    Source: Gers and Schmidhuber, "Recurrent nets that time and count", IJCNN 2000.
    """

    def init(
        self, key: jax.Array, input_size: int, dtype: DTypeLike = jnp.float32
    ) -> PeepholeLSTMParams:
        """Draw parameters for inputs of width `input_size`."""
        key, k_p = jax.random.split(key)
        w_x, w_h, b = self._weights(key, input_size, 4, dtype)
        peepholes = init_gates(self.b_init, k_p, (self.hidden_size,), 3, dtype)
        p_i, p_f, p_o = jnp.split(peepholes, 3)
        return PeepholeLSTMParams(w_x, w_h, self._with_forget_bias(b, 1), p_i, p_f, p_o)

    def step(
        self,
        params: PeepholeLSTMParams,
        state: LSTMState,
        z: jax.Array,
        dot: Dot = jnp.dot,
    ) -> tuple[LSTMState, jax.Array]:
        """One time step from z [..., 4H]: (new state, y [..., H])."""
        gates = z + dot(state.h, params.w_h) + params.b
        i, f, g, o = jnp.split(gates, 4, axis=-1)  # [..., 4H] -> 4 x [..., H]
        forget = jax.nn.sigmoid(f + params.p_f * state.c)
        c = forget * state.c + jax.nn.sigmoid(i + params.p_i * state.c) * tanh(g)
        h = jax.nn.sigmoid(o + params.p_o * c) * tanh(c)
        return LSTMState(h, c), h


class CoupledLSTMParams(NamedTuple):
    """Parameters of a CoupledLSTM; gate order f g o."""

    w_x: jax.Array  # [D, 3H]
    w_h: jax.Array  # [H, 3H]
    b: jax.Array  # [3H]


@dataclass(frozen=True)
class CoupledLSTM(_Variant):
    """An LSTM whose input gate is 1 minus its forget gate.

        f, g, o = split(x @ w_x + h @ w_h + b)
        c' = sigmoid(f) * c + (1 - sigmoid(f)) * tanh(g)
        h' = sigmoid(o) * tanh(c')
        y  = h'

    Args:
      hidden_size, forget_bias, w_x_init, w_h_init, b_init: as `LSTM`.

    Shapes: w_x [D, 3H], w_h [H, 3H], b [3H]; the state is LSTMState(h, c), each
    [..., H].

    Raises:
      ValueError: hidden_size is below 1.

    Example:
      >>> cell = seqjax.CoupledLSTM(hidden_size=16)
      >>> params = cell.init(jax.random.key(0), input_size=3)
      >>> params.w_x.shape
      (3, 48)

    Source: Greff et al., "LSTM: a search space odyssey", 2015, arXiv:1503.04069,
    variant CIFG.
    """

    def init(
        self, key: jax.Array, input_size: int, dtype: DTypeLike = jnp.float32
    ) -> CoupledLSTMParams:
        """Draw parameters for inputs of width `input_size`."""
        w_x, w_h, b = self._weights(key, input_size, 3, dtype)
        return CoupledLSTMParams(w_x, w_h, self._with_forget_bias(b, 0))

    def step(
        self,
        params: CoupledLSTMParams,
        state: LSTMState,
        z: jax.Array,
        dot: Dot = jnp.dot,
    ) -> tuple[LSTMState, jax.Array]:
        """One time step from z [..., 3H]: (new state, y [..., H])."""
        gates = z + dot(state.h, params.w_h) + params.b
        f, g, o = jnp.split(gates, 3, axis=-1)  # [..., 3H] -> 3 x [..., H]
        forget = jax.nn.sigmoid(f)
        c = forget * state.c + (1 - forget) * tanh(g)
        h = jax.nn.sigmoid(o) * tanh(c)
        return LSTMState(h, c), h


class MogrifierLSTMParams(NamedTuple):
    """Parameters of a MogrifierLSTM; gate order i f g o."""

    w_x: jax.Array  # [D, 4H]
    w_h: jax.Array  # [H, 4H]
    b: jax.Array  # [4H]
    # Of each round one matrix [H, D] or [D, H], or with a rank two, [., R] and [R, .]
    rounds: tuple[tuple[jax.Array, ...], ...]


@dataclass(frozen=True)
class MogrifierLSTM(_Variant):
    """An LSTM whose input and state gate each other before the step.

        x = 2 * sigmoid(h @ rounds[k]) * x    in rounds k = 0, 2, 4, ...
        h = 2 * sigmoid(x @ rounds[k]) * h    in rounds k = 1, 3, 5, ...
        i, f, g, o = split(x @ w_x + h @ w_h + b)
        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(c')
        y  = h'

    Args:
      hidden_size, forget_bias, w_x_init, w_h_init, b_init: as `LSTM`; w_h_init also
        draws the matrices of the rounds.
      rounds: the number of rounds; 0 is an LSTM.
      rank: R, the rank of the matrices of the rounds, each a product of two; None gives
        them full rank.

    Shapes: w_x [D, 4H], w_h [H, 4H], b [4H], rounds [H, D] and [D, H] by turns; the
    state is LSTMState(h, c), each [..., H].

    Raises:
      ValueError: hidden_size or rank is below 1, or rounds is below 0; from `init`, if
        rank is not below both D and H.

    Example:
      >>> cell = seqjax.MogrifierLSTM(hidden_size=16, rounds=5, rank=2)
      >>> params = cell.init(jax.random.key(0), input_size=4)
      >>> [[w.shape for w in ws] for ws in params.rounds[:2]]
      [[(16, 2), (2, 4)], [(4, 2), (2, 16)]]

    Source: Melis, Kocisky and Blunsom, "Mogrifier LSTM", 2020, arXiv:1909.01792,
    section 2.
    """

    rounds: int = 5
    rank: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rounds < 0:
            raise ValueError(
                f"MogrifierLSTM: rounds must be at least 0, got {self.rounds}"
            )
        if self.rank is not None and self.rank < 1:
            raise ValueError(f"MogrifierLSTM: rank must be at least 1, got {self.rank}")

    @property
    def gate_size(self) -> None:
        """None: the rows of z are inputs."""
        return None

    def init(
        self, key: jax.Array, input_size: int, dtype: DTypeLike = jnp.float32
    ) -> MogrifierLSTMParams:
        """Draw parameters for inputs of width `input_size`.

        Raises:
          ValueError: if the rank is not below the widths of x and h.
        """
        if self.rank is not None and self.rank >= min(input_size, self.hidden_size):
            raise ValueError(
                f"MogrifierLSTM: rank must be below the widths of x and h, "
                f"{input_size} and {self.hidden_size}, got {self.rank}"
            )
        key, k_rounds = jax.random.split(key)
        w_x, w_h, b = self._weights(key, input_size, 4, dtype)
        rounds = []
        for k in range(self.rounds):
            sizes = [self.hidden_size, input_size][:: 1 if k % 2 == 0 else -1]
            if self.rank is not None:
                sizes.insert(1, self.rank)
            keys = jax.random.split(jax.random.fold_in(k_rounds, k), len(sizes) - 1)
            shapes = itertools.pairwise(sizes)
            draws = zip(keys, shapes, strict=True)
            rounds.append(tuple(self.w_h_init(k, shape, dtype) for k, shape in draws))
        return MogrifierLSTMParams(
            w_x, w_h, self._with_forget_bias(b, 1), tuple(rounds)
        )

    def project(self, params: MogrifierLSTMParams, xs: jax.Array) -> jax.Array:
        """xs itself: the state changes it before its product."""
        check_input(self, params.w_x, xs)
        return xs

    def step(
        self,
        params: MogrifierLSTMParams,
        state: LSTMState,
        z: jax.Array,
        dot: Dot = jnp.dot,
    ) -> tuple[LSTMState, jax.Array]:
        """One time step from z [..., D]: (new state, y [..., H])."""
        x, h = z, state.h
        for k, factors in enumerate(params.rounds):
            gate = h if k % 2 == 0 else x
            for w in factors:
                gate = dot(gate, w)
            if k % 2 == 0:
                x = 2 * jax.nn.sigmoid(gate) * x
            else:
                h = 2 * jax.nn.sigmoid(gate) * h
        gates = dot(x, params.w_x) + dot(h, params.w_h) + params.b
        i, f, g, o = jnp.split(gates, 4, axis=-1)  # [..., 4H] -> 4 x [..., H]
        c = jax.nn.sigmoid(f) * state.c + jax.nn.sigmoid(i) * tanh(g)
        h = jax.nn.sigmoid(o) * tanh(c)
        return LSTMState(h, c), h
