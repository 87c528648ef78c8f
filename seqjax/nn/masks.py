"""Masks from sequence lengths."""

import jax.numpy as jnp


def valid_steps(num_steps, lengths):
    """valid[t, ...] = t < lengths [...]: [T, ...]."""
    times = jnp.arange(num_steps).reshape(-1, *[1] * lengths.ndim)
    return times < lengths[None].astype(times.dtype)
