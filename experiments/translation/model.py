"""The model and its training loop, from settings."""

from collections.abc import Callable
from typing import Any

import optax

from experiments.common.devices import Placement
from experiments.common.errors import UserError
from experiments.common.recurrent import make_cell, make_layer
from experiments.translation.config import Config, TrainConfig
from experiments.translation.data import Tokenizers
from seqjax import training
from seqjax.models.seq2seq import Seq2Seq

Params = Any  # a Seq2SeqParams


def build_model(config: Config, tokenizers: Tokenizers) -> Seq2Seq:
    """The model of the settings.

    Raises:
      UserError: for settings that do not go together.
    """
    layers, size = config.model, config.model.hidden_size
    try:
        return Seq2Seq(
            len(tokenizers.source),
            len(tokenizers.target),
            encoder=make_cell(layers, size // 2 if layers.bidirectional else size),
            decoder=(make_layer(layers),) * layers.num_layers,
            embed_size=layers.embed_size,
            attention=None if layers.attention == "none" else layers.attention,
            input_feeding=layers.input_feeding,
            bridge=layers.bridge,
            tied=layers.tie_embeddings,
            shared=config.data.joint_vocab,
            dropout=layers.dropout,
            locked=layers.locked_dropout,
        )
    except ValueError as error:
        raise UserError(f"{error}.") from None


def build_train_loop(
    config: TrainConfig,
    model: Seq2Seq,
    optimizer: optax.GradientTransformation,
    placement: Placement,
) -> Callable[..., Any]:
    """(state, data, plan, begin, end) -> (state, Metrics)."""

    def loss_fn(params: Params, carry: None, batch: Any, key: Any) -> Any:
        loss = model.loss(
            params,
            batch,
            key,
            label_smoothing=config.label_smoothing,
            sampling=config.scheduled_sampling,
        )
        return loss, carry

    step = training.make_train_step(loss_fn, optimizer, config.skip_nonfinite)
    return training.make_batch_loop(placement.step(step), placement.batch)
