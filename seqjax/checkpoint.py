"""Checkpoints: the whole TrainState and the progress of a run, written by orbax.

A checkpoint is a folder. Its last file, SHA256SUMS, has the checksums of all others
(`sha256sum -c` reads it). A folder whose checksums are missing or do not match, after a
killed process or a disk error, is not used; the checkpoint before it is.

Needs orbax-checkpoint: `pip install "seqjax[experiments]"`.
"""

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

CHECKSUMS = "SHA256SUMS"
PARTIAL = ".partial"  # the end of the name of a folder that is being written
State = TypeVar("State")  # a pytree of arrays
Found = TypeVar("Found")


class CheckpointError(RuntimeError):
    """No usable checkpoint; the message is one sentence for the user."""


class Checkpoints:
    """The newest checkpoints of a run, in their own directory.

    Args:
      directory: created by the first save.
      keep: the number of checkpoints to keep.

    Example:
      >>> import tempfile
      >>> from seqjax.checkpoint import Checkpoints
      >>> checkpoints = Checkpoints(tempfile.mkdtemp(), keep=2)
      >>> checkpoints.save(500, {"w": jnp.ones(3)}, {"best": 4.1})
      >>> state, progress, unreadable = checkpoints.restore({"w": jnp.zeros(3)})
      >>> progress["best"]
      4.1
    """

    def __init__(self, directory: str | Path, keep: int = 2) -> None:
        self.directory = Path(directory).resolve()
        self.keep = keep

    def steps(self) -> list[int]:
        """The steps of all checkpoints, also of damaged ones, in increasing order."""
        return sorted(int(p.name) for p in self._folders() if any(p.iterdir()))

    def _folders(self) -> list[Path]:
        """The folders that are named as checkpoints."""
        if not self.directory.is_dir():
            return []
        return [
            p
            for p in self.directory.iterdir()
            if re.fullmatch("0|[1-9][0-9]*", p.name) and p.is_dir()
        ]

    def save(self, step: int, state: Any, progress: dict[str, Any]) -> None:
        """Write a checkpoint, then delete all but the newest `keep`.

        Args:
          step: the name of the checkpoint; an existing one is replaced.
          state: a pytree of arrays, which may include typed random keys.
          progress: a dict of JSON values.

        Raises:
          CheckpointError: if orbax is missing.
        """
        ocp = _orbax()
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(jax.tree.map(np.asarray, _by_name(state))),
            progress=ocp.args.JsonSave(progress),
        )
        path = self.directory / f"{step}{PARTIAL}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            _plain(path) as plain,
            ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer,
        ):
            checkpointer.save(plain, args=args, force=True)
        (path / CHECKSUMS).write_bytes(_checksums(path))
        self._finish(step)

    def copy(self, other: "Checkpoints", step: int) -> None:
        """Copy a checkpoint of another directory, then delete as `save` does.

        Args:
          other: the checkpoints to copy from.
          step: the name of the checkpoint there and here.
        """
        path = self.directory / f"{step}{PARTIAL}"
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(other.directory / str(step), path)
        self._finish(step)

    def progress(self) -> dict[str, Any]:
        """The progress of the newest undamaged checkpoint, without its state.

        Raises:
          CheckpointError: if there is none, or orbax is missing.
        """
        return self._newest(_read_progress)[0]

    def remove(self, step: int) -> None:
        """Delete a checkpoint, and with the last one the directory and an empty parent.

        Args:
          step: the name of the checkpoint.
        """
        shutil.rmtree(self.directory / str(step))
        with contextlib.suppress(OSError):  # not empty
            self.directory.rmdir()
            self.directory.parent.rmdir()

    def _finish(self, step: int) -> None:
        """Give a complete checkpoint its name, and delete all that is not kept."""
        path = self.directory / str(step)
        if path.exists():
            shutil.rmtree(path)
        path.with_name(f"{step}{PARTIAL}").rename(path)
        leftovers = [
            p
            for p in self.directory.iterdir()
            if p.name.endswith(PARTIAL) or ".orbax-checkpoint-tmp" in p.name
        ]
        # A run that continues from an earlier checkpoint replaces the later ones.
        kept = [s for s in self.steps() if s <= step][-self.keep :]
        leftovers += [p for p in self._folders() if int(p.name) not in kept]
        for path in leftovers:
            shutil.rmtree(path)

    def restore(
        self, template: State, step: int | None = None
    ) -> tuple[State, dict[str, Any], list[str]]:
        """Read a checkpoint.

        Args:
          template: a pytree with the structure, shapes and dtypes of the saved state,
            of arrays or of `jax.ShapeDtypeStruct`.
          step: the name of the checkpoint; None is the newest undamaged one.

        Returns:
          (state, progress, unreadable): `unreadable` has one sentence for each newer
          checkpoint that is damaged.

        Raises:
          CheckpointError: if there is no undamaged checkpoint, its state does not match
            the template, or orbax is missing.
        """
        if step is not None:
            return *_read(_orbax(), self.directory / str(step), template), []
        found, unreadable = self._newest(lambda ocp, path: _read(ocp, path, template))
        return *found, unreadable

    def _newest(
        self, read: Callable[[ModuleType, Path], Found]
    ) -> tuple[Found, list[str]]:
        """What `read` returns of the newest checkpoint that it can read.

        Raises:
          CheckpointError: if it can read none.
        """
        steps = self.steps()
        if not steps:
            raise CheckpointError(f"there is no checkpoint in {self.directory}.")
        ocp, unreadable = _orbax(), list[str]()
        for step in reversed(steps):
            try:
                return read(ocp, self.directory / str(step)), unreadable
            except CheckpointError as error:
                unreadable.append(str(error))
        raise CheckpointError(
            f"no checkpoint in {self.directory} can be read: {unreadable[0]}"
        )


def _restore(ocp: ModuleType, path: Path, **args: Any) -> Any:
    """The parts of a checkpoint that `args` name, if it is not damaged."""
    try:
        is_whole = (path / CHECKSUMS).read_bytes() == _checksums(path)
    except OSError:  # missing, a directory or unreadable
        is_whole = False
    if not is_whole:
        raise CheckpointError(
            f"{path} is damaged: its files do not match its {CHECKSUMS}."
        )
    try:
        with (
            _plain(path) as plain,
            ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer,
        ):
            return checkpointer.restore(plain, args=ocp.args.Composite(**args))
    except MemoryError:
        raise
    except Exception as error:  # orbax does not say what it raises
        raise CheckpointError(
            f"{path} is damaged: orbax cannot read it ({type(error).__name__})."
        ) from error


def _read_progress(ocp: ModuleType, path: Path) -> dict[str, Any]:
    progress = _restore(ocp, path, progress=ocp.args.JsonRestore()).progress
    return _checked(progress, path, "progress")


def _checked(part: Any, path: Path, name: str) -> dict[str, Any]:
    if not isinstance(part, dict):
        raise CheckpointError(f"{path} is damaged: it has no {name}.")
    return part


def _read(ocp: ModuleType, path: Path, template: State) -> tuple[State, dict[str, Any]]:
    restored = _restore(
        ocp, path, state=ocp.args.PyTreeRestore(), progress=ocp.args.JsonRestore()
    )
    state = _checked(restored.state, path, "state")
    progress = _checked(restored.progress, path, "progress")
    expected = _by_name(template)
    describe = {name: (np.shape(a), _dtype(a)) for name, a in expected.items()}
    found = {name: (jnp.shape(a), str(a.dtype)) for name, a in state.items()}
    if found != describe:
        names = sorted(
            n for n in {*found, *describe} if found.get(n) != describe.get(n)
        )
        raise CheckpointError(f"{path} belongs to another model: {names[0]} differs.")
    values = [
        jax.random.wrap_key_data(array) if _is_key(leaf) else array
        for leaf, array in zip(
            jax.tree.leaves(template),
            (jnp.asarray(state[n]) for n in expected),
            strict=True,
        )
    ]
    return jax.tree.unflatten(jax.tree.structure(template), values), progress


@contextlib.contextmanager
def _plain(path: Path) -> Iterator[Path]:
    """`path` by a name that orbax reads as it is.

    orbax takes brackets for a pattern, backslashes for slashes and a scheme like "gs:"
    for a bucket. A symbolic link in a temporary folder hides them.
    """
    if re.fullmatch(r"[\w/. +-]*", str(path)):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="seqjax-") as folder:
        link = Path(folder) / "link"
        link.symlink_to(path.parent, target_is_directory=True)
        yield link / path.name


def _is_key(leaf: Any) -> bool:
    dtype = getattr(leaf, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


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


def _checksums(path: Path) -> bytes:
    """A line for each file below `path`, except the file of the checksums."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != CHECKSUMS)
    return b"".join(
        hashlib.sha256(p.read_bytes()).hexdigest().encode()
        + b"  %b\n" % os.fsencode(p.relative_to(path))
        for p in files
    )


def _orbax() -> ModuleType:
    """The module of orbax, which is slow to import."""
    try:
        import orbax.checkpoint
    except ImportError:
        raise CheckpointError(
            'checkpoints need orbax-checkpoint: pip install "seqjax[experiments]".'
        ) from None
    return orbax.checkpoint
