"""Forecasters without a state: seasonal naive, linear autoregression, the MLP.

Each reads the last `tau` values, [tau, ..., D], and forecasts every column from that
column's own past. Those with `horizon` outputs forecast so many steps at once; those
with one feed their forecasts back to go further.
"""

import dataclasses
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
    """x_{t+h} = x_{t+h-m} for a season of m, and again from there; m = 1: the last.

    Args:
      period: m.

    Source: Hyndman and Athanasopoulos, "Forecasting: principles and practice", 5.2.
    """

    period: int = 1

    @property
    def tau(self):
        """How many values are read."""
        return self.period

    def forecast(self, params, history, horizon, key=None):
        """history [tau, ..., D] -> Forecast of [horizon, ..., D]; no parameters."""
        del params, key
        return Forecast(history[jnp.arange(horizon) % self.period])


class LinearParams(NamedTuple):
    w: Any  # [D, tau, horizon], the oldest value first
    b: Any  # [D, horizon]


@dataclasses.dataclass(frozen=True)
class LinearAR:
    """x_{t+h} = sum_i x_{t-tau+i} w_{i,h} + b_h, by least squares, column by column.

    Args:
      tau: how many values are read.
      horizon: outputs h = 0 .. horizon - 1; with 1, forecasts are fed back.

    Example:
      >>> model = LinearAR(tau=24, horizon=12)
      >>> params = model.fit(values)                              # [N, D]
      >>> model.forecast(params, values[-24:], 12).mean.shape     # [12, D]
    """

    tau: int
    horizon: int = 1

    def fit(self, values):
        """The least squares parameters over all windows of `values` [N, D], float64.

        Where they are not determined, those of the smallest norm.
        """
        view = np.lib.stride_tricks.sliding_window_view
        fitted = []
        for column in np.asarray(values, np.float64).T:
            rows = view(column, self.tau + self.horizon)  # [N', tau + horizon]
            ones = np.ones((len(rows), 1))
            inputs = np.hstack([rows[:, : self.tau], ones])
            fitted.append(np.linalg.lstsq(inputs, rows[:, self.tau :], rcond=None)[0])
        fitted = np.stack(fitted)  # [D, tau + 1, horizon]
        return LinearParams(fitted[:, :-1], fitted[:, -1])

    def outputs(self, params, history):
        """[tau, ..., D] -> [horizon, ..., D, 1]."""
        high = lax.Precision.HIGHEST  # what least squares found is not to be rounded
        summed = jnp.einsum("t...d,dth->h...d", history, params.w, precision=high)
        b = jnp.expand_dims(params.b.T, tuple(range(1, history.ndim - 1)))
        return (summed + b)[..., None]

    def forecast(self, params, history, horizon, key=None):
        """history [tau, ..., D] -> Forecast of [horizon, ..., D]."""
        return _forecast(self, POINT, params, history, horizon, key)


class MLPParams(NamedTuple):
    hidden: DenseParams  # [tau, hidden]
    out: DenseParams  # [hidden, horizon * K]


@dataclasses.dataclass(frozen=True)
class MLP:
    """tau values, one ReLU layer, the outputs: the textbook's model of the sine.

        x_{t+h} = relu((x_{t-tau}, ..., x_{t-1}) @ w_1 + b_1) @ w_2 + b_2

    Args:
      tau: how many values are read.
      horizon: how many steps come out; with 1, forecasts are fed back.
      hidden_size: units of the layer.
      head: what the outputs mean; Quantiles need a horizon above 1.
      normalize: history -> (shift, scale), see `forecasts.by_last`.

    Raises:
      ValueError: for quantiles that would have to be fed back.

    Source: Zhang et al., "Dive into Deep Learning", section 9.1; Xavier weights.
    """

    tau: int
    horizon: int = 1
    hidden_size: int = 10
    head: Any = POINT
    normalize: Any = by_nothing

    def __post_init__(self):
        if self.horizon == 1 and isinstance(self.head, Quantiles):
            raise ValueError("quantiles cannot be fed back; forecast all steps at once")

    def init(self, key):
        """Parameters; one set for all columns."""
        k_hidden, k_out = jax.random.split(key)
        xavier, size = jax.nn.initializers.glorot_uniform(), self.hidden_size
        return MLPParams(
            dense_init(k_hidden, self.tau, size, xavier),
            dense_init(k_out, size, self.horizon * self.head.size, xavier),
        )

    def outputs(self, params, history):
        """[tau, ..., D] -> [horizon, ..., D, K]."""
        shift, scale = self.normalize(history)
        xs = jnp.moveaxis((history - shift) / scale, 0, -1)  # [..., D, tau]
        hidden = jax.nn.relu(dense(params.hidden, xs))
        ys = dense(params.out, hidden)
        ys = ys.reshape(*ys.shape[:-1], self.horizon, self.head.size)
        return self.head.rescale(jnp.moveaxis(ys, -2, 0), shift, scale)

    def loss(self, params, window, key=None):
        """(total, count) over the last `horizon` rows of a window [tau + horizon, ...].

        Each row is forecast from the first `tau`.
        """
        del key
        outputs = self.outputs(params, window[: self.tau])
        return self.head.loss(outputs, window[self.tau :])

    def forecast(self, params, history, horizon, key=None):
        """history [tau, ..., D] -> Forecast of [horizon, ..., D].

        A key makes paths of a Gaussian that is fed back, for its interval.
        """
        return _forecast(self, self.head, params, history, horizon, key)


def _forecast(model, head, params, history, horizon, key):
    if model.horizon > 1 or horizon == 1:
        return at_once(head, model.outputs(params, history), horizon)

    def start(history):
        return history[:-1], history[-1]

    def advance(carry, value):
        history = jnp.concatenate([carry, value[None]])  # [tau, ..., D]
        return history[1:], model.outputs(params, history)[0]

    return feed_back(start, advance, history, horizon, head, key)
