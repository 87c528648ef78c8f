"""A cell that looks at a memory at every step: the decoder of a translation model."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seqjax.nn.activations import tanh
from seqjax.nn.attention import Attention, AttentionParams


class AttendingParams(NamedTuple):
    """Parameters of an Attending cell; w_feed is None without input feeding."""

    cell: Any
    attention: AttentionParams
    w_feed: jax.Array | None  # [E, G*H]
    w_state: jax.Array  # [H, E]
    w_context: jax.Array  # [M, E]
    b: jax.Array  # [E]


class AttendingState(NamedTuple):
    """What goes from step to step, and the memory, which stays as it is."""

    cell: Any
    feed: jax.Array  # [..., E], the last output
    keys: jax.Array  # [..., S, A]
    memory: jax.Array  # [..., S, M]
    mask: jax.Array  # [..., S]


@dataclasses.dataclass(frozen=True)
class Attending:
    """A cell around a cell, with attention and input feeding.

        z_t       = project(x_t) + y_{t-1} @ w_feed         the latter if input_feeding
        state, h  = cell.step(state, z_t)
        c_t       = attention of h over the memory
        y_t       = tanh(h @ w_state + c_t @ w_context + b)

    Args:
      cell: any cell whose projection is one array and whose output is [..., H].
      attention: an Attention.
      output_size: E, the width of y.
      input_feeding: whether a step sees where the last one looked.

    Its state is an AttendingState, from `start`; the memory in it is read and never
    changed, and has a gradient. Past `init`, which also wants the memory's width, it is
    a cell as any other for `unroll`.

    Example:
      >>> decoder = Attending(seqjax.GRU(256), Attention("general"), output_size=256)
      >>> params = decoder.init(key, input_size=128, memory_size=512)
      >>> state = decoder.start(params, cell_state, memory, mask)
      >>> state, ys = seqjax.unroll(decoder, params, xs, state)

    Source: Luong et al. 2015, arXiv:1508.04025, sections 3.1 and 3.3.
    """

    cell: Any
    attention: Attention
    output_size: int
    input_feeding: bool = True

    @property
    def hidden_size(self):
        """The width of a gate of the cell."""
        return self.cell.hidden_size

    def init(self, key, input_size, memory_size, **kwargs):
        """Fresh parameters; keyword arguments go to the cell's `init`."""
        k_cell, k_attention, k_feed, k_state, k_context = jax.random.split(key, 5)
        hidden, width = self.cell.hidden_size, self.output_size
        cell = self.cell.init(k_cell, input_size, **kwargs)
        x = jax.ShapeDtypeStruct((1, input_size), jnp.float32)
        gates = jax.eval_shape(self.cell.project, cell, x).shape[-1]

        def draw(key, rows, columns, fan_in):
            bound = fan_in**-0.5
            return jax.random.uniform(key, (rows, columns), minval=-bound, maxval=bound)

        both = hidden + memory_size
        return AttendingParams(
            cell=cell,
            attention=self.attention.init(k_attention, hidden, memory_size),
            w_feed=draw(k_feed, width, gates, hidden) if self.input_feeding else None,
            w_state=draw(k_state, hidden, width, both),
            w_context=draw(k_context, memory_size, width, both),
            b=jnp.zeros(width),
        )

    def start(self, params, cell_state, memory, mask):
        """The state before the first step.

        Args:
          cell_state: of the cell within.
          memory: [..., S, M].
          mask: [..., S], True where there is something to see.
        """
        return AttendingState(
            cell=cell_state,
            feed=jnp.zeros((*memory.shape[:-2], self.output_size), memory.dtype),
            keys=self.attention.keys(params.attention, memory),
            memory=memory,
            mask=mask,
        )

    def project(self, params, xs):
        """The cell's: [T, ..., D] -> [T, ..., G*H]."""
        return self.cell.project(params.cell, xs)

    def step(self, params, state, z, dot=jnp.dot):
        """One time step: (new state, y [..., E])."""
        state, y, _ = self.look(params, state, z, dot)
        return state, y

    def look(self, params, state, z, dot=jnp.dot):
        """`step`, and the weights [..., S] of its look at the memory."""
        if self.input_feeding:
            z = z + dot(state.feed, params.w_feed)
        cell_state, h = self.cell.step(params.cell, state.cell, z, dot=dot)
        context, weights = self.attention.attend(
            params.attention, h, state.keys, state.memory, state.mask, dot
        )
        y = dot(h, params.w_state) + dot(context, params.w_context) + params.b
        y = tanh(y)
        return state._replace(cell=cell_state, feed=y), y, weights
