"""A run from its workdir to its summary: what the training commands share."""

import functools
import math
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.common import activity, interrupts
from experiments.common.console import note
from experiments.common.errors import UserError
from experiments.common.job import Job, Progress, TrainConfig
from experiments.common.optimizer import (
    UNSCHEDULED,
    initial_train_state,
    make_optimizer,
)
from experiments.common.plots import draw_learning_curve
from experiments.common.settings import entries
from experiments.common.train_loop import fit
from experiments.common.workdir import Workdir
from seqjax.checkpoint import CheckpointError, Checkpoints
from seqjax.data.batching import epoch_rng
from seqjax.training import TrainState
from seqjax.training.averages import averaged

LEARNING_CURVE = "learning_curve.png"
LENGTHS = {"epochs", "train_tokens"}  # settings of the length of a run


def open_run(
    config: Any,
    files: Sequence[str] = (),
    *,
    training: bool = True,
    free: Collection[str] = (),
    fixed: Collection[str] = (),
    path: str | Path | None = None,
) -> Workdir:
    """The Workdir of a run, its settings compared with those it was started with.

    Settings declared `resumable` may differ; so may --seed where nothing is trained,
    and --epochs where no learning rate schedule spans the run. Where one does, a
    finished run may be given more epochs or tokens.

    Args:
      config: the command's config.
      files: the files that the command writes beside the common ones.
      training: whether the mode trains; others need a run in the folder.
      free: names of further settings that may differ.
      fixed: names of settings that may not, although the rules above allow it.
      path: the folder, if it is not `config.run.workdir`.

    Raises:
      UserError: if there is another run, or none where one must be.
    """
    names = {entry.name for entry in entries(config) if entry.resumable}
    names |= set(free)
    if not training:
        names.add("seed")
    optimizer = getattr(config, "optimizer", None)
    if optimizer is not None and optimizer.schedule in UNSCHEDULED:
        names.add("epochs")
    names -= set(fixed)
    folder = config.run.workdir if path is None else path
    lengths = LENGTHS - set(fixed) if training else set()
    workdir = Workdir(folder, config, (LEARNING_CURVE, *files), names, lengths)
    if not training and not workdir.holds_a_run():
        raise UserError(f"{workdir.path} holds no run; train one there first.")
    workdir.check()
    if training and workdir.has_checkpoints():
        interrupts.keep(
            f"the checkpoints in {workdir.path} stay; the same command continues from "
            f"the last"
        )
    return workdir


EpochPlan = Callable[[int], Any]  # epoch -> its minibatches


def epoch_plan(seed: int, make: Callable[[np.random.Generator], Any]) -> EpochPlan:
    """epoch -> its minibatches, made from a generator that (seed, epoch) decides."""

    @functools.lru_cache(maxsize=1)
    def plan(epoch: int) -> Any:
        return make(epoch_rng(seed, epoch))

    return plan


class Trained(NamedTuple):
    """The parameters that a run chose, and how it went."""

    params: Any
    progress: Progress


def train_model(
    job: Job, workdir: Workdir, state: TrainState, config: TrainConfig
) -> Trained:
    """Train in an open workdir, choose and save the parameters, draw the curve."""
    state, progress = fit(job, workdir, state, config)
    activity.begin("the evaluation")
    params = averaged(state)
    if config.checkpoint == "best":
        params = restore_params(workdir, config, state)
    if job.model is not None:
        workdir.write_model(job.model, params)
    draw_learning_curve(
        workdir.file(LEARNING_CURVE), workdir.read_metrics(), job.objective.measure
    )
    return Trained(params, progress)


def restore_params(workdir: Workdir, config: TrainConfig, template: TrainState) -> Any:
    """Parameters of the "best" or the "last" checkpoint of a run.

    With `average_checkpoints` above 1 the best are the mean over the newest best
    checkpoints. If the best are damaged, the last are used, with a note.

    Args:
      workdir: the run.
      config: which checkpoint to use.
      template: a TrainState like the saved one.

    Raises:
      CheckpointError: if none can be read.
    """
    last = Checkpoints(workdir.checkpoints / "last")
    best = Checkpoints(workdir.checkpoints / "best")
    wants_best, number = config.checkpoint == "best", config.average_checkpoints
    try:
        if wants_best and number > 1:
            return _average(best, number, template)
        state, _, unreadable = (best if wants_best else last).restore(template)
    except CheckpointError as error:
        if not wants_best:
            raise
        state, _, unreadable = last.restore(template)
        note(f"{error} Using the last.")
    for sentence in unreadable:
        note(f"{sentence} Using the one before.")
    return averaged(state)


def load_params(
    config: Any, workdir: Workdir, model: Any, accumulate: int = 1, **options: Any
) -> Any:
    """The parameters of a trained run.

    Args:
      config: the command's config.
      workdir: the run.
      model: the model of its settings.
      accumulate: number of minibatches per update.
      **options: further arguments of `initial_train_state`.
    """
    optimizer = make_optimizer(config.optimizer, 1, accumulate)
    template = jax.eval_shape(
        lambda: initial_train_state(model, optimizer, config.run.seed, **options)
    )
    return restore_params(workdir, config.train, template)


def _average(checkpoints: Checkpoints, number: int, template: TrainState) -> Any:
    """The mean of the parameters of the newest checkpoints, `number` at most."""
    steps = checkpoints.steps()[-number:]
    if not steps:
        raise CheckpointError(f"there is no checkpoint in {checkpoints.directory}.")
    if len(steps) < number:
        note(f"--average_checkpoints={number}: only {len(steps)} exist.")
    found = [averaged(checkpoints.restore(template, step)[0]) for step in steps]
    return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *found)


def count_parameters(params: Any) -> int:
    """The number of parameters."""
    return sum(p.size for p in jax.tree.leaves(params))


def run_summary(trained: Trained, unit: str, sha256: str) -> dict[str, Any]:
    """The entries of summary.json that all trained models have."""
    progress = trained.progress
    speed = math.nan
    if progress.train_seconds:
        speed = progress.predictions / progress.train_seconds
    return {
        "best_step": progress.best_step,
        **({"skipped_minibatches": progress.skipped} if progress.skipped else {}),
        "parameters": count_parameters(trained.params),
        f"{unit}_per_second": speed,
        "seconds": progress.seconds,
        "dataset_sha256": sha256,
    }


def closing_rows(
    summary: dict[str, Any], unit: str, workdir: Workdir
) -> list[tuple[str, Any]]:
    """The last rows of the closing table."""
    return [
        ("parameters", f"{summary['parameters']:,}"),
        (f"training {unit}/s", f"{summary[f'{unit}_per_second']:,.0f}"),
        ("seconds", f"{summary['seconds']:.1f}"),
        ("files", workdir.path),
    ]
