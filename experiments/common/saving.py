"""The checkpoints of a run: saved while training goes on, kept, found again.

"last" has the newest checkpoints, "best" those that validations chose. Errors of the
disk are raised at the next call of training, at the next save, and at the end.
"""

import dataclasses
import functools
import shutil
import time
from typing import Any

import jax
import jax.numpy as jnp

from experiments.common import interrupts, processes
from experiments.common.console import note
from experiments.common.errors import UserError
from experiments.common.job import Progress, TrainConfig
from experiments.common.workdir import Workdir
from seqjax.checkpoint import (
    Checkpoints,
    DamagedError,
    Writer,
    size_of,
    snapshot,
)
from seqjax.training import TrainState

SPARE_BYTES = 2**20  # of the disk, for all that is no array


class RunCheckpoints:
    """The checkpoints of a run that trains."""

    def __init__(self, workdir: Workdir, config: TrainConfig) -> None:
        self.workdir, self.config = workdir, config
        self.last = Checkpoints(workdir.checkpoints / "last", config.keep_last)
        self.best = Checkpoints(
            workdir.checkpoints / "best", config.average_checkpoints
        )
        self.writer = Writer()
        self.saved: object = None  # what the newest checkpoint holds
        self.saved_at = time.perf_counter()

    def close(self) -> None:
        """Wait until everything is saved."""
        self.writer.close()

    def resume(self, state: TrainState) -> tuple[TrainState, Progress]:
        """The state and the progress of the newest checkpoint, or those given.

        Where none of the last can be read, it is the best one.
        """
        progress = Progress()
        if not (self.last.steps() or self.best.steps()):
            self.saved = _place(progress)
            return state, progress
        try:
            state, saved, unreadable = self.last.restore(state)
            progress = Progress(**saved)
            self.saved = _place(progress)
        except DamagedError as error:
            try:
                state, saved, unreadable = self.best.restore(state)
            except DamagedError:
                raise UserError(
                    f"{error} Neither can the best ones. Delete "
                    f"{self.workdir.checkpoints} to begin anew, or choose another "
                    f"--workdir."
                ) from None
            note(f"{error} Continuing from the best one.")
            progress = Progress(**saved)
        for sentence in unreadable:
            note(f"{sentence} Continuing from the one before.")
        note(f"continuing from step {progress.step} in {self.workdir.path}.")
        self.keep(progress.step)
        return state, progress

    def check_space(self, state: TrainState) -> None:
        """Refuse to train where the checkpoints do not fit on the disk.

        Raises:
          UserError: with the free and the needed space.
        """
        config, size = self.config, size_of(state) + SPARE_BYTES
        existing = len(self.last.steps()) + len(self.best.steps())
        missing = max(0, config.keep_last + config.average_checkpoints - existing)
        needed = (missing + 1) * size  # one is written before another is deleted
        free = shutil.disk_usage(self.workdir.path).free
        if free < needed:
            raise UserError(
                f"--workdir {self.workdir.path}: its disk has {free / 1e6:,.0f} MB "
                f"free, and checkpoints of {size / 1e6:,.0f} MB need "
                f"{needed / 1e6:,.0f} MB."
            )

    def is_due(self, step: int) -> bool:
        """Whether the settings ask for a checkpoint at this step."""
        minutes = (time.perf_counter() - self.saved_at) / 60
        return (
            step % self.config.checkpoint_every == 0
            or minutes >= self.config.checkpoint_minutes
        )

    def holds(self, progress: Progress) -> bool:
        """Whether this very step is saved, or will be at the next `wait`."""
        return self.saved == _place(progress)

    def save(self, state: TrainState, progress: Progress) -> None:
        """Save a checkpoint while training goes on, after the one before."""
        self.saved, self.saved_at = _place(progress), time.perf_counter()
        if not processes.is_first():
            self.keep(progress.step)
            return
        self.writer.wait()
        copied, values = snapshot(state), dataclasses.asdict(progress)

        def write() -> None:
            self.workdir.sync_metrics()  # a checkpoint never has more than its metrics
            self.last.save(values["step"], copied, values)
            self.keep(values["step"])

        self.writer.submit(interrupts.awaited(write))

    def choose(self, step: int) -> None:
        """Keep the checkpoint of a step as the best so far."""
        if processes.is_first():
            copy = functools.partial(self.best.copy, self.last, step)
            self.writer.submit(interrupts.awaited(copy))

    def remove(self, step: int) -> None:
        """Delete the checkpoint of a step."""
        if processes.is_first():
            self.writer.wait()
            self.last.remove(step)

    def kept(self) -> str:
        """A clause that names the newest checkpoint."""
        self.writer.wait()
        steps = self.last.steps()
        return (
            f"the checkpoint of step {steps[-1]} is kept" if steps else "none is kept"
        )

    def keep(self, step: int) -> None:
        """Let the closing line of an interrupt say that a step is saved."""
        interrupts.keep(
            f"step {step:,} is saved in {self.workdir.path}; the same command "
            f"continues from there"
        )


def _place(progress: Progress) -> tuple[Any, ...]:
    """What differs between two checkpoints of a run."""
    return progress.step, progress.validated, progress.finished


def has_finite_parameters(state: TrainState) -> bool:
    """Whether no parameter is nan or infinity."""
    return bool(_all_finite(state.params))


@jax.jit
def _all_finite(tree: Any) -> jax.Array:
    return jnp.all(jnp.stack([jnp.isfinite(a).all() for a in jax.tree.leaves(tree)]))
