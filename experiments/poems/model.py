"""The model of poems, its loss and its perplexity."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax

from experiments.common.errors import UserError
from experiments.common.recurrent import make_cell
from experiments.poems.config import Config, ModelConfig
from experiments.poems.data import PoemBatch, PoemEncoder, label_mask, whole_part
from seqjax import metrics
from seqjax.data.poems import PoemCorpus
from seqjax.models.language_model import LanguageModel

Perplexity = Callable[[Any, str], float]  # (params, part) -> perplexity


def build_model(config: ModelConfig, vocab_size: int) -> LanguageModel:
    """The model of the settings."""
    try:
        return LanguageModel(
            vocab_size,
            make_cell(config),
            config.embed_size,
            config.tie_embeddings,
            config.dropout,
            config.locked_dropout,
        )
    except ValueError as error:
        raise UserError(f"{error}.") from None


def poem_loss(
    model: LanguageModel, params: Any, batch: PoemBatch, key: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy of the characters of poems and of their ends: (total, count)."""
    state, mask = model.initial_state(batch.tokens.shape[1:]), label_mask(batch)
    return model.loss(params, batch.tokens, key, state=state, mask=mask)[0]


def make_perplexity(
    config: Config, model: LanguageModel, corpus: PoemCorpus, encoder: PoemEncoder
) -> Perplexity:
    """(params, part) -> perplexity of the part's characters and ends."""
    loss = jax.jit(partial(poem_loss, model))

    @lru_cache
    def batches(part: str) -> list[PoemBatch]:
        sequences = encoder.sequences(getattr(corpus, part))
        return list(whole_part(sequences, config.train.batch_size))

    def perplexity_of(params: Any, part: str) -> float:
        found = (loss(params, batch) for batch in batches(part))
        totals, counts = zip(*found, strict=True)
        return metrics.perplexity(sum(map(float, totals)), sum(map(float, counts)))

    return perplexity_of
