"""A classifier of sequences: tokens in, logits of a label out."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seqjax.data.vocab import UNK
from seqjax.nn import layers, losses
from seqjax.nn.activations import tanh
from seqjax.nn.attention import masked_softmax
from seqjax.nn.masks import valid_steps
from seqjax.recurrence import Bidirectional, Stack, unroll

POOLINGS = ("last", "max", "mean", "attention")


class PoolParams(NamedTuple):
    """Of pooling by attention."""

    key: layers.DenseParams  # w [H, H], b [H]
    query: jax.Array  # [H]


class ClassifierParams(NamedTuple):
    embed: jax.Array  # [V, E]
    cell: Any
    pool: PoolParams | None  # None if pooling learns nothing
    out: layers.DenseParams  # w [H, C], b [C]


@dataclasses.dataclass(frozen=True)
class Classifier:
    """P(label | x_1, ..., x_n) by a recurrent network and one vector of its outputs.

        y_1, ..., y_n = unroll(cell, embed[x])
        logits = pool(y_1, ..., y_n) @ w + b

    with one of

        last       y_n, and of a backward half, which ends there, y_1
        max        max_t y_t, unit by unit
        mean       sum_t y_t / n
        attention  sum_t a_t y_t,  a = softmax over t of  query . tanh(y_t @ w_k + b_k)

    n is each sequence's own length. For n = 0 the pooled vector is zero and the logits
    are b.

    Args:
      vocab_size: V.
      num_labels: C.
      cell: a cell, a Stack or a Bidirectional.
      embed_size: E.
      pooling: "last", "max", "mean" or "attention".
      dropout: rate on the embeddings and on the pooled vector; the rate between layers
        is the Stack's.
      locked: whether each sequence drops the same units of its embeddings throughout.
      word_dropout: rate at which training reads a word as unknown (Iyyer et al. 2015).

    Raises:
      ValueError: for another pooling, a rate outside [0, 1), or "last" of directions
        that are summed.

    Example:
      >>> cell = seqjax.Bidirectional(seqjax.GRU(64))
      >>> model = Classifier(8000, 2, cell, embed_size=100, pooling="max")
      >>> params = model.init(jax.random.key(0))
      >>> logits = model.logits(params, tokens, lengths)  # [T, B], [B] -> [B, C]

    Source: Lai et al., "Recurrent convolutional neural networks for text
    classification", AAAI 2015 (max); Yang et al., "Hierarchical attention networks for
    document classification", NAACL 2016, equations 5-7 (attention).
    """

    vocab_size: int
    num_labels: int
    cell: Any
    embed_size: int
    pooling: str = "last"
    dropout: float = 0.0
    locked: bool = False
    word_dropout: float = 0.0

    def __post_init__(self):
        if self.pooling not in POOLINGS:
            raise ValueError(
                f"pooling must be one of {', '.join(POOLINGS)}, got {self.pooling!r}"
            )
        for name in ("dropout", "word_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        top = _top(self.cell)
        summed = isinstance(top, Bidirectional) and top.merge == "sum"
        if self.pooling == "last" and summed:
            raise ValueError(
                'pooling "last" needs directions side by side, merge="concat": their '
                "ends stand at different steps"
            )

    def init(self, key):
        """Fresh parameters; biases of the pooling and of the logits start at zero."""
        keys = jax.random.split(key, 5)
        width, pool = self.cell.hidden_size, None
        if self.pooling == "attention":
            pool = PoolParams(
                layers.dense_init(keys[2], width, width),
                layers.dense_init(keys[3], width, 1).w[:, 0],
            )
        return ClassifierParams(
            embed=layers.embed_init(keys[0], self.vocab_size, self.embed_size),
            cell=self.cell.init(keys[1], self.embed_size),
            pool=pool,
            out=layers.dense_init(keys[4], width, self.num_labels),
        )

    def logits(self, params, tokens, lengths, key=None):
        """Of each label.

        Args:
          params: from `init`.
          tokens: integers [T, ...]; past the lengths they may be anything.
          lengths: integers [...], 0 allowed.
          key: switches dropout on; None is evaluation.

        Returns:
          [..., C].
        """
        k_outputs, k_pooled = (None, None) if key is None else jax.random.split(key)
        ys = self._outputs(params, tokens, lengths, k_outputs)
        pooled = self._pool(params.pool, ys, lengths)  # [..., H]
        pooled = layers.dropout(k_pooled, pooled, self.dropout)
        return layers.dense(params.out, pooled)

    def loss(self, params, batch, key=None, label_smoothing=0.0):
        """Cross-entropy of the labels: (total, count), in nats.

        Args:
          batch: a `data.labeled.Batch`; rows of label -1 do not count.
          key: switches dropout on.
          label_smoothing: as `losses.smoothed_cross_entropy`, in the gradient alone.
        """
        logits = self.logits(params, batch.tokens, batch.lengths, key)
        labels = jnp.maximum(batch.labels, 0)
        mask = batch.labels >= 0
        return losses.smoothed_cross_entropy(logits, labels, mask, label_smoothing)

    def attention_weights(self, params, tokens, lengths):
        """Where pooling looks: [T, ...], of sum 1, and 0 past the lengths.

        Raises:
          ValueError: for a pooling other than "attention".
        """
        if self.pooling != "attention":
            raise ValueError(f"pooling {self.pooling!r} has no attention weights")
        ys = self._outputs(params, tokens, lengths, None)
        return _attention_weights(params.pool, ys, valid_steps(len(ys), lengths))

    def _outputs(self, params, tokens, lengths, key):
        """What the network says at each step, zero past the lengths: [T, ..., H]."""
        keys = (None,) * 3 if key is None else jax.random.split(key, 3)
        if key is not None and self.word_dropout > 0:
            unread = jax.random.bernoulli(keys[0], self.word_dropout, tokens.shape)
            tokens = jnp.where(unread, jnp.asarray(UNK, tokens.dtype), tokens)
        xs = layers.embed(params.embed, tokens)  # [T, ..., E]
        xs = layers.dropout(keys[1], xs, self.dropout, self.locked)
        return unroll(self.cell, params.cell, xs, lengths=lengths, key=keys[2])[1]

    def _pool(self, params, ys, lengths):
        """[T, ..., H] -> [..., H], 0 where the length is."""
        if self.pooling == "last":
            return self._last(ys, lengths)
        if self.pooling == "mean":
            count = jnp.maximum(lengths, 1)[..., None].astype(ys.dtype)
            return ys.sum(axis=0) / count
        mask = valid_steps(len(ys), lengths)
        if self.pooling == "attention":
            weights = _attention_weights(params, ys, mask)
            return (weights[..., None] * ys).sum(axis=0)
        largest = jnp.max(ys, axis=0, where=mask[..., None], initial=-jnp.inf)
        return jnp.where(lengths[..., None] > 0, largest, 0.0)

    def _last(self, ys, lengths):
        """The outputs at the last step, of a backward half at the first."""
        places = jnp.maximum(lengths - 1, 0)[None, ..., None]
        last = jnp.take_along_axis(ys, places, axis=0)[0]
        top = _top(self.cell)
        if not isinstance(top, Bidirectional):
            return last
        half = top.cell.hidden_size
        return jnp.concatenate([last[..., :half], ys[0, ..., half:]], axis=-1)


def _top(cell):
    """The last layer."""
    return _top(cell.cells[-1]) if isinstance(cell, Stack) else cell


def _attention_weights(params, ys, mask):
    scores = tanh(layers.dense(params.key, ys)) @ params.query  # [T, ...]
    weights = masked_softmax(jnp.moveaxis(scores, 0, -1), jnp.moveaxis(mask, 0, -1))
    return jnp.moveaxis(weights, -1, 0)
