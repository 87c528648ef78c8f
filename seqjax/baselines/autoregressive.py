"""Forecasters without a state: seasonal naive, linear autoregression, the MLP.

Each reads the last `tau` rows, [tau, ..., D], and forecasts every column from that
column alone. Models with a horizon above 1 forecast so many steps at once. Models with
a horizon of 1 feed their forecasts back to go further.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from seqjax.nn.forecast_heads import (
    POINT,
    Forecast,
    Quantiles,
    at_once,
    by_nothing,
    feed_back,
)
from seqjax.nn.layers import DenseParams, dense, dense_init


@dataclasses.dataclass(frozen=True)
class SeasonalNaive:
    """x_{t+h} = x_{t+h-m} with a season of m steps; m = 1 repeats the last value.

    Args:
      period: m, the number of rows in a season, at least 1.

    Example:
      >>> quarters = jnp.array([[5.0], [7.0], [9.0], [6.0]])  # [tau, D]
      >>> forecast = SeasonalNaive(period=4).forecast(None, quarters, horizon=6)
      >>> forecast.mean[:, 0].tolist()
      [5.0, 7.0, 9.0, 6.0, 5.0, 7.0]

    Source: Hyndman and Athanasopoulos, "Forecasting: principles and practice", 5.2.
    """

    period: int = 1

    @property
    def tau(self) -> int:
        """Number of rows of the history."""
        return self.period

    def forecast(
        self,
        params: None,
        history: jax.Array,
        horizon: int,
        key: jax.Array | None = None,
    ) -> Forecast:
        """history [tau, ..., D] -> Forecast of [horizon, ..., D]; no parameters."""
        del params, key
        return Forecast(history[jnp.arange(horizon) % self.period])


class LinearParams(NamedTuple):
    """Parameters of a LinearAR."""

    w: Any  # [D, tau, horizon], the oldest value first
    b: Any  # [D, horizon]


@dataclasses.dataclass(frozen=True)
class LinearAR:
    """x_{t+h} = sum_i x_{t-tau+i} w_{i,h} + b_h, by least squares, column by column.

    `fit` takes the place of `init`.

    Args:
      tau: number of rows of the history.
      horizon: number of outputs, h = 0 .. horizon - 1; with 1, forecasts are fed back.

    Example:
      >>> model = LinearAR(tau=24, horizon=12)
      >>> values = np.sin(np.arange(100.0))[:, None]  # [N, D]
      >>> params = model.fit(values)
      >>> model.forecast(params, jnp.asarray(values[-24:]), horizon=12).mean.shape
      (12, 1)
    """

    tau: int
    horizon: int = 1

    def fit(self, values: np.ndarray) -> LinearParams:
        """Least squares parameters, float64, over all windows of `values` [N, D].

        If they are not unique, those of the smallest norm.
        """
        view = np.lib.stride_tricks.sliding_window_view
        solutions = []
        for column in np.asarray(values, np.float64).T:
            rows = view(column, self.tau + self.horizon)  # [N', tau + horizon]
            ones = np.ones((len(rows), 1))
            inputs = np.hstack([rows[:, : self.tau], ones])
            targets = rows[:, self.tau :]
            solutions.append(np.linalg.lstsq(inputs, targets, rcond=None)[0])
        fitted = np.stack(solutions)  # [D, tau + 1, horizon]
        return LinearParams(fitted[:, :-1], fitted[:, -1])

    def apply(
        self, params: LinearParams, history: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        """history [tau, ..., D] -> [horizon, ..., D, 1]; the key is not used."""
        del key
        high = lax.Precision.HIGHEST  # the accuracy of the least squares solution
        summed = jnp.einsum("t...d,dth->h...d", history, params.w, precision=high)
        b = jnp.expand_dims(params.b.T, tuple(range(1, history.ndim - 1)))
        return (summed + b)[..., None]

    def loss(
        self, params: LinearParams, batch: jax.Array, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """(sum of squared errors, count) over the last `horizon` rows of a window.

        Args:
          params: from `fit`.
          batch: the window [tau + horizon, ..., D].
          key: not used.
        """
        outputs = self.apply(params, batch[: self.tau], key)
        return POINT.loss(outputs, batch[self.tau :])

    def forecast(
        self,
        params: LinearParams,
        history: jax.Array,
        horizon: int,
        key: jax.Array | None = None,
    ) -> Forecast:
        """history [tau, ..., D] -> Forecast of [horizon, ..., D]."""
        return _forecast(self, POINT, params, history, horizon, key)


class MLPParams(NamedTuple):
    """Parameters of an MLP."""

    hidden: DenseParams  # [tau, hidden]
    out: DenseParams  # [hidden, horizon * K]


@dataclasses.dataclass(frozen=True)
class MLP:
    """A perceptron with one hidden ReLU layer, the textbook's model of the sine.

        x_{t+h} = relu((x_{t-tau}, ..., x_{t-1}) @ w_1 + b_1) @ w_2 + b_2

    Args:
      tau: number of rows of the history.
      horizon: number of rows of the output; with 1, forecasts are fed back.
      hidden_size: units of the hidden layer.
      head: the distribution of the outputs; Quantiles need a horizon above 1.
      normalize: history -> (shift, scale), see `forecast_heads`.

    Raises:
      ValueError: if quantiles would have to be fed back.

    Example:
      >>> model = MLP(tau=4, horizon=3)
      >>> params = model.init(jax.random.key(0))
      >>> history = jnp.sin(jnp.arange(8.0)).reshape(4, 2)  # [tau, D]
      >>> model.apply(params, history).shape  # [horizon, D, K]
      (3, 2, 1)
      >>> model.forecast(params, history, horizon=2).mean.shape
      (2, 2)

    Source: Zhang et al., "Dive into Deep Learning", section 9.1; Xavier weights.
    """

    tau: int
    horizon: int = 1
    hidden_size: int = 10
    head: Any = POINT
    normalize: Callable[[jax.Array], tuple[jax.Array, jax.Array]] = by_nothing

    def __post_init__(self) -> None:
        if self.horizon == 1 and isinstance(self.head, Quantiles):
            raise ValueError("quantiles cannot be fed back; forecast all steps at once")

    def init(self, key: jax.Array) -> MLPParams:
        """Initial parameters, shared by all columns."""
        k_hidden, k_out = jax.random.split(key)
        xavier, size = jax.nn.initializers.glorot_uniform(), self.hidden_size
        return MLPParams(
            dense_init(k_hidden, self.tau, size, xavier),
            dense_init(k_out, size, self.horizon * self.head.size, xavier),
        )

    def apply(
        self, params: MLPParams, history: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        """history [tau, ..., D] -> [horizon, ..., D, K]; the key is not used."""
        del key
        shift, scale = self.normalize(history)
        xs = jnp.moveaxis((history - shift) / scale, 0, -1)  # [..., D, tau]
        hidden = jax.nn.relu(dense(params.hidden, xs))
        ys = dense(params.out, hidden)
        ys = ys.reshape(*ys.shape[:-1], self.horizon, self.head.size)
        return self.head.rescale(jnp.moveaxis(ys, -2, 0), shift, scale)

    def loss(
        self, params: MLPParams, batch: jax.Array, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """(total, count) of the head's loss over the last `horizon` rows of a window.

        Args:
          params: from `init`.
          batch: the window [tau + horizon, ..., D]; its first tau rows are the history.
          key: not used.
        """
        outputs = self.apply(params, batch[: self.tau], key)
        return self.head.loss(outputs, batch[self.tau :])

    def forecast(
        self,
        params: MLPParams,
        history: jax.Array,
        horizon: int,
        key: jax.Array | None = None,
    ) -> Forecast:
        """history [tau, ..., D] -> Forecast of [horizon, ..., D].

        With a key, a Gaussian head that is fed back samples paths for the interval.
        """
        return _forecast(self, self.head, params, history, horizon, key)


def _forecast(
    model: LinearAR | MLP,
    head: Any,
    params: Any,
    history: jax.Array,
    horizon: int,
    key: jax.Array | None,
) -> Forecast:
    if model.horizon > 1 or horizon == 1:
        return at_once(head, model.apply(params, history), horizon)

    def start(history: jax.Array) -> tuple[jax.Array, jax.Array]:
        return history[:-1], history[-1]

    def advance(carry: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
        history = jnp.concatenate([carry, value[None]])  # [tau, ..., D]
        return history[1:], model.apply(params, history)[0]

    return feed_back(start, advance, history, horizon, head, key)
