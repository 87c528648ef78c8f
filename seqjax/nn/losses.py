"""Losses as (total, count), so that means over a corpus are exact."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.nn.adaptive_softmax import adaptive_cross_entropy as adaptive_cross_entropy
from seqjax.nn.adaptive_softmax import adaptive_log_softmax as adaptive_log_softmax
from seqjax.nn.chunked_softmax import chunked_cross_entropy as chunked_cross_entropy
from seqjax.nn.masks import masked_total


def cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    mask: jax.Array | None = None,
    label_smoothing: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """Softmax cross-entropy, summed over the positions that the mask includes.

        total = sum_i mask_i * -log softmax(logits_i)[labels_i],   count = sum_i mask_i

    With label smoothing e, each term is instead

        (1 - e) * -log softmax(logits_i)[labels_i] - e * mean_v log softmax(logits_i)[v]

    Args:
      logits: [..., V], of any float dtype. The sum is in float32 or wider.
      labels: integers [...] in [0, V).
      mask: booleans [...], True where a position counts; None counts all. Where it is
        False, logits may have any value, and their gradient is exactly zero.
      label_smoothing: e, in [0, 1).

    Returns:
      (total, count): scalars, the total in nats. The perplexity of a corpus is
      `metrics.perplexity` of the sums of both over all batches, not a mean of
      perplexities.

    Raises:
      ValueError: if the shapes do not fit together.

    Example:
      >>> total, count = cross_entropy(jnp.zeros((7, 3, 28)), jnp.ones((7, 3), int))
      >>> print(f"{total / count:.4f}")  # ln 28
      3.3322

    Source: for label smoothing, Szegedy et al. 2016, arXiv:1512.00567, section 7.
    """
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"cross_entropy: labels must be [...] for logits [..., V], got "
            f"{labels.shape} and {logits.shape}"
        )
    if mask is not None and mask.shape != labels.shape:
        raise ValueError(
            f"cross_entropy: the mask must have the shape of labels, {labels.shape}, "
            f"got {mask.shape}"
        )
    if jnp.finfo(logits.dtype).bits < 32:
        logits = logits.astype(jnp.float32)
    if mask is not None:
        # Masking only the losses would give nan gradients where a logit is inf.
        logits = jnp.where(mask[..., None], logits, jnp.zeros_like(logits))
    log_z = jax.nn.logsumexp(logits, axis=-1)
    losses = log_z - _of_labels(logits, labels)
    if label_smoothing > 0:
        uniform = log_z - logits.mean(axis=-1)
        losses = (1 - label_smoothing) * losses + label_smoothing * uniform
    return masked_total(losses, mask)


@jax.custom_jvp
def _of_labels(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """logits[labels], [..., V] -> [...], whose gradient needs no scatter.

    XLA joins a comparison with the gradient of log_z in one pass over the logits.
    """
    return jnp.take_along_axis(logits, labels[..., None], axis=-1)[..., 0]


@_of_labels.defjvp
def _of_labels_jvp(
    primals: tuple[jax.Array, jax.Array], tangents: tuple[jax.Array, Any]
) -> tuple[jax.Array, jax.Array]:
    logits, labels = primals
    d_logits, _ = tangents
    vocab = jnp.arange(logits.shape[-1], dtype=jnp.int32)
    is_label = labels[..., None].astype(jnp.int32) == vocab
    d = jnp.where(is_label, d_logits, jnp.zeros_like(d_logits)).sum(axis=-1)
    return _of_labels(logits, labels), d


def smoothed_cross_entropy(
    logits: jax.Array,
    labels: jax.Array,
    mask: jax.Array | None = None,
    label_smoothing: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """The value of `cross_entropy` with the gradient of its label-smoothed form.

    A training loss of this kind is still the one that defines perplexity.

    Args:
      logits, labels, mask, label_smoothing: see `cross_entropy`.

    Returns:
      (total, count): scalars, the total in nats, without label smoothing.

    Raises:
      ValueError: if the shapes do not fit together.

    Example:
      >>> logits, labels = jnp.zeros((1, 2)), jnp.array([0])
      >>> total, count = smoothed_cross_entropy(logits, labels, label_smoothing=0.2)
      >>> print(f"{total:.4f}")  # ln 2
      0.6931
      >>> gradient = jax.grad(lambda z: smoothed_cross_entropy(z, labels, None, 0.2)[0])
      >>> np.asarray(gradient(logits)).round(2)  # softmax - (0.9, 0.1)
      array([[-0.4,  0.4]], dtype=float32)

    Source: for label smoothing, Szegedy et al. 2016, arXiv:1512.00567, section 7.
    """
    total, count = cross_entropy(logits, labels, mask)
    if label_smoothing > 0:
        objective, _ = cross_entropy(logits, labels, mask, label_smoothing)
        total = lax.stop_gradient(total) + (objective - lax.stop_gradient(objective))
    return total, count
