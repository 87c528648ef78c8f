"""Recurrent forecasters: fed back step by step, or all steps at once.

Both read a history [tau, ..., D] and have the loss of a window [tau + horizon, ..., D],
whose first tau rows are the history. `channels` says what a sequence is: "joint" reads
all D columns at once; "independent" reads each as a sequence of its own, one model for
all, D being one more batch axis.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seqjax.nn import layers
from seqjax.nn.forecast_heads import (
    POINT,
    Quantiles,
    at_once,
    by_nothing,
    feed_back,
    roll_out,
)
from seqjax.recurrence import is_bidirectional, unroll


class RecursiveParams(NamedTuple):
    cell: Any
    decoder: Any  # the decoder's cell; None where there is no other than `cell`
    out: layers.DenseParams  # [H, F * K]


@dataclasses.dataclass(frozen=True)
class Recursive:
    """The latent autoregressive model: a state sums up the past, step by step.

        h_t = g(h_{t-1}, x_{t-1}),   x_t ~ P(x_t | h_t)

    and beyond what was observed the forecast of x_t takes its place. With
    `separate_decoder` another g, the decoder's, goes on from the last state: an encoder
    and a decoder.

    Args:
      cell: a cell or a Stack; nothing bidirectional.
      tau: how many values are read.
      horizon: how many steps the loss is over.
      num_features: D.
      channels: "joint" or "independent".
      head: what the outputs mean, Point or Gaussian.
      normalize: history -> (shift, scale), see `forecasts.by_last`.
      separate_decoder: whether steps after the history have a cell of their own.
      teacher_forcing: whether in training a step is given the values before it, not
        the forecasts it will have to do with.

    Raises:
      ValueError: for a bidirectional cell, a history below 2, or quantiles.

    Example:
      >>> model = Recursive(seqjax.GRU(32), tau=64, horizon=16, num_features=1)
      >>> params = model.init(jax.random.key(0))
      >>> model.forecast(params, history, 100).mean      # [64, B, 1] -> [100, B, 1]

    Source: Zhang et al., "Dive into Deep Learning", section 9.1.1.
    """

    cell: Any
    tau: int
    horizon: int
    num_features: int
    channels: str = "joint"
    head: Any = POINT
    normalize: Any = by_nothing
    separate_decoder: bool = False
    teacher_forcing: bool = True

    def __post_init__(self):
        _check(self)
        if isinstance(self.head, Quantiles):
            raise ValueError("quantiles cannot be fed back; forecast all steps at once")
        if self.tau < 2:
            raise ValueError(f"tau must be at least 2, got {self.tau}")

    def init(self, key):
        """Parameters."""
        k_cell, k_decoder, k_out = jax.random.split(key, 3)
        features = _features(self)
        decoder = None
        if self.separate_decoder:
            decoder = self.cell.init(k_decoder, features)
        out = layers.dense_init(k_out, self.cell.hidden_size, features * self.head.size)
        return RecursiveParams(self.cell.init(k_cell, features), decoder, out)

    def loss(self, params, window, key=None):
        """(total, count) over the last `horizon` rows of a window [tau + horizon, ...].

        Each row is forecast from those before it; a key switches dropout on.
        """
        keys = (None, None) if key is None else jax.random.split(key)
        shift, scale = self.normalize(window[: self.tau])
        values = (window - shift) / scale
        state, value = self._start(params, values[: self.tau], keys[0])
        if self.teacher_forcing:
            inputs = _by_channel(self, values[self.tau - 1 : -1])
            _, ys = unroll(self.cell, _decoder(params), inputs, state, key=keys[1])
            outputs = self._read_out(params, ys, window.shape[-1])
        else:
            advance = self._advance(params, window.shape[-1])
            outputs, _ = roll_out(advance, state, value, self.horizon, self.head)
        outputs = self.head.rescale(outputs, shift, scale)
        return self.head.loss(outputs, window[self.tau :])

    def forecast(self, params, history, horizon, key=None):
        """history [tau, ..., D] -> Forecast of [horizon, ..., D].

        A key makes paths of a Gaussian, for its interval.
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

    def _start(self, params, values, key=None):
        """The state before the last value of a history, and that value."""
        xs = _by_channel(self, values[:-1])
        state, _ = unroll(self.cell, params.cell, xs, key=key)
        return state, values[-1]

    def _advance(self, params, num_columns):
        def advance(state, value):
            xs = _by_channel(self, value[None])
            state, ys = unroll(self.cell, _decoder(params), xs, state, fused=False)
            return state, self._read_out(params, ys[0], num_columns)

        return advance

    def _read_out(self, params, ys, num_columns):
        """ys [..., H] -> outputs [..., D, K]."""
        outputs = layers.dense(params.out, ys)
        batch = outputs.shape[:-1]
        if self.channels == "independent":
            batch = batch[:-1]
        return outputs.reshape(*batch, num_columns, self.head.size)


class DirectParams(NamedTuple):
    cell: Any
    out: layers.DenseParams  # [H, F * horizon * K]


@dataclasses.dataclass(frozen=True)
class Direct:
    """All steps at once from the state after the history.

        h = last of unroll(segments of the history)
        x_{t+1}, ..., x_{t+horizon} = h @ w + b

    Args:
      cell: a cell or a Stack; nothing bidirectional.
      tau: how many values are read.
      horizon: how many steps come out.
      num_features: D.
      channels: "joint" or "independent".
      head: what the outputs mean.
      normalize: history -> (shift, scale), see `forecasts.by_last`.
      segment: successive values that the cell reads in one step; divides tau.
      dropout: rate on h.

    Raises:
      ValueError: for a bidirectional cell, or a segment that does not divide tau.

    Example:
      >>> model = Direct(seqjax.GRU(64), 336, 96, 7, "independent", segment=24)
      >>> params = model.init(jax.random.key(0))
      >>> model.forecast(params, history, 96).mean       # [336, B, 7] -> [96, B, 7]

    Source of the segments: Lin et al., "SegRNN", 2023, arXiv:2308.11200.
    """

    cell: Any
    tau: int
    horizon: int
    num_features: int
    channels: str = "joint"
    head: Any = POINT
    normalize: Any = by_nothing
    segment: int = 1
    dropout: float = 0.0

    def __post_init__(self):
        _check(self)
        if self.segment < 1 or self.tau % self.segment:
            raise ValueError(
                f"a segment must divide tau, got {self.segment} and {self.tau}"
            )

    def init(self, key):
        """Parameters."""
        k_cell, k_out = jax.random.split(key)
        features = _features(self)
        size = features * self.horizon * self.head.size
        return DirectParams(
            self.cell.init(k_cell, features * self.segment),
            layers.dense_init(k_out, self.cell.hidden_size, size),
        )

    def outputs(self, params, history, key=None):
        """[tau, ..., D] -> [horizon, ..., D, K]; a key switches dropout on."""
        keys = (None, None) if key is None else jax.random.split(key)
        shift, scale = self.normalize(history)
        xs = _by_channel(self, (history - shift) / scale)
        xs = _segments(xs, self.segment)  # [tau / segment, ..., segment * F]
        _, ys = unroll(self.cell, params.cell, xs, key=keys[0])
        y = layers.dropout(keys[1], ys[-1], self.dropout)
        outputs = layers.dense(params.out, y)
        shape = (*history.shape[1:], self.horizon, self.head.size)
        outputs = jnp.moveaxis(outputs.reshape(shape), -2, 0)
        return self.head.rescale(outputs, shift, scale)

    def loss(self, params, window, key=None):
        """(total, count) over the last `horizon` rows of a window [tau + horizon, ...].

        Each row is forecast from the first tau; a key switches dropout on.
        """
        outputs = self.outputs(params, window[: self.tau], key)
        return self.head.loss(outputs, window[self.tau :])

    def forecast(self, params, history, horizon, key=None):
        """history [tau, ..., D] -> Forecast of [horizon, ..., D]."""
        del key
        return at_once(self.head, self.outputs(params, history), horizon)


def _decoder(params):
    return params.cell if params.decoder is None else params.decoder


def _features(model):
    """F: how many columns a sequence has."""
    return 1 if model.channels == "independent" else model.num_features


def _by_channel(model, values):
    """[T, ..., D] -> [T, ..., F], a batch axis D before F = 1 if independent."""
    return values[..., None] if model.channels == "independent" else values


def _segments(xs, size):
    """[T, ..., F] -> [T / size, ..., size * F]."""
    if size == 1:
        return xs
    xs = xs.reshape(-1, size, *xs.shape[1:])  # [T / size, size, ..., F]
    xs = jnp.moveaxis(xs, 1, -2)  # [T / size, ..., size, F]
    return xs.reshape(*xs.shape[:-2], -1)


def _check(model):
    if model.channels not in ("joint", "independent"):
        raise ValueError(
            f'channels must be "joint" or "independent", got {model.channels!r}'
        )
    if is_bidirectional(model.cell):
        raise ValueError(
            "a bidirectional cell cannot be a forecaster: its backward half would "
            "read the values that are to be forecast"
        )
