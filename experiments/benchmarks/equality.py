"""The check of every arm against a reference, tensor by tensor, before it is timed."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import environment, layers, peers
from experiments.benchmarks.config import Shape, StandardCell
from experiments.benchmarks.layers import Layer, LoadedLayer, Problem
from experiments.common.errors import UserError


def check_float64(arms: Mapping[str, Layer], cell: StandardCell, sizes: Shape) -> None:
    """Compare outputs, last states and all gradients in float64, to 1e-9.

    The reference is torch if it is installed and has the layer (it has no GRU that
    applies the reset gate before the product), otherwise the plain scan of seqjax.

    Args:
      arms: {label: layer}; all layers are made from the parameters of `cell`.
      cell: the cell of the shared parameters.
      sizes: (T, B, D, H); small sizes suffice.

    Raises:
      UserError: naming the arm, the cell and the tensor that differ.
    """
    with jax.enable_x64(True):
        problem = layers.draw(cell, sizes, np.float64)
        for label, layer in arms.items():
            reference = _reference(layer)
            want = tensors(reference, reference.load(problem), problem)
            got = tensors(layer, layer.load(problem), problem)
            compare(f"{label}, {cell}", got, want, 1e-9)


def _reference(layer: Layer) -> Layer:
    in_torch = getattr(layer.cell, "reset_after", True)
    if in_torch and environment.installed("torch"):
        return layers.TorchLayer(layer.cell, adapt=layer.adapt)
    plain_scan = peers.seqjax_layer(layer.cell, fused=False)
    return dataclasses.replace(plain_scan, adapt=layer.adapt)


def tensors(
    layer: Layer, loaded: LoadedLayer, problem: Problem
) -> dict[str, np.ndarray]:
    """All results by name: outputs, last state, gradients of the shared parameters.

    Args:
      layer: a layer.
      loaded: the same layer with the problem.
      problem: the inputs of all arms.
    """
    state, ys, (d_weights, d_xs, d_state) = loaded.tensors()
    params = jax.tree.map(jnp.asarray, problem.params)
    vjp = jax.vjp(lambda p: layer.convert(layer.adapt(p)), params)[1]
    # A layer may run in a dtype of fewer bits than the shared parameters.
    d_weights = jax.tree.map(lambda d: jnp.asarray(d, problem.xs.dtype), d_weights)
    trees: dict[str, Any] = {
        "ys": ys,
        "last state": state,
        "gradient of params": vjp(d_weights)[0],
        "gradient of xs": d_xs,
        "gradient of state": d_state,
    }
    return {
        name + jax.tree_util.keystr(path): np.asarray(array, np.float64)
        for name, tree in trees.items()
        for path, array in jax.tree_util.tree_leaves_with_path(tree)
    }


def compare(
    label: str,
    got: Mapping[str, np.ndarray],
    want: Mapping[str, np.ndarray],
    tolerance: float,
) -> None:
    """Refuse arrays that differ from the reference.

    Args:
      label: names the arm in the error message.
      got: {name: array} of the arm.
      want: {name: array} of the reference.
      tolerance: the largest absolute error, relative to the largest element of the
        reference array or to 1, whichever is greater.

    Raises:
      UserError: naming the arm and the array.
    """
    for name, expected in want.items():
        error = np.abs(got[name] - expected).max()
        scale = max(1.0, np.abs(expected).max())
        if not error <= tolerance * scale:  # `not`, so that nan is refused
            raise UserError(
                f"{label}: {name} differs from the reference by {error:.1e}; the "
                f"tolerance is {tolerance * scale:.1e}."
            )
