"""The settings of the poems command."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from experiments.common import job, sampling
from experiments.common.adaptation import AdaptationConfig
from experiments.common.devices import DevicesConfig
from experiments.common.errors import UserError
from experiments.common.language_model import LanguageModelConfig
from experiments.common.line_io import InputConfig
from experiments.common.optimizer import OptimizerConfig
from experiments.common.own_files import ONE_OR_THREE, check_files
from experiments.common.settings import Settings, setting
from experiments.common.workdir import RunConfig
from seqjax.data import poems


@dataclasses.dataclass(frozen=True)
class DataConfig(Settings):
    """The poems, and which of them are used."""

    dataset: str = setting("verses", "Data set to use.", choices=tuple(poems.NAMES))
    corpus: tuple[str, ...] | None = setting(
        None,
        f'Text files of lines "title:content" to use instead of a data set: '
        f"{ONE_OR_THREE}",
        resumable=True,  # the checksum of the data decides
    )
    clean: bool = setting(
        True,
        "Whether to drop notes, gaps, spaces and repeated poems; off by default for a "
        "--corpus.",
    )
    line_length: int = setting(
        0, "Number of characters per line of the poems to use; 0 uses all.", minimum=0
    )
    num_lines: int = setting(
        0, "Number of lines of the poems to use; 0 uses all.", minimum=0
    )
    min_length: int = setting(
        0, "Smallest number of characters of the poems to use.", minimum=0
    )
    max_length: int = setting(
        200,
        "Largest number of characters of the poems to use.",
        minimum=1,
        maximum=10**5,
    )
    truncate: bool = setting(
        False, "Whether longer poems are truncated rather than left out."
    )
    min_freq: int = setting(
        1, "Characters that are less frequent than this become <unk>.", minimum=1
    )
    titles: bool = setting(False, "Whether the model reads the title before the poem.")

    def check(self) -> None:
        check_files("corpus", self.corpus)


@dataclasses.dataclass(frozen=True)
class ModelConfig(LanguageModelConfig):
    """The recurrent layers, the embedding and the softmax."""

    embed_size: int = setting(64, "Size of an embedding.", minimum=1, maximum=10**6)


@dataclasses.dataclass(frozen=True)
class TrainConfig(job.TrainConfig):
    """The length of a run and its minibatches."""

    epochs: int = setting(8, "Number of passes over the poems.", minimum=1)
    batch_size: int = setting(64, "Number of poems in a minibatch.", minimum=1)
    batch_tokens: int = setting(
        0,
        "Number of characters in a minibatch, instead of --batch_size; 0 turns it off.",
        minimum=0,
    )


@dataclasses.dataclass(frozen=True)
class EvaluateConfig(Settings):
    """How a trained model is evaluated."""

    samples: int = setting(
        200,
        "Number of generated poems whose form is evaluated.",
        minimum=1,
        resumable=True,
    )
    ngram_order: int = setting(
        5,
        "Order of the n-gram model whose perplexity is reported for comparison.",
        minimum=1,
        maximum=20,
        resumable=True,
    )


@dataclasses.dataclass(frozen=True)
class DecodeConfig(sampling.LanguageSamplingConfig):
    """The poems to generate."""

    title: str = setting(
        "", "Title of the poem, for a model trained with --titles.", resumable=True
    )
    prompt: str = setting("", "Beginning of the poem.", resumable=True)
    acrostic: str = setting(
        "", "Characters that the lines of the poem begin with.", resumable=True
    )
    number: int = setting(
        1, "Number of poems to generate.", minimum=1, maximum=1000, resumable=True
    )
    length: int = setting(
        200,
        "Largest number of characters of a generated poem.",
        minimum=1,
        maximum=10**5,
        resumable=True,
    )
    beam_size: int = setting(
        1,
        "Number of hypotheses of the beam search; 1 samples instead.",
        minimum=1,
        maximum=1000,
        resumable=True,
    )

    def check(self) -> None:
        if self.acrostic and self.prompt:
            raise UserError("--acrostic and --prompt exclude each other.")
        if self.beam_size > 1 and self.number > self.beam_size:
            raise UserError(
                f"--number={self.number} needs a --beam_size of at least {self.number}."
            )
        if len(self.prompt) > self.length:
            raise UserError(
                f"--length={self.length} is shorter than --prompt, which has "
                f"{len(self.prompt)} characters."
            )
        if (least := 2 * len(self.acrostic) - 1) > self.length:
            raise UserError(
                f"--length={self.length} is shorter than --acrostic, whose lines have "
                f"at least {least} characters."
            )


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """All settings of the command."""

    run: RunConfig = RunConfig(workdir="runs/poems")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig(cell="gru", hidden_size=128)
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=0.005)
    train: TrainConfig = TrainConfig()
    devices: DevicesConfig = DevicesConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    decode: DecodeConfig = DecodeConfig(temperature=0.8)
    adaptation: AdaptationConfig = AdaptationConfig()
    files: InputConfig = InputConfig()

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """The defaults; the user's own poems are used as they are."""
        if given.get("corpus") is not None:
            return cls().replace(clean=False)
        return cls()

    def check(self) -> None:
        if self.decode.title and not self.data.titles:
            raise UserError("--title needs a model that was trained with --titles.")
