"""When averaged SGD begins, starts again and ends: what validations decide."""

import dataclasses
from typing import NamedTuple

from experiments.common.errors import UserError
from experiments.common.settings import Settings, setting
from seqjax.training import TrainState
from seqjax.training.averages import (
    average_state,
    begin_average,
    is_nonmonotone,
    restart_average,
)


@dataclasses.dataclass(frozen=True)
class AveragingConfig(Settings):
    """The average of the parameters over training."""

    averaging: str = setting(
        "none",
        "Parameters to validate and to keep: those trained; ema, their exponential "
        "moving average; or nt_asgd, their mean since the first validation that is "
        "worse than the best of all but the --nonmonotone validations before it.",
        choices=("none", "ema", "nt_asgd"),
    )
    ema_decay: float = setting(
        0.999, "Decay of --averaging=ema at an update.", minimum=0, maximum=0.999999
    )
    nonmonotone: int = setting(
        5,
        "Number of validations before the last that the trigger of --averaging=nt_asgd "
        "leaves out.",
        minimum=1,
    )
    finetunings: int | None = setting(
        None,
        "Number of times that --averaging=nt_asgd, when its trigger fires again, "
        "continues from the mean and averages anew; the trigger after the last ends "
        "the run. If none is given, the first mean goes on to the end.",
        minimum=0,
    )

    def check(self) -> None:
        if self.finetunings is not None and self.averaging != "nt_asgd":
            raise UserError("--finetunings needs --averaging=nt_asgd.")
        if self.nonmonotone != 5 and self.averaging != "nt_asgd":
            raise UserError("--nonmonotone needs --averaging=nt_asgd.")
        if self.ema_decay != 0.999 and self.averaging != "ema":
            raise UserError("--ema_decay needs --averaging=ema.")


class Decision(NamedTuple):
    """What a validation decides about the average."""

    state: TrainState
    values: list[float]  # of the validations that later decisions compare
    ends: bool = False  # whether the run ends
    event: str | None = None  # what happened, for the log


def after_validation(
    config: AveragingConfig, state: TrainState, values: list[float]
) -> Decision:
    """Begin the average, start it again, or end the run, where the trigger fires.

    Args:
      config: the settings.
      state: the state that was validated.
      values: the validation numbers since the last such event, lower is better.
    """
    if config.averaging != "nt_asgd" or not is_nonmonotone(values, config.nonmonotone):
        return Decision(state, values)
    average = average_state(state)
    assert average is not None
    if not int(average.number):
        return Decision(begin_average(state), [], event="averaging begins")
    if config.finetunings is None:
        return Decision(state, values)
    if int(average.restarts) < config.finetunings:
        event = "averaging starts again from the mean"
        return Decision(restart_average(state), [], event=event)
    return Decision(state, values, ends=True, event="the trigger ends the run")
