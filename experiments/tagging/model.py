"""The tagger, its training loop and its predictions, from settings."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from experiments.common.devices import ONE_DEVICE, Placement
from experiments.common.errors import UserError
from experiments.common.job import TrainConfig
from experiments.common.recurrent import make_cell
from experiments.tagging.config import DecodeConfig, ModelConfig
from experiments.tagging.data import EncodedSentences, TaggingVocabs
from seqjax import training
from seqjax.models.tagger import Tagger, TaggerBatch
from seqjax.structured.bio import OUTSIDE


def build_model(
    config: ModelConfig, decode: DecodeConfig, vocabs: TaggingVocabs
) -> Tagger:
    """The model of the settings.

    Raises:
      UserError: if the tag O has a bias and there is no such tag.
    """
    if decode.outside_bias and OUTSIDE not in vocabs.tags:
        raise UserError(
            f"--outside_bias needs the tag {OUTSIDE}, which no training sentence has."
        )
    return Tagger(
        len(vocabs.words),
        tuple(vocabs.tags),
        make_cell(config),
        config.embed_size,
        crf=config.head == "crf",
        num_chars=len(vocabs.chars) if config.char_size else 0,
        char_embed_size=config.char_embed_size,
        char_size=config.char_size,
        constrained=decode.constrain and vocabs.is_bio,
        outside_bias=decode.outside_bias,
        dropout=config.dropout,
        locked=config.locked_dropout,
        word_dropout=config.word_dropout,
    )


def build_train_loop(
    config: TrainConfig,
    model: Tagger,
    optimizer: optax.GradientTransformation,
    placement: Placement,
) -> Callable[..., Any]:
    """(state, data, plan, begin, end) -> (state, Metrics)."""

    def loss_fn(params: Any, carry: Any, batch: TaggerBatch, key: jax.Array) -> Any:
        return model.loss(params, batch, key), carry

    step = training.make_train_step(loss_fn, optimizer, config.skip_nonfinite)
    return training.make_batch_loop(placement.step(step), placement.batch)


class Predictions(NamedTuple):
    """The predicted tags of sentences, and the loss of their given tags."""

    tags: list[list[str]]
    loss: float  # -log P(given tags), summed, in nats
    num_words: float


def predict(
    model: Tagger,
    params: Any,
    sentences: EncodedSentences,
    batch_size: int,
    placement: Placement = ONE_DEVICE,
) -> Predictions:
    """The most probable tags of each sentence."""
    run = placement.held_out(functools.partial(_predict_batch, model))
    found: list[list[str]] = [[] for _ in sentences.lengths]
    loss, num_words = 0.0, 0.0
    for bucket in sentences.plan(batch_size):
        batch = sentences.batch(bucket)
        paths, batch_loss, batch_words = run(params, batch)
        loss, num_words = loss + float(batch_loss), num_words + float(batch_words)
        for row, path in zip(bucket.rows, np.asarray(paths).T, strict=True):
            if row >= 0:
                path = path[: sentences.lengths[row]]
                found[row] = [model.tags[index] for index in path]
    return Predictions(found, loss, num_words)


@functools.partial(jax.jit, static_argnums=0)
def _predict_batch(
    model: Tagger, params: Any, batch: TaggerBatch
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(tags [T, B], loss, number of words)."""
    lengths = batch.inputs.lengths
    logits = model.apply(params, batch.inputs)
    loss = model.loss_of_logits(params, logits, batch.tags, lengths)
    return model.predict(params, logits, lengths)[0], *loss
