"""Named arrays: safetensors files, and reading them without leaving one out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax.numpy as jnp
import numpy as np

from seqjax import durable, named_arrays


def read_weights(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file by name.

    Args:
      path: the file.

    Returns:
      {name: array}, with the shapes and dtypes of the file.

    Raises:
      OSError: if it cannot be read.
      ValueError: if it is no whole safetensors file. Files of torch that are pickles
        can run code when they are read, and are refused.

    Example:
      >>> import tempfile
      >>> path = tempfile.mkdtemp() + "/lstm.safetensors"
      >>> write_weights(path, {"w": np.ones((2, 3), np.float32)})
      >>> read_weights(path)["w"].shape
      (2, 3)

    Source: the safetensors format, https://github.com/huggingface/safetensors.
    """
    with open(path, "rb") as file:
        content = file.read()
    if content[:1] == b"\x80" or content[:2] == b"PK":
        raise ValueError(
            f"{path}: this is a pickle, which can run code when it is read; in torch, "
            f"write it with safetensors.torch.save_file(module.state_dict(), ...)"
        )
    try:
        return named_arrays.decode(content)
    except ValueError as error:
        raise ValueError(f"{path}: no whole safetensors file: {error}") from None


def write_weights(path: str | Path, weights: Mapping[str, Any]) -> None:
    """Write arrays as a safetensors file; what was there is replaced.

    Args:
      path: the file.
      weights: names -> arrays of NumPy or jax, tensors of torch, or nested lists.

    Raises:
      OSError: if it cannot be written.
      ValueError: if the format lacks a dtype.

    Example:
      >>> import tempfile
      >>> path = tempfile.mkdtemp() + "/dense.safetensors"
      >>> weights = {"w": np.ones((2, 3), np.float16), "b": jnp.arange(3.0)}
      >>> write_weights(path, weights)
      >>> read_weights(path)["w"].dtype, read_weights(path)["b"].tolist()
      (dtype('float16'), [0.0, 1.0, 2.0])

    Source: the safetensors format, https://github.com/huggingface/safetensors.
    """
    arrays = {name: as_array(array) for name, array in weights.items()}
    durable.write_bytes(Path(path), named_arrays.encode(arrays))


def as_array(value: Any) -> np.ndarray:
    """A NumPy array of an array or of a tensor of torch."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # NumPy has no such numbers
            value = value.float()
        return value.numpy()
    return np.asarray(value)


def reorder(array: np.ndarray, order: str, wanted: str) -> np.ndarray:
    """A copy whose blocks of columns, one a gate, are in the wanted order."""
    parts = dict(zip(order, np.split(array, len(order), axis=-1), strict=True))
    return np.concatenate([parts[gate] for gate in wanted], axis=-1)


class Weights:
    """Arrays by name that must all be read."""

    def __init__(self, arrays: Mapping[str, np.ndarray], where: str):
        """Read `arrays`; `where` begins the sentences of errors."""
        self.arrays, self.where = dict(arrays), where
        self.unread = set(self.arrays)

    def read(self, name: str, shape: Sequence[int | None]) -> np.ndarray:
        """The array of a name, whose shape must be this one; None is any size.

        Raises:
          ValueError: if it is missing, has another shape, or holds no floats.
        """
        if name not in self.arrays:
            there = ", ".join(sorted(self.arrays)) or "nothing"
            raise ValueError(f"{self.where}{name} is missing; there is {there}")
        self.unread.discard(name)
        found = self.arrays[name].shape
        fits = len(found) == len(shape) and all(
            want in (None, size) for want, size in zip(shape, found, strict=True)
        )
        kind = self.arrays[name].dtype
        if not jnp.issubdtype(kind, jnp.floating):
            raise ValueError(f"{self.where}{name} must hold floats, got {kind}")
        if not fits:
            sizes = ", ".join("any" if n is None else str(n) for n in shape)
            self.refuse(name, f"[{sizes}]")
        return self.arrays[name]

    def refuse(self, name: str, expected: str) -> NoReturn:
        """Refuse the shape of an array.

        Args:
          name: the name of the array.
          expected: the shape that was expected.

        Raises:
          ValueError: with the expected and the found shape.
        """
        found = list(self.arrays[name].shape)
        raise ValueError(f"{self.where}{name} must be {expected}, got {found}")

    def refuse_unread(self) -> None:
        """Refuse arrays that were not read.

        Raises:
          ValueError: naming them, if there are any.
        """
        if self.unread:
            names = ", ".join(sorted(self.unread))
            raise ValueError(f"{self.where}{names}: unknown")
