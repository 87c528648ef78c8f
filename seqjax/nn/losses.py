"""Losses as (total, count), so that averages over a corpus are exact."""

import jax
import jax.numpy as jnp
import optax
from jax import lax


def cross_entropy(logits, labels, mask=None, label_smoothing=0.0):
    """Softmax cross-entropy, summed over the positions that count.

        total = sum_i mask_i * -log softmax(logits_i)[labels_i],   count = sum_i mask_i

    With label smoothing e, each term is instead

        (1 - e) * -log softmax(logits_i)[labels_i] - e * mean_v log softmax(logits_i)[v]

    Args:
      logits: [..., V], any float dtype; the sum is taken in at least float32.
      labels: [...], integers in [0, V).
      mask: [...], True where the position counts; None counts every one. Elsewhere
        logits may hold anything, and their gradient is exactly zero.
      label_smoothing: e, in [0, 1).

    Returns:
      (total, count), scalars, the total in nats. Perplexity is
      `metrics.perplexity(total, count)`; never average the perplexities of batches.

    Example:
      >>> total, count = cross_entropy(jnp.zeros((7, 3, 28)), jnp.ones((7, 3), int))
      >>> float(total / count)  # ln 28
      3.3322...

    Source of the smoothing: Szegedy et al. 2016, arXiv:1512.00567, section 7.
    """
    if jnp.finfo(logits.dtype).bits < 32:
        logits = logits.astype(jnp.float32)
    if mask is not None:  # before the softmax: the gradient of 0 * inf is nan
        logits = jnp.where(mask[..., None], logits, jnp.zeros_like(logits))
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    if label_smoothing > 0:
        uniform = jax.nn.logsumexp(logits, axis=-1) - logits.mean(axis=-1)
        losses = (1 - label_smoothing) * losses + label_smoothing * uniform
    if mask is None:
        return losses.sum(), jnp.asarray(losses.size, losses.dtype)
    losses = jnp.where(mask, losses, jnp.zeros_like(losses))
    return losses.sum(), jnp.sum(mask, dtype=losses.dtype)


def smoothed_cross_entropy(logits, labels, mask=None, label_smoothing=0.0):
    """`cross_entropy` with the gradient of the smoothed one, what training descends on.

    The total stays what a perplexity is made of; the arguments are those of
    `cross_entropy`.
    """
    total, count = cross_entropy(logits, labels, mask)
    if label_smoothing > 0:
        objective, _ = cross_entropy(logits, labels, mask, label_smoothing)
        total = lax.stop_gradient(total) + (objective - lax.stop_gradient(objective))
    return total, count
