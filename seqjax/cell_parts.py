"""What cells share: initial weights, the input projection, the check of a size."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from seqjax.nn.layers import matmul

# (key, shape, dtype) -> array, as in jax.nn.initializers
Initializer: TypeAlias = Callable[..., jax.Array]


def uniform_by_hidden_size(
    key: jax.Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32
) -> jax.Array:
    """Draw from U(-1/sqrt(H), 1/sqrt(H)), torch's default.

    Args:
      key: a random key.
      shape: of the block of one gate, [..., H].
      dtype: dtype of the block.

    Returns:
      An array of this shape.

    Example:
      >>> w = uniform_by_hidden_size(jax.random.key(0), (3, 16))
      >>> w.shape, (abs(w) <= 0.25).all().item()
      ((3, 16), True)
    """
    bound = shape[-1] ** -0.5
    return jax.random.uniform(key, shape, dtype, minval=-bound, maxval=bound)


def init_gates(
    init: Initializer,
    key: jax.Array,
    shape: tuple[int, ...],
    num_gates: int,
    dtype: DTypeLike,
) -> jax.Array:
    """Draw the block [..., H] of each gate and join the blocks: [..., G*H].

    Args:
      init: an initializer, called once per gate.
      key: a random key.
      shape: of the block of one gate, [..., H].
      num_gates: G.
      dtype: dtype of the blocks.
    """
    keys = jax.random.split(key, num_gates)
    return jnp.concatenate([init(k, shape, dtype) for k in keys], axis=-1)


def check_hidden_size(cell: Any) -> None:
    """Refuse a `cell.hidden_size` below 1.

    Args:
      cell: a cell.

    Raises:
      ValueError: if it is below 1.
    """
    if cell.hidden_size < 1:
        raise ValueError(
            f"{type(cell).__name__}: hidden_size must be at least 1, "
            f"got {cell.hidden_size}"
        )


def project(cell: Any, w_x: jax.Array, xs: jax.Array) -> jax.Array:
    """xs @ w_x: [T, ..., D] -> [T, ..., G*H].

    Args:
      cell: the cell, whose name an error gives.
      w_x: [D, G*H].
      xs: [T, ..., D].

    Raises:
      ValueError: if the widths D differ.
    """
    check_input(cell, w_x, xs)
    return matmul(xs, w_x)


def check_input(cell: Any, w_x: jax.Array, xs: jax.Array) -> None:
    """Refuse inputs of another width than the parameters.

    Args:
      cell: the cell, whose name the error gives.
      w_x: [D, G*H].
      xs: [T, ..., D].

    Raises:
      ValueError: if the widths D differ.
    """
    if xs.shape[-1:] != w_x.shape[:1]:
        raise ValueError(
            f"{type(cell).__name__}: xs must have the {w_x.shape[0]} features of "
            f"w_x {w_x.shape}, got xs {xs.shape}"
        )
