"""Checkpoints: the whole TrainState and the run's progress, by orbax.

A checkpoint is written beside the others and renamed into place; last of all comes its
seal, SHA256SUMS, the checksums of its files (`sha256sum -c` reads it). A folder whose
seal is missing or broken, from a killed process or a failing disk, is never read: the
one before it is.
"""

import hashlib
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

SEAL = "SHA256SUMS"


class CheckpointError(RuntimeError):
    """No checkpoint that can be used; the message is one sentence for the user."""


class Checkpoints:
    """The newest checkpoints of a run, in a directory of their own.

    Args:
      directory: made at the first save.
      keep: how many of the newest to keep.

    Example:
      >>> checkpoints = Checkpoints(workdir / "checkpoints", keep=2)
      >>> checkpoints.save(500, state, {"best": 4.1})
      >>> state, progress, unreadable = checkpoints.restore(state)
    """

    def __init__(self, directory, keep=2):
        self.directory = Path(directory).resolve()
        self.keep = keep

    def steps(self):
        """The steps that have a sealed checkpoint, rising."""
        return [s for s in self._folders() if (self.directory / str(s) / SEAL).exists()]

    def _folders(self):
        if not self.directory.is_dir():
            return []
        return sorted(int(p.name) for p in self.directory.iterdir() if p.name.isdigit())

    def save(self, step, state, progress):
        """Write a checkpoint, then delete all but the newest `keep`.

        Args:
          step: its name; an existing one is replaced.
          state: a pytree of arrays; typed random keys are allowed.
          progress: a dict that JSON can hold.
        """
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(_to_numpy(state)),
            progress=ocp.args.JsonSave(progress),
        )
        path = self.directory / str(step)
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            checkpointer.save(path, args=args, force=True)
        (path / SEAL).write_text(_checksums(path))
        leftovers = list(self.directory.glob("*.orbax-checkpoint-tmp*"))
        # Later ones are of a future that was given up when an earlier was restored.
        kept = [s for s in self.steps() if s <= step][-self.keep :]
        leftovers += [self.directory / str(s) for s in self._folders() if s not in kept]
        for path in leftovers:
            shutil.rmtree(path)

    def restore(self, template, step=None):
        """Read the newest checkpoint that is whole, or that of one step.

        Args:
          template: a pytree with the structure, shapes and dtypes of what was saved.
          step: which one; None is the newest.

        Returns:
          (state, progress, unreadable): `unreadable` names the newer checkpoints that
          were damaged and passed over, one sentence each.

        Raises:
          CheckpointError: if there is none, or none that is whole.
        """
        if step is not None:
            return *_read(self.directory / str(step), template), []
        if not self.steps():
            raise CheckpointError(f"there is no checkpoint in {self.directory}.")
        unreadable = []
        for step in reversed(self._folders()):
            path = self.directory / str(step)
            try:
                return *_read(path, template), unreadable
            except CheckpointError as error:
                unreadable.append(str(error))
        raise CheckpointError(
            f"no checkpoint in {self.directory} can be read: {unreadable[0]}"
        )


def _read(path, template):
    seal = path / SEAL
    if not seal.exists() or seal.read_bytes() != _checksums(path).encode():
        raise CheckpointError(f"{path} is damaged: its files do not match its {SEAL}.")
    args = ocp.args.Composite(
        state=ocp.args.PyTreeRestore(), progress=ocp.args.JsonRestore()
    )
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        restored = checkpointer.restore(path, args=args)
    expected, leaves = _to_numpy(template), jax.tree.leaves(template)
    describe = {name: (a.shape, str(a.dtype)) for name, a in expected.items()}
    found = {name: (a.shape, str(a.dtype)) for name, a in restored.state.items()}
    if found != describe:
        names = sorted(
            n for n in {*found, *describe} if found.get(n) != describe.get(n)
        )
        raise CheckpointError(f"{path} is of another model: {names[0]} differs.")
    values = [
        jax.random.wrap_key_data(array) if _is_key(leaf) else array
        for leaf, array in zip(
            leaves, (jnp.asarray(restored.state[n]) for n in expected), strict=True
        )
    ]
    return jax.tree.unflatten(jax.tree.structure(template), values), restored.progress


def _is_key(leaf):
    return jnp.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key)


def _to_numpy(state):
    """The leaves by name, as numpy arrays; random keys as the integers in them."""
    named, _ = jax.tree_util.tree_flatten_with_path(state)
    return {
        jax.tree_util.keystr(path): np.asarray(
            jax.random.key_data(leaf) if _is_key(leaf) else leaf
        )
        for path, leaf in named
    }


def _checksums(path):
    """A line for each file below `path`, bar the seal."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != SEAL)
    return "".join(
        f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.relative_to(path)}\n"
        for p in files
    )
