"""The documented rules of the training loop, minibatch by minibatch, and a toy job.

`simulate` shares no code with experiments/common/train_loop.py: it knows neither calls,
nor checkpoints that are read, nor progress, and runs once from the first minibatch to
the last.
"""

import copy
import dataclasses
import math
from typing import ClassVar

import numpy as np

from experiments.common.job import Job, Objective
from seqjax.checkpoint import CheckpointError
from seqjax.training import Metrics, TrainState

OBJECTIVE = Objective(
    "loss", lambda total, count: total / count, "valid_score", maximize=True
)
POISONS = ("loss", "gradient", "update", "validation loss")


@dataclasses.dataclass(frozen=True)
class Case:
    """A run: what it trains on, what its validations find, and its settings."""

    sizes: tuple[int, ...]  # minibatches of epochs 0, 1, ..., again from the first
    epochs: int | None  # the end of the run, or
    steps: int  # its number of minibatches
    scores: tuple[tuple[float, float], ...]  # score and perplexity of each validation
    log_every: int = 3
    checkpoint_every: int = 4
    eval_every: int = 1
    patience: int = 0
    average_checkpoints: int = 1
    plateau_factor: float = 1.0
    poison: tuple[str, int] | None = None  # what is not finite, from which step on

    def size(self, epoch):
        return self.sizes[epoch % len(self.sizes)]

    def values(self, epoch):
        """The values of the minibatches of an epoch: their losses, and what moves w."""
        rng = np.random.default_rng((7, epoch))
        return [float(x) for x in rng.integers(1, 100, self.size(epoch))]

    def score(self, step):
        return self.scores[step % len(self.scores)]

    def is_poisoned(self, what, step):
        return (
            self.poison is not None
            and self.poison[0] == what
            and (step >= self.poison[1])
        )


@dataclasses.dataclass
class Outcome:
    """What a run leaves."""

    lines: list = dataclasses.field(default_factory=list)  # of metrics
    saves: list = dataclasses.field(default_factory=list)  # steps of "last", in order
    best: list = dataclasses.field(default_factory=list)  # steps that are kept
    w: float = 0.0
    updates: int = 0
    scale: float = 1.0
    stale: int = 0
    best_value: float = math.nan
    best_step: int = 0
    step: int = 0
    predictions: float = 0.0
    train_seconds: float = 0.0
    seconds: float = 0.0
    stopped: tuple[str, int] | None = None  # what was not finite, and at which step


def learning_rate(step):
    """The rate of the update after `step` others."""
    return 1 / (1 + step)


def params_of(w):
    """The toy's parameters; what is not finite is one number of one array."""
    return {"constant": np.zeros(2), "w": np.array([0.0, w])}


def value_of(params):
    return float(params["w"][1])


def push(w, carry, scale, value):
    """The toy's update of w."""
    return 0.5 * w + scale * value + carry


def simulate(case):
    """The Outcome of a run of `case` by the rules, at a second a minibatch."""
    run, best_perplexity = Outcome(), math.nan
    epoch_sums, line_sums = [0.0, 0.0], [0.0, 0.0]
    epoch, index, carry = 0, 0, 0.0
    while True:
        if index == 0:
            carry, epoch_sums = 0.0, [0.0, 0.0]
        value, size = case.values(epoch)[index], case.size(epoch)
        run.step, index = run.step + 1, index + 1
        run.predictions += 2
        run.train_seconds, run.seconds = run.train_seconds + 1, run.seconds + 1
        for what in ("loss", "gradient"):
            if case.is_poisoned(what, run.step):
                run.stopped = (what, run.step)
                return run
        run.w, run.updates = push(run.w, carry, run.scale, value), run.updates + 1
        carry += 1
        line_sums = [line_sums[0] + value, line_sums[1] + 2]
        epoch_ends = index == size
        is_last = run.step == case.steps
        if case.epochs is not None:
            is_last = epoch_ends and epoch + 1 == case.epochs
        place = float(epoch + 1) if epoch_ends else epoch + index / size
        if epoch_ends or is_last or index % case.log_every == 0:
            rate = run.scale * learning_rate(run.step - 1)
            run.lines.append(
                {
                    **{"step": run.step, "epoch": place, "learning_rate": rate},
                    "train_loss": line_sums[0] / line_sums[1],
                }
            )
            epoch_sums = [a + b for a, b in zip(epoch_sums, line_sums, strict=True)]
            line_sums = [0.0, 0.0]
        counts = epoch_ends and (epoch + 1) % case.eval_every == 0
        due = run.step % case.checkpoint_every == 0
        if due or counts or is_last:
            if case.is_poisoned("update", run.step):
                run.stopped = ("update", run.step)
                return run
            run.saves.append(run.step)
        if counts or is_last:
            if case.is_poisoned("validation loss", run.step):
                run.stopped = ("validation loss", run.step)
                run.saves.pop()
                return run
            score, perplexity = case.score(run.step)
            run.lines.append(
                {
                    **{"step": run.step, "epoch": place},
                    **{"epoch_loss": epoch_sums[0] / epoch_sums[1]},
                    **{"valid_score": score, "valid_perplexity": perplexity},
                }
            )
            gained = math.isnan(run.best_value) or score > run.best_value
            if gained or (score == run.best_value and perplexity < best_perplexity):
                run.best_value, best_perplexity = score, perplexity
                run.best_step = run.step
                run.best = [*run.best, run.step][-case.average_checkpoints :]
            run.stale = 0 if gained else run.stale + 1
            if counts and not gained:
                run.scale *= case.plateau_factor
        if is_last or (case.patience and run.stale >= case.patience):
            run.saves.append(run.step)  # with what the validation found
            return run
        if epoch_ends:
            epoch, index = epoch + 1, 0


class Killed(BaseException):
    """The process was killed here."""


class Toy:
    """The job of a case. Its calls take `seconds` a minibatch on a clock of its own.

    Args:
      case: the run.
      kill_at: the step within which the process is killed; None never.
      kill_validation: whether it is killed in the validation of that step instead.
    """

    def __init__(self, case, seconds=0.0, kill_at=None, kill_validation=False):
        self.case, self.seconds, self.clock = case, seconds, 0.0
        self.kill_at, self.kill_validation = kill_at, kill_validation
        self.calls, self.step = [], 0

    def perf_counter(self):
        return self.clock

    def state(self):
        zero = np.zeros(())
        return TrainState(
            step=np.zeros((), np.int32),
            params=params_of(0.0),
            opt_state=np.zeros((), np.int32),
            carry=zero,
            key=np.zeros(2, np.uint32),
            learning_rate_scale=np.ones(()),
        )

    def job(self):
        case = self.case
        # Where the number of epochs decides, the number of steps is an estimate.
        return Job(
            self.train_loop,
            data="data",
            plan=case.values,
            total_steps=case.steps,
            validate=self.validate,
            new_epoch=lambda state: state.replace(carry=np.zeros(())),
            objective=OBJECTIVE,
            epochs=case.epochs,
            learning_rate=learning_rate,
            plateau_factor=case.plateau_factor,
        )

    def train_loop(self, state, data, plan, begin, end, total=0.0, count=0.0):
        assert data == "data"
        self.calls.append((begin, end))
        w, carry, grad_norm = value_of(state.params), float(state.carry), 0.0
        scale, step, updates = state.learning_rate_scale, int(state.step), 0
        for i in range(begin, end):
            step, updates, self.clock = step + 1, updates + 1, self.clock + self.seconds
            if step == self.kill_at and not self.kill_validation:
                raise Killed
            w, carry = push(w, carry, float(scale), plan[i]), carry + 1
            total, count, grad_norm = total + plan[i], count + 2, 1.0
            if self.case.is_poisoned("loss", step):
                total = math.inf
                break
            if self.case.is_poisoned("gradient", step):
                grad_norm = math.nan
                break
        if self.case.is_poisoned("update", step):
            w = math.inf
        self.step = step
        state = state.replace(
            step=np.asarray(step, np.int32),
            params=params_of(w),
            opt_state=state.opt_state + updates,
            carry=np.asarray(carry),
        )
        return state, Metrics(total, count, grad_norm, abs(w), 0.0)

    def validate(self, state):
        step = int(state.step)
        assert np.isfinite(value_of(state.params))
        if step == self.kill_at and self.kill_validation:
            raise Killed
        score, perplexity = self.case.score(step)
        if self.case.is_poisoned("validation loss", step):
            score = math.nan
        return {"valid_score": score, "valid_perplexity": perplexity}


class MemoryCheckpoints:
    """`seqjax.checkpoint.Checkpoints` in memory, with a record of the saves."""

    stores: ClassVar = {}  # directory -> {step: (state, progress)}
    saves: ClassVar = []  # steps of "last"

    @classmethod
    def of(cls, kind):
        """The steps of the directory of this name."""
        (found,) = (s for d, s in cls.stores.items() if d.name == kind)
        return sorted(found)

    def __init__(self, directory, keep=2):
        self.name, self.keep = directory.name, keep
        self.store = self.stores.setdefault(directory, {})

    def steps(self):
        return sorted(self.store)

    def save(self, step, state, progress):
        assert np.isfinite(value_of(state.params))
        assert step == progress["step"] == int(state.step)
        if self.name == "last":
            self.saves.append(step)
        self.store[step] = copy.deepcopy((state, progress))
        self.prune(step)

    def copy(self, other, step):
        self.store[step] = copy.deepcopy(other.store[step])
        self.prune(step)

    def prune(self, step):
        kept = [s for s in self.steps() if s <= step][-self.keep :]
        for other in set(self.store) - set(kept):
            del self.store[other]

    def remove(self, step):
        del self.store[step]

    def restore(self, template):
        del template
        if not self.store:
            raise CheckpointError("none")
        return *copy.deepcopy(self.store[self.steps()[-1]]), []
