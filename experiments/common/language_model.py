"""A language model from settings, as texts and poems use it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from experiments.common.errors import UserError
from experiments.common.recurrent import CELLS, RecurrentConfig, make_cell
from experiments.common.settings import setting
from seqjax.models.language_model import LanguageModel


@dataclasses.dataclass(frozen=True)
class LanguageModelConfig(RecurrentConfig):
    """The recurrent layers, the embedding and the softmax."""

    embed_size: int = setting(
        64, "Size of an embedding; 0 feeds one-hot vectors.", minimum=0, maximum=10**6
    )
    tie_embeddings: bool = setting(
        False, "Whether the softmax weights are the embeddings."
    )


def build_language_model(
    config: LanguageModelConfig,
    vocab_size: int,
    cells: Mapping[str, Callable[..., Any]] = CELLS,
    chunk: int | None = None,
    clusters: tuple[int, ...] | None = None,
) -> LanguageModel:
    """The model of the settings; chunk and clusters as `LanguageModel`.

    Raises:
      UserError: for settings that do not go together.
    """
    try:
        return LanguageModel(
            vocab_size,
            make_cell(config, cells=cells),
            config.embed_size or None,
            config.tie_embeddings,
            config.dropout,
            config.locked_dropout,
            chunk,
            clusters,
        )
    except ValueError as error:
        raise UserError(f"{error}.") from None
