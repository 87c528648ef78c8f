"""Language model pretraining of a classifier's layers."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from seqjax.data.labeled import LabeledBatch
from seqjax.mesh_axes import on_any_mesh, replicated, steps_spec
from seqjax.models.classifier import Classifier, ClassifierParams
from seqjax.nn import layers, losses
from seqjax.nn.masks import as_lengths, valid_steps
from seqjax.recurrence import Bidirectional, is_bidirectional


class PretrainingParams(NamedTuple):
    """Parameters of a Pretraining."""

    classifier: ClassifierParams  # what training goes on from
    forward: layers.DenseParams  # w [H, V], b [V]
    backward: layers.DenseParams | None  # None without a backward half


@dataclasses.dataclass(frozen=True)
class Pretraining:
    """P(x_{t+1} | x_1, ..., x_t) by the embedding and the layers of a classifier.

        y_1, ..., y_n = unroll(cell, embed[x])
        logits_t = y_t @ w + b

    If the cell is bidirectional, the forward half of y_t predicts x_{t+1} and the
    backward half x_{t-1}, each with weights of its own. The labels are not read.

    Args:
      classifier: a Classifier; its dropout applies.

    Raises:
      ValueError: if a direction sees the tokens that it should predict: the directions
        are summed, or an upper layer reads both.

    Example:
      >>> classifier = Classifier(8000, 2, seqjax.GRU(64), embed_size=100)
      >>> model = Pretraining(classifier)
      >>> params = model.init(jax.random.key(0))
      >>> tokens, lengths = jnp.ones((7, 3), int), jnp.array([7, 5, 0])
      >>> forward, backward = model.apply(params, tokens, lengths)
      >>> forward.shape, backward
      ((6, 3, 8000), None)

    Source: Dai and Le, "Semi-supervised sequence learning", NIPS 2015, section 2.
    """

    classifier: Classifier

    def __post_init__(self) -> None:
        cell = self.classifier.cell
        if isinstance(cell, Bidirectional) and cell.merge == "concat":
            cell = cell.cell  # each half predicts with its own outputs
        if is_bidirectional(cell):
            raise ValueError(
                "pretraining needs one layer where both directions are read, and their "
                "outputs side by side: others see the tokens that they should predict"
            )

    def init(self, key: jax.Array) -> PretrainingParams:
        """Initial parameters; the classifier's are those of its own `init`."""
        k_classifier, k_forward, k_backward = jax.random.split(key, 3)
        cell, vocab_size = self.classifier.cell, self.classifier.vocab_size
        width, backward = cell.output_size, None
        if isinstance(cell, Bidirectional):
            width = cell.cell.output_size
            backward = layers.dense_init(k_backward, width, vocab_size)
        return PretrainingParams(
            self.classifier.init(k_classifier),
            layers.dense_init(k_forward, width, vocab_size),
            backward,
        )

    @on_any_mesh(lambda a: steps_spec(a["tokens"]))
    def apply(
        self,
        params: PretrainingParams,
        tokens: jax.Array,
        lengths: jax.Array,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array | None]:
        """Logits [T - 1, ..., V] of tokens[1:], and backward those of tokens[:-1].

        Args:
          params: from `init`.
          tokens: integers [T, ...]; any values past the lengths.
          lengths: integers [...].
          key: random key for dropout; None turns dropout off.
        """
        ys = self.classifier.outputs(params.classifier, tokens, lengths, key)
        width = params.forward.w.shape[0]
        forward = layers.dense(params.forward, ys[:-1, ..., :width])
        if params.backward is None:
            return forward, None
        return forward, layers.dense(params.backward, ys[1:, ..., width:])

    @on_any_mesh(replicated)
    def loss(
        self,
        params: PretrainingParams,
        batch: LabeledBatch,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """Cross-entropy of the predicted tokens of both directions.

        Args:
          params: from `init`.
          batch: a LabeledBatch.
          key: random key for dropout; None turns dropout off.

        Returns:
          (total, count), the total in nats.
        """
        tokens, lengths = map(jnp.asarray, batch[:2])
        lengths = as_lengths(lengths, len(tokens), tokens.shape[1:], of="tokens")
        forward, backward = self.apply(params, tokens, lengths, key)
        mask = valid_steps(len(tokens), lengths)[1:]  # of both ends of each pair
        total, count = losses.cross_entropy(forward, tokens[1:], mask)
        if backward is None:
            return total, count
        total_backward, _ = losses.cross_entropy(backward, tokens[:-1], mask)
        return total + total_backward, 2 * count
