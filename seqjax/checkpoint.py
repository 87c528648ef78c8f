"""Checkpoints: the whole TrainState and the run's progress, by orbax.

A checkpoint is written beside the others and renamed into place, so that a process
killed while saving leaves the earlier ones whole. A digest of all arrays is kept with
it: damage that still decodes is found when it is read.
"""

import hashlib
import logging
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp


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
        logging.getLogger("absl").setLevel(logging.ERROR)

    def steps(self):
        """The steps that have a checkpoint, rising."""
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
        arrays = _to_numpy(state)
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(arrays),
            progress=ocp.args.JsonSave({**progress, "sha256": _digest(arrays)}),
        )
        with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
            checkpointer.save(self.directory / str(step), args=args, force=True)
        leftovers = list(self.directory.glob("*.orbax-checkpoint-tmp*"))
        for old in self.steps()[: -self.keep]:
            leftovers.append(self.directory / str(old))
        for path in leftovers:
            shutil.rmtree(path)

    def restore(self, template):
        """Read the newest checkpoint that is whole.

        Args:
          template: a pytree with the structure, shapes and dtypes of what was saved.

        Returns:
          (state, progress, unreadable): `unreadable` names the newer checkpoints that
          were damaged and passed over, one sentence each.

        Raises:
          CheckpointError: if there is none, or none that is whole.
        """
        unreadable = []
        for step in reversed(self.steps()):
            path = self.directory / str(step)
            try:
                return *_read(path, template), unreadable
            except Exception as error:  # whatever the reader makes of damaged files
                reason = str(error).strip().split("\n")[0][:200]
                unreadable.append(f"{path} is damaged ({reason}).")
        if unreadable:
            raise CheckpointError(
                f"no checkpoint in {self.directory} can be read: {unreadable[0]}"
            )
        raise CheckpointError(f"there is no checkpoint in {self.directory}.")


def _read(path, template):
    expected = _to_numpy(template)
    args = ocp.args.Composite(
        state=ocp.args.StandardRestore(expected), progress=ocp.args.JsonRestore()
    )
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        restored = checkpointer.restore(path, args=args)
    arrays, progress = dict(restored.state), dict(restored.progress)
    if progress.pop("sha256") != _digest(arrays):
        raise ValueError("the arrays are not those that were saved")
    for name, array in expected.items():
        if arrays[name].shape != array.shape or arrays[name].dtype != array.dtype:
            raise ValueError(
                f"{name} is {arrays[name].dtype}{arrays[name].shape}, "
                f"expected {array.dtype}{array.shape}"
            )
    leaves, structure = jax.tree.flatten(template)
    values = [
        jax.random.wrap_key_data(jnp.asarray(a)) if _is_key(leaf) else jnp.asarray(a)
        for leaf, a in zip(leaves, (arrays[name] for name in expected), strict=True)
    ]
    return jax.tree.unflatten(structure, values), progress


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


def _digest(arrays):
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
