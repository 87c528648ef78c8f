"""Shapes, lengths and padding of the potentials of a chain."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from seqjax.nn.masks import as_lengths, valid_steps


def prepare(
    unary: ArrayLike, pairwise: ArrayLike, lengths: ArrayLike | None
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Check and broadcast the potentials of a chain, and set the padding to zero.

    Args:
      unary: [T, ..., K].
      pairwise: [K, K], [..., K, K] or [T, ..., K, K].
      lengths: integers [...] of any dtype; None is T.

    Returns:
      (unary, pairwise, real): in one dtype of at least float32, and bool [T, ...].

    Raises:
      ValueError: if the shapes do not fit together, or lengths are not integers in
        0 .. T.
    """
    unary, pairwise = jnp.asarray(unary), jnp.asarray(pairwise)
    dtype = jnp.result_type(unary, pairwise)
    dtype = jnp.dtype(jnp.float32) if jnp.finfo(dtype).bits < 32 else dtype
    if unary.ndim < 2 or 0 in (unary.shape[0], unary.shape[-1]):
        raise ValueError(
            f"unary must be [T, ..., K], T and K at least 1, got {list(unary.shape)}"
        )
    num_steps, *batch, _ = unary.shape
    shape = _pairwise_shape(unary, pairwise)
    if lengths is None:
        lengths = jnp.full(batch, num_steps, jnp.int32)
    lengths = as_lengths(lengths, num_steps, batch, of="unary")
    real = valid_steps(num_steps, lengths)  # [T, ...]
    per_step = pairwise.ndim > unary.ndim
    pairwise = jnp.broadcast_to(pairwise.astype(dtype), shape)
    if per_step:
        pairwise = masked(pairwise, has_previous(real)[..., None])
    return masked(unary.astype(dtype), real), pairwise, real


def _pairwise_shape(unary: jax.Array, pairwise: jax.Array) -> tuple[int, ...]:
    """The full shape of `pairwise`, whose axes of size 1 broadcast."""
    num_steps, *batch, states = unary.shape
    square = states, states
    shape: tuple[int, ...] = (*batch, *square)
    if pairwise.ndim == 2:
        shape = square
    elif pairwise.ndim > unary.ndim:
        shape = (num_steps, *shape)
    fits = len(shape) == pairwise.ndim and all(
        p in (s, 1) for p, s in zip(pairwise.shape, shape, strict=True)
    )
    if not fits or pairwise.shape[-2:] != square:
        raise ValueError(
            f"pairwise must be [K, K], [..., K, K] or [T, ..., K, K] to go with unary "
            f"{list(unary.shape)}, got {list(pairwise.shape)}"
        )
    return shape


def masked(a: jax.Array, real: jax.Array) -> jax.Array:
    """a [T, ..., K], zero where `real` [T, ...] is False."""
    return jnp.where(real[..., None], a, jnp.zeros_like(a))


def has_previous(real: jax.Array) -> jax.Array:
    """Whether each step is real and has a step before it."""
    return real.at[0].set(False)


def has_next(real: jax.Array) -> jax.Array:
    """Whether each step is followed by a real step."""
    return jnp.roll(real, -1, axis=0).at[-1].set(False)


def next_pairwise(pairwise: jax.Array, unary: jax.Array) -> jax.Array:
    """The matrices from t to t+1; the last one is not read."""
    per_step = pairwise.ndim > unary.ndim
    return jnp.roll(pairwise, -1, axis=0) if per_step else pairwise
