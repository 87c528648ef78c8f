"""Products whose operands are padded with zeros to sizes that a GPU takes as they are.

XLA splits a product into parts along the axis that it sums over, and pads both operands
to a multiple of the parts. A padded weight saves it from doing so at each step.
"""

import math

import jax
import jax.numpy as jnp

from seqjax.nn.layers import matmul

ALIGNED = 128  # sizes that are multiples of this stay as they are


def aligned_size(size: int, gates: int = 1) -> int:
    """The size of an axis after each of its gates is padded."""
    unit = ALIGNED // math.gcd(gates, ALIGNED)
    return gates * unit * -(-size // (gates * unit))


def pad(a: jax.Array, size: int, gates: int = 1) -> jax.Array:
    """The array with each gate of its last axis padded, so that the axis has `size`."""
    missing = (size - a.shape[-1]) // gates
    if not missing:
        return a
    widths = [(0, 0)] * (a.ndim - 1) + [(0, missing)]
    # Not one pad of [..., gates, -1]: XLA then computes the pointwise part of an LSTM
    # in two kernels that share an array.
    parts = jnp.split(a, gates, axis=-1)
    return jnp.concatenate([jnp.pad(part, widths) for part in parts], axis=-1)


def unpad(a: jax.Array, size: int, gates: int = 1) -> jax.Array:
    """The array before `pad`, with its last axis of `size`."""
    if a.shape[-1] == size:
        return a
    parts = a.reshape(*a.shape[:-1], gates, a.shape[-1] // gates)[..., : size // gates]
    return parts.reshape(*a.shape[:-1], size)


def aligned_matmul(v: jax.Array, w: jax.Array, gates: int = 1) -> jax.Array:
    """matmul(v, w), for w whose first axis may be padded and v which is not."""
    return matmul(pad(v, w.shape[0], gates), w)
