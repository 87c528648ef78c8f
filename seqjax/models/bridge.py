"""The bridge from the last state of an encoder to the first state of a decoder."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from seqjax.cell_protocol import Cell, State
from seqjax.nn.layers import DenseParams, dense, dense_init
from seqjax.recurrence import Stack, Unrollable


@dataclasses.dataclass(frozen=True)
class Bridge:
    """The first state of a decoder, from the last state of an encoder.

        summary = the leaves of the last state of the encoder's last layer, concatenated

        copy     state = last state of the encoder, which must have the same structure
        linear   state_i = tanh(summary @ w_i + b_i) for each leaf i
        zero     state = initial state of the decoder

    Args:
      kind: "copy", "linear" or "zero".
      encoder: a cell, a Stack or a Bidirectional.
      decoder: the layers from the input up.

    Raises:
      ValueError: if the kind is unknown, or "copy" and the structures differ.

    Source: Luong et al. 2015, arXiv:1508.04025 (copy); Bahdanau et al. 2015,
    arXiv:1409.0473, appendix A.2.2 (linear).
    """

    kind: str
    encoder: Unrollable
    decoder: tuple[Cell, ...]

    def __post_init__(self) -> None:
        if self.kind not in ("copy", "linear", "zero"):
            raise ValueError(
                f'Seq2Seq: bridge must be "copy", "linear" or "zero", got {self.kind!r}'
            )
        if self.kind == "copy":
            last = jax.eval_shape(lambda: self.encoder.initial_state((1,)))
            first = jax.eval_shape(lambda: self._initial_state((1,)))
            if not _same_structure(last, first):
                raise ValueError(
                    'Seq2Seq: bridge="copy" needs an encoder whose state has the form '
                    'of the decoder\'s; "linear" takes any'
                )

    @property
    def summary_size(self) -> int:
        """N, the width of the summary."""
        state = jax.eval_shape(lambda: self.encoder.initial_state((1,)))
        leaves = jax.tree.leaves(self._last_layer(state))
        return sum(leaf.shape[-1] for leaf in leaves)

    def init(self, key: jax.Array) -> list[DenseParams] | None:
        """Initial parameters: one dense layer per leaf of the decoder's state."""
        if self.kind != "linear":
            return None
        leaves = jax.tree.leaves(jax.eval_shape(lambda: self._initial_state((1,))))
        keys = jax.random.split(key, len(leaves))
        return [
            dense_init(k, self.summary_size, leaf.shape[-1])
            for k, leaf in zip(keys, leaves, strict=True)
        ]

    def summary(self, last: State) -> jax.Array:
        """[B, N], from the last state of the encoder."""
        return jnp.concatenate(jax.tree.leaves(self._last_layer(last)), axis=-1)

    def apply(
        self,
        params: list[DenseParams] | None,
        last: State,
        summary: jax.Array,
        dtype: DTypeLike,
    ) -> tuple[State, ...]:
        """The first state of the decoder, one entry per layer.

        Args:
          params: from `init`.
          last: the last state of the encoder.
          summary: [B, N].
          dtype: of the zero state.
        """
        state = self._initial_state(summary.shape[:-1])
        state = jax.tree.map(lambda s: s.astype(dtype), state)
        if self.kind == "copy":
            state = last
        elif params is not None:
            tree = jax.tree.structure(state)
            parts = [jnp.tanh(dense(layer, summary)) for layer in params]
            state = jax.tree.unflatten(tree, parts)
        return state if len(self.decoder) > 1 else (state,)

    def _last_layer(self, state: State) -> State:
        return state[-1] if isinstance(self.encoder, Stack) else state

    def _initial_state(self, batch_shape: tuple[int, ...]) -> State:
        """The initial state of the decoder, structured as that of an encoder."""
        states = tuple(cell.initial_state(batch_shape) for cell in self.decoder)
        return states if len(states) > 1 else states[0]


def _same_structure(a: State, b: State) -> bool:
    trees: list[Any] = [jax.tree.structure(state) for state in (a, b)]
    shapes = [[leaf.shape for leaf in jax.tree.leaves(state)] for state in (a, b)]
    return trees[0] == trees[1] and shapes[0] == shapes[1]
