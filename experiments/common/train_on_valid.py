"""Training on the validation part as well, once the hyperparameters are fixed."""

import dataclasses
from typing import TypeVar

from experiments.common.errors import UserError
from experiments.common.job import TrainConfig
from experiments.common.optimizer import OptimizerConfig
from experiments.common.settings import setting
from seqjax.data.speech import SpeechCorpus
from seqjax.data.tagged import TaggedCorpus

Corpus = TypeVar("Corpus", SpeechCorpus, TaggedCorpus)


@dataclasses.dataclass(frozen=True)
class TrainOnValidConfig(TrainConfig):
    """The length of a run, and whether it trains on the validation part."""

    train_on_valid: bool = setting(
        False,
        "Whether to train on the validation part as well; this needs "
        "--checkpoint=last.",
    )


def check_selection(train: TrainOnValidConfig, optimizer: OptimizerConfig) -> None:
    """Refuse a selection by the validation part of a run that trains on it.

    Raises:
      UserError: if the checkpoint, the end of training or the learning rate depends on
        the validation part.
    """
    selects = train.checkpoint == "best" or train.patience > 0
    if train.train_on_valid and (selects or optimizer.needs_validation):
        raise UserError(
            "--train_on_valid needs --checkpoint=last, without --patience, "
            "--schedule=plateau and --averaging=nt_asgd: no validation data are held "
            "out."
        )


def merge_valid(corpus: Corpus, train_on_valid: bool) -> Corpus:
    """The corpus, its training part extended by the validation part if so set."""
    if not train_on_valid:
        return corpus
    return corpus._replace(train=[*corpus.train, *corpus.valid])


def valid_heading(train_on_valid: bool) -> str:
    """The heading of the validation part's numbers."""
    return "valid (trained on)" if train_on_valid else "valid"
