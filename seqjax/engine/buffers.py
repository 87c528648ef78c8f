"""Rows of a buffer [T, ...], read and written in place within a loop."""

import jax.numpy as jnp
from jax import lax


def empty(num_steps, like):
    """A buffer for `num_steps` rows of the shape and dtype of `like`."""
    return lax.empty((num_steps, *like.shape), like.dtype)


def read(buffer, t, width=None, biases=(), apart=False):
    """buffer[t] + sum(biases), t within bounds.

    XLA's CPU compiler gives up vectors in a kernel that reads several slices of one
    row; so a row that is a few times `width` wide is read in pieces. That they are
    joined here and split again by the reader costs nothing. `apart` is for a row whose
    buffer is written while others are still read: joined from two pieces at least, and
    behind a barrier, it is an array of its own.
    """
    total = buffer.shape[-1] if buffer.ndim > 1 else 1
    if apart and total == width and total % 2 == 0:
        width = total // 2
    if not width or total % width or not 1 < total // width <= 8:
        return sum(biases, start=_slice(buffer, t, buffer.shape[1:], 0))
    pieces = []
    for i in range(0, total, width):
        piece = _slice(buffer, t, (*buffer.shape[1:-1], width), i)
        pieces.append(sum((b[..., i : i + width] for b in biases), start=piece))
    return jnp.concatenate(pieces, axis=-1)


def _slice(buffer, t, shape, last):
    starts = (t, *[0] * (buffer.ndim - 2), last)[: buffer.ndim]
    row = lax.dynamic_slice(buffer, starts, (1, *shape), allow_negative_indices=False)
    return row[0]


def write(buffer, row, t):
    """buffer with buffer[t] = row, t within bounds."""
    starts = (t, *[0] * (buffer.ndim - 1))
    return lax.dynamic_update_slice(
        buffer, row[None], starts, allow_negative_indices=False
    )


def write_all(buffers, rows, t):
    """Each buffer of a dict with the row of the same name."""
    return {k: write(b, rows[k], t) for k, b in buffers.items()}


def shift(states, start, reverse=False):
    """The states before each step from those after it, [T, ...], and the first."""
    if reverse:
        return jnp.concatenate([states[1:], start[None]])
    return jnp.concatenate([start[None], states[:-1]])
