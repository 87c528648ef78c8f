"""Word dropout: tokens replaced by UNK in training."""

import jax
import jax.numpy as jnp

from seqjax.data.vocab import UNK


def word_dropout(key: jax.Array | None, tokens: jax.Array, rate: float) -> jax.Array:
    """Replace each token by UNK with probability `rate`.

    Args:
      key: a random key, or None for no dropout.
      tokens: integers, any shape.
      rate: in [0, 1).

    Source: Iyyer et al., "Deep unordered composition rivals syntactic methods for text
    classification", ACL 2015, section 2.3.
    """
    if key is None or rate == 0.0:
        return tokens
    dropped = jax.random.bernoulli(key, rate, tokens.shape)
    return jnp.where(dropped, jnp.asarray(UNK, tokens.dtype), tokens)
