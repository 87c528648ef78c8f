"""Cells around a cell: zoneout of its state, normalization of its weights."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from seqjax.cell_protocol import Cell, Dot, Noisy, Params, State


@dataclasses.dataclass(frozen=True)
class CellWrapper:
    """A cell around a cell; a subclass changes some of its methods.

    Args:
      cell: the cell within.

    Example:
      >>> CellWrapper(seqjax.GRU(16)).output_size
      16
    """

    cell: Cell

    @property
    def output_size(self) -> int:
        """Width of y: that of the cell."""
        return self.cell.output_size

    @property
    def gate_size(self) -> int | None:
        """Width of one gate: that of the cell."""
        return getattr(self.cell, "gate_size", None)

    def init(self, key: jax.Array, input_size: int, **kwargs: Any) -> Params:
        """Draw parameters of the cell; keyword arguments go to its `init`."""
        return self.cell.init(key, input_size, **kwargs)

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> State:
        """The initial state of the cell."""
        return self.cell.initial_state(batch_shape)

    def project(self, params: Params, xs: jax.Array) -> Any:
        """The projection of the cell."""
        return self.cell.project(params, xs)


@dataclasses.dataclass(frozen=True)
class Zoneout(CellWrapper):
    """A cell whose state keeps, at every step, some units of the state before.

        state' = where(mask, state, cell.step(state))            in training
        state' = rate * state + (1 - rate) * cell.step(state)    otherwise

    The masks, P(mask) = rate, are drawn before the loop. They are active when `unroll`
    gets a key. y is the part of state' that the cell returns as y.

    Args:
      cell: a cell, no Stack, whose y is a part of its state.
      rates: the probability of keeping a unit, one for each part of the state in its
        order (h and c of an LSTM), or a single one for all.

    Raises:
      ValueError: if a rate is outside [0, 1), or there is neither one rate nor one for
        each part of the state.
      TypeError: from `step`, if y is no part of the state.

    Example:
      >>> cell = seqjax.Zoneout(seqjax.LSTM(16), rates=(0.05, 0.5))
      >>> params = cell.init(jax.random.key(0), input_size=3)
      >>> xs = jnp.ones((5, 2, 3))
      >>> state, ys = seqjax.unroll(cell, params, xs, key=jax.random.key(1))
      >>> ys.shape
      (5, 2, 16)

    Source: Krueger et al., "Zoneout: regularizing RNNs by randomly preserving hidden
    activations", 2017, arXiv:1606.01305.
    """

    rates: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rates", tuple(self.rates))
        parts = len(jax.tree.leaves(jax.eval_shape(self.cell.initial_state)))
        if len(self.rates) not in (1, parts):
            raise ValueError(
                f"Zoneout: one rate or one for each of the {parts} parts of the state "
                f"are needed, got {len(self.rates)}"
            )
        for rate in self.rates:
            if not 0.0 <= rate < 1.0:
                raise ValueError(f"Zoneout: rates must be in [0, 1), got {rate}")

    def noise(
        self, key: jax.Array, num_steps: int, batch_shape: tuple[int, ...]
    ) -> list[jax.Array]:
        """The masks [T, ..., H] of the parts of the state, see `Cell`."""
        parts = jax.tree.leaves(
            jax.eval_shape(lambda: self.cell.initial_state(batch_shape))
        )
        rates = self._rates(len(parts))
        return [
            jax.random.bernoulli(k, rate, (num_steps, *part.shape))
            for k, rate, part in zip(
                jax.random.split(key, len(parts)), rates, parts, strict=True
            )
        ]

    def step(
        self, params: Params, state: State, z: Any, dot: Dot = jnp.dot
    ) -> tuple[State, jax.Array]:
        """One time step: (new state, y).

        Raises:
          TypeError: if y is no part of the new state.
        """
        z, masks = z if isinstance(z, Noisy) else (z, None)
        new_state, y = self.cell.step(params, state, z, dot=dot)
        old, tree = jax.tree.flatten(state)
        new = jax.tree.leaves(new_state)
        index = next((i for i, part in enumerate(new) if part is y), None)
        if index is None:
            raise TypeError(
                f"Zoneout: y of a {type(self.cell).__name__} is no part of its state"
            )
        if masks is None:
            rates = self._rates(len(old))
            mixed = [
                (r * a + (1 - r) * b).astype(b.dtype)
                for r, a, b in zip(rates, old, new, strict=True)
            ]
        else:
            mixed = [
                jnp.where(m, a, b) for m, a, b in zip(masks, old, new, strict=True)
            ]
        return jax.tree.unflatten(tree, mixed), mixed[index]

    def _rates(self, parts: int) -> tuple[float, ...]:
        return self.rates * parts if len(self.rates) == 1 else self.rates


class WeightNormParams(NamedTuple):
    """Parameters of a WeightNorm."""

    cell: Params  # whose matrices count by their directions only
    lengths: list[jax.Array]  # of the columns of each matrix, [G*H] each


@dataclasses.dataclass(frozen=True)
class WeightNorm(CellWrapper):
    """A cell whose matrices are given by the directions and lengths of their columns.

        w = lengths * v / norm(v)    norm over the rows of v [D, G*H]

    Args:
      cell: a cell, no Stack. Its parameters of two axes are its matrices.

    Raises:
      ValueError: from `init`, if the cell has no matrix.

    Example:
      >>> cell = seqjax.WeightNorm(seqjax.GRU(16))
      >>> params = cell.init(jax.random.key(0), input_size=3)
      >>> [length.shape for length in params.lengths]  # of w_x and w_h
      [(48,), (48,)]

    Source: Salimans and Kingma, "Weight normalization", 2016, arXiv:1602.07868.
    """

    @property
    def noise(self) -> Any:
        """The method of the cell, if it has one."""
        return getattr(self.cell, "noise", None)

    def init(self, key: jax.Array, input_size: int, **kwargs: Any) -> WeightNormParams:
        """Draw parameters of the cell; the lengths are those of its columns.

        Raises:
          ValueError: if the cell has no matrix.
        """
        params = self.cell.init(key, input_size, **kwargs)
        matrices = [w for w in jax.tree.leaves(params) if w.ndim == 2]
        if not matrices:
            raise ValueError(
                f"WeightNorm: a {type(self.cell).__name__} has no matrix to normalize"
            )
        return WeightNormParams(params, [_column_lengths(w) for w in matrices])

    def project(self, params: WeightNormParams, xs: jax.Array) -> Any:
        """The projection of the cell by its normalized weights."""
        return self.cell.project(_normalized(params, xs), xs)

    def step(
        self, params: WeightNormParams, state: State, z: Any, dot: Dot = jnp.dot
    ) -> tuple[State, jax.Array]:
        """One time step: (new state, y)."""
        return self.cell.step(_normalized(params, state), state, z, dot=dot)


def _normalized(params: WeightNormParams, like: Any) -> Params:
    """The cell's parameters in the dtype to which they and `like` promote.

    They are normalized in float32 or wider, so that a dtype of its own for the inputs
    changes no weight.
    """
    leaves, tree = jax.tree.flatten(params.cell)
    lengths, other = iter(params.lengths), jax.tree.leaves(like)[0].dtype

    def of_matrix(w: jax.Array) -> jax.Array:
        wide = w.astype(_promoted(w.dtype, jnp.float32))
        length = next(lengths).astype(wide.dtype)
        normal = length * wide / _column_lengths(wide)
        return normal.astype(_promoted(w.dtype, other))

    normal = [of_matrix(w) if w.ndim == 2 else w for w in leaves]
    return jax.tree.unflatten(tree, normal)


def _promoted(*dtypes: DTypeLike) -> DTypeLike:
    with jax.numpy_dtype_promotion("standard"):
        return jnp.result_type(*dtypes)


def _column_lengths(w: jax.Array) -> jax.Array:
    """The length of each column of w [D, G*H]: [G*H]."""
    return jnp.sqrt((w**2).sum(axis=0))
