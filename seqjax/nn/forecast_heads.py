"""Output heads of forecasters, and loops that feed forecasts back as inputs.

A head interprets the K outputs per forecast value, [..., K]: one for a point, two for a
Gaussian, three for quantiles. It computes their loss and the forecast with its
interval. The Gaussian also draws samples.
"""

import dataclasses
import functools
import math
import statistics
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np


class Forecast(NamedTuple):
    """Forecasts of `horizon` steps; lower and upper are None without an interval."""

    mean: jax.Array  # [horizon, ..., D]; the median from quantiles
    lower: jax.Array | None = None  # [horizon, ..., D], the ends of the interval
    upper: jax.Array | None = None  # [horizon, ..., D]


@dataclasses.dataclass(frozen=True)
class Point:
    """A point forecast f, trained by the squared error, sum (y - f)^2.

    Example:
      >>> total, count = Point().loss(jnp.array([[1.0], [4.0]]), jnp.array([2.0, 2.0]))
      >>> total.item(), count.item()  # 1 + 4
      (5.0, 2.0)
    """

    size: ClassVar[int] = 1

    def loss(
        self, outputs: jax.Array, targets: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """(total, count) for outputs [..., 1] and targets [...]."""
        errors = targets - outputs[..., 0]
        return jnp.sum(errors**2), _count(targets)

    def rescale(
        self, outputs: jax.Array, shift: jax.Array, scale: jax.Array
    ) -> jax.Array:
        """Convert the outputs for y to those for y * scale + shift."""
        return outputs * scale[..., None] + shift[..., None]

    def forecast(self, outputs: jax.Array) -> Forecast:
        """The Forecast from outputs [..., 1], without an interval."""
        return Forecast(outputs[..., 0])


POINT = Point()


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Mean m and log variance s, trained by the negative log-likelihood.

        -log N(y; m, e^s) = (log 2 pi + s + (y - m)^2 e^-s) / 2

    Args:
      coverage: nominal coverage of the interval, in (0, 1).

    Raises:
      ValueError: coverage is outside (0, 1).

    Example:
      >>> outputs = jnp.array([[10.0, 2 * math.log(2)]])  # mean 10, deviation 2
      >>> forecast = Gaussian(coverage=0.9).forecast(outputs)  # 10 -+ 1.645 * 2
      >>> [round(part.item(), 2) for part in forecast]
      [10.0, 6.71, 13.29]

    Source: Nix and Weigend, "Estimating the mean and variance of the target
    probability distribution", 1994.
    """

    coverage: float = 0.9
    size: ClassVar[int] = 2

    def __post_init__(self) -> None:
        _check_coverage(self.coverage)

    def loss(
        self, outputs: jax.Array, targets: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """(total, count) for outputs [..., 2] and targets [...]; total in nats."""
        mean, log_var = outputs[..., 0], outputs[..., 1]
        squares = (targets - mean) ** 2 * jnp.exp(-log_var)
        total = 0.5 * jnp.sum(math.log(2 * math.pi) + log_var + squares)
        return total, _count(targets)

    def rescale(
        self, outputs: jax.Array, shift: jax.Array, scale: jax.Array
    ) -> jax.Array:
        """Convert the outputs for y to those for y * scale + shift."""
        mean = outputs[..., 0] * scale + shift
        return jnp.stack([mean, outputs[..., 1] + 2 * jnp.log(scale)], axis=-1)

    def forecast(self, outputs: jax.Array) -> Forecast:
        """Mean and central interval from outputs [..., 2]."""
        mean, std = outputs[..., 0], jnp.exp(0.5 * outputs[..., 1])
        z = statistics.NormalDist().inv_cdf((1 + self.coverage) / 2)
        return Forecast(mean, mean - z * std, mean + z * std)

    def draw(self, key: jax.Array, outputs: jax.Array) -> jax.Array:
        """One sample from each Gaussian: [..., 2] -> [...]."""
        mean, std = outputs[..., 0], jnp.exp(0.5 * outputs[..., 1])
        return mean + std * jax.random.normal(key, mean.shape, mean.dtype)


@dataclasses.dataclass(frozen=True)
class Quantiles:
    """Median and ends of a central interval, trained by the pinball loss.

        sum_q max(q (y - f_q), (q - 1) (y - f_q))

    over the levels q = (1 - coverage) / 2, 1 / 2, (1 + coverage) / 2. Quantiles of
    single steps do not define the joint distribution of several steps, so they cannot
    be fed back.

    Args:
      coverage: nominal coverage of the interval, in (0, 1).

    Raises:
      ValueError: coverage is outside (0, 1).

    Example:
      >>> head = Quantiles(coverage=0.5)
      >>> head.levels
      (0.25, 0.5, 0.75)
      >>> total, count = head.loss(jnp.array([[1.0, 2.0, 3.0]]), jnp.array([4.0]))
      >>> total.item(), count.item()  # 0.25 * 3 + 0.5 * 2 + 0.75 * 1
      (2.5, 1.0)

    Source: Koenker and Bassett, "Regression quantiles", Econometrica 46, 1978.
    """

    coverage: float = 0.9
    size: ClassVar[int] = 3

    def __post_init__(self) -> None:
        _check_coverage(self.coverage)

    @property
    def levels(self) -> tuple[float, float, float]:
        """The levels q in ascending order."""
        return (1 - self.coverage) / 2, 0.5, (1 + self.coverage) / 2

    def loss(
        self, outputs: jax.Array, targets: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """(total, count) for outputs [..., 3] and targets [...]."""
        errors = targets[..., None] - outputs
        levels = jnp.asarray(self.levels, outputs.dtype)
        losses = jnp.maximum(levels * errors, (levels - 1) * errors)
        return jnp.sum(losses), _count(targets)

    def rescale(
        self, outputs: jax.Array, shift: jax.Array, scale: jax.Array
    ) -> jax.Array:
        """Convert the outputs for y to those for y * scale + shift."""
        return outputs * scale[..., None] + shift[..., None]

    def forecast(self, outputs: jax.Array) -> Forecast:
        """Median and interval from outputs [..., 3]; crossing quantiles are sorted."""
        lower, median, upper = jnp.moveaxis(jnp.sort(outputs, axis=-1), -1, 0)
        return Forecast(median, lower, upper)


Head: TypeAlias = Point | Gaussian | Quantiles


def at_once(head: Head, outputs: jax.Array, horizon: int) -> Forecast:
    """The Forecast of the first `horizon` of the H steps of the outputs.

    Args:
      head: a Point, a Gaussian or Quantiles.
      outputs: [H, ..., D, K].
      horizon: the number of steps, at most H.

    Returns:
      A Forecast of [horizon, ..., D].

    Raises:
      ValueError: horizon is above H.

    Example:
      >>> outputs = jnp.array([[[1.0]], [[2.0]], [[3.0]]])  # [H, D, K]
      >>> at_once(Point(), outputs, horizon=2).mean.tolist()
      [[1.0], [2.0]]
    """
    if horizon > len(outputs):
        raise ValueError(
            f"the model forecasts {len(outputs)} steps at once, not {horizon}"
        )
    return head.forecast(outputs[:horizon])


# (carry, value [..., D]) -> (carry, outputs [..., D, K])
Advance: TypeAlias = Callable[[Any, jax.Array], tuple[Any, jax.Array]]


def roll_out(
    advance: Advance,
    carry: Any,
    value: jax.Array,
    horizon: int,
    head: Head,
    key: jax.Array | None = None,
) -> tuple[jax.Array, jax.Array]:
    """Run a one-step forecaster for `horizon` steps on its own forecasts.

        carry, outputs_t = advance(carry, value_{t-1})
        value_t = mean of the forecast, or with a key a sample from outputs_t

    Args:
      advance: one step, (carry, value [..., D]) -> (carry, outputs [..., D, K]).
      carry: state of the forecaster.
      value: the last observed value, [..., D].
      horizon: number of steps.
      head: Point or Gaussian.
      key: random key to sample from a Gaussian; None feeds the mean back.

    Returns:
      (outputs [horizon, ..., D, K], values [horizon, ..., D]).

    Example:
      >>> def advance(count, value):  # doubles the value
      ...     return count + 1, 2 * value[..., None]
      >>> outputs, values = roll_out(advance, 0, jnp.array([1.0]), 3, Point())
      >>> values.tolist()
      [[2.0], [4.0], [8.0]]
    """

    def body(loop: tuple, step_key: jax.Array | None) -> tuple[tuple, tuple]:
        carry, value = loop
        carry, outputs = advance(carry, value)
        if step_key is not None and isinstance(head, Gaussian):
            value = head.draw(step_key, outputs)
        else:
            value = head.forecast(outputs).mean
        return (carry, value), (outputs, value)

    keys = None if key is None else jax.random.split(key, horizon)
    return jax.lax.scan(body, (carry, value), keys, horizon)[1]


def feed_back(
    start: Callable[[jax.Array], tuple[Any, jax.Array]],
    advance: Advance,
    history: jax.Array,
    horizon: int,
    head: Head,
    key: jax.Array | None = None,
    num_paths: int = 100,
) -> Forecast:
    """The Forecast of `horizon` steps by `roll_out`, with an interval if given a key.

    The mean is the path that feeds the mean of every forecast back. The interval is the
    central `head.coverage` of `num_paths` sampled paths, so that the uncertainty of
    earlier steps adds to that of later ones.

    Args:
      start: history [tau, ..., D] -> (carry, value) of `roll_out`.
      advance, horizon, head: as `roll_out`.
      history: the observed values, [tau, ..., D].
      key: random key for sampled paths of a Gaussian; with None or a Point there is no
        interval.
      num_paths: number of sampled paths.

    Returns:
      A Forecast of [horizon, ..., D].

    Example:
      >>> def start(history):
      ...     return 0, history[-1]
      >>> def advance(count, value):  # doubles the value
      ...     return count + 1, 2 * value[..., None]
      >>> history = jnp.array([[0.5], [1.0]])  # [tau, D]
      >>> feed_back(start, advance, history, 3, Point()).mean.tolist()
      [[2.0], [4.0], [8.0]]
    """
    _, mean = roll_out(advance, *start(history), horizon, head)
    if key is None or not isinstance(head, Gaussian):
        return Forecast(mean)
    shape = (history.shape[0], num_paths, *history.shape[1:])
    paths = jnp.broadcast_to(history[:, None], shape)  # [tau, P, ..., D]
    _, draws = roll_out(advance, *start(paths), horizon, head, key)
    levels = jnp.asarray([(1 - head.coverage) / 2, (1 + head.coverage) / 2])
    lower, upper = jnp.quantile(draws, levels.astype(draws.dtype), axis=1)
    return Forecast(mean, lower, upper)


def forecast_all(
    model: Any,
    params: Any,
    values: jax.Array,
    origins: np.ndarray,
    horizon: int,
    key: jax.Array | None = None,
    batch_size: int = 64,
) -> Forecast:
    """Forecasts of `horizon` rows from each origin, using only the rows before it.

    Args:
      model: a model with the attribute `tau` and the method `forecast`.
      params: parameters of the model.
      values: the series [N, D], on the device.
      origins: integers [n], the index of the first forecast row, each at least tau.
      horizon: number of rows per forecast.
      key: random key for intervals from sampled paths.
      batch_size: number of origins per call of the device.

    Returns:
      A Forecast with NumPy arrays [horizon, n, D].

    Example:
      >>> model = seqjax.baselines.SeasonalNaive(period=1)
      >>> values = jnp.arange(10.0)[:, None]  # [N, D]
      >>> forecast = forecast_all(model, None, values, np.array([3, 7]), horizon=2)
      >>> forecast.mean[:, :, 0].tolist()
      [[2.0, 6.0], [2.0, 6.0]]
    """

    origins = np.asarray(origins, int)  # an unsigned one minus tau would wrap around
    # One program serves all calls of a model but those for a single origin.
    size, found = batch_size if len(origins) > 1 else 1, []
    for i in range(0, len(origins), size):
        starts = origins[i : i + size] - model.tau
        filled = np.pad(starts, (0, size - len(starts)), mode="edge").astype(np.int32)
        key_i = None if key is None else jax.random.fold_in(key, i)
        forecast = _of_batch(model, horizon, params, values, filled, key_i)
        found.append(jax.tree.map(np.asarray, forecast))
    joined = jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), *found)
    return jax.tree.map(lambda a: a[:, : len(origins)], joined)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _of_batch(
    model: Any,
    horizon: int,
    params: Any,
    values: jax.Array,
    starts: jax.Array,
    key: jax.Array | None,
) -> Forecast:
    rows = starts + jnp.arange(model.tau, dtype=starts.dtype)[:, None]
    history = values[rows]  # [tau, B, D]
    return model.forecast(params, history, horizon, key)


def by_nothing(history: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(shift, scale) = (0, 1): no normalization.

    Args:
      history: [tau, ..., D].

    Returns:
      (shift, scale): [..., D] each.

    Example:
      >>> shift, scale = by_nothing(jnp.array([[1.0, 10.0], [3.0, 30.0]]))
      >>> shift.tolist(), scale.tolist()
      ([0.0, 0.0], [1.0, 1.0])
    """
    return jnp.zeros_like(history[0]), jnp.ones_like(history[0])


def by_last(history: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(shift, scale) = (last value, 1): the model forecasts changes from that value.

    Args:
      history: [tau, ..., D].

    Returns:
      (shift, scale): [..., D] each.

    Example:
      >>> shift, scale = by_last(jnp.array([[1.0, 10.0], [3.0, 30.0]]))
      >>> shift.tolist(), scale.tolist()
      ([3.0, 30.0], [1.0, 1.0])

    Source: Zeng et al. 2023, arXiv:2205.13504 (NLinear).
    """
    return history[-1], jnp.ones_like(history[-1])


def by_window(history: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(shift, scale) = mean and standard deviation of the history, per value.

    The variance has 1e-5 added, so that the scale of a constant history is not 0.

    Args:
      history: [tau, ..., D].

    Returns:
      (shift, scale): [..., D] each.

    Example:
      >>> shift, scale = by_window(jnp.array([[1.0, 10.0], [3.0, 30.0]]))
      >>> shift.tolist(), scale.round(2).tolist()
      ([2.0, 20.0], [1.0, 10.0])

    Source: Kim et al., "Reversible instance normalization", ICLR 2022.
    """
    return history.mean(axis=0), jnp.sqrt(history.var(axis=0) + 1e-5)


def _count(targets: jax.Array) -> jax.Array:
    return jnp.asarray(targets.size, targets.dtype)


def _check_coverage(coverage: float) -> None:
    if not 0 < coverage < 1:
        raise ValueError(f"coverage must be in (0, 1), got {coverage}")
