"""What a run does: its settings, its objective, its data and its progress."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from experiments.common.averaging import AveragingConfig
from experiments.common.devices import ONE_DEVICE, Placement
from experiments.common.settings import Settings, setting
from seqjax.metrics import perplexity
from seqjax.training import TrainLoop, TrainState


@dataclasses.dataclass(frozen=True)
class TrainConfig(Settings):
    """The length of a run, its minibatches, validations and checkpoints."""

    epochs: int = setting(10, "Number of passes over the training data.", minimum=1)
    batch_size: int = setting(32, "Number of sequences in a minibatch.", minimum=1)
    eval_every: int = setting(1, "Number of epochs between validations.", minimum=1)
    log_every: int = setting(
        50, "Number of minibatches in a compiled call and a line of metrics.", minimum=1
    )
    checkpoint_every: int = setting(
        500,
        "Number of minibatches between checkpoints; every validation and an interrupt "
        "save one too.",
        minimum=1,
        resumable=True,
    )
    checkpoint_minutes: float = setting(
        5.0,
        "Number of minutes after which a checkpoint is saved whatever the number of "
        "minibatches.",
        minimum=0,
        resumable=True,
    )
    patience: int = setting(
        0,
        "Number of validations without improvement after which training stops early; "
        "0 never stops early.",
        minimum=0,
    )
    checkpoint: str = setting(
        "best",
        "Checkpoint to use: the best on the validation set, or the last.",
        choices=("best", "last"),
        resumable=True,
    )
    keep_last: int = setting(
        2, "Number of the newest checkpoints to keep.", minimum=1, resumable=True
    )
    average_checkpoints: int = setting(
        1,
        "Number of the newest best checkpoints whose parameters are averaged with "
        "--checkpoint=best.",
        minimum=1,
        maximum=100,
        resumable=True,
    )
    on_nonfinite: str = setting(
        "stop",
        "What to do with a minibatch whose loss or gradient is not finite: stop the "
        "run, or skip the minibatch.",
        choices=("stop", "skip"),
        resumable=True,
    )
    max_skipped: int = setting(
        100,
        "Number of skipped minibatches after which --on_nonfinite=skip stops the run.",
        minimum=1,
        resumable=True,
    )
    divergence: float = setting(
        10.0,
        "A run stops when the mean training loss of a line of metrics exceeds the "
        "lowest so far by this many times its size, which counts as 1 at least; 0 "
        "never stops it.",
        minimum=0,
        resumable=True,
    )

    profile: bool = setting(
        False,
        "Whether to profile one compiled call of training, for Perfetto and "
        "TensorBoard.",
        resumable=True,
    )
    tensorboard: bool = setting(
        False,
        "Whether to write the metrics as event files for TensorBoard as well.",
        resumable=True,
    )

    @property
    def skip_nonfinite(self) -> bool:
        """Whether minibatches that are not finite are skipped."""
        return self.on_nonfinite == "skip"


class Objective(NamedTuple):
    """What training minimizes, and which validation number decides.

    Attributes:
      measure: the name of the training number in logs and tables.
      of_sums: (total, count) -> that number.
      criterion: the validation number that has to improve.
      maximize: whether it improves by rising.
      unit: what `count` counts.
    """

    measure: str = "perplexity"
    of_sums: Callable[[float, float], float] = perplexity
    criterion: str = "valid_perplexity"
    maximize: bool = False
    unit: str = "tokens"

    def improves(self, value: float, best: float) -> bool:
        """Whether a validation beats the best so far, which is nan at first."""
        return math.isnan(best) or (value > best if self.maximize else value < best)


PERPLEXITY = Objective()


def mean_loss(total: float, count: float) -> float:
    """The loss per predicted value."""
    return total / count if count else math.inf


def loss_objective(unit: str) -> Objective:
    """The objective of a task whose training number is its mean loss."""
    return Objective("loss", mean_loss, "valid_loss", unit=unit)


@dataclasses.dataclass
class Progress:
    """How far a run is, beside its TrainState; part of each checkpoint."""

    step: int = 0  # minibatches done
    epoch: int = 0  # epochs done
    cursor: int = 0  # minibatches done of this epoch
    total: float = 0.0  # summed loss of this epoch so far
    count: float = 0.0  # predictions of this epoch so far
    line_total: float = 0.0  # summed loss since the last line of metrics
    line_count: float = 0.0  # predictions since then
    line_seconds: float = 0.0  # in compiled calls since then
    train_measure: float = math.nan  # Objective.measure over the last epoch
    validated: bool = True  # no step was made since the last validation
    finished: bool = False  # the run has ended, with its last validation
    ended: bool = False  # the averaging ends the run before its length
    values: list[float] = dataclasses.field(default_factory=list)  # lower is better
    best_value: float = math.nan  # of Objective.criterion
    best_perplexity: float = math.nan  # at that validation; breaks ties
    best_step: int = 0
    stale: int = 0  # validations since the last improvement
    skipped: int = 0  # minibatches that were not finite
    lowest_loss: float = math.inf  # mean training loss of a line of metrics
    predictions: float = 0.0  # of the whole run
    train_seconds: float = 0.0  # in compiled calls, without compilation
    seconds: float = 0.0  # wall clock over all starts


@dataclasses.dataclass(frozen=True)
class Job:
    """What a run does.

    Attributes:
      train_loop: a `training.TrainLoop`.
      data: what the loop reads, on the device.
      plan: epoch -> its minibatches, a sequence of some length.
      total_steps: the number of minibatches after which the run ends; an estimate
        where `epochs` is given.
      validate: state -> {name: number} on held-out data; the state lies as
        `placement` says.
      new_epoch: state -> state with the carry at the beginning of an epoch.
      objective: the numbers that are shown and that decide.
      epochs: the number of epochs after which the run ends.
      learning_rate: step -> learning rate, for the logs.
      plateau_factor: factor of the learning rate after a validation without
        improvement.
      averaging: how the parameters are averaged; a validation gets their average.
      placement: where the run computes.
      model: what is saved with the parameters at the end, for `seqjax.load`; None saves
        nothing.
    """

    train_loop: TrainLoop
    data: Any
    plan: Callable[[int], Any]
    total_steps: int
    validate: Callable[[TrainState], dict[str, float]]
    new_epoch: Callable[[TrainState], TrainState] = lambda state: state
    objective: Objective = PERPLEXITY
    epochs: int | None = None
    learning_rate: Callable[[int], Any] | None = None
    plateau_factor: float = 1.0
    averaging: AveragingConfig = AveragingConfig()
    placement: Placement = ONE_DEVICE
    model: Any = None
