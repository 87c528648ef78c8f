"""Penalties that turn the log probability of a sequence into its final score."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

# (log_prob, length) -> score. It must rise with log_prob; length includes eos.
LengthPenalty = Callable[[jax.Array, jax.Array], jax.Array]


def no_penalty(log_prob: jax.Array, length: jax.Array) -> jax.Array:
    """log_prob. The most probable sequence is often a short one.

    Args:
      log_prob: the log probability of a sequence, in nats, of any shape.
      length: its number of tokens as a float, eos included; not used.

    Returns:
      log_prob.

    Example:
      >>> no_penalty(jnp.array([-6.0, -2.0]), jnp.array([4.0, 1.0])).tolist()
      [-6.0, -2.0]
    """
    del length
    return log_prob


def power_penalty(alpha: float = 0.75) -> LengthPenalty:
    """log_prob / length**alpha.

    Args:
      alpha: at least 0; 0 is no penalty, 1 the mean log probability of a token.

    Returns:
      A function (log_prob [...], length [...]) -> score [...], of floats.

    Example:
      >>> penalty = power_penalty(alpha=1.0)
      >>> penalty(jnp.array([-6.0, -2.0]), jnp.array([4.0, 1.0])).tolist()
      [-1.5, -2.0]

    Source: Zhang et al., "Dive into Deep Learning", 10.8.
    """
    return lambda log_prob, length: log_prob / length**alpha


def gnmt_penalty(alpha: float = 0.6) -> LengthPenalty:
    """log_prob / ((5 + length) / 6)**alpha.

    Args:
      alpha: at least 0; 0 is no penalty.

    Returns:
      A function (log_prob [...], length [...]) -> score [...], of floats.

    Example:
      >>> penalty = gnmt_penalty(alpha=1.0)
      >>> penalty(jnp.array([-6.0, -2.0]), jnp.array([7.0, 1.0])).tolist()
      [-3.0, -2.0]

    Source: Wu et al. 2016, arXiv:1609.08144, equation 14.
    """
    return lambda log_prob, length: log_prob / ((5 + length) / 6) ** alpha


def word_reward(reward: float) -> LengthPenalty:
    """log_prob + reward * length.

    Args:
      reward: added for each token, in nats.

    Returns:
      A function (log_prob [...], length [...]) -> score [...], of floats.

    Example:
      >>> reward = word_reward(0.5)
      >>> reward(jnp.array([-6.0, -2.0]), jnp.array([4.0, 1.0])).tolist()
      [-4.0, -1.5]

    Source: He et al., "Improved neural machine translation with SMT features", AAAI
    2016.
    """
    return lambda log_prob, length: log_prob + reward * length


def gnmt_coverage(beta: float = 0.2) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """beta * sum_s min(log(attention_s), 0), over the positions that the mask includes.

    Args:
      beta: at least 0, the weight of the coverage.

    Returns:
      A function (attention [S], mask [S]) -> score, a scalar, at most 0. `attention` is
      the attention weight of each source position, summed over the steps of a
      hypothesis; below 1e-9 it counts as 1e-9. `mask` is bool, True at the positions of
      the source.

    Example:
      >>> attention, mask = jnp.array([0.5, 2.0, 0.0]), jnp.array([True, True, False])
      >>> print(f"{gnmt_coverage(beta=1.0)(attention, mask):.4f}")  # ln 0.5
      -0.6931

    Source: Wu et al. 2016, arXiv:1609.08144, equation 14.
    """

    def coverage(attention: jax.Array, mask: jax.Array) -> jax.Array:
        log = jnp.log(jnp.clip(attention, 1e-9, 1.0))
        return beta * jnp.sum(jnp.where(mask, log, 0.0))

    return coverage
