"""The recursive forecaster: each step reads the forecast of the step before."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from seqjax.cell_protocol import Params, State
from seqjax.mesh_axes import on_any_mesh, replicated, steps_spec
from seqjax.models.channels import (
    check_channels,
    features_per_sequence,
    split_channels,
)
from seqjax.nn import layers
from seqjax.nn.forecast_heads import (
    POINT,
    Forecast,
    Quantiles,
    by_nothing,
    feed_back,
    roll_out,
)
from seqjax.recurrence import Unrollable, unroll


class RecursiveForecasterParams(NamedTuple):
    """Parameters of a RecursiveForecaster."""

    cell: Params
    decoder: Params | None  # of the separate decoder; None if it is `cell`
    out: layers.DenseParams  # [H, F * K]


@dataclasses.dataclass(frozen=True)
class RecursiveForecaster:
    """The latent autoregressive model: a state summarizes the past.

        h_t = g(h_{t-1}, x_{t-1}),   x_t ~ P(x_t | h_t)

    Beyond the observed values, the forecast of x_t replaces x_t. With
    `separate_decoder`, a second cell continues from the state after the history, as in
    an encoder-decoder.

    Args:
      cell: a cell or a Stack, not bidirectional.
      tau: number of rows of the history.
      horizon: number of rows of the loss.
      num_features: D.
      channels: "joint" or "independent", see `ChannelModel`.
      head: the distribution of the outputs, Point or Gaussian.
      normalize: history -> (shift, scale), see `forecast_heads`.
      separate_decoder: use separate parameters for the steps after the history.
      teacher_forcing: in training, read the true previous value and not its forecast.

    Raises:
      ValueError: if the cell is bidirectional, tau is below 2, or the head is
        Quantiles.

    Example:
      >>> cell = seqjax.GRU(32)
      >>> model = RecursiveForecaster(cell, tau=64, horizon=16, num_features=1)
      >>> params = model.init(jax.random.key(0))
      >>> model.forecast(params, jnp.zeros((64, 2, 1)), horizon=100).mean.shape
      (100, 2, 1)

    Source: Zhang et al., "Dive into Deep Learning", section 9.1.1.
    """

    cell: Unrollable
    tau: int
    horizon: int
    num_features: int
    channels: str = "joint"
    head: Any = POINT
    normalize: Callable[[jax.Array], tuple[jax.Array, jax.Array]] = by_nothing
    separate_decoder: bool = False
    teacher_forcing: bool = True

    def __post_init__(self) -> None:
        check_channels(self)
        if isinstance(self.head, Quantiles):
            raise ValueError("quantiles cannot be fed back; forecast all steps at once")
        if self.tau < 2:
            raise ValueError(f"tau must be at least 2, got {self.tau}")

    def init(self, key: jax.Array) -> RecursiveForecasterParams:
        """Initial parameters."""
        k_cell, k_decoder, k_out = jax.random.split(key, 3)
        features = features_per_sequence(self)
        decoder = None
        if self.separate_decoder:
            decoder = self.cell.init(k_decoder, features)
        out = layers.dense_init(k_out, self.cell.output_size, features * self.head.size)
        return RecursiveForecasterParams(self.cell.init(k_cell, features), decoder, out)

    @on_any_mesh(lambda a: steps_spec(a["history"], 1))
    def apply(
        self,
        params: RecursiveForecasterParams,
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
        k_history, _ = _split(key)
        shift, scale = self.normalize(history)
        state, value = self._start(params, (history - shift) / scale, k_history)
        advance = self._advance(params, history.shape[-1])
        outputs, _ = roll_out(advance, state, value, self.horizon, self.head)
        return self.head.rescale(outputs, shift, scale)

    @on_any_mesh(replicated)
    def loss(
        self,
        params: RecursiveForecasterParams,
        batch: jax.Array,
        key: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """The loss of the head over the last `horizon` rows of a window.

        Args:
          params: from `init`.
          batch: the window [tau + horizon, ..., D]; each row is forecast from the rows
            before it.
          key: random key for dropout; None turns dropout off.

        Returns:
          (total, count).
        """
        history, target = batch[: self.tau], batch[self.tau :]
        if not self.teacher_forcing:
            return self.head.loss(self.apply(params, history, key), target)
        k_history, k_target = _split(key)
        shift, scale = self.normalize(history)
        values = (batch - shift) / scale
        state, _ = self._start(params, values[: self.tau], k_history)
        inputs = split_channels(self, values[self.tau - 1 : -1])
        _, ys = unroll(self.cell, _decoder(params), inputs, state, key=k_target)
        outputs = self._read_out(params, ys, batch.shape[-1])
        outputs = self.head.rescale(outputs, shift, scale)
        return self.head.loss(outputs, target)

    def forecast(
        self,
        params: RecursiveForecasterParams,
        history: jax.Array,
        horizon: int,
        key: jax.Array | None = None,
    ) -> Forecast:
        """history [tau, ..., D] -> Forecast of [horizon, ..., D].

        With a key, a Gaussian head samples paths for the interval.
        """
        shift, scale = self.normalize(history)
        found = feed_back(
            lambda history: self._start(params, history),
            self._advance(params, history.shape[-1]),
            (history - shift) / scale,
            horizon,
            self.head,
            key,
        )
        return jax.tree.map(lambda values: values * scale + shift, found)

    def _start(
        self,
        params: RecursiveForecasterParams,
        values: jax.Array,
        key: jax.Array | None = None,
    ) -> tuple[State, jax.Array]:
        """The state before the last value of a history, and that value."""
        xs = split_channels(self, values[:-1])
        state, _ = unroll(self.cell, params.cell, xs, key=key)
        return state, values[-1]

    def _advance(
        self, params: RecursiveForecasterParams, num_columns: int
    ) -> Callable[[State, jax.Array], tuple[State, jax.Array]]:
        def advance(state: State, value: jax.Array) -> tuple[State, jax.Array]:
            xs = split_channels(self, value[None])
            state, ys = unroll(self.cell, _decoder(params), xs, state, fused=False)
            return state, self._read_out(params, ys[0], num_columns)

        return advance

    def _read_out(
        self, params: RecursiveForecasterParams, ys: jax.Array, num_columns: int
    ) -> jax.Array:
        """ys [..., H] -> outputs [..., D, K]."""
        outputs = layers.dense(params.out, ys)
        batch = outputs.shape[:-1]
        if self.channels == "independent":
            batch = batch[:-1]
        return outputs.reshape(*batch, num_columns, self.head.size)


def _decoder(params: RecursiveForecasterParams) -> Params:
    return params.cell if params.decoder is None else params.decoder


def _split(key: jax.Array | None) -> Any:
    return (None, None) if key is None else jax.random.split(key)
