"""The optimizer and its learning rate schedule, from settings."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import optax

from experiments.common import activity
from experiments.common.averaging import AveragingConfig
from experiments.common.errors import UserError
from experiments.common.settings import setting
from seqjax import training
from seqjax.training import averages

SCHEDULES = ("constant", "cosine", "onecycle", "exponential", "plateau")
OPTIMIZERS = ("sgd", "adam", "adamw")
UNSCHEDULED = ("constant", "plateau")  # these do not depend on the run's length


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(AveragingConfig):
    """The optimizer, its learning rate, clipping, and the average of its parameters."""

    optimizer: str = setting(
        "adam", "Optimizer that applies the gradients.", choices=OPTIMIZERS
    )
    learning_rate: float = setting(0.004, "Peak learning rate.", minimum=0)
    weight_decay: float = setting(
        0.0,
        "Weight decay of --optimizer=sgd, or decoupled weight decay of adamw.",
        minimum=0,
    )
    schedule: str = setting(
        "cosine",
        "Learning rate schedule; onecycle rises over 30 % of the run and falls to "
        "nearly 0, plateau multiplies the rate by --decay after a validation without "
        "improvement.",
        choices=SCHEDULES,
    )
    warmup_steps: int = setting(
        100, "Number of updates that warm up the cosine schedule.", minimum=0
    )
    decay: float = setting(
        0.25,
        "Factor of the learning rate on a plateau, and at the end of the exponential "
        "schedule.",
        minimum=1e-9,
    )
    hold: float = setting(
        0.0,
        "Share of the run before the exponential schedule begins to decay.",
        minimum=0,
        maximum=0.99,
    )
    clip_norm: float = setting(
        1.0, "Largest global norm of the gradient; 0 turns clipping off.", minimum=0
    )

    def check(self) -> None:
        super().check()
        if self.weight_decay and self.optimizer == "adam":
            raise UserError("--weight_decay needs --optimizer=adamw or sgd.")

    @property
    def needs_validation(self) -> bool:
        """Whether validations decide the learning rate or the average."""
        return self.schedule == "plateau" or self.averaging == "nt_asgd"

    @property
    def plateau_factor(self) -> float:
        """Factor of the learning rate after a validation without improvement."""
        return self.decay if self.schedule == "plateau" else 1.0


def make_schedule(
    config: OptimizerConfig, total_steps: int, accumulate: int = 1
) -> Callable[[int], Any]:
    """update -> learning rate, over a run of `total_steps` minibatches.

    Args:
      accumulate: number of minibatches whose mean gradient makes one update.
    """
    rate, updates = config.learning_rate, max(1, total_steps // accumulate)
    if config.schedule == "cosine":
        warmup = min(config.warmup_steps, updates // 2)
        return optax.warmup_cosine_decay_schedule(0.0, rate, warmup, updates)
    if config.schedule == "onecycle":
        return optax.cosine_onecycle_schedule(updates, rate)
    if config.schedule == "exponential":
        begin = round(config.hold * updates)
        steps = (1 - config.hold) * updates
        return optax.exponential_decay(rate, steps, config.decay, begin)
    return optax.constant_schedule(rate)


def make_optimizer(
    config: OptimizerConfig, total_steps: int, accumulate: int = 1
) -> optax.GradientTransformation:
    """The optimizer, its schedule spread over `total_steps` minibatches.

    Args:
      accumulate: number of minibatches whose mean gradient makes one update.
    """
    rate: Any = config.learning_rate
    if config.schedule not in UNSCHEDULED:
        rate = make_schedule(config, total_steps, accumulate)
    chosen = training.make_optimizer(
        config.optimizer, rate, config.clip_norm or None, config.weight_decay
    )
    if config.averaging == "ema":
        chosen = optax.chain(chosen, averages.exponential_average(config.ema_decay))
    if config.averaging == "nt_asgd":
        chosen = optax.chain(chosen, averages.polyak_average())
    if accumulate == 1:
        return chosen
    several = optax.MultiSteps(chosen, accumulate)
    return optax.GradientTransformationExtraArgs(several.init, several.update)


def initial_train_state(
    model: Any,
    optimizer: optax.GradientTransformation,
    seed: int,
    carry: Any = None,
    **init_options: Any,
) -> training.TrainState:
    """The TrainState before the first step.

    Args:
      carry: what the first minibatch starts from; None where minibatches stand alone.
      **init_options: further arguments of `model.init`.
    """
    activity.begin("the parameters")
    k_params, k_run = jax.random.split(jax.random.key(seed))
    params = model.init(k_params, **init_options)
    return training.init_state(params, optimizer, carry, k_run)
