"""Cells on the device against the plain loop in float64 on the CPU."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import seqjax
from experiments.benchmarks import equality
from experiments.benchmarks.config import StandardCell
from experiments.benchmarks.recurrence_arms import TOLERANCE, of_float32

T, B, D, H = 12, 6, 24, 48
CELLS: dict[str, StandardCell] = {
    "lstm": seqjax.LSTM(H),
    "gru": seqjax.GRU(H),
    "gru that resets before": seqjax.GRU(H, reset_after=False),
    "rnn": seqjax.RNN(H),
}
LENGTHS = np.array([12, 7, 1, 0, 12, 3], np.int32)
VARIANTS: dict[str, dict[str, Any]] = {
    "whole": {},
    "lengths": {"lengths": LENGTHS},
    "reverse": {"reverse": True},
    "reverse, lengths": {"reverse": True, "lengths": LENGTHS},
    "segments": {"checkpoint_every": 5},
    "carried state": {},
}
BFLOAT16 = 5e-2  # tolerance where all arrays are in bfloat16


def check(name: str) -> dict[str, float]:
    """The largest errors of outputs, states and gradients, by dtype.

    Args:
      name: a key of `CELLS`.

    Raises:
      UserError: naming the variant and the array whose error is beyond the tolerance.
    """
    cell, rng = CELLS[name], np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: (cell.init(jax.random.key(0), D), state_of(cell)))
    params, state = jax.tree.map(
        lambda a: rng.normal(size=a.shape) * 0.5 * H**-0.5, shapes
    )
    xs, of_ys = rng.normal(size=(T, B, D)), rng.normal(size=(T, B, H))
    tolerances = {"float32": TOLERANCE[of_float32()], "bfloat16": BFLOAT16}
    worst, wanted = dict.fromkeys(tolerances, 0.0), {}
    for variant, options in VARIANTS.items():
        pieces = 2 if variant == "carried state" else 1
        args = params, xs, state, of_ys
        plain = {k: v for k, v in options.items() if k != "checkpoint_every"}
        if tuple(plain) not in wanted:
            with jax.enable_x64(True), jax.default_device(jax.devices("cpu")[0]):
                run = results(cell, 1, **plain, fused=False)
                wanted[tuple(plain)] = named(run(*jax.tree.map(jnp.asarray, args)))
        want = wanted[tuple(plain)]
        for dtype, tolerance in tolerances.items():
            on_device = jax.tree.map(lambda a: jnp.asarray(a, dtype), args)  # noqa: B023
            got = named(results(cell, pieces, **options)(*on_device))
            label = f"{name}, {variant}, {dtype}"
            equality.compare(label, got, want, tolerance)
            worst[dtype] = max(worst[dtype], *errors(got, want))
    return worst


def state_of(cell: StandardCell) -> Any:
    """The initial state of a batch."""
    return cell.initial_state((B,))


def results(cell: StandardCell, pieces: int, **options: Any) -> Callable[..., Any]:
    """(params, xs, state, weights of ys) -> ys, the last state and all gradients.

    Args:
      cell: the cell.
      pieces: the number of calls of `unroll`, each with the state of the one before.
      **options: of `unroll`.
    """

    def loss(params: Any, xs: Any, state: Any, of_ys: Any) -> Any:
        parts = []
        for piece in jnp.split(xs, pieces):
            state, ys = seqjax.unroll(cell, params, piece, state, **options)
            parts.append(ys)
        ys = jnp.concatenate(parts)
        total = sum(jnp.sum(leaf) for leaf in jax.tree.leaves(state))
        return total + jnp.sum(ys * of_ys), (ys, state)

    return jax.jit(jax.grad(loss, (0, 1, 2), has_aux=True))


def named(tree: Any) -> dict[str, np.ndarray]:
    """{path: array in float64}."""
    return {
        jax.tree_util.keystr(path): np.asarray(leaf, np.float64)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def errors(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> list[float]:
    """The largest error of each array, relative to its largest number or 1."""
    return [
        float(np.abs(got[k] - a).max() / max(1.0, np.abs(a).max()))
        for k, a in want.items()
    ]
