"""The newest checkpoints of a run: saved, kept, found again."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from seqjax import durable
from seqjax.checkpoint import folder
from seqjax.checkpoint.folder import CheckpointError, DamagedError

State = TypeVar("State")  # a pytree of arrays
Found = TypeVar("Found")


class Checkpoints:
    """The newest checkpoints of a run, in their own directory.

    A checkpoint is complete or absent: it is written under another name, flushed to the
    disk and renamed.

    Args:
      directory: created by the first save.
      keep: the number of checkpoints to keep.

    Example:
      >>> import tempfile
      >>> import jax.numpy as jnp
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

        To save while training goes on, let a `Writer` save a `snapshot`.

        Args:
          step: the name of the checkpoint; an existing one is replaced.
          state: a pytree of arrays, which may include typed random keys.
          progress: a dict of JSON values.

        Raises:
          CheckpointError: if safetensors is missing, or knows no such dtype.
          OSError: if the files cannot be written.
        """
        durable.make_folder(self.directory)
        folder.write(self._partial(step), state, progress)
        self._finish(step)

    def copy(self, other: "Checkpoints", step: int) -> None:
        """Copy a checkpoint of another directory, then delete as `save` does.

        Args:
          other: the checkpoints to copy from.
          step: the name of the checkpoint there and here.
        """
        durable.make_folder(self.directory)
        folder.copy(other.directory / str(step), self._partial(step))
        self._finish(step)

    def progress(self) -> dict[str, Any]:
        """The progress of the newest undamaged checkpoint, without its state.

        Raises:
          CheckpointError: if there is none that is undamaged.
        """
        return self._newest(folder.read_progress)[0]

    def remove(self, step: int) -> None:
        """Delete a checkpoint, and with the last one the directory and an empty parent.

        Args:
          step: the name of the checkpoint.
        """
        durable.delete_folder(self.directory / str(step))
        with contextlib.suppress(OSError):  # not empty
            self.directory.rmdir()
            self.directory.parent.rmdir()

    def _partial(self, step: int) -> Path:
        return self.directory / f"{step}{durable.PARTIAL}"

    def _finish(self, step: int) -> None:
        """Give a complete checkpoint its name, and delete all that is not kept."""
        path = self.directory / str(step)
        if path.exists():
            path.rename(path.with_name(f"{step}.replaced{durable.PARTIAL}"))
        self._partial(step).rename(path)
        durable.sync(self.directory)
        leftovers = [
            p for p in self.directory.iterdir() if p.name.endswith(durable.PARTIAL)
        ]
        # A run that continues from an earlier checkpoint replaces the later ones.
        kept = [s for s in self.steps() if s <= step][-self.keep :]
        leftovers += [p for p in self._folders() if int(p.name) not in kept]
        for path in leftovers:
            durable.delete_folder(path)

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
            the template, or it has another format.
        """
        if step is not None:
            return *folder.read(self.directory / str(step), template), []
        found, unreadable = self._newest(lambda path: folder.read(path, template))
        return *found, unreadable

    def _newest(self, read: Callable[[Path], Found]) -> tuple[Found, list[str]]:
        """What `read` returns of the newest checkpoint that is not damaged.

        Raises:
          CheckpointError: if all are damaged.
        """
        steps = self.steps()
        if not steps:
            raise CheckpointError(f"there is no checkpoint in {self.directory}.")
        unreadable = list[str]()
        for step in reversed(steps):
            try:
                return read(self.directory / str(step)), unreadable
            except DamagedError as error:
                unreadable.append(str(error))
        raise CheckpointError(
            f"no checkpoint in {self.directory} can be read: {unreadable[0]}"
        )
