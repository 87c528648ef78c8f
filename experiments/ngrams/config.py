"""The settings of the n-gram command."""

import dataclasses

from experiments.common.errors import UserError
from experiments.common.line_io import InputConfig
from experiments.common.settings import Settings, setting
from experiments.common.text import PromptConfig, TextConfig, check_prompt
from experiments.common.workdir import RunConfig


@dataclasses.dataclass(frozen=True)
class ModelConfig(Settings):
    """The n-grams to count and their smoothing."""

    order: int = setting(5, "Number of tokens of the longest n-grams.", minimum=1)
    eps: tuple[float, ...] | None = setting(
        None,
        "Epsilons of Laplace smoothing, one for each order; chosen on the validation "
        "set if none are given.",
        minimum=0,
    )

    def check(self) -> None:
        if self.eps is not None and len(self.eps) != self.order:
            raise UserError(
                f"--eps has {len(self.eps)} numbers, --order={self.order} needs "
                f"{self.order}."
            )


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """All settings of the command."""

    run: RunConfig = RunConfig(workdir="runs/ngrams")
    data: TextConfig = TextConfig()
    model: ModelConfig = ModelConfig()
    prompt: PromptConfig = PromptConfig()
    files: InputConfig = InputConfig()

    def check(self) -> None:
        check_prompt(self.data, self.prompt)
