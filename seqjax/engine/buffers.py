"""Rows of a buffer [T, ...], read and written in place within a loop."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax

Key = TypeVar("Key", bound=Hashable)


def empty(num_steps: int, like: jax.Array | jax.ShapeDtypeStruct) -> jax.Array:
    """A buffer for `num_steps` rows of the shape and dtype of `like`."""
    return lax.empty((num_steps, *like.shape), like.dtype)


def read(
    buffer: jax.Array,
    t: jax.Array,
    gate_size: int | None = None,
    biases: Sequence[jax.Array] = (),
    materialize: bool = False,
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
    """
    width = buffer.shape[-1] if buffer.ndim > 1 else 1
    if materialize and width == gate_size and width % 2 == 0:
        gate_size = width // 2
    if not gate_size or width % gate_size or not 1 < width // gate_size <= 8:
        return sum(biases, start=_slice(buffer, t, buffer.shape[1:], 0))
    pieces = []
    for i in range(0, width, gate_size):
        piece = _slice(buffer, t, (*buffer.shape[1:-1], gate_size), i)
        pieces.append(sum((b[..., i : i + gate_size] for b in biases), start=piece))
    return jnp.concatenate(pieces, axis=-1)


def _slice(
    buffer: jax.Array, t: jax.Array, shape: tuple[int, ...], offset: int
) -> jax.Array:
    starts: list[Any] = [t, *[0] * (buffer.ndim - 2), offset][: buffer.ndim]
    # Negative indices would cost one more kernel per row.
    row = lax.dynamic_slice(buffer, starts, (1, *shape), allow_negative_indices=False)
    return row[0]


def write(buffer: jax.Array, row: jax.Array, t: jax.Array) -> jax.Array:
    """The buffer with buffer[t] = row, for t within bounds."""
    starts: list[Any] = [t, *[0] * (buffer.ndim - 1)]
    return lax.dynamic_update_slice(
        buffer, row[None], starts, allow_negative_indices=False
    )


def write_all(
    buffers: Mapping[Key, jax.Array], rows: Mapping[Key, jax.Array], t: jax.Array
) -> dict[Key, jax.Array]:
    """Each buffer with the row of the same key written at t."""
    return {k: write(b, rows[k], t) for k, b in buffers.items()}


def shift(states: jax.Array, start: jax.Array, reverse: bool = False) -> jax.Array:
    """The states before each step [T, ...], from those after it and the initial one."""
    if reverse:
        return jnp.concatenate([states[1:], start[None]])
    return jnp.concatenate([start[None], states[:-1]])
