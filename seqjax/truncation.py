"""Backpropagation through time laid open: cut short, and seen state by state.

What flows back from a step into the state before it is multiplied by a factor xi_t:

    h_t = f(x_t, h_{t-1})   forward, whatever xi_t
    dL/dh_{t-1} = xi_t (df/dh_{t-1})^T dL/dh_t

- full backpropagation: xi_t = 1;
- truncated: xi_t = 0 at every k-th step, so that no gradient passes it;
- randomized: xi_t = 1/p with probability p, else 0. As E[xi_t] = 1 and the draws are
  independent, the gradient is that of full backpropagation in expectation: long
  dependencies are rare, and weigh more.

`state_gradients` has dL/dh_t itself, for every t.

Source: Tallec and Ollivier 2017, arXiv:1705.08209; Zhang et al., "Dive into Deep
Learning", section 9.7.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.recurrence import Stack, is_bidirectional, unroll


def fixed_factors(num_steps, period):
    """xi [T]: 0 at steps period, 2 * period, ...; 1 at all others.

    Raises:
      ValueError: for a period below 1.
    """
    if period < 1:
        raise ValueError(f"a period of at least 1 was expected, got {period}")
    steps = jnp.arange(num_steps)
    return jnp.where((steps > 0) & (steps % period == 0), 0.0, 1.0)


def random_factors(key, num_steps, keep):
    """xi [T]: 1 / keep with probability keep, else 0.

    Raises:
      ValueError: for a probability outside (0, 1].
    """
    if not 0 < keep <= 1:
        raise ValueError(f"a probability in (0, 1] was expected, got {keep}")
    return jnp.where(jax.random.bernoulli(key, keep, (num_steps,)), 1 / keep, 0.0)


def truncated_unroll(cell, params, xs, factors, state=None, **options):
    """`unroll`, with a factor for each step on what flows back into the state before.

    Args:
      cell: a cell or a Stack of cells.
      params, xs, state, **options: as `unroll`.
      factors: xi [T], of `fixed_factors` or `random_factors`; None is `unroll`, full
        backpropagation.

    Returns:
      (state, ys): the values of `unroll`.

    Raises:
      ValueError: for a bidirectional cell, whose halves run apart.

    Example:
      >>> xi = random_factors(key, len(xs), keep=0.9)
      >>> state, ys = truncated_unroll(cell, params, xs, xi)
    """
    if factors is None:
        return unroll(cell, params, xs, state, **options)
    if is_bidirectional(cell):
        raise ValueError("truncated_unroll: a cell of one direction was expected")
    if state is None:
        state = cell.initial_state(xs.shape[1:-1])
    if not isinstance(cell, Stack):
        state = _TruncatedState(state, factors, jnp.zeros((), jnp.int32))
        state, ys = unroll(_Truncated(cell), params, xs, state, **options)
        return state.cell, ys
    stack = dataclasses.replace(cell, cells=tuple(map(_Truncated, cell.cells)))
    state = tuple(_TruncatedState(s, factors, jnp.zeros((), jnp.int32)) for s in state)
    state, ys = unroll(stack, params, xs, state, **options)
    return tuple(s.cell for s in state), ys


def state_gradients(cell, params, xs, loss, factors=None):
    """dL/ds_t for the state after every step, with the gradient of the parameters.

        s_t = f(x_t, s_{t-1}) + e_t,   L = loss(s_T),   dL/ds_t = dL/de_t at e = 0

    Args:
      cell: a cell.
      params, xs: as `unroll`.
      loss: the last state -> L, a scalar; a sum over the batch leaves each sequence its
        own gradient.
      factors: xi [T] of what flows back into the state before; None is 1.

    Returns:
      (by_state, by_params): the state's pytree, each leaf [T, ..., H], and that of the
      parameters.

    Example:
      >>> hs, _ = state_gradients(seqjax.GRU(8), params, xs, lambda h: jnp.sum(h**2))
      >>> norms = jnp.linalg.norm(hs, axis=-1)    # [T, ...], of dL/dh_t
    """
    if factors is None:
        factors = jnp.ones(len(xs))
    start = cell.initial_state(xs.shape[1:-1])
    start = jax.tree.map(lambda s: s.astype(xs.dtype), start)
    zeros = jax.tree.map(lambda s: jnp.zeros((len(xs), *s.shape), s.dtype), start)

    def loss_of(nudges, params):
        def step(state, inputs):
            z, factor, nudge = inputs
            state = jax.tree.map(lambda s: _scale_gradient(s, factor), state)
            state, _ = cell.step(params, state, z)
            return jax.tree.map(jnp.add, state, nudge), None

        inputs = (cell.project(params, xs), factors, nudges)
        return loss(lax.scan(step, start, inputs)[0])

    return jax.grad(loss_of, (0, 1))(zeros, params)


class _TruncatedState(NamedTuple):
    cell: Any
    factors: jax.Array  # [T]
    step: jax.Array


@dataclasses.dataclass(frozen=True)
class _Truncated:
    """A cell around a cell."""

    cell: Any

    @property
    def hidden_size(self):
        return self.cell.hidden_size

    def project(self, params, xs):
        return self.cell.project(params, xs)

    def step(self, params, state, z, dot=jnp.dot):
        factor = lax.dynamic_index_in_dim(state.factors, state.step, keepdims=False)
        before = jax.tree.map(lambda x: _scale_gradient(x, factor), state.cell)
        cell, y = self.cell.step(params, before, z, dot=dot)
        return _TruncatedState(cell, state.factors, state.step + 1), y


def _scale_gradient(x, factor):
    """x, whose gradient comes back multiplied by the factor."""
    constant = lax.stop_gradient(x)
    return constant + lax.stop_gradient(factor).astype(x.dtype) * (x - constant)
