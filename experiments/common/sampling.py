"""Settings of drawing tokens from a model."""

import dataclasses
from typing import Any

from experiments.common.settings import Settings, setting


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

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `seqjax.decoding.sample_token`."""
        return {
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
        }
