"""A mesh of devices, and arrays on it: batches over its data axis, states on all of it.

    data    rows of a minibatch; parameters are the same on all its devices
    model   the wide axes of embeddings and softmaxes, and of their optimizer states

Works alike on the devices of one process and of several (`jax.distributed`); there each
process holds the same values before `place`.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

DATA, MODEL = "data", "model"
WIDE = 4096  # an axis of at least this size is spread over the model axis
Tree = TypeVar("Tree")


def make_mesh(
    sizes: Mapping[str, int], devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """A mesh with a data axis and a model axis, whose axes XLA partitions.

    Args:
      sizes: the size of "data", of "model" or of both; the other is 1.
      devices: all of them; None takes all devices of all processes.

    Raises:
      ValueError: if an axis has another name, or the sizes do not make the number of
        devices.

    Example:
      >>> dict(make_mesh({"data": 1}).shape)
      {'data': 1, 'model': 1}
    """
    devices = jax.devices() if devices is None else devices
    for name in sizes:
        if name not in (DATA, MODEL):
            raise ValueError(f'the axes of a mesh are "data" and "model", got {name!r}')
    shape = sizes.get(DATA, 1), sizes.get(MODEL, 1)
    if math.prod(shape) != len(devices):
        raise ValueError(
            f"a mesh of {shape[0]} x {shape[1]} needs {math.prod(shape)} devices, but "
            f"there are {len(devices)}"
        )
    kinds = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh(shape, (DATA, MODEL), kinds, devices=devices)


def everywhere(mesh: Mesh) -> NamedSharding:
    """The sharding of an array that every device has as a whole."""
    return NamedSharding(mesh, PartitionSpec())


def of_batch(mesh: Mesh, axes: Any) -> Any:
    """Shardings of a minibatch: its rows over the data axis.

    Args:
      mesh: from `make_mesh`.
      axes: for each array the axis of its rows, a pytree of ints or a prefix of one.

    Example:
      >>> tuple(of_batch(make_mesh({"data": 1}), 1).spec)
      (None, 'data')
    """
    return jax.tree.map(
        lambda axis: NamedSharding(mesh, PartitionSpec(*[None] * axis, DATA)), axes
    )


def of_params(mesh: Mesh, params: Any) -> Any:
    """Shardings of parameters, or of an optimizer's state.

    The widest axis of an array is spread over the model axis if it has at least `WIDE`
    elements and can be divided.

    Args:
      mesh: from `make_mesh`.
      params: a pytree of arrays.

    Returns:
      A pytree of NamedShardings with the structure of `params`.

    Example:
      >>> params = {"embed": jnp.zeros((4096, 8)), "b": jnp.zeros(8)}
      >>> found = of_params(make_mesh({"data": 1}), params)
      >>> tuple(found["embed"].spec), tuple(found["b"].spec)
      (('model',), ())
    """

    def of_leaf(leaf: Any) -> NamedSharding:
        shape = np.shape(leaf)
        widest = max(range(len(shape)), key=shape.__getitem__, default=0)
        spec = PartitionSpec()
        if shape and shape[widest] >= WIDE and shape[widest] % mesh.shape[MODEL] == 0:
            spec = PartitionSpec(*[None] * widest, MODEL)
        return NamedSharding(mesh, spec)

    return jax.tree.map(of_leaf, params)


def place(tree: Tree, shardings: Any) -> Tree:
    """The arrays on the devices of their shardings.

    Each process copies only what its own devices hold.

    Args:
      tree: arrays, the same in every process; also typed random keys.
      shardings: a pytree of shardings, or a prefix of one.

    Returns:
      The same pytree of jax arrays.

    Example:
      >>> batch = np.arange(6).reshape(3, 2)  # [T, B]
      >>> placed = place(batch, of_batch(make_mesh({"data": 1}), 1))
      >>> tuple(placed.sharding.spec), placed.tolist()
      ((None, 'data'), [[0, 1], [2, 3], [4, 5]])
    """

    def put(sharding: NamedSharding, part: Any) -> Any:
        return jax.tree.map(lambda leaf: _put(leaf, sharding), part)

    return jax.tree.map(put, shardings, tree)


def _put(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if jax.dtypes.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key):
        data = _put(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    values = np.asarray(leaf)
    return jax.make_array_from_callback(
        values.shape, sharding, lambda index: values[index]
    )


def gather(tree: Tree) -> Tree:
    """All arrays whole, in the memory of every process, as NumPy arrays.

    Typed random keys stay jax arrays. Where an array is spread over processes, all of
    them must call this.

    Args:
      tree: a pytree of arrays.

    Returns:
      The same pytree of NumPy arrays.

    Example:
      >>> gather({"w": jnp.array([1.5, 2.0])})
      {'w': array([1.5, 2. ], dtype=float32)}
    """

    def whole(leaf: Any) -> Any:
        if jax.dtypes.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key):
            data = whole(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        is_spread = isinstance(leaf, jax.Array) and not (
            leaf.is_fully_replicated or leaf.is_fully_addressable
        )
        if is_spread:
            return multihost_utils.process_allgather(leaf, tiled=True)
        return np.array(leaf)

    return jax.tree.map(whole, tree)


def constrain(tree: Tree, shardings: Any) -> Tree:
    """The arrays within a compiled function, with shardings as a pytree or a prefix."""
    return jax.tree.map(
        lambda sharding, part: jax.tree.map(
            lambda leaf: jax.lax.with_sharding_constraint(leaf, sharding), part
        ),
        shardings,
        tree,
    )
