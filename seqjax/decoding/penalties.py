"""Penalties that turn the log probability of a sequence into its final score."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

# (log_prob, length) -> score. It must rise with log_prob; length includes eos.
LengthPenalty = Callable[[jax.Array, jax.Array], jax.Array]


def no_penalty(log_prob: jax.Array, length: jax.Array) -> jax.Array:
    """log_prob. The most probable sequence is often a short one."""
    del length
    return log_prob


def power_penalty(alpha: float = 0.75) -> LengthPenalty:
    """log_prob / length**alpha (Zhang et al., "Dive into Deep Learning", 10.8)."""
    return lambda log_prob, length: log_prob / length**alpha


def gnmt_penalty(alpha: float = 0.6) -> LengthPenalty:
    """log_prob / ((5 + length) / 6)**alpha (Wu et al. 2016, arXiv:1609.08144)."""
    return lambda log_prob, length: log_prob / ((5 + length) / 6) ** alpha


def word_reward(reward: float) -> LengthPenalty:
    """log_prob + reward * length (He et al. 2016)."""
    return lambda log_prob, length: log_prob + reward * length


def gnmt_coverage(beta: float = 0.2) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """beta * sum_s min(log(attention_s), 0) (Wu et al. 2016, equation 14).

    Returns:
      A function (attention [S], mask [S]) -> score, at most 0. `attention` is the
      attention weight of each source position, summed over the steps of a hypothesis.
    """

    def coverage(attention: jax.Array, mask: jax.Array) -> jax.Array:
        log = jnp.log(jnp.clip(attention, 1e-9, 1.0))
        return beta * jnp.sum(jnp.where(mask, log, 0.0))

    return coverage
