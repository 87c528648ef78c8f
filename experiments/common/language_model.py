"""A language model from settings, as texts and poems use it."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax

import seqjax
from experiments.common.errors import UserError
from experiments.common.recurrent import CELLS, RecurrentConfig, make_cell
from experiments.common.settings import setting
from seqjax.models.language_model import LanguageModel


def _rate(help: str) -> Any:
    """A setting of a dropout rate that is --dropout by default."""
    return setting(
        None, f"{help}; --dropout if none is given.", minimum=0, maximum=0.99
    )


@dataclasses.dataclass(frozen=True)
class LanguageModelConfig(RecurrentConfig):
    """The recurrent layers, the embedding, the softmax and their regularization."""

    cell: str = setting(
        "lstm", "Recurrent cell of every layer.", choices=[*CELLS, "mogrifier"]
    )
    mogrifier_rounds: int = setting(
        5, "Number of rounds of --cell=mogrifier.", minimum=0, maximum=100
    )
    mogrifier_rank: int = setting(
        0,
        "Rank of the matrices of --cell=mogrifier; 0 gives them full rank.",
        minimum=0,
    )
    zoneout: tuple[float, ...] = setting(
        (),
        "Probability that a unit of the state keeps its value at a training step "
        "(zoneout): one for all units, or for LSTMs one of h and one of c, joined by "
        "commas.",
        minimum=0,
        maximum=0.99,
    )
    last_size: int = setting(
        0,
        "Number of hidden units of the last layer, such as --embed_size for tied "
        "embeddings; 0 is --hidden_size.",
        minimum=0,
        maximum=10**6,
    )
    embed_size: int = setting(
        64, "Size of an embedding; 0 feeds one-hot vectors.", minimum=0, maximum=10**6
    )
    tie_embeddings: bool = setting(
        False, "Whether the softmax weights are the embeddings."
    )
    mixtures: int = setting(
        0, "Number of softmaxes of a mixture; 0 is one plain softmax.", minimum=0
    )
    latent_dropout: float = setting(
        0.0,
        "Rate of the locked dropout of the vectors that the softmaxes of a mixture "
        "read.",
        minimum=0,
        maximum=0.99,
    )
    input_dropout: float | None = _rate("Dropout rate on the embeddings")
    layer_dropout: float | None = _rate("Dropout rate between layers")
    output_dropout: float | None = _rate(
        "Dropout rate on the outputs of the last layer"
    )
    embed_dropout: float = setting(
        0.0,
        "Rate at which words are dropped: all occurrences in a minibatch lose their "
        "embedding.",
        minimum=0,
        maximum=0.99,
    )
    weight_dropout: float = setting(
        0.0,
        "Dropout rate on the recurrent weights (DropConnect), with one mask for a "
        "minibatch.",
        minimum=0,
        maximum=0.99,
    )
    activation_penalty: float = setting(
        0.0,
        "Weight of the mean square of the outputs in the training loss (AR).",
        minimum=0,
    )
    temporal_penalty: float = setting(
        0.0,
        "Weight of the mean squared change of the outputs in the training loss (TAR).",
        minimum=0,
    )

    def check(self) -> None:
        if self.layer_dropout is not None and self.num_layers == 1:
            raise UserError("--layer_dropout needs --num_layers of at least 2.")
        if not self.embed_size and (self.embed_dropout or self.input_dropout):
            name = "embed_dropout" if self.embed_dropout else "input_dropout"
            raise UserError(f"--{name} needs an embedding: --embed_size is 0.")
        rounds, rank = self.mogrifier_rounds, self.mogrifier_rank
        is_mogrifier = self.cell == "mogrifier"
        if not is_mogrifier and (rank or rounds != 5):
            name = "mogrifier_rank" if rank else "mogrifier_rounds"
            raise UserError(f"--{name} needs --cell=mogrifier.")
        if self.latent_dropout and not self.mixtures:
            raise UserError("--latent_dropout needs --mixtures.")
        if self.weight_dropout and self.weight_norm:
            raise UserError("--weight_dropout and --weight_norm exclude each other.")


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
    mogrifier = partial(
        seqjax.MogrifierLSTM,
        rounds=config.mogrifier_rounds,
        rank=config.mogrifier_rank or None,
    )
    cells = {**cells, "mogrifier": mogrifier}
    if any(config.zoneout):
        make = cells[config.cell]
        cells[config.cell] = lambda *args, **init: _zoned(config, make(*args, **init))
    last_size, between = config.last_size or None, config.layer_dropout
    layers = make_cell(config, None, cells, last_size, between)
    try:
        model = LanguageModel(
            vocab_size,
            layers,
            config.embed_size or None,
            config.tie_embeddings,
            config.dropout,
            config.locked_dropout,
            chunk,
            clusters,
            config.input_dropout,
            config.output_dropout,
            config.embed_dropout,
            config.weight_dropout,
            config.activation_penalty,
            config.temporal_penalty,
            config.mixtures or None,
            config.latent_dropout,
        )
        jax.eval_shape(model.init, jax.random.key(0))
    except ValueError as error:
        raise UserError(f"{error}.") from None
    return model


def _zoned(config: LanguageModelConfig, cell: Any) -> Any:
    """A cell with the zoneout of the settings."""
    try:
        return seqjax.Zoneout(cell, config.zoneout)
    except ValueError as error:
        raise UserError(f"--zoneout for --cell={config.cell}: {error}.") from None
