"""The training loop of every command: epochs, logs, validation, checkpoints, resume.

Restored on resume, in this order: the TrainState (parameters, optimizer, step, key,
carry), the `Progress`, and metrics.jsonl cut back to the step of the checkpoint.
Compiled calls end at multiples of `log_every` within an epoch, and checkpoints are
taken only there, so that a resumed run makes the very calls of an uninterrupted one.
"""

import dataclasses
import math
import time
from collections.abc import Mapping

import jax
import numpy as np

from experiments.common.console import ProgressBar, note
from experiments.common.errors import UserError
from experiments.common.job import Job, Progress, TrainConfig
from experiments.common.workdir import Workdir
from seqjax.checkpoint import Checkpoints
from seqjax.training import TrainState


def fit(
    job: Job, workdir: Workdir, state: TrainState, config: TrainConfig
) -> tuple[TrainState, Progress]:
    """Train until the job is done, from the last checkpoint if there is one.

    Args:
      job: what to do.
      workdir: an open folder.
      state: the TrainState before the first step.
      config: the intervals of validations, logs and checkpoints.

    Raises:
      UserError: when a loss, a gradient or a parameter is not finite; the checkpoints
        stay.
    """
    return _Training(job, workdir, config).run(state)


class _Training:
    """One call of `fit`."""

    def __init__(self, job: Job, workdir: Workdir, config: TrainConfig) -> None:
        self.job, self.workdir, self.config = job, workdir, config
        self.last = Checkpoints(workdir.checkpoints / "last", keep=2)
        self.best = Checkpoints(
            workdir.checkpoints / "best", config.average_checkpoints
        )
        self.progress = Progress()

    def run(self, state: TrainState) -> tuple[TrainState, Progress]:
        started, job, config = time.perf_counter(), self.job, self.config
        state = self.resume(state)
        progress = self.progress
        earlier, saved = progress.seconds, progress.step
        if not self.is_finished():
            # A call of no steps compiles, so that the clock below measures training.
            plan = job.plan(progress.epoch)
            state, _ = job.train_loop(state, job.data, plan, 0, 0)
        with ProgressBar(job.total_steps, progress.step) as bar:
            while not self.is_finished():
                state = self.call(state, bar)
                finished = self.is_finished()
                epoch_ended = (
                    progress.cursor == 0 and progress.epoch % config.eval_every == 0
                )
                if finished or epoch_ended:
                    improved = self.validate(state, bar)
                    if epoch_ended and not improved:
                        scale = state.learning_rate_scale * job.plateau_factor
                        state = state.replace(learning_rate_scale=scale)
                    finished = self.is_finished()
                progress.seconds = earlier + time.perf_counter() - started
                if finished or progress.step - saved >= config.checkpoint_every:
                    self.check_parameters(state)
                    self.last.save(progress.step, state, dataclasses.asdict(progress))
                    saved = progress.step
        return state, progress

    def resume(self, state: TrainState) -> TrainState:
        if not self.last.steps():
            self.workdir.rewind_metrics(0)
            return state
        state, progress, unreadable = self.last.restore(state)
        for sentence in unreadable:
            note(f"{sentence} Continuing from the one before.")
        self.progress = Progress(**progress)
        self.workdir.rewind_metrics(self.progress.step)
        note(f"continuing from step {self.progress.step} in {self.workdir.path}.")
        return state

    def is_finished(self) -> bool:
        patience = self.config.patience
        stopped_early = bool(patience) and self.progress.stale >= patience
        return self.steps_left() <= 0 or stopped_early

    def steps_left(self) -> float:
        """Minibatches until the end; inf within epochs whose number decides."""
        if self.job.epochs is None:
            return self.job.total_steps - self.progress.step
        return math.inf if self.progress.epoch < self.job.epochs else 0

    def epochs_done(self) -> float:
        """Epochs done, including the part of the present one."""
        epoch, cursor = self.progress.epoch, self.progress.cursor
        if cursor == 0:  # saves making the next epoch's plan
            return float(epoch)
        return epoch + cursor / len(self.job.plan(epoch))

    def call(self, state: TrainState, bar: ProgressBar) -> TrainState:
        """One compiled call of up to `log_every` minibatches, and its metrics."""
        job, progress, every = self.job, self.progress, self.config.log_every
        if progress.cursor == 0:
            state = job.new_epoch(state)
            progress.total = progress.count = 0.0
        plan, begin = job.plan(progress.epoch), progress.cursor
        end = int(
            min(begin + every - begin % every, len(plan), begin + self.steps_left())
        )
        clock = time.perf_counter()
        state, summed = job.train_loop(state, job.data, plan, begin, end)
        metrics = {k: float(v) for k, v in summed._asdict().items()}
        seconds = time.perf_counter() - clock
        total, count = metrics["total"], metrics["count"]
        if not (math.isfinite(total) and math.isfinite(metrics["grad_norm"])):
            what = "gradient" if math.isfinite(total) else "loss"
            self.stop(what, int(state.step))

        progress.step += end - begin
        progress.cursor = end % len(plan)
        progress.epoch += end == len(plan)
        progress.total += total
        progress.count += count
        objective = job.objective
        progress.train_measure = objective.of_sums(progress.total, progress.count)
        progress.predictions += count
        progress.train_seconds += seconds
        numbers = {
            f"train_{objective.measure}": objective.of_sums(total, count),
            **{k: v for k, v in metrics.items() if k.endswith("_norm")},
            f"{objective.unit}_per_second": round(count / seconds),
        }
        if job.learning_rate is not None:
            rate = float(job.learning_rate(progress.step - 1))
            numbers["learning_rate"] = rate * float(state.learning_rate_scale)
        self.workdir.log(step=progress.step, epoch=self.epochs_done(), **numbers)
        bar.advance(end - begin, f"{objective.measure} {progress.train_measure:.3f}")
        return state

    def validate(self, state: TrainState, bar: ProgressBar) -> bool:
        """Whether validation improved on the best so far; the best state is saved."""
        progress, objective = self.progress, self.job.objective
        numbers = self.job.validate(state)
        if any(map(math.isnan, numbers.values())):
            self.stop("validation loss", progress.step)
        self.workdir.log(
            step=progress.step,
            epoch=self.epochs_done(),
            **{f"epoch_{objective.measure}": progress.train_measure},
            **numbers,
        )
        shown = (f"{k.replace('_', ' ')} {v:.3f}" for k, v in numbers.items())
        speed = progress.predictions / progress.train_seconds
        bar.line(
            f"epoch {progress.epoch}, step {progress.step}: train {objective.measure} "
            f"{progress.train_measure:.3f}, {', '.join(shown)}, "
            f"{speed:,.0f} {objective.unit}/s"
        )
        improved = self.is_improvement(numbers)
        if improved or self.breaks_tie(numbers):
            self.check_parameters(state)
            progress.best_value = numbers[objective.criterion]
            progress.best_perplexity = numbers.get("valid_perplexity", math.nan)
            progress.best_step = progress.step
            progress.stale = 0 if improved else progress.stale + 1
            self.best.save(progress.step, state, dataclasses.asdict(progress))
        else:
            progress.stale += 1
        return improved

    def is_improvement(self, numbers: Mapping[str, float]) -> bool:
        objective = self.job.objective
        value = numbers[objective.criterion]
        return objective.improves(value, self.progress.best_value)

    def breaks_tie(self, numbers: Mapping[str, float]) -> bool:
        """Whether an equal criterion comes with a lower perplexity.

        At an accuracy of 1 epochs tie while the perplexity keeps falling. The lower
        one is kept, but is no improvement, or early stopping would wait for it.
        """
        same = numbers[self.job.objective.criterion] == self.progress.best_value
        perplexity = numbers.get("valid_perplexity", math.nan)
        return same and perplexity < self.progress.best_perplexity

    def check_parameters(self, state: TrainState) -> None:
        """Never save parameters that are not finite."""
        if not all(np.isfinite(p).all() for p in jax.tree.leaves(state.params)):
            self.stop("update", int(state.step))

    def stop(self, what: str, step: int) -> None:
        kept = self.last.steps()
        where = f"the checkpoint of step {kept[-1]} is kept" if kept else "none is kept"
        raise UserError(
            f"the {what} was not finite at step {step}; {where}; try a lower "
            f"--learning_rate, or --clip_norm, in another --workdir."
        )
