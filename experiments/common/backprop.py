"""How far gradients flow back in time: in full, or cut at fixed or random steps."""

import dataclasses

import jax

from experiments.common.errors import UserError
from experiments.common.settings import Settings, setting
from seqjax import truncation

# Far from the indices by which a loss derives its dropout keys.
KEY_INDEX = 2**31 - 1
NUMBER_OF = {"truncated": "backprop_steps", "randomized": "backprop_keep"}


@dataclasses.dataclass(frozen=True)
class BackpropConfig(Settings):
    """Backpropagation through time, full or cut short."""

    backprop: str = setting(
        "full",
        "How far gradients flow back within a minibatch: through all its steps, or "
        "cut at fixed or at random steps.",
        choices=("full", "truncated", "randomized"),
    )
    backprop_steps: int | None = setting(
        None, "Number of steps between the cuts of --backprop=truncated.", minimum=1
    )
    backprop_keep: float | None = setting(
        None, "Probability that a step of --backprop=randomized is not a cut."
    )

    def check(self) -> None:
        for kind, name in NUMBER_OF.items():
            is_given = getattr(self, name) is not None
            if is_given and self.backprop != kind:
                raise UserError(f"--{name} needs --backprop={kind}.")
            if self.backprop == kind and not is_given:
                raise UserError(f"--backprop={kind} needs --{name}.")
        keep = self.backprop_keep
        if keep is not None and not 0 < keep <= 1:
            raise UserError(
                f"--backprop_keep must be above 0 and at most 1, got {keep}."
            )


def gradient_factors(
    config: BackpropConfig, key: jax.Array, num_steps: int
) -> jax.Array | None:
    """The factors xi [T] of `seqjax.truncation` for one minibatch; None is full.

    Args:
      key: the minibatch's random key; other draws from it do not change.
      num_steps: T.
    """
    if config.backprop_steps is not None:
        return truncation.fixed_factors(num_steps, config.backprop_steps)
    if config.backprop_keep is not None:
        key = jax.random.fold_in(key, KEY_INDEX)
        return truncation.random_factors(key, num_steps, config.backprop_keep)
    return None
