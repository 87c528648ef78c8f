"""Functions of arrays on any mesh, whether its axes are automatic, explicit or manual.

On an Explicit mesh the type of an array says how it is sharded, and JAX refuses what it
cannot type. `on_any_mesh` runs a function as on an Auto mesh, where XLA decides, and
gives its results their types.

Within `jax.shard_map` the type of an array says over which axes it varies, and the
state of a loop must not begin to vary within it. `on_any_mesh` and `vary_alike` let
arrays vary from the start.
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec

Function = TypeVar("Function", bound=Callable[..., Any])
REPLICATED = PartitionSpec()


def on_any_mesh(
    outputs: Callable[[Mapping[str, Any]], Any],
) -> Callable[[Function], Function]:
    """A decorator of a function whose arrays may be of any mesh.

    Args:
      outputs: the arguments of the function by name -> PartitionSpecs of its results on
        an Explicit mesh, a pytree or a prefix of one.
    """

    def decorator(function: Function) -> Function:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def wrapped(*args: Any, **options: Any) -> Any:
            leaves, treedef = jax.tree.flatten((args, options))
            arrays = {i: a for i, a in enumerate(leaves) if isinstance(a, jax.Array)}
            mesh = next(filter(_is_explicit, map(_mesh, arrays.values())), None)

            def run(arrays: dict[int, jax.Array]) -> Any:
                given = [arrays.get(i, leaf) for i, leaf in enumerate(leaves)]
                args, options = jax.tree.unflatten(treedef, given)
                return function(*args, **options)

            if mesh is None:
                (arrays,) = vary_alike(arrays)
                return run(arrays)
            specs = outputs(signature.bind(*args, **options).arguments)
            shardings = jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
            return jax.sharding.auto_axes(run, out_sharding=shardings)(arrays)

        return wrapped  # type: ignore[return-value]  # its signature is the function's

    return decorator


def replicated(arguments: Mapping[str, Any]) -> PartitionSpec:
    """`outputs` of a function whose results are sums over the batch."""
    del arguments
    return REPLICATED


def batch_spec(xs: Any, features: int = 0) -> PartitionSpec:
    """How the batch axes of xs [T, ..., features] are sharded, by its type.

    Args:
      xs: an array, or a pytree whose first leaf decides.
      features: the number of axes of features.
    """
    (first, *_) = jax.tree.leaves(xs)
    axes = jax.typeof(first).sharding.spec
    return PartitionSpec(*axes[1 : first.ndim - features])


def steps_spec(xs: Any, features: int = 0) -> PartitionSpec:
    """How results [T, ...] are sharded whose batch axes are those of xs."""
    return PartitionSpec(None, *batch_spec(xs, features))


def vary_alike(*trees: Any) -> Any:
    """The trees, each array varying over the manual axes of all arrays together."""
    axes = frozenset[str]().union(*map(_varying, jax.tree.leaves(trees)))
    if not axes:
        return trees

    def cast(a: Any) -> Any:
        missing = tuple(sorted(axes - _varying(a)))
        is_key = jnp.issubdtype(a.dtype, jax.dtypes.prng_key)
        return a if is_key or not missing else lax.pcast(a, missing, to="varying")

    return jax.tree.map(cast, trees)


def _varying(a: Any) -> frozenset[str]:
    return jax.typeof(a).manual_axis_type.varying


def _mesh(a: jax.Array) -> AbstractMesh:
    return jax.typeof(a).sharding.mesh


def _is_explicit(mesh: AbstractMesh) -> bool:
    return AxisType.Explicit in mesh.axis_types
