"""Sequence lengths of any integer dtype, and the masks that they make."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def as_lengths(
    lengths: ArrayLike,
    num_steps: int | None = None,
    batch_shape: Sequence[int] | None = None,
    name: str = "lengths",
    of: str = "xs",
) -> jax.Array:
    """Lengths [...] of any integer dtype as int32, so that arithmetic cannot overflow.

    Within `jax.jit` the values are unknown; there they are clipped to 0 .. T.

    Args:
      lengths: integers [...].
      num_steps: T; None is the largest int32.
      batch_shape: the shape that lengths must have; None accepts any.
      name, of: how an error names the lengths and the array that has the batch shape.

    Returns:
      int32 [...].

    Raises:
      ValueError: if lengths are not integers, have another shape, or are outside
        0 .. T where they are known.

    Example:
      >>> as_lengths(np.array([3, 200], np.uint8), 300) - 4
      Array([ -1, 196], dtype=int32)
    """
    longest = np.iinfo(np.int32).max if num_steps is None else num_steps
    known = _known(lengths)
    array = jnp.asarray(lengths) if known is None else known
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(f"{name} must be integers, got {array.dtype}")
    if batch_shape is not None and array.shape != tuple(batch_shape):
        raise ValueError(
            f"{name} must be of the batch shape of {of}, {tuple(batch_shape)}, got "
            f"{array.shape}"
        )
    if known is None:
        wide = array.astype(jnp.int32) if array.dtype.itemsize < 4 else array
        return jnp.clip(wide, 0, longest).astype(jnp.int32)
    outside = known[(known < 0) | (known > longest)]
    if outside.size:
        raise ValueError(f"{name} must be in 0 .. T = {longest}, got {outside[0]}")
    return jnp.asarray(known.astype(np.int32))


def valid_steps(num_steps: int, lengths: ArrayLike) -> jax.Array:
    """Where the steps of each sequence are.

    Args:
      num_steps: T.
      lengths: integers [...], see `as_lengths`.

    Returns:
      Booleans [T, ...]: True where t < lengths.

    Raises:
      ValueError: as `as_lengths`.

    Example:
      >>> valid_steps(3, jnp.array([2, 0])).tolist()
      [[True, False], [True, False], [False, False]]
    """
    lengths = as_lengths(lengths, num_steps)
    times = jnp.arange(num_steps, dtype=jnp.int32)
    return times.reshape(-1, *[1] * lengths.ndim) < lengths


def _known(lengths: ArrayLike) -> np.ndarray | None:
    """The values of lengths; None where this process does not know them."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(lengths)):
        return None
    if isinstance(lengths, jax.Array) and not lengths.is_fully_addressable:
        return None
    return np.asarray(lengths)


def masked_total(
    losses: jax.Array, mask: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """The sum of the losses where the mask is True, and their number.

    Args:
      losses: [...], of any float dtype. Where the mask is False, they may be nan.
      mask: booleans [...]; None counts all.

    Returns:
      (total, count): scalars in the dtype of the losses.

    Example:
      >>> losses, mask = jnp.array([1.0, 2.0, 4.0]), jnp.array([True, False, True])
      >>> total, count = masked_total(losses, mask)
      >>> total.item(), count.item()
      (5.0, 2.0)
    """
    if mask is None:
        return losses.sum(), jnp.asarray(losses.size, losses.dtype)
    losses = jnp.where(mask, losses, jnp.zeros_like(losses))
    return losses.sum(), jnp.sum(mask, dtype=losses.dtype)
