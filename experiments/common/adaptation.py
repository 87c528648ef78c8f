"""How a language model adapts to the text that it is evaluated on, from settings."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.common import activity
from experiments.common.errors import UserError
from experiments.common.settings import Settings, setting
from seqjax.adaptation import Cache, Dynamic, Reader, Windows, mean_squares
from seqjax.models.language_model import LanguageModel

PLAIN_STEPS = 64  # of a window without dynamic evaluation
RATES = {"sgd": 0.1, "rms": 0.002}  # by default
DECAYS = {"sgd": 0.0, "rms": 0.02}


@dataclasses.dataclass(frozen=True)
class AdaptationConfig(Settings):
    """Dynamic evaluation and the cache of --mode=evaluate and --mode=score."""

    dynamic: str = setting(
        "none",
        "Dynamic evaluation: whether the parameters follow the text that is read, by "
        "its gradient (sgd) or by its gradient over that of training (rms).",
        choices=("none", "sgd", "rms"),
        resumable=True,
    )
    dynamic_rate: float | None = setting(
        None,
        "Learning rate of --dynamic; by default 0.1 for sgd and 0.002 for rms.",
        minimum=0,
        resumable=True,
    )
    dynamic_decay: float | None = setting(
        None,
        "Rate at which --dynamic returns to the trained parameters; by default 0 for "
        "sgd and 0.02 for rms.",
        minimum=0,
        maximum=1,
        resumable=True,
    )
    dynamic_steps: int = setting(
        20,
        "Number of tokens between two updates of --dynamic.",
        minimum=1,
        maximum=10**4,
        resumable=True,
    )
    dynamic_minibatches: int = setting(
        200,
        "Number of training minibatches whose gradients --dynamic=rms measures.",
        minimum=1,
        resumable=True,
    )
    cache: int = setting(
        0,
        "Number of positions of the neural cache, such as 2000; 0 has no cache.",
        minimum=0,
        maximum=10**6,
        resumable=True,
    )
    cache_flatness: float = setting(
        0.3,
        "Weight of the similarity of two outputs in the cache.",
        minimum=0,
        resumable=True,
    )
    cache_share: float = setting(
        0.1,
        "Share of the cache in the probability of a token.",
        minimum=0,
        maximum=0.999,
        resumable=True,
    )

    def check(self) -> None:
        for name in ("dynamic_rate", "dynamic_decay"):
            if getattr(self, name) is not None and self.dynamic == "none":
                raise UserError(f"--{name} needs --dynamic=sgd or rms.")
        usual = {"cache_flatness": 0.3, "cache_share": 0.1}
        for name, value in usual.items():
            if getattr(self, name) != value and not self.cache:
                raise UserError(f"--{name} needs --cache.")

    @property
    def adapts(self) -> bool:
        """Whether the model adapts at all."""
        return self.dynamic != "none" or self.cache > 0

    @property
    def window_steps(self) -> int:
        """Number of tokens of a window."""
        return PLAIN_STEPS if self.dynamic == "none" else self.dynamic_steps


def make_reader(config: AdaptationConfig, model: LanguageModel) -> Reader:
    """The reader of the settings."""
    cache, dynamic = None, None
    if config.cache:
        cache = Cache(config.cache, config.cache_flatness, config.cache_share)
    if config.dynamic != "none":
        rate, decay = config.dynamic_rate, config.dynamic_decay
        dynamic = Dynamic(
            config.dynamic,
            RATES[config.dynamic] if rate is None else rate,
            DECAYS[config.dynamic] if decay is None else decay,
        )
    return Reader(model, cache, dynamic)


def training_squares(
    config: AdaptationConfig,
    model: LanguageModel,
    params: Any,
    tokens: Any,
    starts: np.ndarray,
    num_steps: int,
) -> Any:
    """The mean squares of the training gradients, for rms; None otherwise.

    Args:
      tokens: the training text.
      starts: a plan of minibatches, of which the first ones are used.
      num_steps: of a minibatch.
    """
    if config.dynamic != "rms":
        return None
    activity.begin("the gradients of training")
    starts = starts[: config.dynamic_minibatches]
    return mean_squares(model, params, jnp.asarray(tokens), starts, num_steps)


def check_cache(config: AdaptationConfig, windows: Windows, name: str) -> None:
    """Refuse a cache that is longer than a text.

    Raises:
      UserError: with the size of both.
    """
    number = int(windows.lengths.sum()) + 1
    if config.cache > number:
        raise UserError(
            f"--cache={config.cache} is longer than {name}, which has {number:,} "
            f"tokens."
        )
