"""A classifier of sequences: tokens in, logits of the labels out."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from seqjax.cell_protocol import Params
from seqjax.data.labeled import LabeledBatch
from seqjax.mesh_axes import batch_spec, on_any_mesh, replicated
from seqjax.models.word_dropout import word_dropout
from seqjax.nn import layers, losses
from seqjax.nn.activations import tanh
from seqjax.nn.attention import masked_softmax
from seqjax.nn.masks import as_lengths, valid_steps
from seqjax.recurrence import Bidirectional, Stack, Unrollable, unroll

POOLINGS = ("last", "max", "mean", "attention")


class PoolParams(NamedTuple):
    """Parameters of attention pooling."""

    key: layers.DenseParams  # w [H, H], b [H]
    query: jax.Array  # [H]


class ClassifierParams(NamedTuple):
    """Parameters of a Classifier."""

    embed: jax.Array  # [V, E]
    cell: Params
    pool: PoolParams | None  # None if the pooling has no parameters
    out: layers.DenseParams  # w [H, C], b [C]


@dataclasses.dataclass(frozen=True)
class Classifier:
    """P(label | x_1, ..., x_n) by a recurrent network and a pooling of its outputs.

        y_1, ..., y_n = unroll(cell, embed[x])
        logits = pool(y_1, ..., y_n) @ w + b

    The pooling is one of

        last       y_n; y_1 for the backward half, which ends there
        max        max_t y_t, unit by unit
        mean       sum_t y_t / n
        attention  sum_t a_t y_t,  a = softmax over t of  query . tanh(y_t @ w_k + b_k)

    n is the length of each sequence. For n = 0 the pooled vector is zero and the logits
    are b.

    Args:
      vocab_size: V.
      num_labels: C.
      cell: a cell, a Stack or a Bidirectional.
      embed_size: E.
      pooling: "last", "max", "mean" or "attention".
      dropout: rate on the embeddings and on the pooled vector. The rate between layers
        belongs to the Stack.
      locked: drop the same units of the embeddings at all steps of a sequence.
      word_dropout: rate at which tokens are replaced by UNK in training (Iyyer et al.
        2015).

    Raises:
      ValueError: if the pooling is unknown, a rate is outside [0, 1), or the pooling is
        "last" and the directions are summed.

    Example:
      >>> cell = seqjax.Bidirectional(seqjax.GRU(64))
      >>> model = Classifier(8000, 2, cell, embed_size=100, pooling="max")
      >>> params = model.init(jax.random.key(0))
      >>> tokens, lengths = jnp.ones((7, 3), int), jnp.array([7, 5, 0])
      >>> model.apply(params, tokens, lengths).shape
      (3, 2)

    Source: Lai et al., "Recurrent convolutional neural networks for text
    classification", AAAI 2015 (max); Yang et al., "Hierarchical attention networks for
    document classification", NAACL 2016, equations 5-7 (attention).
    """

    vocab_size: int
    num_labels: int
    cell: Unrollable
    embed_size: int
    pooling: str = "last"
    dropout: float = 0.0
    locked: bool = False
    word_dropout: float = 0.0

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise ValueError(
                f"pooling must be one of {', '.join(POOLINGS)}, got {self.pooling!r}"
            )
        for name in ("dropout", "word_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
        top = _last_layer(self.cell)
        summed = isinstance(top, Bidirectional) and top.merge == "sum"
        if self.pooling == "last" and summed:
            raise ValueError(
                'pooling "last" needs merge="concat": the two directions end at '
                "different steps"
            )

    def init(self, key: jax.Array) -> ClassifierParams:
        """Initial parameters; biases of the pooling and of the logits are zero."""
        keys = jax.random.split(key, 5)
        width, pool = self.cell.output_size, None
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

    @on_any_mesh(lambda a: batch_spec(a["tokens"]))
    def apply(
        self,
        params: ClassifierParams,
        tokens: jax.Array,
        lengths: jax.Array,
        key: jax.Array | None = None,
        *,
        offsets: jax.Array | None = None,
    ) -> jax.Array:
        """Logits [..., C] of the labels.

        Args:
          params: from `init`.
          tokens: integers [T, ...]; any values past the lengths.
          lengths: integers [...] of any dtype, 0 allowed.
          key: random key for dropout; None turns dropout off.
          offsets: [..., C], added to the logits; None adds nothing. With the
            log-probabilities of another model the network learns what that lacks.
        """
        k_outputs, k_pooled = (None, None) if key is None else jax.random.split(key)
        lengths = as_lengths(lengths, tokens.shape[0], tokens.shape[1:], of="tokens")
        ys = self.outputs(params, tokens, lengths, k_outputs)
        pooled = self._pool(params.pool, ys, lengths)  # [..., H]
        pooled = layers.dropout(k_pooled, pooled, self.dropout)
        logits = layers.dense(params.out, pooled)
        return logits if offsets is None else logits + offsets

    def outputs(
        self,
        params: ClassifierParams,
        tokens: jax.Array,
        lengths: jax.Array,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Outputs of the network [T, ..., H] before the pooling, zero past the lengths.

        Args:
          params, tokens, lengths, key: as for `apply`.
        """
        keys = (None,) * 3 if key is None else jax.random.split(key, 3)
        tokens = word_dropout(keys[0], tokens, self.word_dropout)
        xs = layers.embed(params.embed, tokens)  # [T, ..., E]
        xs = layers.dropout(keys[1], xs, self.dropout, self.locked)
        return unroll(self.cell, params.cell, xs, lengths=lengths, key=keys[2])[1]

    @on_any_mesh(replicated)
    def loss(
        self,
        params: ClassifierParams,
        batch: LabeledBatch,
        key: jax.Array | None = None,
        *,
        label_smoothing: float = 0.0,
    ) -> tuple[jax.Array, jax.Array]:
        """Cross-entropy of the labels.

        Args:
          params: from `init`.
          batch: a LabeledBatch; rows with label -1 do not count.
          key: random key for dropout; None turns dropout off.
          label_smoothing: see `losses.smoothed_cross_entropy`; affects the gradient
            only.

        Returns:
          (total, count), the total in nats.
        """
        arrays = jax.tree.map(jnp.asarray, LabeledBatch(*batch))
        tokens, lengths, labels, offsets = arrays
        logits = self.apply(params, tokens, lengths, key, offsets=offsets)
        mask = labels >= 0
        labels = jnp.maximum(labels, 0)
        return losses.smoothed_cross_entropy(logits, labels, mask, label_smoothing)

    def attention_weights(
        self, params: ClassifierParams, tokens: jax.Array, lengths: jax.Array
    ) -> jax.Array:
        """Weights [T, ...] of attention pooling; they sum to 1 over each length.

        Raises:
          ValueError: if the pooling is not "attention".
        """
        if params.pool is None:
            raise ValueError(f"pooling {self.pooling!r} has no attention weights")
        ys = self.outputs(params, tokens, lengths, None)
        return _attention_weights(params.pool, ys, valid_steps(ys.shape[0], lengths))

    def _pool(
        self, params: PoolParams | None, ys: jax.Array, lengths: jax.Array
    ) -> jax.Array:
        """[T, ..., H] -> [..., H]; 0 for length 0."""
        if self.pooling == "last":
            return self._last(ys, lengths)
        if self.pooling == "mean":
            count = jnp.maximum(lengths, 1)[..., None].astype(ys.dtype)
            return ys.sum(axis=0) / count
        mask = valid_steps(ys.shape[0], lengths)
        if params is not None:
            weights = _attention_weights(params, ys, mask)
            return (weights[..., None] * ys).sum(axis=0)
        largest = jnp.max(ys, axis=0, where=mask[..., None], initial=-jnp.inf)
        return jnp.where(lengths[..., None] > 0, largest, 0.0)

    def _last(self, ys: jax.Array, lengths: jax.Array) -> jax.Array:
        """The outputs at the last step; of a backward half, at the first step."""
        if ys.shape[0] == 0:
            return jnp.zeros(ys.shape[1:], ys.dtype)
        indices = jnp.maximum(lengths - 1, 0)[None, ..., None]
        last = jnp.take_along_axis(ys, indices, axis=0)[0]
        top = _last_layer(self.cell)
        if not isinstance(top, Bidirectional):
            return last
        half = top.cell.output_size
        return jnp.concatenate([last[..., :half], ys[0, ..., half:]], axis=-1)


def _last_layer(cell: Unrollable) -> Unrollable:
    return _last_layer(cell.cells[-1]) if isinstance(cell, Stack) else cell


def _attention_weights(params: PoolParams, ys: jax.Array, mask: jax.Array) -> jax.Array:
    scores = tanh(layers.dense(params.key, ys)) @ params.query  # [T, ...]
    weights = masked_softmax(jnp.moveaxis(scores, 0, -1), jnp.moveaxis(mask, 0, -1))
    return jnp.moveaxis(weights, -1, 0)
