"""The newest checkpoints of a run: saved, kept, found again."""

import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from seqjax import durable
from seqjax.checkpoint import folder
from seqjax.checkpoint.folder import DamagedError

REPLACED = f".replaced{durable.PARTIAL}"  # the end of the name of one that goes
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
        return sorted(s for s, path in self._folders().items() if any(path.iterdir()))

    def _folders(self) -> dict[int, Path]:
        """The folders of the checkpoints by their steps.

        A process that was killed while it replaced a checkpoint may have left the
        replaced one alone.
        """
        found: dict[int, Path] = {}
        for path in self.directory.iterdir() if self.directory.is_dir() else ():
            name = path.name.removesuffix(REPLACED)
            if re.fullmatch("0|[1-9][0-9]*", name) and path.is_dir():
                step = int(name)
                found[step] = found.get(step, path) if name != path.name else path
        return found

    def _folder(self, step: int) -> Path:
        return self._folders().get(step, self.directory / str(step))

    def save(self, step: int, state: Any, progress: dict[str, Any]) -> None:
        """Write a checkpoint, then delete all but the newest `keep`.

        To save while training goes on, let a `Writer` save a `snapshot`.

        Args:
          step: the name of the checkpoint; an existing one is replaced.
          state: a pytree of arrays, which may include typed random keys.
          progress: a dict of JSON values.

        Raises:
          CheckpointError: if safetensors knows no such dtype.
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
        folder.copy(other._folder(step), self._partial(step))
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
        for end in (REPLACED, ""):
            path = self.directory / f"{step}{end}"
            if path.exists():
                durable.delete_folder(path)
        with contextlib.suppress(OSError):  # not empty
            self.directory.rmdir()
            self.directory.parent.rmdir()

    def _partial(self, step: int) -> Path:
        return self.directory / f"{step}{durable.PARTIAL}"

    def _finish(self, step: int) -> None:
        """Give a complete checkpoint its name, and delete all that is not kept."""
        path, replaced = (self.directory / f"{step}{end}" for end in ("", REPLACED))
        if path.exists():
            if replaced.exists():
                durable.delete_folder(replaced)
            path.rename(replaced)
        self._partial(step).rename(path)
        durable.sync(self.directory)
        # A run that continues from an earlier checkpoint replaces the later ones.
        kept = [s for s in self.steps() if s <= step][-self.keep :]
        folders = self._folders()
        stays = {folders[s] for s in kept}
        for path in (*folders.values(), *self.directory.glob(f"*{durable.PARTIAL}")):
            if path not in stays and path.exists():
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
            return *folder.read(self._folder(step), template), []
        found, unreadable = self._newest(lambda path: folder.read(path, template))
        return *found, unreadable

    def _newest(self, read: Callable[[Path], Found]) -> tuple[Found, list[str]]:
        """What `read` returns of the newest checkpoint that is not damaged.

        Raises:
          DamagedError: if all are damaged, or there is none.
        """
        steps = self.steps()
        if not steps:
            raise DamagedError(f"there is no checkpoint in {self.directory}.")
        unreadable = list[str]()
        for step in reversed(steps):
            try:
                return read(self._folder(step)), unreadable
            except DamagedError as error:
                unreadable.append(str(error))
        raise DamagedError(
            f"no checkpoint in {self.directory} can be read: {unreadable[0]}"
        )
