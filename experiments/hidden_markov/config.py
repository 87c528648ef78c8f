"""The settings of the hidden Markov model command."""

import dataclasses

from experiments.common import text
from experiments.common.line_io import InputOutputConfig
from experiments.common.settings import Settings, setting
from experiments.common.workdir import RunConfig
from seqjax.data import corpora

REGIMES = "regimes"  # the data set of numbers


@dataclasses.dataclass(frozen=True)
class DataConfig(text.TextConfig):
    """The corpus and its tokens, by default words."""

    dataset: str = setting(
        "python_docs",
        "Data set to use; regimes is a series of numbers.",
        choices=(*corpora.NAMES, REGIMES),
    )
    level: str = setting("word", "What a token is.", choices=("char", "word"))
    min_freq: int = setting(
        2, "Tokens that are less frequent than this become <unk>.", minimum=1
    )

    @property
    def is_text(self) -> bool:
        """Whether the observations are tokens, not numbers."""
        return self.corpus is not None or self.dataset != REGIMES


@dataclasses.dataclass(frozen=True)
class ModelConfig(Settings):
    """The states and their prior."""

    num_states: int = setting(16, "Number of hidden states.", minimum=1)
    prior: float = setting(
        0.01, "Pseudo-count of each transition and of each emission.", minimum=0
    )


@dataclasses.dataclass(frozen=True)
class TrainConfig(Settings):
    """The Baum-Welch iterations and their minibatches."""

    iterations: int = setting(
        60, "Largest number of Baum-Welch iterations.", minimum=1, resumable=True
    )
    tolerance: float = setting(
        1e-5,
        "Gain in log-likelihood per token below which training stops.",
        minimum=0,
        resumable=True,
    )
    batch_size: int = setting(32, "Number of sequences in a minibatch.", minimum=1)
    num_steps: int = setting(128, "Number of tokens in a sequence.", minimum=1)
    checkpoint_every: int = setting(
        20,
        "Number of iterations between checkpoints; an interrupt saves one too.",
        minimum=1,
        resumable=True,
    )
    checkpoint_minutes: float = setting(
        5.0,
        "Number of minutes after which a checkpoint is saved whatever the number of "
        "iterations.",
        minimum=0,
        resumable=True,
    )


@dataclasses.dataclass(frozen=True)
class DecodeConfig(Settings):
    """How states are chosen."""

    decoding: str = setting(
        "viterbi",
        "How tags are chosen: the most probable sequence of states, or the most "
        "probable state of each token.",
        choices=("viterbi", "posterior"),
        resumable=True,
    )


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """All settings of the command."""

    run: RunConfig = RunConfig(workdir="runs/hidden_markov")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    prompt: text.PromptConfig = text.PromptConfig(length=60)
    decode: DecodeConfig = DecodeConfig()
    files: InputOutputConfig = InputOutputConfig()

    def check(self) -> None:
        if self.data.is_text:
            text.check_prompt(self.data, self.prompt)
