"""One checkpoint: a folder with a state, the progress of a run, format and checksums.

    state.safetensors   the arrays by name; random keys as their integers
    progress.json       the progress
    format.txt          the number of the format
    SHA256SUMS          the checksums of the files above; `sha256sum -c` reads it

A folder whose checksums are missing or do not match, after a killed process or a disk
error, is damaged.
"""

import json
import shutil
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from seqjax import durable, named_arrays, sealed

STATE, PROGRESS = "state.safetensors", "progress.json"
FORMAT, FORMAT_FILE = 2, "format.txt"  # format 1 was orbax's
State = TypeVar("State")  # a pytree of arrays


class CheckpointError(RuntimeError):
    """No usable checkpoint; the message is one sentence for the user."""


class DamagedError(CheckpointError):
    """A checkpoint whose files are not those that were written."""


def snapshot(state: State) -> State:
    """A copy of a state in the host's memory, which later steps do not change.

    Args:
      state: a pytree of arrays, which may include typed random keys.

    Returns:
      The same pytree of NumPy arrays; random keys stay typed.

    Example:
      >>> state = {"w": np.zeros(2), "key": jax.random.key(7)}
      >>> copied = snapshot(state)
      >>> state["w"] += 1
      >>> copied["w"].tolist(), (copied["key"] == state["key"]).item()
      ([0.0, 0.0], True)
    """

    def copied(leaf: Any) -> Any:
        if _is_key(leaf):
            data = jax.random.key_data(leaf).copy()
            return jax.random.wrap_key_data(data, impl=_key_impl(leaf))
        return np.array(leaf)

    return jax.tree.map(copied, state)


def size_of(state: Any) -> int:
    """The size of the arrays of a state in bytes.

    Args:
      state: a pytree of arrays, which may include typed random keys.

    Returns:
      An int; a random key counts as its integers.

    Example:
      >>> size_of({"w": jnp.zeros((2, 3)), "key": jax.random.key(0)})  # 6 * 4 + 2 * 4
      32
    """
    return sum(int(leaf.nbytes) for leaf in _by_name(state).values())


def write(path: Path, state: Any, progress: dict[str, Any]) -> None:
    """Write a checkpoint, and flush it to the disk.

    Args:
      path: the folder; what is there is replaced.
      state: a pytree of arrays, which may include typed random keys.
      progress: a dict of JSON values.

    Raises:
      CheckpointError: if safetensors knows no such dtype.
      OSError: if a file cannot be written.
    """
    arrays = {name: np.asarray(a) for name, a in _by_name(state).items()}
    try:
        encoded = named_arrays.encode(arrays)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}.") from None
    contents = {
        STATE: encoded,
        PROGRESS: json.dumps(progress, indent=1).encode(),
        FORMAT_FILE: f"{FORMAT}\n".encode(),
    }
    sealed.write(path, contents)


def copy(path: Path, target: Path) -> None:
    """Copy a checkpoint, and flush the copy to the disk; what is there is replaced."""
    if target.exists():
        shutil.rmtree(target)
    shutil.copytree(path, target)
    durable.sync_tree(target)


def read_progress(path: Path) -> dict[str, Any]:
    """The progress of a checkpoint, without its state.

    Raises:
      DamagedError: if it is damaged.
      CheckpointError: if it has another format.
    """
    return _read_progress(_read_files(path), path)


def read(path: Path, template: State) -> tuple[State, dict[str, Any]]:
    """(state, progress) of a checkpoint.

    Args:
      path: the folder.
      template: a pytree with the structure, shapes and dtypes of the state.

    Raises:
      DamagedError: if it is damaged.
      CheckpointError: if it does not match the template, or has another format.
    """
    files = _read_files(path)
    progress = _read_progress(files, path)
    arrays = _read_arrays(files[STATE], path)
    expected = _by_name(template)
    describe = {name: (np.shape(a), _dtype(a)) for name, a in expected.items()}
    found = {name: (a.shape, str(a.dtype)) for name, a in arrays.items()}
    if found != describe:
        names = sorted(
            n for n in {*found, *describe} if found.get(n) != describe.get(n)
        )
        raise CheckpointError(f"{path} belongs to another model: {names[0]} differs.")
    values = [
        jax.random.wrap_key_data(array, impl=_key_impl(leaf))
        if _is_key(leaf)
        else array
        for leaf, array in zip(
            jax.tree.leaves(template),
            (jnp.asarray(arrays[n]) for n in expected),
            strict=True,
        )
    ]
    return jax.tree.unflatten(jax.tree.structure(template), values), progress


def _read_files(path: Path) -> dict[str, bytes]:
    """The contents of the files of a checkpoint, if they match its checksums."""
    if not (path / FORMAT_FILE).exists() and (path / "_CHECKPOINT_METADATA").exists():
        raise CheckpointError(
            f"{path} has format 1, of an earlier version of seqjax; this version reads "
            f"format {FORMAT}."
        )
    try:
        files = sealed.read(path)
    except sealed.DamagedFolderError:
        raise _not_whole(path) from None
    text = files.get(FORMAT_FILE, b"").decode("ascii", "replace").strip()
    if not text.isdigit():
        raise _not_whole(path)
    if int(text) > FORMAT:
        raise CheckpointError(
            f"{path} has format {text}, of a newer version of seqjax; this version "
            f"reads format {FORMAT}."
        )
    if not {STATE, PROGRESS} <= files.keys():
        raise _not_whole(path)
    return files


def _not_whole(path: Path) -> DamagedError:
    return DamagedError(
        f"{path} is damaged: its files do not match its {sealed.CHECKSUMS}."
    )


def _read_progress(files: dict[str, bytes], path: Path) -> dict[str, Any]:
    try:
        progress = json.loads(files[PROGRESS])
    except (ValueError, RecursionError):
        progress = None
    if not isinstance(progress, dict):
        raise DamagedError(f"{path} is damaged: its {PROGRESS} holds no JSON object.")
    return progress


def _read_arrays(content: bytes, path: Path) -> dict[str, np.ndarray]:
    try:
        return named_arrays.decode(content)
    except ValueError as error:
        raise DamagedError(
            f"{path} is damaged: its {STATE} cannot be read ({error})."
        ) from None


def _is_key(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _key_impl(leaf: Any) -> Any:
    """The generator of a key, which may be a shape alone."""
    found: list[Any] = []
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), leaf)
    return found[0]


def _by_name(state: Any) -> dict[str, Any]:
    """The leaves by name; random keys as their integers."""
    named, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path): _without_type(leaf) for path, leaf in named}


def _without_type(leaf: Any) -> Any:
    if not _is_key(leaf):
        return leaf
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return jax.eval_shape(jax.random.key_data, leaf)
    return jax.random.key_data(leaf)


def _dtype(leaf: Any) -> str:
    return str(leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype)
