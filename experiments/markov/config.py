"""The settings of the Markov chain command."""

import dataclasses

from experiments.common.line_io import InputConfig
from experiments.common.settings import Settings, setting
from experiments.common.text import PromptConfig, TextConfig, check_prompt
from experiments.common.workdir import RunConfig


@dataclasses.dataclass(frozen=True)
class ModelConfig(Settings):
    """The chain, and how far ahead it is followed."""

    order: int = setting(1, "Number of tokens in a context.", minimum=1)
    smoothing: float = setting(0.1, "Number added to every count.", minimum=0)
    steps: int = setting(
        20, "Number of steps to look ahead.", minimum=1, maximum=10_000
    )


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """All settings of the command."""

    run: RunConfig = RunConfig(workdir="runs/markov")
    data: TextConfig = TextConfig()
    model: ModelConfig = ModelConfig()
    prompt: PromptConfig = PromptConfig()
    files: InputConfig = InputConfig()

    def check(self) -> None:
        check_prompt(self.data, self.prompt)
