"""Settings of drawing tokens from a model."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from experiments.common.settings import Settings, setting
from seqjax import decoding


@dataclasses.dataclass(frozen=True)
class SamplingConfig(Settings):
    """How a token is drawn from its distribution."""

    temperature: float = setting(
        0.7,
        "Temperature of sampling: below 1 sharpens the distribution, above 1 flattens "
        "it, 0 takes the most probable token.",
        minimum=0,
        resumable=True,
    )
    top_k: int = setting(
        0,
        "Number of most probable tokens to draw from; 0 draws from all.",
        minimum=0,
        resumable=True,
    )
    top_p: float = setting(
        1.0,
        "Probability mass of the most probable tokens to draw from (nucleus sampling).",
        minimum=1e-6,
        maximum=1,
        resumable=True,
    )

    min_p: float = setting(
        0.0,
        "Smallest probability of a token to draw, as a share of that of the most "
        "probable token.",
        minimum=0,
        maximum=1,
        resumable=True,
    )

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `seqjax.decoding.sample_token`."""
        return {
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "min_p": self.min_p,
        }


@dataclasses.dataclass(frozen=True)
class LanguageSamplingConfig(SamplingConfig):
    """How a language model draws the tokens of a text."""

    repetition_penalty: float = setting(
        1.0,
        "Factor that lowers the logits of tokens that the text has already; 1 changes "
        "nothing.",
        minimum=1,
        resumable=True,
    )

    def penalized(self, step: Any, state: Any, seen_shape: tuple[int, ...]) -> Any:
        """(step, state) with the repetition penalty.

        Args:
          step, state: of the model.
          seen_shape: [B, V], or [V] without a batch.
        """
        if self.repetition_penalty == 1:
            return step, state
        seen = jnp.zeros(seen_shape, bool)
        return decoding.repetition_penalty(step, state, seen, self.repetition_penalty)
