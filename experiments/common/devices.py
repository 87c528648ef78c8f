"""Where a run computes: one device, or a mesh of the devices of all processes."""

import dataclasses
from collections.abc import Callable
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from experiments.common.console import note
from experiments.common.errors import UserError
from experiments.common.processes import ProcessConfig, several
from experiments.common.settings import setting
from seqjax import sharding
from seqjax.training import StepMetrics, TrainState, TrainStep


@dataclasses.dataclass(frozen=True)
class DevicesConfig(ProcessConfig):
    """The devices of a run, and its processes."""

    mesh: tuple[str, ...] | None = setting(
        None,
        "Mesh of devices, such as data:4,model:2: rows of a minibatch are split over "
        "data, wide embeddings and softmaxes over model; one device if none is given, "
        "or with several processes all devices along data.",
        resumable=True,
    )

    def check(self) -> None:
        super().check()
        if self.mesh is not None:
            mesh_sizes(self.mesh)


def mesh_sizes(parts: tuple[str, ...]) -> dict[str, int]:
    """The sizes of the axes that --mesh names."""
    sizes = {}
    for part in parts:
        name, _, size = part.partition(":")
        known = name in (sharding.DATA, sharding.MODEL) and name not in sizes
        if not known or not size.isdecimal() or int(size) < 1:
            raise UserError(
                f"--mesh={','.join(parts)}: axes such as data:4,model:2 were expected."
            )
        sizes[name] = int(size)
    return sizes


@dataclasses.dataclass(frozen=True)
class Placement:
    """How the arrays of a run lie on its devices.

    Attributes:
      mesh: None is one device.
      batch_axes: the axis of the rows in each array of a minibatch, a pytree or a
        prefix of one.
    """

    mesh: Mesh | None = None
    batch_axes: Any = 1

    @classmethod
    def of(cls, config: DevicesConfig, batch_axes: Any, batch_size: int) -> Self:
        """The placement that the settings ask for.

        Raises:
          UserError: if the mesh does not fit the devices or the minibatches.
        """
        sizes = {sharding.DATA: jax.device_count()} if several() else None
        if config.mesh is not None:
            sizes = mesh_sizes(config.mesh)
        if sizes is None:
            return cls(None, batch_axes)
        if not batch_size and sizes.get(sharding.DATA, 1) > 1:
            raise UserError(
                "--batch_tokens makes minibatches of different numbers of rows, which "
                "--mesh cannot divide; use --batch_size."
            )
        shown = ",".join(f"{name}:{size}" for name, size in sizes.items())
        rows = sizes.get(sharding.DATA, 1)
        if batch_size % rows:
            raise UserError(
                f"--mesh={shown}: --batch_size={batch_size} rows cannot be divided "
                f"evenly over {rows} devices."
            )
        try:
            return cls(sharding.make_mesh(sizes), batch_axes)
        except ValueError as error:
            raise UserError(f"--mesh={shown}: {error}.") from None

    def step(self, train_step: TrainStep) -> TrainStep:
        """A training step that computes the rows of a minibatch where they lie."""
        mesh = self.mesh
        if mesh is None:
            return train_step

        def step(state: TrainState, batch: Any) -> tuple[TrainState, StepMetrics]:
            of_batch = sharding.of_batch(mesh, self.batch_axes)
            state, metrics = train_step(state, sharding.constrain(batch, of_batch))
            return sharding.constrain(state, _of_state(mesh, state)), metrics

        return step

    def batch(self, batch: Any) -> Any:
        """A minibatch on the devices, each of which gets its rows."""
        if self.mesh is None:
            return batch
        return sharding.place(batch, sharding.of_batch(self.mesh, self.batch_axes))

    def state(self, state: TrainState) -> TrainState:
        """A state on the devices; says if it leaves the model axis without use."""
        if self.mesh is None:
            return state
        size, shardings = self.mesh.shape[sharding.MODEL], _of_state(self.mesh, state)
        spread = [s.spec for s in jax.tree.leaves(shardings.params) if any(s.spec)]
        if size > 1 and not spread:
            note(
                f"--mesh: no parameter has an axis of at least {sharding.WIDE:,} that "
                f"{size} divides, so that the model axis of {size} has no use; all its "
                f"devices compute the same."
            )
        return sharding.place(state, shardings)

    def carry(self, carry: Any) -> Any:
        """What one minibatch passes to the next, on the devices of its rows."""
        if self.mesh is None or carry is None:
            return carry
        return sharding.place(carry, sharding.of_batch(self.mesh, 0))

    def held_out(
        self, function: Callable[[Any, Any], Any], axes: Any = None
    ) -> Callable[[Any, Any], Any]:
        """A function of parameters and a held-out minibatch, its rows over the devices.

        Rows that cannot be divided evenly are computed as a whole on every device.

        Args:
          function: (params, batch) -> arrays.
          axes: as `batch_axes`, which are used if None.
        """
        mesh, axes = self.mesh, self.batch_axes if axes is None else axes
        if mesh is None:
            return function

        def run(params: Any, batch: Any) -> Any:
            rows = jax.tree.leaves(jax.tree.map(_lengths, axes, batch))
            place: Any = sharding.of_batch(mesh, axes)
            if any(number % mesh.shape[sharding.DATA] for number in rows):
                place = sharding.everywhere(mesh)
            params = jax.tree.map(on_mesh, params, sharding.of_params(mesh, params))
            return sharding.gather(function(params, sharding.place(batch, place)))

        def on_mesh(leaf: Any, place: Any) -> Any:
            where = getattr(leaf, "sharding", None)
            there = where is not None and where.device_set == place.device_set
            return leaf if there else sharding.place(leaf, place)

        return run

    def everywhere(self, data: Any) -> Any:
        """Arrays as a whole on every device; whatever is no array stays as it is."""
        if self.mesh is None:
            return data
        place = sharding.everywhere(self.mesh)
        return jax.tree.map(
            lambda a: (
                sharding.place(a, place) if isinstance(a, jax.Array | np.ndarray) else a
            ),
            data,
        )

    def on_host(self, state: TrainState) -> TrainState:
        """A state whose arrays lie in the memory of the host, whole; all call this."""
        return state if self.mesh is None else sharding.gather(state)

    def whole(self, state: TrainState) -> TrainState:
        """A state as one device has it, for whatever knows no mesh."""
        if self.mesh is None:
            return state
        return jax.tree.map(jnp.asarray, sharding.gather(state))


ONE_DEVICE = Placement()


def _lengths(axis: int, part: Any) -> list[int]:
    """The lengths of this axis in the arrays of a part."""
    return [np.shape(array)[axis] for array in jax.tree.leaves(part)]


def _of_state(mesh: Mesh, state: TrainState) -> TrainState:
    """The shardings of a TrainState."""
    everywhere: Any = sharding.everywhere(mesh)
    return TrainState(
        step=everywhere,
        params=sharding.of_params(mesh, state.params),
        opt_state=sharding.of_params(mesh, state.opt_state),
        carry=None if state.carry is None else sharding.of_batch(mesh, 0),
        key=everywhere,
        learning_rate_scale=everywhere,
    )
