"""The settings of the tagging command."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from experiments.common.devices import DevicesConfig
from experiments.common.errors import UserError
from experiments.common.line_io import InputOutputConfig
from experiments.common.optimizer import OptimizerConfig
from experiments.common.own_files import (
    ONE_OR_THREE,
    check_columns,
    check_files,
    columns_setting,
)
from experiments.common.recurrent import RecurrentConfig
from experiments.common.settings import Settings, setting
from experiments.common.train_on_valid import TrainOnValidConfig, check_selection
from experiments.common.vectors import VECTORS, size_of_vectors
from experiments.common.workdir import RunConfig
from seqjax.data import tagged


@dataclasses.dataclass(frozen=True)
class DataConfig(Settings):
    """The tagged sentences and the vocabulary of words."""

    dataset: str = setting("apple", "Data set to use.", choices=tuple(tagged.NAMES))
    train_file: tuple[str, ...] | None = setting(
        None,
        f"CoNLL or CoNLL-U files, or tables of sentences (see --columns), to use "
        f"instead of a data set: {ONE_OR_THREE}",
        resumable=True,  # the checksum of the data decides
    )
    columns: tuple[str, ...] | None = columns_setting(
        "tokens,tags", "the only ones with usual names, such as tokens and ner_tags"
    )
    valid_file: str | None = setting(
        None,
        "File of validation sentences, if --train_file names one file.",
        resumable=True,
    )
    test_file: str | None = setting(
        None, "File of test sentences, if --train_file names one file.", resumable=True
    )
    token_column: int | None = setting(
        None,
        "Index of the column of a CoNLL file that holds the word (0 if none is given, "
        "1 in CoNLL-U).",
    )
    tag_column: int | None = setting(
        None,
        "Index of the column of a CoNLL file that holds the tag; -1 is the last (-1 if "
        "none is given, 3 in CoNLL-U).",
    )
    lowercase: bool = setting(
        False,
        "Whether words are read in lower case; their characters keep their case.",
    )
    min_freq: int = setting(
        1, "Words that are less frequent than this become <unk>.", minimum=1
    )

    @property
    def own_files(self) -> tuple[str, ...]:
        """The files of the user: none, one, or train, valid and test."""
        held_out = (path for path in (self.valid_file, self.test_file) if path)
        return (*(self.train_file or ()), *held_out)

    def check(self) -> None:
        check_files("train_file", self.train_file)
        check_columns(self.columns, "tokens,tags", "train_file", self.train_file)
        held_out = bool(self.valid_file), bool(self.test_file)
        is_one = len(self.train_file or ()) == 1
        if any(held_out) and not (all(held_out) and is_one):
            raise UserError(
                "--train_file is used alone or, with one file, with both --valid_file "
                "and --test_file."
            )
        check_files("train_file", self.own_files or None)


@dataclasses.dataclass(frozen=True)
class ModelConfig(RecurrentConfig):
    """The recurrent layers, what they read, and the distribution of the tags."""

    head: str = setting(
        "crf",
        "Distribution of the tags: a CRF, which scores pairs of neighboring tags as "
        "well, or a softmax for each word.",
        choices=("crf", "softmax"),
    )
    embed_size: int = setting(
        50, "Size of a word's embedding.", minimum=1, maximum=10**6
    )
    vectors: str | None = VECTORS
    char_size: int = setting(
        0,
        "Number of features computed from a word's characters; 0 uses none.",
        minimum=0,
        maximum=10**6,
    )
    char_embed_size: int = setting(
        25, "Size of a character's embedding.", minimum=1, maximum=10**6
    )
    word_dropout: float = setting(
        0.0,
        "Rate at which words are replaced by <unk> in training.",
        minimum=0,
        maximum=0.99,
    )


@dataclasses.dataclass(frozen=True)
class DecodeConfig(Settings):
    """How tags are predicted."""

    constrain: bool = setting(
        True,
        "Whether only valid BIO sequences are predicted, if the training tags are "
        "valid.",
    )
    outside_bias: float = setting(
        0.0,
        "Value subtracted from the scores of the tag O; above 0, more spans are "
        "predicted.",
    )


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """All settings of the command."""

    run: RunConfig = RunConfig(workdir="runs/tagging")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig(hidden_size=50, bidirectional=True, dropout=0.3)
    decode: DecodeConfig = DecodeConfig()
    optimizer: OptimizerConfig = OptimizerConfig(learning_rate=0.01)
    train: TrainOnValidConfig = TrainOnValidConfig(epochs=30)
    devices: DevicesConfig = DevicesConfig()
    files: InputOutputConfig = InputOutputConfig()

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """The defaults; vectors have their size."""
        return cls().replace(**size_of_vectors(given))

    def check(self) -> None:
        check_selection(self.train, self.optimizer)
        data = self.data
        has_columns = data.token_column is not None or data.tag_column is not None
        if has_columns and not (data.train_file or self.files.input):
            raise UserError("--token_column and --tag_column need --train_file.")
