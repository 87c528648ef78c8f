"""The settings of the classification command."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

from experiments.common import job, line_io, recurrent
from experiments.common.devices import DevicesConfig
from experiments.common.errors import UserError
from experiments.common.optimizer import OptimizerConfig
from experiments.common.own_files import (
    ONE_OR_THREE,
    check_columns,
    check_files,
    columns_setting,
)
from experiments.common.settings import Settings, setting
from experiments.common.vectors import VECTORS, size_of_vectors
from experiments.common.workdir import RunConfig
from seqjax.data import labeled
from seqjax.models.classifier import POOLINGS


@dataclasses.dataclass(frozen=True)
class DataConfig(Settings):
    """The documents, how they are split, and their tokens."""

    dataset: str = setting("opinions", "Data set to use.", choices=tuple(labeled.NAMES))
    corpus: tuple[str, ...] | None = setting(
        None,
        f"Files of lines label<TAB>text, CSV, or other tables (see --columns), to use "
        f"instead of a data set: {ONE_OR_THREE}",
        resumable=True,  # the checksum of the data decides
    )
    columns: tuple[str, ...] | None = columns_setting(
        "label,text", "the only ones with usual names, such as label and text"
    )
    folds: int = setting(
        10,
        "Number of folds that documents of a single file are split into, by their "
        "texts.",
        minimum=3,
        maximum=1000,
    )
    fold: int = setting(
        0,
        "Index of the fold that is the test set; the next fold is the validation set.",
        minimum=0,
    )
    split_seed: int = setting(
        0, "Seed of the assignment of documents to folds.", minimum=0
    )
    level: str = setting("word", "What a token is.", choices=("word", "char"))
    clean: bool = setting(
        True,
        "Whether texts are converted to lower case with a space before punctuation; "
        "the default is true for --level=word and false for --level=char.",
    )
    min_freq: int = setting(
        1, "Tokens that are less frequent than this become <unk>.", minimum=1
    )
    max_length: int = setting(
        512,
        "Number of tokens of a document that are read, from the first.",
        minimum=1,
        maximum=10**5,
    )

    def check(self) -> None:
        check_files("corpus", self.corpus)
        check_columns(self.columns, "label,text", "corpus", self.corpus)
        if self.fold >= self.folds:
            raise UserError(f"--fold={self.fold} must be below --folds={self.folds}.")
        has_parts = len(self.corpus or ()) > 1
        if has_parts or (self.corpus is None and self.dataset == "opinions"):
            for name in ("folds", "fold", "split_seed"):
                if getattr(self, name) != getattr(DataConfig, name):
                    raise UserError(
                        f"--{name} splits the documents of a single file; these are "
                        f"split already."
                    )


@dataclasses.dataclass(frozen=True)
class ModelConfig(recurrent.RecurrentConfig):
    """The recurrent layers, the embedding and the pooling."""

    embed_size: int = setting(
        64, "Size of a token's embedding.", minimum=1, maximum=10**6
    )
    vectors: str | None = VECTORS
    naive_bayes: str = setting(
        "bigrams",
        "Counts whose log-probabilities by naive Bayes, scaled, are added to the "
        "logits: of words, of words and their bigrams, or none.",
        choices=("none", "words", "bigrams"),
        before="none",
    )
    pooling: str = setting(
        "attention",
        "How the outputs at all steps become one vector.",
        choices=POOLINGS,
    )
    word_dropout: float = setting(
        0.0,
        "Rate at which tokens are replaced by <unk> in training.",
        minimum=0,
        maximum=0.99,
    )


@dataclasses.dataclass(frozen=True)
class TrainConfig(job.TrainConfig):
    """The length of a run, and what it optimizes."""

    pretrain_epochs: int = setting(
        0,
        "Number of passes over the training documents that first train the embedding "
        "and the recurrent layers as a language model.",
        minimum=0,
    )
    label_smoothing: float = setting(
        0.0,
        "Probability mass of the target that is spread evenly over all labels.",
        minimum=0,
        maximum=0.99,
    )
    criterion: str = setting(
        "accuracy",
        "Validation number that decides on the best checkpoint, early stopping and "
        "plateaus.",
        choices=("loss", "accuracy"),
    )


@dataclasses.dataclass(frozen=True)
class FilesConfig(line_io.InputOutputConfig):
    """The files that are read and written, and the documents that are shown."""

    examples: int = setting(
        8,
        "Number of misclassified documents to show, and of documents to show with "
        "their attention weights.",
        minimum=0,
        maximum=1000,
        resumable=True,
    )


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """All settings of the command."""

    run: RunConfig = RunConfig(workdir="runs/classification")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig(
        cell="gru", hidden_size=64, bidirectional=True, dropout=0.2
    )
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig(epochs=15, patience=4)
    devices: DevicesConfig = DevicesConfig()
    files: FilesConfig = FilesConfig()

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """The defaults; characters are not cleaned, and vectors have their size."""
        config = cls().replace(**size_of_vectors(given))
        if given.get("level") == "char":
            return config.replace(clean=False)
        return config
