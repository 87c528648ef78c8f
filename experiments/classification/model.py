"""The classifier, its training loop and its predictions, from settings."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import optax

from experiments.classification.config import ModelConfig, TrainConfig
from experiments.classification.data import DocumentEncoder
from experiments.common.devices import ONE_DEVICE, Placement
from experiments.common.errors import UserError
from experiments.common.recurrent import make_cell
from seqjax import training
from seqjax.data import labeled
from seqjax.models.classifier import Classifier


def build_model(config: ModelConfig, encoder: DocumentEncoder) -> Classifier:
    """The model of the settings.

    Raises:
      UserError: if the pooling and the cell do not go together.
    """
    try:
        return Classifier(
            len(encoder.tokenizer),
            len(encoder.labels),
            make_cell(config),
            config.embed_size,
            config.pooling,
            config.dropout,
            config.locked_dropout,
            config.word_dropout,
        )
    except ValueError as error:
        raise UserError(f"{error}.") from None


def build_train_loop(
    config: TrainConfig,
    model: Classifier,
    optimizer: optax.GradientTransformation,
    placement: Placement,
) -> Callable[..., Any]:
    """(state, data, plan, begin, end) -> (state, Metrics)."""

    def loss_fn(
        params: Any, carry: Any, batch: labeled.LabeledBatch, key: jax.Array
    ) -> Any:
        smoothing = config.label_smoothing
        return model.loss(params, batch, key, label_smoothing=smoothing), carry

    step = training.make_train_step(loss_fn, optimizer, config.skip_nonfinite)
    return training.make_batch_loop(placement.step(step), placement.batch)


def predict(
    model: Classifier,
    params: Any,
    documents: Sequence[np.ndarray],
    offsets: np.ndarray | None,
    batch_size: int,
    placement: Placement = ONE_DEVICE,
) -> np.ndarray:
    """Log-probabilities of the labels, float64 [N, C], in the order of the documents.

    Args:
      model: the classifier.
      params: its parameters.
      documents: int32 [N], one array per document.
      offsets: of the logits, float32 [documents, C].
      batch_size: number of documents in a minibatch.
      placement: where the minibatches are computed.
    """
    run = placement.held_out(functools.partial(_log_probs, model))
    found = np.zeros((len(documents), model.num_labels))
    no_labels = np.zeros(len(documents), int)
    for bucket in labeled.plan(documents, batch_size):
        batch = labeled.make_batch(documents, no_labels, bucket, offsets)
        rows = bucket.rows[bucket.rows >= 0]
        found[rows] = np.asarray(run(params, batch))[: len(rows)]
    return found


@functools.partial(jax.jit, static_argnums=0)
def _log_probs(model: Classifier, params: Any, batch: Any) -> jax.Array:
    """Of the labels of each document of a LabeledBatch, [B, C]."""
    tokens, lengths, offsets = batch.tokens, batch.lengths, batch.offsets
    return jax.nn.log_softmax(model.apply(params, tokens, lengths, offsets=offsets))
