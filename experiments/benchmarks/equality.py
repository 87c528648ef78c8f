"""Equality before speed: every arm against one reference, tensor by tensor."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from experiments import run
from experiments.benchmarks import arms, peers, timing


def check_float64(layers, cell, sizes):
    """Outputs, last states and all gradients in float64, to 1e-9.

    The reference is torch, where it is installed and has the model (it has no GRU that
    resets before the product); else the plain scan of seqjax.

    Args:
      layers: {label: layer}, all with parameters of `cell`.
      sizes: (T, B, D, H), small.

    Raises:
      UserError: naming the arm, the cell and the tensor that differ.
    """
    with jax.enable_x64(True):
        problem = arms.draw(cell, sizes, np.float64)
        for label, layer in layers.items():
            reference = _reference(layer)
            want = tensors(reference, reference.load(problem), problem)
            got = tensors(layer, layer.load(problem), problem)
            compare(f"{label}, {cell}", got, want, 1e-9)


def _reference(layer):
    has_torch = getattr(layer.cell, "reset_after", True) and timing.installed("torch")
    if has_torch:
        reference = arms.TorchLayer(layer.cell)
    else:
        reference = peers.seqjax_layer(layer.cell, fused=False)
    return dataclasses.replace(reference, ours=layer.ours)


def tensors(layer, loaded, problem):
    """{name: array} of outputs, last state and gradients, those of our parameters."""
    state, ys, (d_weights, d_xs, d_state) = loaded.tensors()
    params = jax.tree.map(jnp.asarray, problem.params)
    back = jax.vjp(lambda p: layer.take(layer.ours(p)), params)[1]
    trees = {
        "ys": ys,
        "last state": state,
        "gradient of params": back(d_weights)[0],
        "gradient of xs": d_xs,
        "gradient of state": d_state,
    }
    return {
        name + jax.tree_util.keystr(path): np.asarray(array)
        for name, tree in trees.items()
        for path, array in jax.tree_util.tree_leaves_with_path(tree)
    }


def compare(who, got, want, tolerance):
    """Refuse arrays that differ by more than `tolerance` of the largest element or 1.

    Raises:
      UserError: naming `who` and the tensor.
    """
    for name, expected in want.items():
        error = np.abs(got[name] - expected).max()
        if not error <= tolerance * max(1.0, np.abs(expected).max()):  # nan too
            raise run.UserError(
                f"{who}: not the reference's model, {name} is off by {error:.1e}."
            )
