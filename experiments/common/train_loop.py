"""The training loop of every command: epochs, logs, validation, checkpoints, resume.

Restored on resume, in this order: the TrainState (parameters, optimizer, step, key,
carry), the `Progress`, and metrics.jsonl cut back to the step of the checkpoint.

Compiled calls end at multiples of `log_every` within an epoch, where a line of metrics
is logged, at multiples of `checkpoint_every`, and wherever CALL_SECONDS are over, so
that an interrupt is soon noticed. Where they end changes nothing: the sums of a line go
from call to call, and a resumed run equals an uninterrupted run bit for bit from a
checkpoint at any step.

Checkpoints are saved at multiples of `checkpoint_every`, after `checkpoint_minutes`,
before a validation, after the last one, and at an interrupt. A checkpoint that was
saved before its validation is validated when the run resumes.
"""

import contextlib
import math
import time
from collections.abc import Mapping
from typing import Any

from experiments.common import activity, guards, interrupts, processes
from experiments.common.averaging import after_validation
from experiments.common.console import ProgressBar
from experiments.common.errors import UserError
from experiments.common.job import Job, Progress, TrainConfig
from experiments.common.saving import RunCheckpoints, has_finite_parameters
from experiments.common.tracking import Tracking
from experiments.common.workdir import Workdir
from seqjax.training import TrainState
from seqjax.training.averages import averaged

CALL_SECONDS = 1.0  # of a compiled call, at most, if a minibatch takes no longer


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
      UserError: when a loss, a gradient or a parameter is not finite, or the run
        diverges; the checkpoints stay.
    """
    with contextlib.closing(RunCheckpoints(workdir, config)) as checkpoints:
        return _Training(job, workdir, config, checkpoints).run(state)


class _Training:
    """One call of `fit`."""

    def __init__(
        self,
        job: Job,
        workdir: Workdir,
        config: TrainConfig,
        checkpoints: RunCheckpoints,
    ) -> None:
        self.job, self.workdir, self.config = job, workdir, config
        self.checkpoints = checkpoints
        self.progress = Progress()
        self.planned: tuple[int, Any] = (-1, None)  # an epoch and its minibatches
        self.pace = 1  # minibatches of a call that takes CALL_SECONDS

    def run(self, state: TrainState) -> tuple[TrainState, Progress]:
        started = time.perf_counter()
        place = self.job.placement
        state, progress = self.checkpoints.resume(state)
        state, self.data = place.state(state), place.everywhere(self.job.data)
        self.progress = progress
        criterion = None if progress.validated else self.job.objective.criterion
        self.workdir.rewind_metrics(progress.step, criterion)
        self.started = started - progress.seconds
        self.checkpoints.check_space(state)
        self.tracking = Tracking(self.workdir, self.config, progress.step)
        with contextlib.closing(self.tracking):
            return self.train(state)

    def train(self, state: TrainState) -> tuple[TrainState, Progress]:
        """From the resumed state to the end."""
        progress = self.progress
        progress.finished = False
        if not self.is_finished():
            state = self.compile(state)
        with ProgressBar(self.job.total_steps, progress.step) as bar:
            while True:
                if self.is_validation_due():
                    self.save(state)
                    state = self.validate(state, bar)
                if self.is_finished():
                    break
                activity.begin("the training")
                with interrupts.held():
                    state = self.call(state, bar)
                    self.save_if_due(state)
        progress.finished = True
        self.save(state)
        self.checkpoints.writer.wait()
        processes.wait()
        return self.job.placement.whole(state), progress

    def compile(self, state: TrainState) -> TrainState:
        """A call of no steps, so that the clocks of later calls measure training."""
        plan, clock = self.plan(self.progress.epoch), time.perf_counter()
        activity.begin("the training step")
        state, _ = self.job.train_loop(state, self.data, plan, 0, 0, 0.0, 0.0)
        seconds = time.perf_counter() - clock
        print(f"compiling the training step took {seconds:.1f} s", flush=True)
        return state

    def plan(self, epoch: int) -> Any:
        """The minibatches of an epoch, on the devices if they are an array."""
        if self.planned[0] != epoch:
            plan = self.job.placement.everywhere(self.job.plan(epoch))
            self.planned = epoch, plan
        return self.planned[1]

    def save_if_due(self, state: TrainState) -> None:
        """Save a checkpoint where one is due; before an interrupt, wait until it is."""
        self.checkpoints.writer.check()
        asked = self.checkpoints.is_due(self.progress.step), interrupts.requested()
        due, requested = processes.greatest(asked)
        if requested or due:
            self.save(state)
        if requested:
            self.checkpoints.writer.wait()
            processes.wait()
            self.checkpoints.keep(self.progress.step)
            processes.part()
            if not interrupts.requested():  # another process got the signal
                interrupts.receive()

    def save(self, state: TrainState) -> None:
        """Save a checkpoint, unless this very step is saved."""
        progress = self.progress
        if self.checkpoints.holds(progress):
            return
        if not has_finite_parameters(state):
            self.stop(guards.not_finite("update", int(state.step)))
        progress.seconds = time.perf_counter() - self.started
        self.checkpoints.save(self.job.placement.on_host(state), progress)

    def is_validation_due(self) -> bool:
        ended = self.steps_left() <= 0 or self.has_ended_epoch()
        return ended and not self.progress.validated

    def has_ended_epoch(self) -> bool:
        """Whether an epoch has just ended whose number asks for a validation."""
        progress = self.progress
        return progress.cursor == 0 and progress.epoch % self.config.eval_every == 0

    def is_finished(self) -> bool:
        patience = self.config.patience
        stopped_early = bool(patience) and self.progress.stale >= patience
        return self.steps_left() <= 0 or stopped_early or self.progress.ended

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
        return epoch + cursor / len(self.plan(epoch))

    def call(self, state: TrainState, bar: ProgressBar) -> TrainState:
        """One compiled call, and a line of metrics where one ends."""
        job, progress, config = self.job, self.progress, self.config
        if progress.cursor == 0:
            new = job.new_epoch(state)
            if new.carry is not state.carry:
                state = new.replace(carry=job.placement.carry(new.carry))
            progress.total = progress.count = 0.0
        plan, begin = self.plan(progress.epoch), progress.cursor
        line_end = int(
            min(
                begin + config.log_every - begin % config.log_every,
                len(plan),
                begin + self.steps_left(),
            )
        )
        to_checkpoint = (
            config.checkpoint_every - progress.step % config.checkpoint_every
        )
        end = min(line_end, begin + self.pace, begin + to_checkpoint)
        clock, sums = time.perf_counter(), (progress.line_total, progress.line_count)
        with self.tracking.call():
            state, summed = job.train_loop(state, self.data, plan, begin, end, *sums)
            metrics = {k: float(v) for k, v in summed._asdict().items()}
        (seconds,) = processes.greatest([time.perf_counter() - clock])
        if not (
            math.isfinite(metrics["total"]) and math.isfinite(metrics["grad_norm"])
        ):
            what = "gradient" if math.isfinite(metrics["total"]) else "loss"
            self.stop(guards.not_finite(what, int(state.step)))
        number, most = int(metrics["skipped"]), config.max_skipped
        self.stop(guards.skipped(progress, number, most))
        in_time = int((end - begin) * CALL_SECONDS / max(seconds, 1e-9))
        self.pace = max(1, min(in_time, 4 * self.pace))

        progress.step += end - begin
        progress.cursor = end % len(plan)
        progress.epoch += end == len(plan)
        progress.validated = False
        progress.line_total, progress.line_count = metrics["total"], metrics["count"]
        progress.line_seconds += seconds
        if end == line_end:
            self.log_line(state, metrics)
        bar.advance(end - begin, self.shown())
        return state

    def log_line(self, state: TrainState, metrics: Mapping[str, float]) -> None:
        """Log a line of metrics, and begin the sums of the next."""
        job, progress, objective = self.job, self.progress, self.job.objective
        total, count = progress.line_total, progress.line_count
        seconds = max(progress.line_seconds, 1e-9)
        if count:
            factor = self.config.divergence
            self.stop(guards.divergence(progress, total / count, factor))
        numbers = {
            f"train_{objective.measure}": objective.of_sums(total, count),
            **{k: v for k, v in metrics.items() if k.endswith("_norm")},
            f"{objective.unit}_per_second": round(count / seconds),
        }
        if job.learning_rate is not None:
            rate = float(job.learning_rate(progress.step - 1))
            numbers["learning_rate"] = rate * float(state.learning_rate_scale)
        if progress.skipped:
            numbers["skipped"] = progress.skipped
        self.log(numbers)
        progress.total += total
        progress.count += count
        progress.train_measure = objective.of_sums(progress.total, progress.count)
        progress.predictions += count
        progress.train_seconds += progress.line_seconds
        progress.line_total = progress.line_count = progress.line_seconds = 0.0

    def log(self, numbers: Mapping[str, float]) -> None:
        """Log numbers of this step."""
        step = self.progress.step
        self.workdir.log(step=step, epoch=self.epochs_done(), **numbers)
        self.tracking.log(step, numbers)

    def shown(self) -> str:
        """The training number so far, for the bar."""
        progress, objective = self.progress, self.job.objective
        total = progress.total + progress.line_total
        value = objective.of_sums(total, progress.count + progress.line_count)
        return f"{objective.measure} {value:.3f}"

    def validate(self, state: TrainState, bar: ProgressBar) -> TrainState:
        """Validate a state that is saved, and keep it if it is the best so far."""
        progress, objective = self.progress, self.job.objective
        with activity.compiling("the validation", bar.line):
            numbers = self.job.validate(state.replace(params=averaged(state)))
        # Of process 0, so that all decide alike.
        first = processes.of_first(list(numbers.values()))
        numbers = dict(zip(numbers, first, strict=True))
        if any(map(math.isnan, numbers.values())):
            self.checkpoints.remove(progress.step)
            self.stop(guards.not_finite("validation loss", progress.step))
        self.log_validation(numbers, bar)
        improved = self.is_improvement(numbers)
        if improved or self.breaks_tie(numbers):
            progress.best_value = numbers[objective.criterion]
            progress.best_perplexity = numbers.get("valid_perplexity", math.nan)
            progress.best_step = progress.step
            self.checkpoints.choose(progress.step)
        progress.stale = 0 if improved else progress.stale + 1
        progress.validated = True
        value = numbers[objective.criterion]
        progress.values.append(-value if objective.maximize else value)
        decision = after_validation(self.job.averaging, state, progress.values)
        state, progress.values, progress.ended, event = decision
        if event is not None:
            bar.line(f"step {progress.step}: {event}")
        if improved or not self.has_ended_epoch():
            return state
        scale = state.learning_rate_scale * self.job.plateau_factor
        return state.replace(learning_rate_scale=scale)

    def log_validation(self, numbers: Mapping[str, float], bar: ProgressBar) -> None:
        progress, objective = self.progress, self.job.objective
        measure, value = objective.measure, progress.train_measure
        self.log({f"epoch_{measure}": value, **numbers})
        shown = (f"{k.replace('_', ' ')} {v:.3f}" for k, v in numbers.items())
        speed = progress.predictions / progress.train_seconds
        bar.line(
            f"epoch {progress.epoch}, step {progress.step}: train {measure} "
            f"{value:.3f}, {', '.join(shown)}, {speed:,.0f} {objective.unit}/s"
        )

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

    def stop(self, reason: str | None) -> None:
        """End the run if there is a reason."""
        if reason is not None:
            raise UserError(
                f"{reason}; {self.checkpoints.kept()}; try a lower --learning_rate, or "
                f"--clip_norm, in another --workdir."
            )
