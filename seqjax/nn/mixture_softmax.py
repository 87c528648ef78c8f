"""A mixture of softmaxes, whose log probabilities are of higher rank than logits.

Letters: H the width of the outputs, K the number of components, L the width of a latent
vector, V words.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from seqjax.nn import chunked_softmax
from seqjax.nn.layers import DenseParams, dense, dense_init, dropout, logits, matmul
from seqjax.nn.masks import masked_total


class MixtureParams(NamedTuple):
    """Parameters of a mixture of softmaxes, but the softmax."""

    prior: jax.Array  # [H, K]
    latent: DenseParams  # w [H, K*L], b [K*L]


def mixture_init(
    key: jax.Array, input_size: int, latent_size: int, num_components: int
) -> MixtureParams:
    """Draw parameters of a mixture.

    Args:
      key: a random key.
      input_size: H.
      latent_size: L.
      num_components: K.

    Returns:
      MixtureParams(prior [H, K], latent (w [H, K*L], b [K*L])).

    Raises:
      ValueError: if K is below 1.

    Example:
      >>> params = mixture_init(jax.random.key(0), 8, latent_size=4, num_components=3)
      >>> params.prior.shape, params.latent.w.shape
      ((8, 3), (8, 12))
    """
    if num_components < 1:
        raise ValueError(f"mixtures must be at least 1, got {num_components}")
    k_prior, k_latent = jax.random.split(key)
    prior = dense_init(k_prior, input_size, num_components).w
    return MixtureParams(
        prior, dense_init(k_latent, input_size, num_components * latent_size)
    )


def mixture_latents(
    params: MixtureParams,
    ys: jax.Array,
    key: jax.Array | None = None,
    rate: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """The log priors and the latent vectors of the components.

        log_prior = log softmax(ys @ prior)
        hidden    = tanh(ys @ w + b), K blocks of width L

    Args:
      params: from `mixture_init`.
      ys: [T, ..., H].
      key: a random key for dropout; None turns it off.
      rate: of a locked dropout of the latent vectors.

    Returns:
      (log_prior [T, ..., K], hidden [T, ..., K, L]).

    Example:
      >>> params = mixture_init(jax.random.key(0), 8, latent_size=4, num_components=3)
      >>> log_prior, hidden = mixture_latents(params, jnp.ones((5, 2, 8)))
      >>> log_prior.shape, hidden.shape
      ((5, 2, 3), (5, 2, 3, 4))
    """
    log_prior = jax.nn.log_softmax(matmul(ys, params.prior), axis=-1)
    hidden = dropout(key, jnp.tanh(dense(params.latent, ys)), rate, locked=True)
    return log_prior, hidden.reshape(*log_prior.shape, -1)


def mixture_log_softmax(
    log_prior: jax.Array, hidden: jax.Array, softmax: DenseParams
) -> jax.Array:
    """The log probability of every word.

        p(v) = sum_k exp(log_prior_k) * softmax(hidden_k @ w + b)_v

    Args:
      log_prior, hidden: from `mixture_latents`.
      softmax: DenseParams(w [L, V], b [V]), which the components share.

    Returns:
      [T, ..., V].

    Example:
      >>> log_prior, hidden = jnp.log(jnp.array([0.25, 0.75])), jnp.eye(2)
      >>> w = jnp.log(jnp.array([[1.0, 1.0], [1.0, 3.0]]))
      >>> softmax = DenseParams(w, jnp.zeros(2))
      >>> jnp.exp(mixture_log_softmax(log_prior, hidden, softmax)).round(4).tolist()
      [0.3125, 0.6875]

    Source: Yang et al. 2018, "Breaking the softmax bottleneck", arXiv:1711.03953,
    section 3.
    """
    of_components = jax.nn.log_softmax(logits(hidden, *softmax), axis=-1)
    return jax.nn.logsumexp(log_prior[..., None] + of_components, axis=-2)


def mixture_cross_entropy(
    log_prior: jax.Array,
    hidden: jax.Array,
    softmax: DenseParams,
    labels: jax.Array,
    mask: jax.Array | None = None,
    chunk: int = 4096,
) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy of the mixture, without an array of all logits.

    Args:
      log_prior, hidden: from `mixture_latents`.
      softmax: DenseParams(w [L, V], b [V]).
      labels: integers [T, ...] in [0, V).
      mask: booleans [T, ...], True where a position counts; None counts all.
      chunk: the number of words whose logits are in memory at a time.

    Returns:
      (total, count): as `losses.cross_entropy`.

    Example:
      >>> log_prior, hidden = jnp.log(jnp.array([[0.25, 0.75]])), jnp.eye(2)[None]
      >>> w = jnp.log(jnp.array([[1.0, 1.0], [1.0, 3.0]]))
      >>> softmax = DenseParams(w, jnp.zeros(2))
      >>> total, _ = mixture_cross_entropy(log_prior, hidden, softmax, jnp.array([1]))
      >>> jnp.exp(-total).round(4).item()
      0.6875

    Source: as `mixture_log_softmax`.
    """
    if mask is not None:
        hidden = jnp.where(mask[..., None, None], hidden, jnp.zeros_like(hidden))
        log_prior = jnp.where(mask[..., None], log_prior, jnp.zeros_like(log_prior))
    repeated = jnp.broadcast_to(labels[..., None], log_prior.shape)
    of_components = chunked_softmax.position_losses(
        hidden, softmax.w, softmax.b, repeated, chunk
    )
    return masked_total(-jax.nn.logsumexp(log_prior - of_components, axis=-1), mask)
