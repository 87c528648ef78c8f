"""Rows of a buffer [T, ...], read and written in place within a loop.

Time may also be another axis: `axis`.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

Key = TypeVar("Key", bound=Hashable)


def empty(
    num_steps: int, like: jax.Array | jax.ShapeDtypeStruct, axis: int = 0
) -> jax.Array:
    """A buffer for `num_steps` rows of the shape and dtype of `like`."""
    shape = (*like.shape[:axis], num_steps, *like.shape[axis:])
    return lax.empty(shape, like.dtype)


def read(
    buffer: jax.Array,
    t: jax.Array,
    gate_size: int | None = None,
    biases: Sequence[jax.Array] = (),
    materialize: bool = False,
    axis: int = 0,
) -> jax.Array:
    """buffer[t] + sum(biases), for t within bounds.

    XLA's CPU compiler does not vectorize a kernel that reads several slices of one
    row. A row of 2 to 8 gates is therefore read gate by gate. The concatenation here
    costs nothing, because the step splits the row again.

    Args:
      buffer: [T, ...].
      t: index of the row.
      gate_size: width of one gate; None reads the row as a whole.
      biases: arrays that broadcast to the row.
      materialize: make the row an array of its own, not a view of the buffer. This is
        needed where the loop writes to the buffer before it has used the row. It takes
        at least two pieces, and a barrier of the caller.
      axis: of time in the buffer.
    """
    width = buffer.shape[-1] if buffer.ndim > 1 else 1
    if materialize and width == gate_size and width % 2 == 0:
        gate_size = width // 2
    if not gate_size or width % gate_size or not 1 < width // gate_size <= 8:
        return sum(biases, start=_slice(buffer, t, axis, None, 0))
    pieces = []
    for i in range(0, width, gate_size):
        piece = _slice(buffer, t, axis, gate_size, i)
        pieces.append(sum((b[..., i : i + gate_size] for b in biases), start=piece))
    return jnp.concatenate(pieces, axis=-1)


def _slice(
    buffer: jax.Array, t: jax.Array, axis: int, width: int | None, offset: int
) -> jax.Array:
    starts: list[Any] = [0] * buffer.ndim
    shape = list(buffer.shape)
    if width is not None:
        starts[-1], shape[-1] = offset, width
    starts[axis], shape[axis] = t, 1
    # Negative indices would cost one more kernel per row.
    row = lax.dynamic_slice(buffer, starts, shape, allow_negative_indices=False)
    return lax.squeeze(row, (axis,))


def first(buffer: jax.Array, axis: int = 0) -> jax.Array:
    """buffer[0]."""
    return lax.index_in_dim(buffer, 0, axis, keepdims=False)


def write(buffer: jax.Array, row: jax.Array, t: jax.Array, axis: int = 0) -> jax.Array:
    """The buffer with buffer[t] = row, for t within bounds."""
    starts: list[Any] = [0] * buffer.ndim
    starts[axis] = t
    return lax.dynamic_update_slice(
        buffer, lax.expand_dims(row, (axis,)), starts, allow_negative_indices=False
    )


def write_all(
    buffers: Mapping[Key, jax.Array],
    rows: Mapping[Key, jax.Array],
    t: jax.Array,
    axis: int = 0,
) -> dict[Key, jax.Array]:
    """Each buffer with the row of the same key written at t."""
    return {k: write(b, rows[k], t, axis) for k, b in buffers.items()}


def shift(
    states: jax.Array, start: jax.Array, reverse: bool = False, axis: int = 0
) -> jax.Array:
    """The states before each step [T, ...], from those after it and the initial one."""
    start = lax.expand_dims(start, (axis,))
    size = states.shape[axis]
    if reverse:
        rest = lax.slice_in_dim(states, 1, size, axis=axis)
        return jnp.concatenate([rest, start], axis)
    rest = lax.slice_in_dim(states, 0, size - 1, axis=axis)
    return jnp.concatenate([start, rest], axis)


class Layout(NamedTuple, Generic[Key]):
    """Where rows lie in buffers that they share, by their dtype and leading shape."""

    rows: dict[Key, jax.ShapeDtypeStruct]
    groups: list[list[Key]]  # for each buffer: its rows from left to right

    @classmethod
    def of(cls, rows: Mapping[Key, jax.ShapeDtypeStruct]) -> "Layout[Key]":
        """The layout of rows of these shapes."""
        groups = defaultdict(list)
        for key, row in rows.items():
            groups[row.dtype, row.shape[:-1]].append(key)
        return cls(dict(rows), list(groups.values()))

    def empty(self, num_steps: int) -> list[jax.Array]:
        """Buffers for `num_steps` steps."""
        return [
            empty(
                num_steps,
                jax.ShapeDtypeStruct(
                    (*self.rows[keys[0]].shape[:-1], sum(map(self._width, keys))),
                    self.rows[keys[0]].dtype,
                ),
            )
            for keys in self.groups
        ]

    def write(
        self, buffers: list[jax.Array], rows: Mapping[Key, jax.Array], t: jax.Array
    ) -> list[jax.Array]:
        """The buffers with the rows of the layout written at t, for t within bounds."""
        joined = [
            jnp.concatenate(
                [
                    rows[key].reshape(*rows[key].shape[:-1], self._width(key))
                    for key in keys
                ],
                axis=-1,
            )
            for keys in self.groups
        ]
        return [write(b, row, t) for b, row in zip(buffers, joined, strict=True)]

    def read(self, buffers: list[jax.Array], t: jax.Array) -> dict[Key, jax.Array]:
        """The rows at t, for t within bounds."""
        return self.split([read(buffer, t) for buffer in buffers])

    def split(self, joined: list[jax.Array]) -> dict[Key, jax.Array]:
        """The rows of joined ones [..., sum of widths], also of whole buffers."""
        found = {}
        for whole, keys in zip(joined, self.groups, strict=True):
            end = 0
            for key in keys:
                start, end = end, end + self._width(key)
                shape = self.rows[key].shape
                batch = whole.shape[: whole.ndim - max(len(shape), 1)]
                found[key] = whole[..., start:end].reshape(*batch, *shape)
        return found

    def _width(self, key: Key) -> int:
        return math.prod(self.rows[key].shape[-1:])
