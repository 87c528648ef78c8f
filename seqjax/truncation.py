"""Truncated backpropagation through time, at fixed or at random steps.

A factor xi_t scales the gradient that flows from step t into the state before it:

    h_t = f(x_t, h_{t-1})                            forward: xi_t has no effect
    dL/dh_{t-1} = xi_t (df/dh_{t-1})^T dL/dh_t       backward

- full backpropagation: xi_t = 1;
- truncated: xi_t = 0 at every k-th step, which stops the gradient there;
- randomized: xi_t = 1/p with probability p, else 0. Since E[xi_t] = 1 and the draws are
  independent, the expected gradient is that of full backpropagation.

Source: Tallec and Ollivier 2017, arXiv:1705.08209; Zhang et al., "Dive into Deep
Learning", section 9.7.
"""

import dataclasses
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.cell_protocol import Cell, Dot, Params, State
from seqjax.cell_wrappers import CellWrapper
from seqjax.engine.checks import check_state
from seqjax.recurrence import (
    Stack,
    Unrollable,
    initial_state,
    is_bidirectional,
    unroll,
)


def fixed_factors(num_steps: int, period: int) -> jax.Array:
    """Factors xi: 0 at steps period, 2 * period, ...; 1 elsewhere.

    Args:
      num_steps: T.
      period: the distance between steps that stop the gradient, at least 1.

    Returns:
      [T], float32.

    Raises:
      ValueError: period is below 1.

    Example:
      >>> fixed_factors(5, period=2).tolist()
      [1.0, 1.0, 0.0, 1.0, 0.0]
    """
    if period < 1:
        raise ValueError(f"fixed_factors: period must be at least 1, got {period}")
    steps = jnp.arange(num_steps)
    return jnp.where((steps > 0) & (steps % period == 0), 0.0, 1.0)


def random_factors(key: jax.Array, num_steps: int, keep: float) -> jax.Array:
    """Factors xi: 1 / keep with probability keep, else 0.

    Args:
      key: a random key.
      num_steps: T.
      keep: the probability, in (0, 1].

    Returns:
      [T], float32.

    Raises:
      ValueError: keep is outside (0, 1].

    Example:
      >>> factors = random_factors(jax.random.key(0), num_steps=1000, keep=0.5)
      >>> factors.shape, sorted(set(factors.tolist()))
      ((1000,), [0.0, 2.0])
    """
    if not 0 < keep <= 1:
        raise ValueError(
            f"random_factors: keep must be a probability in (0, 1], got {keep}"
        )
    return jnp.where(jax.random.bernoulli(key, keep, (num_steps,)), 1 / keep, 0.0)


def truncated_unroll(
    cell: Unrollable,
    params: Params,
    xs: jax.Array,
    factors: jax.Array | None,
    state: State | None = None,
    **options: Any,
) -> tuple[State, jax.Array]:
    """`unroll` with a factor per step on the gradient into the state before it.

    Args:
      cell: a cell, or a Stack of cells.
      params, xs, state, **options: as `unroll`.
      factors: xi [T], from `fixed_factors` or `random_factors`; None is full
        backpropagation.

    Returns:
      (state, ys): the same values as `unroll`.

    Raises:
      ValueError: the factors are not [T], or the cell is bidirectional; its two
        directions have different steps before a state.

    Example:
      >>> cell = seqjax.GRU(8)
      >>> params, xs = cell.init(jax.random.key(0), 3), jnp.zeros((100, 2, 3))
      >>> factors = random_factors(jax.random.key(1), len(xs), keep=0.9)
      >>> state, ys = truncated_unroll(cell, params, xs, factors)
    """
    if factors is None:
        return unroll(cell, params, xs, state, **options)
    if is_bidirectional(cell):
        raise ValueError("truncated_unroll: the cell must not be bidirectional")
    if jnp.shape(factors) != xs.shape[:1]:
        raise ValueError(
            f"truncated_unroll: factors must be [T] = {xs.shape[:1]}, got "
            f"{jnp.shape(factors)}"
        )
    if state is None:
        state = initial_state(cell, params, xs.shape[1:-1], xs.dtype)
    check_state(cell, state, xs.shape[1:-1])
    state = _attach_factors(cell, state, factors)
    state, ys = unroll(_truncate(cell, len(xs)), params, xs, state, **options)
    return _detach_factors(state), ys


class _TruncatedState(NamedTuple):
    cell: State
    factors: jax.Array  # [T]
    step: jax.Array  # t, an integer


@dataclasses.dataclass(frozen=True)
class _TruncatedCell(CellWrapper):
    """A cell whose step scales the gradient into the state before it."""

    num_steps: int  # T

    @property
    def noise(self) -> Any:
        return getattr(self.cell, "noise", None)

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> _TruncatedState:
        state = self.cell.initial_state(batch_shape)
        return _attach_factors(self.cell, state, jnp.ones(self.num_steps))

    def step(
        self, params: Params, state: _TruncatedState, z: Any, dot: Dot = jnp.dot
    ) -> tuple[_TruncatedState, jax.Array]:
        factor = lax.dynamic_index_in_dim(state.factors, state.step, keepdims=False)
        before = jax.tree.map(lambda x: scale_gradient(x, factor), state.cell)
        cell, y = self.cell.step(params, before, z, dot=dot)
        return _TruncatedState(cell, state.factors, state.step + 1), y


def _truncate(cell: Unrollable, num_steps: int) -> Unrollable:
    if isinstance(cell, Stack):
        cells = tuple(_truncate(part, num_steps) for part in cell.cells)
        return dataclasses.replace(cell, cells=cells)
    return _TruncatedCell(cast(Cell, cell), num_steps)


def _attach_factors(cell: Unrollable, state: State, factors: jax.Array) -> State:
    if isinstance(cell, Stack):
        layers = zip(cell.cells, state, strict=True)
        return tuple(_attach_factors(c, s, factors) for c, s in layers)
    return _TruncatedState(state, factors, jnp.zeros((), jnp.int32))


def _detach_factors(state: State) -> State:
    return jax.tree.map(
        lambda s: s.cell, state, is_leaf=lambda s: isinstance(s, _TruncatedState)
    )


def scale_gradient(x: jax.Array, factor: jax.Array) -> jax.Array:
    """x, with its gradient multiplied by the factor.

    Args:
      x: [...].
      factor: a scalar, or an array that broadcasts to x.

    Returns:
      x.

    Example:
      >>> x, factor = jnp.array([1.0, 2.0]), jnp.array(0.5)
      >>> scale_gradient(x, factor).tolist()
      [1.0, 2.0]
      >>> jax.grad(lambda x: (scale_gradient(x, factor) ** 2).sum())(x).tolist()
      [1.0, 2.0]
    """
    constant = lax.stop_gradient(x)
    return constant + lax.stop_gradient(factor).astype(x.dtype) * (x - constant)
