"""The inputs of a decoder in training: teacher forcing and scheduled sampling."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from seqjax.data.vocab import BOS


def shift_right(target: jax.Array) -> jax.Array:
    """Inputs of teacher forcing [T, B]: BOS, then all targets but the last."""
    bos = jnp.full_like(target[:1], BOS)
    return jnp.concatenate([bos, target[:-1]])


def scheduled_sampling(
    step: Callable[..., tuple[Any, jax.Array]],
    state: Any,
    context: Any,
    target: jax.Array,
    key: jax.Array,
    rate: float,
) -> jax.Array:
    """Inputs [T, B], each sampled from the model with probability `rate`.

    The other inputs are those of `shift_right`. No gradient flows through the samples.

    Args:
      step: (state, token [B], context) -> (state, logits [B, V]).
      state: the state before BOS, leaves [B, ...].
      context: leaves [B, ...].
      target: integers [T, B].
      key: a random key.
      rate: in [0, 1].

    Source: Bengio et al. 2015, arXiv:1506.03099.
    """

    def body(
        carry: tuple[Any, jax.Array, jax.Array], target: jax.Array
    ) -> tuple[tuple[Any, jax.Array, jax.Array], jax.Array]:
        state, token, key = carry
        key, k_token, k_coin = jax.random.split(key, 3)
        state, logits = step(state, token, context)
        sampled = jax.random.categorical(k_token, logits).astype(token.dtype)
        use_sample = jax.random.bernoulli(k_coin, rate, token.shape)
        return (state, jnp.where(use_sample, sampled, target), key), token

    first = jnp.full_like(target[0], BOS)
    _, inputs = jax.lax.scan(body, (state, first, key), target)
    return jax.lax.stop_gradient(inputs)
