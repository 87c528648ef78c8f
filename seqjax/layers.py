"""Layers without a state: embed, dense and dropout as init/apply functions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class DenseParams(NamedTuple):
    w: jax.Array  # [D, H]
    b: jax.Array  # [H]


def dense_init(key, input_size, output_size, w_init=None, dtype=jnp.float32):
    """Parameters of a dense layer, w [D, H] and b [H]; b starts at zero.

    `w_init` is an initializer `(key, shape, dtype)`; the default is torch's uniform,
    U(-1/sqrt(D), 1/sqrt(D)).
    """
    bound = input_size**-0.5
    if w_init is None:
        w = jax.random.uniform(key, (input_size, output_size), dtype, -bound, bound)
    else:
        w = w_init(key, (input_size, output_size), dtype)
    return DenseParams(w=w, b=jnp.zeros(output_size, dtype))


def dense(params, xs):
    """xs @ w + b: [..., D] -> [..., H]."""
    return xs @ params.w + params.b


def embed_init(key, vocab_size, embed_size, dtype=jnp.float32):
    """A table of embeddings [V, E], drawn from U(-0.1, 0.1) (Zaremba et al. 2014)."""
    return jax.random.uniform(key, (vocab_size, embed_size), dtype, -0.1, 0.1)


def embed(table, tokens):
    """Rows of `table` [V, E] at integer `tokens` [...]: [...] -> [..., E]."""
    return table[tokens]


def dropout(key, xs, rate):
    """Zero each element with probability `rate`, scale the others by 1 / (1 - rate).

    Args:
      key: a random key, or None for no dropout (evaluation).
      xs: any array.
      rate: in [0, 1).

    Source: Srivastava et al., "Dropout", JMLR 15, 2014.
    """
    if key is None or rate == 0.0:
        return xs
    keep = jax.random.bernoulli(key, 1.0 - rate, xs.shape)
    return jnp.where(keep, xs / (1.0 - rate), jnp.zeros_like(xs))
