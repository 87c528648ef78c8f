"""What a forecaster's outputs mean, and forecasts fed back to make longer ones.

A head reads the K outputs of each value, [..., K]: one for a point, two for a Gaussian,
three for quantiles. It knows their loss, the forecast with its interval, and, where
they are a distribution, how to draw from it.
"""

import dataclasses
import math
import statistics
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Forecast(NamedTuple):
    """Forecasts of `horizon` steps; the ends of an interval are None where none is."""

    mean: jax.Array  # [horizon, ..., D]; the median if the head has quantiles
    lower: jax.Array | None = None
    upper: jax.Array | None = None


@dataclasses.dataclass(frozen=True)
class Point:
    """One number a value, fitted by squared error, sum (y - f)^2."""

    size: ClassVar[int] = 1

    def loss(self, outputs, targets):
        """(total, count) of outputs [..., 1] against targets [...]."""
        errors = targets - outputs[..., 0]
        return jnp.sum(errors**2), _count(targets)

    def rescale(self, outputs, shift, scale):
        """The outputs for y * scale + shift, from those for y."""
        return outputs * scale[..., None] + shift[..., None]

    def forecast(self, outputs):
        """The Forecast that outputs [..., 1] are, without an interval."""
        return Forecast(outputs[..., 0])


POINT = Point()


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Mean and logarithm of the variance, fitted by the negative log-likelihood.

        -log N(y; m, e^s) = (log 2 pi + s + (y - m)^2 e^-s) / 2

    Args:
      coverage: the share of values that the interval is to hold, in (0, 1).

    Source: Nix and Weigend, "Estimating the mean and variance of the target
    probability distribution", 1994.
    """

    coverage: float = 0.9
    size: ClassVar[int] = 2

    def __post_init__(self):
        _check_coverage(self.coverage)

    def loss(self, outputs, targets):
        """(total, count) of outputs [..., 2] against targets [...], total in nats."""
        mean, log_var = outputs[..., 0], outputs[..., 1]
        squares = (targets - mean) ** 2 * jnp.exp(-log_var)
        total = 0.5 * jnp.sum(math.log(2 * math.pi) + log_var + squares)
        return total, _count(targets)

    def rescale(self, outputs, shift, scale):
        """The outputs for y * scale + shift, from those for y."""
        mean = outputs[..., 0] * scale + shift
        return jnp.stack([mean, outputs[..., 1] + 2 * jnp.log(scale)], axis=-1)

    def forecast(self, outputs):
        """Mean and the central interval of outputs [..., 2]."""
        mean, std = outputs[..., 0], jnp.exp(0.5 * outputs[..., 1])
        z = statistics.NormalDist().inv_cdf((1 + self.coverage) / 2)
        return Forecast(mean, mean - z * std, mean + z * std)

    def draw(self, key, outputs):
        """A draw from each Gaussian: [..., 2] -> [...]."""
        mean, std = outputs[..., 0], jnp.exp(0.5 * outputs[..., 1])
        return mean + std * jax.random.normal(key, mean.shape, mean.dtype)


@dataclasses.dataclass(frozen=True)
class Quantiles:
    """The median and the ends of a central interval, fitted by the pinball loss.

        sum_q max(q (y - f_q), (q - 1) (y - f_q))

    over the levels q = (1 - coverage) / 2, 1 / 2, (1 + coverage) / 2. They say nothing
    of how the values of successive steps hang together, so they are not fed back.

    Args:
      coverage: the share of values that the interval is to hold, in (0, 1).

    Source: Koenker and Bassett, "Regression quantiles", Econometrica 46, 1978.
    """

    coverage: float = 0.9
    size: ClassVar[int] = 3

    def __post_init__(self):
        _check_coverage(self.coverage)

    @property
    def levels(self):
        """q, rising."""
        return (1 - self.coverage) / 2, 0.5, (1 + self.coverage) / 2

    def loss(self, outputs, targets):
        """(total, count) of outputs [..., 3] against targets [...]."""
        errors = targets[..., None] - outputs
        levels = jnp.asarray(self.levels, outputs.dtype)
        losses = jnp.maximum(levels * errors, (levels - 1) * errors)
        return jnp.sum(losses), _count(targets)

    def rescale(self, outputs, shift, scale):
        """The outputs for y * scale + shift, from those for y."""
        return outputs * scale[..., None] + shift[..., None]

    def forecast(self, outputs):
        """Median and interval; quantiles that cross are put in order."""
        lower, median, upper = jnp.moveaxis(jnp.sort(outputs, axis=-1), -1, 0)
        return Forecast(median, lower, upper)


def at_once(head, outputs, horizon):
    """The Forecast of the first `horizon` steps of outputs [H, ..., D, K].

    Raises:
      ValueError: if they are fewer.
    """
    if horizon > len(outputs):
        raise ValueError(
            f"the model forecasts {len(outputs)} steps at once, not {horizon}"
        )
    return head.forecast(outputs[:horizon])


def roll_out(advance, carry, value, horizon, head, key=None):
    """Outputs of `horizon` steps, each made from the forecast of the one before.

        carry, outputs_t = advance(carry, value_{t-1})
        value_t = the forecast's mean, or with a key a draw from outputs_t

    Args:
      advance: (carry, value [..., D]) -> (carry, outputs [..., D, K]).
      carry: what goes on from step to step.
      value: the last that was observed, [..., D].
      horizon: how many steps.
      head: Point or Gaussian.
      key: for draws; None feeds the mean back.

    Returns:
      (outputs [horizon, ..., D, K], values [horizon, ..., D]).
    """

    def body(loop, step_key):
        carry, value = loop
        carry, outputs = advance(carry, value)
        if key is None:
            value = head.forecast(outputs).mean
        else:
            value = head.draw(step_key, outputs)
        return (carry, value), (outputs, value)

    keys = None if key is None else jax.random.split(key, horizon)
    return jax.lax.scan(body, (carry, value), keys, horizon)[1]


def feed_back(start, advance, history, horizon, head, key=None, num_paths=100):
    """The Forecast of `horizon` steps by `roll_out`, with an interval if it has a key.

    The mean is the path on which every forecast is fed back as it is. The interval
    holds the central `head.coverage` of `num_paths` paths of draws, since what is
    uncertain at one step makes the next ones more so.

    Args:
      start: history [tau, ..., D] -> (carry, value), as `roll_out` takes them.
      key: for a Gaussian's paths; None, or a Point, makes no interval.
    """
    _, mean = roll_out(advance, *start(history), horizon, head)
    if key is None or not hasattr(head, "draw"):
        return Forecast(mean)
    shape = (history.shape[0], num_paths, *history.shape[1:])
    paths = jnp.broadcast_to(history[:, None], shape)  # [tau, P, ..., D]
    _, draws = roll_out(advance, *start(paths), horizon, head, key)
    levels = jnp.asarray([(1 - head.coverage) / 2, (1 + head.coverage) / 2])
    lower, upper = jnp.quantile(draws, levels.astype(draws.dtype), axis=1)
    return Forecast(mean, lower, upper)


def forecast_all(model, params, values, origins, horizon, key=None, batch_size=64):
    """Forecasts of `horizon` rows from each origin, out of the rows before it alone.

    Args:
      model: any with `tau` and `forecast`.
      values: [N, D], on the device.
      origins: the first row that is forecast, [n], each at least tau.
      key: for the intervals of forecasts that are fed back.

    Returns:
      Forecast of numpy arrays [horizon, n, D].
    """

    @jax.jit
    def of_batch(params, values, starts, key):
        rows = starts + jnp.arange(model.tau, dtype=starts.dtype)[:, None]
        history = values[rows]  # [tau, B, D]
        return model.forecast(params, history, horizon, key)

    size, found = min(batch_size, len(origins)), []
    for i in range(0, len(origins), size):
        starts = origins[i : i + size] - model.tau
        filled = np.pad(starts, (0, size - len(starts)), mode="edge").astype(np.int32)
        key_i = None if key is None else jax.random.fold_in(key, i)
        forecast = of_batch(params, values, filled, key_i)
        found.append(jax.tree.map(np.asarray, forecast))
    joined = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *found)
    return jax.tree.map(lambda a: a[:, : len(origins)], joined)


def by_nothing(history):
    """(0, 1): forecasts from the values as they are."""
    return jnp.zeros_like(history[0]), jnp.ones_like(history[0])


def by_last(history):
    """(last value, 1): forecasts of the change since then, whatever the level.

    Source: Zeng et al. 2023, arXiv:2205.13504 (NLinear).
    """
    return history[-1], jnp.ones_like(history[-1])


def by_window(history):
    """(mean, deviation) of what is read: forecasts free of level and spread.

    Source: Kim et al., "Reversible instance normalization", ICLR 2022.
    """
    return history.mean(axis=0), jnp.sqrt(history.var(axis=0) + 1e-5)


def _count(targets):
    return jnp.asarray(targets.size, targets.dtype)


def _check_coverage(coverage):
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be in (0, 1), got {coverage}")
