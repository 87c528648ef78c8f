"""The model of poems, its loss and its perplexity."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import jax

from experiments.common.devices import ONE_DEVICE, Placement
from experiments.poems.config import Config
from experiments.poems.data import PoemBatch, PoemEncoder, label_mask, whole_part
from seqjax import metrics
from seqjax.data.poems import Poem
from seqjax.models.language_model import LanguageModel

Perplexity = Callable[[Any, str], float]  # (params, part) -> perplexity


def poem_loss(
    model: LanguageModel, params: Any, batch: PoemBatch, key: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Cross-entropy of the characters of poems and of their ends: (total, count)."""
    state, mask = model.initial_state(batch.tokens.shape[1:]), label_mask(batch)
    return model.loss(params, batch.tokens, key, state=state, mask=mask)[0]


def make_perplexity(
    config: Config,
    model: LanguageModel,
    parts: Mapping[str, Sequence[Poem]],
    encoder: PoemEncoder,
    placement: Placement = ONE_DEVICE,
) -> Perplexity:
    """(params, part) -> perplexity of the part's characters and ends."""
    loss = placement.held_out(jax.jit(partial(poem_loss, model)))

    @lru_cache
    def batches(part: str) -> list[PoemBatch]:
        sequences = encoder.sequences(parts[part])
        return list(whole_part(sequences, config.train.batch_size))

    def perplexity_of(params: Any, part: str) -> float:
        found = (loss(params, batch) for batch in batches(part))
        totals, counts = zip(*found, strict=True)
        return metrics.perplexity(sum(map(float, totals)), sum(map(float, counts)))

    return perplexity_of
