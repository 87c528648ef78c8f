"""The direct forecaster: all steps of the horizon at once."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seqjax.cell_protocol import Params
from seqjax.mesh_axes import on_any_mesh, replicated, steps_spec
from seqjax.models.channels import (
    check_channels,
    features_per_sequence,
    split_channels,
)
from seqjax.nn import layers
from seqjax.nn.forecast_heads import POINT, Forecast, at_once, by_nothing
from seqjax.recurrence import Unrollable, unroll


class DirectForecasterParams(NamedTuple):
    """Parameters of a DirectForecaster."""

    cell: Params
    out: layers.DenseParams  # [H, F * horizon * K]


@dataclasses.dataclass(frozen=True)
class DirectForecaster:
    """All steps of the horizon from the output after the history.

        h = last output of unroll(segments of the history)
        x_{t+1}, ..., x_{t+horizon} = h @ w + b

    Args:
      cell: a cell or a Stack, not bidirectional.
      tau: number of rows of the history.
      horizon: number of rows of the forecast.
      num_features: D.
      channels: "joint" or "independent", see `ChannelModel`.
      head: the distribution of the outputs, Point, Gaussian or Quantiles.
      normalize: history -> (shift, scale), see `forecast_heads`.
      segment: number of consecutive rows that the cell reads in one step; divides tau.
      dropout: rate on h.

    Raises:
      ValueError: if the cell is bidirectional or the segment does not divide tau.

    Example:
      >>> cell = seqjax.GRU(64)
      >>> model = DirectForecaster(cell, 336, 96, 7, "independent", segment=24)
      >>> params = model.init(jax.random.key(0))
      >>> model.forecast(params, jnp.zeros((336, 2, 7)), horizon=96).mean.shape
      (96, 2, 7)

    Source of the segments: Lin et al., "SegRNN", 2023, arXiv:2308.11200.
    """

    cell: Unrollable
    tau: int
    horizon: int
    num_features: int
    channels: str = "joint"
    head: Any = POINT
    normalize: Callable[[jax.Array], tuple[jax.Array, jax.Array]] = by_nothing
    segment: int = 1
    dropout: float = 0.0

    def __post_init__(self) -> None:
        check_channels(self)
        if self.segment < 1 or self.tau % self.segment:
            raise ValueError(
                f"a segment must divide tau, got {self.segment} and {self.tau}"
            )

    def init(self, key: jax.Array) -> DirectForecasterParams:
        """Initial parameters."""
        k_cell, k_out = jax.random.split(key)
        features = features_per_sequence(self)
        size = features * self.horizon * self.head.size
        return DirectForecasterParams(
            self.cell.init(k_cell, features * self.segment),
            layers.dense_init(k_out, self.cell.output_size, size),
        )

    @on_any_mesh(lambda a: steps_spec(a["history"], 1))
    def apply(
        self,
        params: DirectForecasterParams,
        history: jax.Array,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Outputs of the head for the `horizon` rows after a history.

        Args:
          params: from `init`.
          history: [tau, ..., D].
          key: random key for dropout; None turns dropout off.

        Returns:
          [horizon, ..., D, K].
        """
        keys = (None, None) if key is None else jax.random.split(key)
        shift, scale = self.normalize(history)
        xs = split_channels(self, (history - shift) / scale)
        xs = _segments(xs, self.segment)  # [tau / segment, ..., segment * F]
        _, ys = unroll(self.cell, params.cell, xs, key=keys[0])
        y = layers.dropout(keys[1], ys[-1], self.dropout)
        outputs = layers.dense(params.out, y)
        shape = (*history.shape[1:], self.horizon, self.head.size)
        outputs = jnp.moveaxis(outputs.reshape(shape), -2, 0)
        return self.head.rescale(outputs, shift, scale)

    @on_any_mesh(replicated)
    def loss(
        self,
        params: DirectForecasterParams,
        batch: jax.Array,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """The loss of the head over the last `horizon` rows of a window.

        Args:
          params: from `init`.
          batch: the window [tau + horizon, ..., D]; its first tau rows are the history.
          key: random key for dropout; None turns dropout off.

        Returns:
          (total, count).
        """
        outputs = self.apply(params, batch[: self.tau], key)
        return self.head.loss(outputs, batch[self.tau :])

    def forecast(
        self,
        params: DirectForecasterParams,
        history: jax.Array,
        horizon: int,
        key: jax.Array | None = None,
    ) -> Forecast:
        """history [tau, ..., D] -> Forecast of [horizon, ..., D]; no use of the key."""
        del key
        return at_once(self.head, self.apply(params, history), horizon)


def _segments(xs: jax.Array, size: int) -> jax.Array:
    """[T, ..., F] -> [T / size, ..., size * F]."""
    if size == 1:
        return xs
    xs = xs.reshape(len(xs) // size, size, *xs.shape[1:])  # [T / size, size, ..., F]
    xs = jnp.moveaxis(xs, 1, -2)  # [T / size, ..., size, F]
    return xs.reshape(*xs.shape[:-2], size * xs.shape[-1])
