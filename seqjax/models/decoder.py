"""The decoder of a Seq2Seq: layers of cells, the last one with attention or without."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seqjax.cell_protocol import Cell, Params, State
from seqjax.nn.attention_cell import AttentionCell, AttentionCellState
from seqjax.nn.layers import dropout, matmul
from seqjax.recurrence import Stack, unroll


class DecoderState(NamedTuple):
    """The state of the decoder, per hypothesis."""

    below: tuple[State, ...]  # of the layers except the last
    top: State
    feed: Any  # [..., E], the last output; None without attention
    attention: Any  # [..., S], weights summed over the steps; None without attention


class Encoded(NamedTuple):
    """The encoded source, constant during decoding; leaves begin with B."""

    summary: jax.Array  # [B, N], the last state of the encoder's last layer
    keys: Any  # [B, S, A]; None without attention
    memory: Any  # [B, S, M]; None without attention
    mask: jax.Array  # [B, S]


class DecoderParams(NamedTuple):
    """Parameters of a Decoder."""

    below: Params | None  # of the layers except the last; None if there is one layer
    top: Params


@dataclasses.dataclass(frozen=True)
class Decoder:
    """Layers of cells that read target embeddings and the encoded source.

    Without attention, every input is concatenated with the summary of the source. With
    attention, the last layer is an AttentionCell.

    Args:
      cells: the layers from the input up.
      attention: the last layer with attention, or None.
      dropout: rate between the layers.
      locked: drop the same units of a sequence at all its steps.
    """

    cells: tuple[Cell, ...]
    attention: AttentionCell | None = None
    dropout: float = 0.0
    locked: bool = False

    @property
    def _below(self) -> Stack | None:
        layers = self.cells[:-1]
        return Stack(layers, self.dropout, self.locked) if layers else None

    def init(
        self, k_below: jax.Array, k_top: jax.Array, embed_size: int, summary_size: int
    ) -> DecoderParams:
        """Initial parameters, from one random key for each part."""
        top = self.attention or self.cells[-1]
        input_size = embed_size + (summary_size if self.attention is None else 0)
        if (layers := self._below) is None:
            return DecoderParams(None, top.init(k_top, input_size))
        below = layers.init(k_below, input_size)
        return DecoderParams(below, top.init(k_top, layers.output_size))

    def start(
        self,
        params: DecoderParams,
        states: tuple[State, ...],
        memory: jax.Array,
        mask: jax.Array,
        summary: jax.Array,
    ) -> tuple[DecoderState, Encoded]:
        """The state before the first step, and the encoded source.

        Args:
          params: from `init`.
          states: first states of the cells, one entry per layer.
          memory: outputs of the encoder [B, S, M].
          mask: bool [B, S].
          summary: [B, N].
        """
        *below, top = states
        if self.attention is None:
            state = DecoderState(tuple(below), top, None, None)
            return state, Encoded(summary, None, None, mask)
        first = self.attention.start(params.top, top, memory, mask)
        attention = jnp.zeros(mask.shape, memory.dtype)
        return (
            DecoderState(tuple(below), first.cell, first.feed, attention),
            Encoded(summary, first.keys, memory, mask),
        )

    def unroll(
        self,
        params: DecoderParams,
        xs: jax.Array,
        state: DecoderState,
        encoded: Encoded,
        keys: Sequence[jax.Array | None] = (None, None),
    ) -> jax.Array:
        """Outputs [T, B, H] for the embeddings xs [T, B, E] of given inputs.

        Args:
          params: from `init`.
          xs: [T, B, E].
          state, encoded: from `start`.
          keys: random keys for dropout; None turns dropout off.
        """
        if self.attention is None:
            shape = (*xs.shape[:-1], encoded.summary.shape[-1])
            summary = jnp.broadcast_to(encoded.summary, shape)
            xs = jnp.concatenate([xs, summary], axis=-1)  # [T, B, E + N]
        if (layers := self._below) is not None:
            _, xs = unroll(layers, params.below, xs, state.below, key=keys[0])
            xs = dropout(keys[1], xs, self.dropout, self.locked)
        if self.attention is None:
            return unroll(self.cells[-1], params.top, xs, state.top)[1]
        first = _attention_state(state, encoded)
        return unroll(self.attention, params.top, xs, first)[1]

    def step(
        self, params: DecoderParams, x: jax.Array, state: DecoderState, encoded: Encoded
    ) -> tuple[DecoderState, jax.Array]:
        """One step of one hypothesis: (new state, y [H]).

        Args:
          params: from `init`.
          x: [E].
          state, encoded: from `start`, without a batch axis.
        """
        if self.attention is None:
            x = jnp.concatenate([x, encoded.summary])
        below = []
        for cell, p, s in zip(
            self.cells[:-1], params.below or (), state.below, strict=True
        ):
            s, x = cell.step(p, s, cell.project(p, x[None])[0], dot=matmul)
            below.append(s)
        if self.attention is None:
            top = self.cells[-1]
            z = top.project(params.top, x[None])[0]
            new, y = top.step(params.top, state.top, z, dot=matmul)
            return DecoderState(tuple(below), new, None, None), y
        z = self.attention.project(params.top, x[None])[0]
        first = _attention_state(state, encoded)
        last, y, weights = self.attention.step_with_weights(
            params.top, first, z, dot=matmul
        )
        attention = state.attention + weights
        return DecoderState(tuple(below), last.cell, last.feed, attention), y


def _attention_state(state: DecoderState, encoded: Encoded) -> AttentionCellState:
    return AttentionCellState(
        state.top, state.feed, encoded.keys, encoded.memory, encoded.mask
    )
