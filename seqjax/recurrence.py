"""The sequence engine: `unroll` runs any cell over time; Stack and Bidirectional.

Time comes first, features last, everything between is batch: xs [T, ..., D],
lengths [...]. Whatever needs no state is computed by `cell.project` for all T at once
before the loop; inside the loop a cell multiplies by its weights through `dot` alone.
"""

import dataclasses
import numbers
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from seqjax.engine import fused as fused_loop
from seqjax.nn import layers
from seqjax.nn.masks import valid_steps


def unroll(
    cell,
    params,
    xs,
    state=None,
    lengths=None,
    reverse=False,
    *,
    key=None,
    fused=True,
    checkpoint_every=None,
):
    """Run a cell over a sequence.

        zs = cell.project(params, xs)
        state, ys[t] = cell.step(params, state, zs[t])   for t = 0 .. T-1

    With `lengths`, sequence b is over after `lengths[b]` steps: the state is held from
    there on, ys is exactly zero there, and no gradient reaches the padding, whatever
    it holds. Length 0 returns the initial state. `reverse=True` goes from the last
    real step of each sequence to its first; ys stays in the order of xs.

    Args:
      cell: a cell (anything with init, initial_state, project and step), a Stack or a
        Bidirectional.
      params: what `cell.init` returned.
      xs: [T, ..., D].
      state: where to start; None is `cell.initial_state`.
      lengths: integers [...], the batch shape of xs, each in 0 .. T; None is T.
      reverse: whether to run backwards in time.
      key: switches dropout between the layers of a Stack on; None is evaluation.
      fused: whether gradients go through `fused.scan`, which defers those of the
        weights; False is a plain `lax.scan`, for forward-mode and second derivatives
        (in float32: bfloat16 products on a CPU have only reverse-mode ones).
      checkpoint_every: k, to keep only the states of every k-th step and compute the
        rest again on the way back, k steps at a time; a divisor of T near sqrt(T)
        takes the least memory. None keeps all.

    Returns:
      (state, ys): the state after the last step, and ys [T, ..., H].

    Raises:
      ValueError: if xs has no time axis, lengths are not integers of the batch shape,
        or checkpoint_every is not a whole number above 0.

    Example:
      >>> cell = seqjax.Stack((seqjax.LSTM(64), seqjax.LSTM(64)))
      >>> params = cell.init(jax.random.key(0), input_size=28)
      >>> state, ys = seqjax.unroll(cell, params, xs, lengths=lengths)
    """
    lengths = None if lengths is None else jnp.asarray(lengths)
    _check(xs, lengths, checkpoint_every)
    if state is None:
        state = _cast_like(params, cell.initial_state(xs.shape[1:-1]))
    if isinstance(cell, (Stack, Bidirectional)):
        options = {"fused": fused, "checkpoint_every": checkpoint_every}
        layer = partial(unroll, lengths=lengths, **options)
        return cell._unroll(layer, params, xs, state, reverse, key)
    valid = None if lengths is None else valid_steps(xs.shape[0], lengths)
    return _unroll(cell, params, xs, state, valid, reverse, fused, checkpoint_every)


@partial(jax.jit, static_argnames=("cell", "reverse", "fused", "checkpoint_every"))
def _unroll(cell, params, xs, state, valid, reverse, fused, checkpoint_every):
    def run(state, inputs):
        xs, valid = inputs
        if valid is not None:
            # Zeros keep a nan in the padding from the weights: 0 * nan is nan.
            xs = _where(valid, xs, jnp.zeros_like(xs))
        zs = cell.project(params, xs)
        return _scan(cell, params, zs, len(xs), state, valid, reverse, fused)

    if checkpoint_every is None:
        return run(state, (xs, valid))
    return _scan_segments(
        jax.checkpoint(run), state, (xs, valid), reverse, checkpoint_every
    )


def _scan(cell, params, zs, num_steps, state, valid, reverse, fused):
    def step(params, state, inputs, dot=layers.matmul):
        z, valid = inputs
        new_state, y = cell.step(params, state, z, dot=dot)
        if valid is not None:
            new_state = jax.tree.map(partial(_hold, valid), new_state, state)
            y = _where(valid, y, jnp.zeros_like(y))
        return new_state, y

    xs = (zs, valid)
    # Without jit a step's own control flow is not there to be seen by `tracing`.
    if fused and num_steps > 0 and not jax.config.jax_disable_jit:
        width = getattr(cell, "hidden_size", None)
        return fused_loop.scan(step, params, xs, state, num_steps, reverse, width)
    return jax.lax.scan(partial(step, params), state, xs, num_steps, reverse=reverse)


def _scan_segments(run, state, xs, reverse, size):
    """`run` over `size` steps at a time; what is left over is at the end of xs."""
    num_steps = len(jax.tree.leaves(xs)[0])
    whole = num_steps - num_steps % size
    segments = jax.tree.map(
        lambda x: x[:whole].reshape(-1, size, *x.shape[1:]), xs
    )  # [T, ...] -> [T/size, size, ...]
    rest = jax.tree.map(lambda x: x[whole:], xs)
    if reverse:
        state, last = run(state, rest)
        state, ys = jax.lax.scan(run, state, segments, reverse=True)
    else:
        state, ys = jax.lax.scan(run, state, segments)
        state, last = run(state, rest)
    return state, jnp.concatenate([ys.reshape(whole, *ys.shape[2:]), last])


@dataclasses.dataclass(frozen=True)
class Stack:
    """Layers of cells, each reading the outputs of the one below.

    Args:
      cells: the layers from the input up: cells, Bidirectionals or Stacks.
      dropout: rate between the layers, not after the last (Zaremba et al. 2014);
        active when `unroll` is given a key.
      locked: whether each sequence drops the same units at all its steps (Gal and
        Ghahramani 2016).

    Parameters and states are tuples, one entry a layer. Each layer runs over the whole
    sequence before the next, so that every input projection is one product over all T.

    Raises:
      ValueError: for no cells at all, or a rate outside [0, 1).

    Example:
      >>> cell = seqjax.Stack((seqjax.LSTM(256), seqjax.LSTM(256)), dropout=0.5)
    """

    cells: tuple
    dropout: float = 0.0
    locked: bool = False

    def __post_init__(self):
        object.__setattr__(self, "cells", tuple(self.cells))  # hashable
        if not self.cells:
            raise ValueError("Stack: at least one cell is needed, got none")
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"Stack: dropout must be in [0, 1), got {self.dropout}")

    @property
    def hidden_size(self):
        """The width of ys."""
        return self.cells[-1].hidden_size

    def init(self, key, input_size, **kwargs):
        """A tuple of the layers' parameters; keyword arguments go to each `init`."""
        params = []
        for cell, k in zip(
            self.cells, jax.random.split(key, len(self.cells)), strict=True
        ):
            params.append(cell.init(k, input_size, **kwargs))
            input_size = cell.hidden_size
        return tuple(params)

    def initial_state(self, batch_shape=()):
        """A tuple of the layers' initial states."""
        return tuple(cell.initial_state(batch_shape) for cell in self.cells)

    def _unroll(self, unroll, params, xs, state, reverse, key):
        ys, states = xs, []
        for layer, cell in enumerate(self.cells):
            between = within = None
            if key is not None:
                between, within = jax.random.split(jax.random.fold_in(key, layer))
            if layer > 0:
                ys = layers.dropout(between, ys, self.dropout, self.locked)
            new_state, ys = unroll(
                cell, params[layer], ys, state[layer], reverse=reverse, key=within
            )
            states.append(new_state)
        return tuple(states), ys


@dataclasses.dataclass(frozen=True)
class Bidirectional:
    """One cell forwards and one of its kind backwards, their outputs joined.

        merge="concat": ys [T, ..., 2H];   merge="sum": ys [T, ..., H]

    Parameters and states are pairs (forward, backward). The backward cell starts at
    the last real step of each sequence, so padding never enters.

    Args:
      cell: a cell or a Stack.
      merge: "concat" or "sum".

    Raises:
      ValueError: for another `merge`.

    Example:
      >>> encoder = seqjax.Bidirectional(seqjax.GRU(256), merge="sum")

    Source: Schuster and Paliwal, "Bidirectional recurrent neural networks", IEEE
    Transactions on Signal Processing 45, 1997.
    """

    cell: Any
    merge: str = "concat"

    def __post_init__(self):
        if self.merge not in ("concat", "sum"):
            raise ValueError(
                f'Bidirectional: merge must be "concat" or "sum", got {self.merge!r}'
            )

    @property
    def hidden_size(self):
        """The width of ys."""
        return self.cell.hidden_size * (2 if self.merge == "concat" else 1)

    def init(self, key, input_size, **kwargs):
        """(forward, backward) parameters; keyword arguments go to the cell's `init`."""
        k_forward, k_backward = jax.random.split(key)
        return (
            self.cell.init(k_forward, input_size, **kwargs),
            self.cell.init(k_backward, input_size, **kwargs),
        )

    def initial_state(self, batch_shape=()):
        """(forward, backward) initial states."""
        return (
            self.cell.initial_state(batch_shape),
            self.cell.initial_state(batch_shape),
        )

    def _unroll(self, unroll, params, xs, state, reverse, key):
        keys = (None, None) if key is None else jax.random.split(key)
        forward, ys_f = unroll(
            self.cell, params[0], xs, state[0], reverse=reverse, key=keys[0]
        )
        backward, ys_b = unroll(
            self.cell, params[1], xs, state[1], reverse=not reverse, key=keys[1]
        )
        if self.merge == "sum":
            return (forward, backward), ys_f + ys_b
        return (forward, backward), jnp.concatenate([ys_f, ys_b], axis=-1)


def is_bidirectional(cell):
    """Whether any part of `cell` looks ahead in time."""
    if isinstance(cell, Stack):
        return any(is_bidirectional(part) for part in cell.cells)
    return isinstance(cell, Bidirectional)


def _hold(valid, new, old):
    """The new state, or past the length the old; what the step never touches stays."""
    return old if new is old else _where(valid, new, old)


def _where(valid, new, old):
    """Choose by batch element: valid [...] against new and old [..., features]."""
    valid = valid.reshape(valid.shape + (1,) * (new.ndim - valid.ndim))
    return jnp.where(valid, new, old)


def _cast_like(params, state):
    """Give the float leaves of a fresh state the parameters' dtype."""
    dtypes = [p.dtype for p in jax.tree.leaves(params)]
    if not dtypes:
        return state
    dtype = jnp.result_type(*dtypes)
    return jax.tree.map(
        lambda s: s.astype(dtype) if jnp.issubdtype(s.dtype, jnp.floating) else s,
        state,
    )


def _check(xs, lengths, checkpoint_every):
    if xs.ndim < 2:
        raise ValueError(f"unroll: xs must be [T, ..., D], got shape {xs.shape}")
    whole = isinstance(checkpoint_every, numbers.Integral)
    if checkpoint_every is not None and not (whole and checkpoint_every >= 1):
        raise ValueError(
            f"unroll: checkpoint_every must be a whole number of at least 1, got "
            f"{checkpoint_every}"
        )
    if lengths is None:
        return
    if lengths.shape != xs.shape[1:-1]:
        raise ValueError(
            f"unroll: lengths must have the batch shape of xs, {xs.shape[1:-1]}, "
            f"got {lengths.shape}"
        )
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise ValueError(f"unroll: lengths must be integers, got {lengths.dtype}")
