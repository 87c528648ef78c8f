"""Masks from sequence lengths."""

import jax
import jax.numpy as jnp


def valid_steps(num_steps: int, lengths: jax.Array) -> jax.Array:
    """Booleans [T, ...]: True where t < lengths [...].

    Args:
      num_steps: T.
      lengths: integers [...].

    Example:
      >>> valid_steps(3, jnp.array([2, 0])).tolist()
      [[True, False], [True, False], [False, False]]
    """
    times = jnp.arange(num_steps).reshape(-1, *[1] * lengths.ndim)
    return times < lengths[None].astype(times.dtype)
