"""The largest of many numbers, without sorting all of them."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.backend import on_gpu

# XLA's kernel for GPUs selects at most 16 of at least 1,024 numbers; else it sorts.
KERNEL_MOST, KERNEL_LEAST = 16, 1024
SMALL = 4096  # so many numbers are searched in one stage
CHUNK = 32  # at most; XLA:CPU is slow at maxima of more


def top_k(x: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    """The k largest numbers of the last axis, like `lax.top_k`, in two stages.

    The numbers are split into chunks. The k largest are in the k chunks with the
    largest maxima, and only these are searched. Ties go to the lower index.

    Args:
      x: [..., N], floating, without nan.
      k: in 0 .. N.

    Returns:
      (values [..., k], indices [..., k] int32), the largest first.

    Example:
      >>> values, indices = top_k(-((jnp.arange(10_000.0) - 7_000) ** 2), 3)
      >>> values.tolist(), indices.tolist()
      ([-0.0, -1.0, -1.0], [7000, 6999, 7001])
    """
    size = x.shape[-1]
    if size <= SMALL:
        return _one_stage(x, k)
    chunk = min(2 ** int(math.log2(size / KERNEL_LEAST)), CHUNK)
    chunks = _padded(x, -size % chunk).reshape(*x.shape[:-1], -1, chunk)
    if k > chunks.shape[-2]:
        return _one_stage(x, k)
    _, kept = top_k(chunks.max(axis=-1), k)
    kept = jnp.sort(kept, axis=-1)  # so that ties keep the order of their indices
    places = kept[..., None] * chunk + jnp.arange(chunk, dtype=jnp.int32)
    places = places.reshape(*x.shape[:-1], k * chunk)
    candidates = jnp.take_along_axis(
        x, places, axis=-1, mode="fill", fill_value=-jnp.inf
    )
    values, at = _one_stage(candidates, k)
    # Where fewer than k numbers are above -inf, padding may have been selected.
    indices = jnp.minimum(jnp.take_along_axis(places, at, axis=-1), size - 1)
    return values, indices


def _one_stage(x: jax.Array, k: int) -> tuple[jax.Array, jax.Array]:
    size = x.shape[-1]
    if not (on_gpu() and 0 < k <= KERNEL_MOST and size < KERNEL_LEAST):
        return lax.top_k(x, k)
    values, indices = lax.top_k(_padded(x, KERNEL_LEAST - size), k)
    return values, jnp.minimum(indices, size - 1)


def _padded(x: jax.Array, number: int) -> jax.Array:
    """x with this number of -inf at the end of the last axis."""
    widths = [(0, 0)] * (x.ndim - 1) + [(0, number)]
    return jnp.pad(x, widths, constant_values=-jnp.inf) if number else x
