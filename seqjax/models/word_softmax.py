"""The output layer of a language model: a softmax over words, of several forms."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seqjax.cell_parts import Initializer
from seqjax.nn import layers, losses
from seqjax.nn.adaptive_softmax import AdaptiveParams, adaptive_init, tie
from seqjax.nn.mixture_softmax import (
    MixtureParams,
    mixture_cross_entropy,
    mixture_init,
    mixture_latents,
    mixture_log_softmax,
)


class MixtureOut(NamedTuple):
    """Parameters of a WordSoftmax with mixtures."""

    mixture: MixtureParams
    softmax: Any  # DenseParams(w [L, V], b [V]); with tied embeddings the bias [V]


@dataclasses.dataclass(frozen=True)
class WordSoftmax:
    """A softmax over words; its arguments are those of LanguageModel.

    Its parameters are DenseParams(w [H, V], b [V]), with tied embeddings the bias [V],
    with clusters AdaptiveParams, with mixtures MixtureOut.

    Attributes:
      width: H, of the outputs that it reads.
      size: of the vectors that the words are compared with; L with mixtures, else H.
    """

    vocab_size: int
    width: int
    size: int
    is_tied: bool
    chunk: int | None
    clusters: tuple[int, ...] | None
    mixtures: int | None
    latent_dropout: float

    def init(
        self, key: jax.Array, mixture_key: jax.Array, w_init: Initializer | None
    ) -> Any:
        """Initial parameters; `w_init` as `layers.dense_init`."""
        out: Any
        size, vocab = self.size, self.vocab_size
        if self.clusters is not None:
            clusters, is_tied = self.clusters, self.is_tied
            out = adaptive_init(key, size, vocab, clusters, is_tied, w_init=w_init)
        elif self.is_tied:
            out = jnp.zeros(vocab, jnp.float32)
        else:
            out = layers.dense_init(key, size, vocab, w_init)
        if self.mixtures is None:
            return out
        mixture = mixture_init(mixture_key, self.width, size, self.mixtures)
        return MixtureOut(mixture, out)

    def weights(
        self, out: Any, embed: jax.Array | None
    ) -> layers.DenseParams | AdaptiveParams:
        """The weights of all words and their biases."""
        out = out.softmax if self.mixtures is not None else out
        if not self.is_tied:
            return out
        assert embed is not None
        if self.clusters is not None:
            return tie(out, embed)
        return layers.DenseParams(embed.T, out)

    def logits(
        self,
        out: Any,
        embed: jax.Array | None,
        ys: jax.Array,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Logits [T, ..., V]; log probabilities of clusters or mixtures.

        Args:
          out: the parameters.
          embed: the embeddings [V, E], if they are tied.
          ys: outputs of the last layer, [T, ..., H].
          key: of the dropout of latent vectors; None turns it off.
        """
        weights = self.weights(out, embed)
        if isinstance(weights, AdaptiveParams):
            return losses.adaptive_log_softmax(weights, ys)
        if self.mixtures is not None:
            latents = mixture_latents(out.mixture, ys, key, self.latent_dropout)
            return mixture_log_softmax(*latents, weights)
        return layers.logits(ys, *weights)

    def cross_entropy(
        self,
        out: Any,
        embed: jax.Array | None,
        ys: jax.Array,
        labels: jax.Array,
        mask: jax.Array | None,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """(total, count), as `losses.cross_entropy`.

        Args:
          out, embed, ys, key: as `logits`.
          labels: integers [T, ...].
          mask: booleans [T, ...]; None counts all.
        """
        weights = self.weights(out, embed)
        options: Any = {} if self.chunk is None else {"chunk": self.chunk}
        if isinstance(weights, AdaptiveParams):
            return losses.adaptive_cross_entropy(weights, ys, labels, mask, **options)
        if self.mixtures is not None:
            if mask is not None:
                ys = jnp.where(mask[..., None], ys, jnp.zeros_like(ys))
            latents = mixture_latents(out.mixture, ys, key, self.latent_dropout)
            return mixture_cross_entropy(*latents, weights, labels, mask, **options)
        if self.chunk is None:
            return losses.cross_entropy(layers.logits(ys, *weights), labels, mask)
        return losses.chunked_cross_entropy(ys, *weights, labels, mask, self.chunk)
