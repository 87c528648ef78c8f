"""Arguments of `unroll` that do not fit, in one sentence that names what does not."""

import functools
import numbers
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import ad

from seqjax.cell_protocol import State


def check_arguments(xs: jax.Array, checkpoint_every: int | None) -> None:
    """Check the axes of xs, and the number of steps per segment.

    Raises:
      ValueError: xs has no time axis, or checkpoint_every is no positive integer.
    """
    if xs.ndim < 2:
        raise ValueError(f"unroll: xs must be [T, ..., D], got shape {xs.shape}")
    is_integer = isinstance(checkpoint_every, numbers.Integral)
    if checkpoint_every is not None and not (is_integer and checkpoint_every >= 1):
        raise ValueError(
            f"unroll: checkpoint_every must be an integer of at least 1, got "
            f"{checkpoint_every}"
        )


def check_state(cell: Any, state: State, batch_shape: tuple[int, ...]) -> None:
    """Check that a state has the form of `cell.initial_state`.

    There, a size of 0 that is not the batch's stands for any size, as of the memory of
    an AttentionCell.

    Raises:
      ValueError: the state has another structure, or a leaf another shape.
    """
    wanted = _state_shapes(cell, batch_shape)
    structures: list[Any] = [jax.tree.structure(tree) for tree in (state, wanted)]
    if structures[0] != structures[1]:
        raise ValueError(
            f"unroll: the state must have the structure of cell.initial_state, "
            f"{structures[1]}, got {structures[0]}"
        )
    for (path, want), leaf in zip(
        jax.tree_util.tree_leaves_with_path(wanted), jax.tree.leaves(state), strict=True
    ):
        shape, n = jnp.shape(leaf), len(batch_shape)
        rest = zip(shape[n:], want.shape[n:], strict=False)
        fits = len(shape) == want.ndim and all(b in (0, a) for a, b in rest)
        if not fits or shape[:n] != want.shape[:n]:
            raise ValueError(
                f"unroll: for a batch of shape {batch_shape}, the state"
                f"{jax.tree_util.keystr(path)} must have shape {want.shape}, got "
                f"{shape}"
            )


@functools.lru_cache(maxsize=64)  # `unroll` may be called once per step
def _state_shapes(cell: Any, batch_shape: tuple[int, ...]) -> Any:
    return jax.eval_shape(lambda: cell.initial_state(batch_shape))


def check_step(
    step: Callable[[Any, Any, Any], tuple[Any, Any]], params: Any, xs: Any, state: Any
) -> None:
    """Check that step(params, state, xs[t]) returns a state of the form that it takes.

    Raises:
      TypeError: if it does not. A state of weak type takes the dtype of the step.
    """
    x = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)
    new_state, _ = jax.eval_shape(step, params, state, x)
    structures: list[Any] = [jax.tree.structure(s) for s in (state, new_state)]
    if structures[0] != structures[1]:
        raise TypeError(
            f"unroll: a step must return a state of the form that it takes, "
            f"{structures[0]}, got {structures[1]}"
        )
    for (path, old), new in zip(
        jax.tree_util.tree_leaves_with_path(state),
        jax.tree.leaves(new_state),
        strict=True,
    ):
        aval = jax.typeof(old)
        if aval.shape != new.shape or (aval.dtype != new.dtype and not aval.weak_type):
            raise TypeError(
                f"unroll: the state{jax.tree_util.keystr(path)} is "
                f"{aval.dtype} {aval.shape}, but a step makes it {new.dtype} "
                f"{new.shape}: give params, xs and state the same dtype"
            )


def refuse_forward_mode(*trees: Any) -> None:
    """Refuse arrays that are differentiated in forward mode.

    Raises:
      TypeError: if one is.
    """
    # jax documents no way to ask this. jax.interpreters.ad exports JVPTracer in all
    # versions from 0.10.0 to 0.12.0.1. Without this check jax refuses too, but under
    # jit only at compilation, by a message that does not name `unroll`.
    if any(isinstance(leaf, ad.JVPTracer) for leaf in jax.tree.leaves(trees)):
        raise TypeError(
            "the fused loop has no forward-mode derivatives (jvp, jacfwd, hessian): "
            "call unroll(..., fused=False), or use the RNN of flax itself"
        )
