"""The arms of `benchmarks.recurrence`, and the checks before they are timed."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.benchmarks import equality, peers
from experiments.benchmarks.config import CELLS, Shape, StandardCell
from experiments.benchmarks.layers import Layer, LoadedLayer, Problem
from seqjax.backend import on_gpu

LARGEST_IN_FLOAT64 = (12, 6, 48, 48)  # T, B, D, H of the check in float64
TOLERANCE = {"float32": 1e-4, "TF32": 1e-2, "bfloat16": 3e-2}  # by type of products


def of_float32() -> str:
    """The type in which products of float32 are computed."""
    return "TF32" if on_gpu() else "float32"


class ArmSpec(NamedTuple):
    """A library and the options of its layer, without a cell."""

    library: str  # a key of peers.LIBRARIES
    options: dict[str, Any]  # keyword arguments of its function


def choose_arms(
    peer_names: Sequence[str],
    checkpoint_every: int | None = None,
    bfloat16: bool = False,
) -> dict[str, ArmSpec]:
    """{label: arm}, the arms of seqjax first.

    Args:
      peer_names: keys of `peers.MODULES`.
      checkpoint_every: steps per segment of a second arm of seqjax; None makes the
        plain scan the second arm.
      bfloat16: add arms with products in bfloat16.
    """
    arms = {"seqjax": ArmSpec("seqjax", {})}
    if checkpoint_every is None:
        arms["plain scan"] = ArmSpec("seqjax", {"fused": False})
    else:
        options = {"checkpoint_every": checkpoint_every}
        arms[f"every {checkpoint_every}"] = ArmSpec("seqjax", options)
    arms |= {name: ArmSpec(name, {}) for name in peer_names}
    if bfloat16:
        arms |= {
            f"{name} bfloat16": ArmSpec(name, {"bfloat16": True})
            for name in ("seqjax", "torch")
            if name in arms
        }
    return arms


def steps_per_segment(segment: int, num_steps: int) -> int:
    """`segment`, or a power of two near sqrt(num_steps) if it is 0."""
    return segment or 2 ** round(math.log2(num_steps) / 2)


def make_layers(arms: Mapping[str, ArmSpec], cell: StandardCell) -> dict[str, Layer]:
    """{label: layer} of one cell.

    For each layer that computes another function than `cell`, a layer of seqjax with
    that function is added.
    """
    layers = {
        label: peers.LIBRARIES[arm.library](cell, **arm.options)
        for label, arm in arms.items()
    }
    for layer in list(layers.values()):
        if layer.cell != cell:
            layers[f"seqjax, {layer.note}"] = dataclasses.replace(
                peers.seqjax_layer(layer.cell), adapt=layer.adapt, note=layer.note
            )
    return layers


def reference_label(label: str, layer: Layer, cell: StandardCell) -> str:
    """The label of the seqjax layer that an arm is compared with.

    Args:
      label, layer: the arm.
      cell: the cell that all arms are made from.
    """
    if label == "torch bfloat16":
        return "seqjax bfloat16"
    return "seqjax" if layer.cell == cell else f"seqjax, {layer.note}"


def float64_sizes(sizes: Shape, checkpoint_every: int | None) -> Shape:
    """The sizes of the check in float64: small, but with several segments.

    Args:
      sizes: (T, B, D, H) that are timed.
      checkpoint_every: steps per segment, or None.
    """
    small = tuple(map(min, sizes, LARGEST_IN_FLOAT64))
    if checkpoint_every is None:
        return small
    return (min(sizes[0], 3 * checkpoint_every), *small[1:])


def check_in_float64(arms: Mapping[str, ArmSpec], cell_name: str, sizes: Shape) -> None:
    """Compare all arms without bfloat16 with a reference in float64.

    Raises:
      UserError: naming the arm and the tensor that differ.
    """
    cell = CELLS[cell_name](sizes[-1])
    exact = {k: arm for k, arm in arms.items() if "bfloat16" not in arm.options}
    equality.check_float64(make_layers(exact, cell), cell, sizes)


def check_in_float32(
    arms: Mapping[str, ArmSpec],
    layers: Mapping[str, Layer],
    loaded: Mapping[str, LoadedLayer],
    problem: Problem,
) -> None:
    """Compare the arms that are timed with seqjax, if they compute the same function.

    Args:
      arms: all arms.
      layers, loaded: the layer of each arm, without and with the problem.
      problem: the inputs.

    Raises:
      UserError: naming the arm and the tensor that differ.
    """
    reference = layers["seqjax"]
    want = equality.tensors(reference, loaded["seqjax"], problem)
    for label, arm in arms.items():
        layer = layers[label]
        same_function = (layer.cell, layer.adapt) == (reference.cell, reference.adapt)
        if same_function and layer is not reference:
            got = equality.tensors(layer, loaded[label], problem)
            products = "bfloat16" if "bfloat16" in arm.options else of_float32()
            tolerance = TOLERANCE[products]
            name = f"{label}, {reference.cell}, float32"
            equality.compare(name, got, want, tolerance)
