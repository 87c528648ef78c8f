"""A cell that attends to a memory at every step: the decoder of a translation model."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seqjax.cell_protocol import Cell, Dot, Params, State
from seqjax.nn.activations import tanh
from seqjax.nn.attention import Attention, AttentionParams


class AttentionCellParams(NamedTuple):
    """Parameters of an AttentionCell; w_feed is None without input feeding."""

    cell: Params  # of the inner cell
    attention: AttentionParams  # w_k [M, H], w_q [H, H], v [H]
    w_feed: jax.Array | None  # [E, G*H]
    w_state: jax.Array  # [H, E]
    w_context: jax.Array  # [M, E]
    b: jax.Array  # [E]


class AttentionCellState(NamedTuple):
    """State of an AttentionCell. keys, memory and mask are the same at every step."""

    cell: State  # of the inner cell
    feed: jax.Array  # [..., E], the last output
    keys: jax.Array  # [..., S, A]
    memory: jax.Array  # [..., S, M]
    mask: jax.Array  # booleans [..., S]


@dataclasses.dataclass(frozen=True)
class AttentionCell:
    """A cell with attention over a memory and, optionally, input feeding.

        z_t       = project(x_t) + y_{t-1} @ w_feed      the last term if input_feeding
        state, h  = cell.step(state, z_t)
        c_t       = attention context for the query h
        y_t       = tanh(h @ w_state + c_t @ w_context + b)

    Args:
      cell: a cell whose projection is one array and whose output is [..., H].
      attention: an Attention.
      output_size: E, the width of y.
      memory_size: M, the width of the memory.
      input_feeding: add the last output to the input of each step.

    The state is an AttentionCellState. `start` makes one from a memory, which the
    steps read and do not change; gradients flow into the memory. `initial_state` has a
    memory of length 0, for which the context is zero.

    Example:
      >>> decoder = AttentionCell(
      ...     seqjax.GRU(16), Attention("general"), output_size=16, memory_size=32
      ... )
      >>> params = decoder.init(jax.random.key(0), input_size=8)
      >>> memory, mask = jnp.ones((4, 7, 32)), jnp.ones((4, 7), bool)
      >>> state = decoder.start(params, jnp.zeros((4, 16)), memory, mask)
      >>> state, ys = seqjax.unroll(decoder, params, jnp.ones((5, 4, 8)), state)
      >>> ys.shape
      (5, 4, 16)

    Source: Luong et al. 2015, arXiv:1508.04025, sections 3.1 and 3.3.
    """

    cell: Cell
    attention: Attention
    output_size: int
    memory_size: int
    input_feeding: bool = True

    @property
    def gate_size(self) -> int | None:
        """Width of one gate of the inner cell, if it has one."""
        return getattr(self.cell, "gate_size", None)

    def init(
        self, key: jax.Array, input_size: int, **kwargs: Any
    ) -> AttentionCellParams:
        """Draw parameters; keyword arguments go to the inner cell's `init`."""
        k_cell, k_attention, k_feed, k_state, k_context = jax.random.split(key, 5)
        hidden, width = self.cell.output_size, self.output_size
        cell = self.cell.init(k_cell, input_size, **kwargs)
        x = jax.ShapeDtypeStruct((1, input_size), jnp.float32)
        gates = jax.eval_shape(self.cell.project, cell, x).shape[-1]

        def draw(key: jax.Array, rows: int, columns: int, fan_in: int) -> jax.Array:
            bound = fan_in**-0.5
            return jax.random.uniform(key, (rows, columns), minval=-bound, maxval=bound)

        fan_in = hidden + self.memory_size
        return AttentionCellParams(
            cell=cell,
            attention=self.attention.init(k_attention, hidden, self.memory_size),
            w_feed=draw(k_feed, width, gates, hidden) if self.input_feeding else None,
            w_state=draw(k_state, hidden, width, fan_in),
            w_context=draw(k_context, self.memory_size, width, fan_in),
            b=jnp.zeros(width),
        )

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> AttentionCellState:
        """The inner cell's initial state and a memory of length 0."""
        return AttentionCellState(
            cell=self.cell.initial_state(batch_shape),
            feed=jnp.zeros((*batch_shape, self.output_size)),
            keys=jnp.zeros((*batch_shape, 0, self.cell.output_size)),
            memory=jnp.zeros((*batch_shape, 0, self.memory_size)),
            mask=jnp.zeros((*batch_shape, 0), bool),
        )

    def start(
        self,
        params: AttentionCellParams,
        cell_state: State,
        memory: jax.Array,
        mask: jax.Array,
    ) -> AttentionCellState:
        """The state before the first step.

        Args:
          params: as `init` returns them.
          cell_state: state of the inner cell.
          memory: [..., S, M].
          mask: booleans [..., S], True at the positions to attend to.
        """
        return AttentionCellState(
            cell=cell_state,
            feed=jnp.zeros((*memory.shape[:-2], self.output_size), memory.dtype),
            keys=self.attention.keys(params.attention, memory),
            memory=memory,
            mask=mask,
        )

    def project(self, params: AttentionCellParams, xs: jax.Array) -> jax.Array:
        """The inner cell's projection: [T, ..., D] -> [T, ..., G*H]."""
        return self.cell.project(params.cell, xs)

    def step(
        self,
        params: AttentionCellParams,
        state: AttentionCellState,
        z: jax.Array,
        dot: Dot = jnp.dot,
    ) -> tuple[AttentionCellState, jax.Array]:
        """One time step: (new state, y [..., E])."""
        state, y, _ = self.step_with_weights(params, state, z, dot)
        return state, y

    def step_with_weights(
        self,
        params: AttentionCellParams,
        state: AttentionCellState,
        z: jax.Array,
        dot: Dot = jnp.dot,
    ) -> tuple[AttentionCellState, jax.Array, jax.Array]:
        """`step` that also returns the attention weights: (new state, y, [..., S])."""
        if params.w_feed is not None:
            z = z + dot(state.feed, params.w_feed)
        cell_state, h = self.cell.step(params.cell, state.cell, z, dot=dot)
        context, weights = self.attention.attend(
            params.attention, h, state.keys, state.memory, state.mask, dot
        )
        y = dot(h, params.w_state) + dot(context, params.w_context) + params.b
        y = tanh(y)
        return state._replace(cell=cell_state, feed=y), y, weights
