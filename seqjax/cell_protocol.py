"""The interface of a recurrent cell.

A cell holds no arrays. It is five members, which `Cell` declares:

    cell.output_size                             # width of y
    params = cell.init(key, input_size)          # NamedTuple of arrays
    state = cell.initial_state(batch_shape)      # NamedTuple or array
    zs = cell.project(params, xs)                # all products without the state
    state, y = cell.step(params, state, z, dot)  # one time step

`seqjax.unroll` calls `project` once, before the loop, and `step` inside the loop.

Letters: T time, D input, H hidden, G number of gates; `...` is any batch shape.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp

Params: TypeAlias = Any  # a pytree of arrays, as `init` returns it
State: TypeAlias = Any  # a pytree of arrays, as `initial_state` returns it
Dot: TypeAlias = Callable[[jax.Array, jax.Array], jax.Array]


class Noisy(NamedTuple):
    """What a step reads in training, where its cell has `noise`."""

    z: Any  # `project(params, xs)` at one time step
    noise: Any  # `noise(key, ...)` at one time step


@runtime_checkable
class Cell(Protocol):
    """The interface of a recurrent cell; any object that has it runs in `unroll`.

    A cell must be hashable, because `unroll` passes it to `jax.jit` as a static
    argument. A frozen dataclass is.

    A cell may also have an attribute `gate_size`: the width of one gate, where a row
    of zs or of a product holds several gates side by side. It is a hint for speed and
    changes no value. The fused loop then reads such a row gate by gate, which XLA's
    CPU compiler vectorizes.

    A cell that draws random numbers at every step, such as `Zoneout`, has a method
    `noise(key, num_steps, batch_shape)` too, which draws them for all steps at once:
    a pytree of arrays [T, ...]. Where `unroll` has a key, `step` gets Noisy(z, noise)
    in place of z.
    """

    @property
    def output_size(self) -> int:
        """Width of y. It may differ from the width of the state and of a gate."""

    def init(self, key: jax.Array, input_size: int) -> Params:
        """Draw parameters for inputs of width `input_size`."""

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> State:
        """The state before the first step, each leaf [*batch_shape, ...]."""

    def project(self, params: Params, xs: jax.Array) -> Any:
        """Everything that needs no state: [T, ..., D] -> a pytree of [T, ..., ?]."""

    def step(
        self, params: Params, state: State, z: Any, dot: Dot = jnp.dot
    ) -> tuple[State, jax.Array]:
        """One time step: (new state, y [..., output_size]).

        Args:
          params: as `init` returns them.
          state: as `initial_state` returns it; the new state has the same structure,
            shapes and dtypes.
          z: `project(params, xs)` at one time step.
          dot: the product `v [..., H] @ w [H, G*H]`. A step that calls it for its
            recurrent products lets the fused loop defer the weight gradients.
        """
