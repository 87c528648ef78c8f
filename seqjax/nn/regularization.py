"""Regularization of recurrent language models: dropped weights and words, penalties."""

from typing import Any

import jax
import jax.numpy as jnp

from seqjax.nn.masks import masked_total


def drop_connect(key: jax.Array | None, params: Any, rate: float) -> Any:
    """Dropout of the recurrent weights: one mask for all steps and sequences.

    The recurrent weights are the matrices whose names begin with "w_h", of all layers.
    The call belongs before `unroll`, whose fused loop then keeps the gradient of the
    dropped weights out of the loop, like any other.

    Args:
      key: a random key; None returns params (evaluation).
      params: parameters of a cell or a Stack.
      rate: dropout rate in [0, 1); the kept weights are scaled by 1 / (1 - rate).

    Returns:
      Parameters like params.

    Raises:
      ValueError: if no parameter is a recurrent weight.

    Example:
      >>> cell = seqjax.LSTM(16)
      >>> params = cell.init(jax.random.key(0), input_size=3)
      >>> dropped = drop_connect(jax.random.key(1), params, rate=0.5)
      >>> sorted(set((dropped.w_h / params.w_h).ravel().tolist()))
      [0.0, 2.0]
      >>> dropped.w_x is params.w_x
      True

    Source: Wan et al. 2013, "Regularization of neural networks using DropConnect"; on
    recurrent weights Merity et al. 2017, arXiv:1708.02182, section 3.
    """
    if key is None or rate == 0.0:
        return params
    named, tree = jax.tree_util.tree_flatten_with_path(params)
    dropped, number = [], 0
    for path, w in named:
        if w.ndim == 2 and _name(path[-1]).startswith("w_h"):
            keep = jax.random.bernoulli(
                jax.random.fold_in(key, number), 1.0 - rate, w.shape
            )
            w, number = jnp.where(keep, w / (1.0 - rate), 0.0), number + 1
        dropped.append(w)
    if not number:
        raise ValueError(
            "drop_connect: the cell has no recurrent weights, matrices whose names "
            'begin with "w_h"'
        )
    return jax.tree.unflatten(tree, dropped)


def _name(entry: Any) -> str:
    """The name of the last part of a path in a pytree."""
    return str(getattr(entry, "name", getattr(entry, "key", "")))


def drop_words(
    key: jax.Array | None,
    xs: jax.Array,
    tokens: jax.Array,
    vocab_size: int,
    rate: float,
) -> jax.Array:
    """Dropout of whole words: an embedding is dropped wherever its word occurs.

    Args:
      key: a random key; None returns xs (evaluation).
      xs: the embeddings of the tokens, [..., E].
      tokens: integers [...] in [0, V).
      vocab_size: V.
      rate: dropout rate in [0, 1); the kept words are scaled by 1 / (1 - rate).

    Returns:
      An array like xs.

    Example:
      >>> tokens, xs = jnp.array([1, 2, 1]), jnp.array([[3.0], [5.0], [3.0]])
      >>> drop_words(jax.random.key(1), xs, tokens, 4, rate=0.5).ravel().tolist()
      [0.0, 10.0, 0.0]

    Source: Gal and Ghahramani 2016, arXiv:1512.05287, section 4.2.
    """
    if key is None or rate == 0.0:
        return xs
    keep = jax.random.bernoulli(key, 1.0 - rate, (vocab_size,))[tokens]
    return jnp.where(keep[..., None], xs / (1.0 - rate), 0.0)


def activation_penalty(ys: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """AR: the squares of the outputs, averaged over H and summed over positions.

    Args:
      ys: [T, ..., H].
      mask: booleans [T, ...], True where a position counts; None counts all.

    Returns:
      A scalar.

    Example:
      >>> activation_penalty(jnp.array([[1.0, 2.0], [3.0, 4.0]])).item()
      15.0

    Source: Merity et al. 2017, arXiv:1708.01009, section 3.
    """
    return masked_total((ys**2).mean(axis=-1), mask)[0]


def temporal_penalty(ys: jax.Array, mask: jax.Array | None = None) -> jax.Array:
    """TAR: squared changes of the outputs, averaged over H and summed over positions.

    Args:
      ys: [T, ..., H].
      mask: booleans [T, ...]; a change counts where both of its positions do.

    Returns:
      A scalar.

    Example:
      >>> temporal_penalty(jnp.array([[1.0, 2.0], [3.0, 4.0]])).item()
      4.0

    Source: Merity et al. 2017, arXiv:1708.01009, section 3.
    """
    if mask is not None:
        mask = mask[1:] & mask[:-1]
    return masked_total(((ys[1:] - ys[:-1]) ** 2).mean(axis=-1), mask)[0]
