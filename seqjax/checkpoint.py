"""Checkpoints: the whole TrainState and the progress of a run, written by orbax.

A checkpoint is a folder. Its last file, SHA256SUMS, has the checksums of all others
(`sha256sum -c` reads it). A folder whose checksums are missing or do not match, after a
killed process or a disk error, is not used; the checkpoint before it is.

Needs orbax-checkpoint: `pip install "seqjax[experiments]"`.
"""

import contextlib
import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

CHECKSUMS = "SHA256SUMS"
PARTIAL = ".partial"  # the end of the name of a folder that is being written
State = TypeVar("State")  # a pytree of arrays


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
        """The steps of all complete checkpoints, in increasing order."""
        return [
            s for s in self._folders() if (self.directory / str(s) / CHECKSUMS).exists()
        ]

    def _folders(self) -> list[int]:
        if not self.directory.is_dir():
            return []
        return sorted(int(p.name) for p in self.directory.iterdir() if p.name.isdigit())

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
            state=ocp.args.StandardSave(_to_numpy(state)),
            progress=ocp.args.JsonSave(progress),
        )
        path = self.directory / f"{step}{PARTIAL}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            _plain(path) as plain,
            ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer,
        ):
            checkpointer.save(plain, args=args, force=True)
        (path / CHECKSUMS).write_text(_checksums(path))
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
        """The progress of the newest checkpoint, without its state.

        Raises:
          CheckpointError: if there is none, it is damaged, or orbax is missing.
        """
        if not self.steps():
            raise CheckpointError(f"there is no checkpoint in {self.directory}.")
        ocp, path = _orbax(), self.directory / str(self.steps()[-1])
        return dict(_restore(ocp, path, progress=ocp.args.JsonRestore()).progress)

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
        leftovers += [self.directory / str(s) for s in self._folders() if s not in kept]
        for path in leftovers:
            shutil.rmtree(path)

    def restore(
        self, template: State, step: int | None = None
    ) -> tuple[State, dict[str, Any], list[str]]:
        """Read a checkpoint.

        Args:
          template: a pytree with the structure, shapes and dtypes of the saved state.
          step: the name of the checkpoint; None is the newest undamaged one.

        Returns:
          (state, progress, unreadable): `unreadable` has one sentence for each newer
          checkpoint that is damaged.

        Raises:
          CheckpointError: if there is no undamaged checkpoint, its state does not match
            the template, or orbax is missing.
        """
        if step is None and not self.steps():
            raise CheckpointError(f"there is no checkpoint in {self.directory}.")
        ocp = _orbax()
        if step is not None:
            return *_read(ocp, self.directory / str(step), template), []
        unreadable: list[str] = []
        for step in reversed(self._folders()):
            path = self.directory / str(step)
            try:
                return *_read(ocp, path, template), unreadable
            except CheckpointError as error:
                unreadable.append(str(error))
        raise CheckpointError(
            f"no checkpoint in {self.directory} can be read: {unreadable[0]}"
        )


def _restore(ocp: ModuleType, path: Path, **args: Any) -> Any:
    """The parts of a checkpoint that `args` name, if it is not damaged."""
    checksums = path / CHECKSUMS
    if not checksums.exists() or checksums.read_bytes() != _checksums(path).encode():
        raise CheckpointError(
            f"{path} is damaged: its files do not match its {CHECKSUMS}."
        )
    with (
        _plain(path) as plain,
        ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer,
    ):
        return checkpointer.restore(plain, args=ocp.args.Composite(**args))


def _read(ocp: ModuleType, path: Path, template: State) -> tuple[State, dict[str, Any]]:
    restored = _restore(
        ocp, path, state=ocp.args.PyTreeRestore(), progress=ocp.args.JsonRestore()
    )
    expected, leaves = _to_numpy(template), jax.tree.leaves(template)
    describe = {name: (a.shape, str(a.dtype)) for name, a in expected.items()}
    found = {name: (a.shape, str(a.dtype)) for name, a in restored.state.items()}
    if found != describe:
        names = sorted(
            n for n in {*found, *describe} if found.get(n) != describe.get(n)
        )
        raise CheckpointError(f"{path} belongs to another model: {names[0]} differs.")
    values = [
        jax.random.wrap_key_data(array) if _is_key(leaf) else array
        for leaf, array in zip(
            leaves, (jnp.asarray(restored.state[n]) for n in expected), strict=True
        )
    ]
    return jax.tree.unflatten(jax.tree.structure(template), values), restored.progress


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


def _to_numpy(state: Any) -> dict[str, np.ndarray]:
    """The leaves by name as NumPy arrays; random keys as their integers."""
    named, _ = jax.tree_util.tree_flatten_with_path(state)
    return {
        jax.tree_util.keystr(path): np.asarray(
            jax.random.key_data(leaf) if _is_key(leaf) else leaf
        )
        for path, leaf in named
    }


def _checksums(path: Path) -> str:
    """A line for each file below `path`, except the file of the checksums."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != CHECKSUMS)
    return "".join(
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(path)}\n"
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
