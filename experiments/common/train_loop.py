"""The training loop of every experiment: epochs, logs, validation, checkpoints, resume.

What is restored, in this order: the TrainState (parameters, optimizer, step, key,
carry), the progress below, and metrics.jsonl cut back to the checkpoint's step.
Compiled calls end at multiples of --log_every within an epoch, and checkpoints are
taken only there, so that a resumed run makes the very calls of an uninterrupted one.
"""

import dataclasses
import math
import time

import jax
import numpy as np
from absl import flags

from experiments import run
from seqjax.checkpoint import Checkpoints
from seqjax.metrics import perplexity

FLAGS = flags.FLAGS
flags.DEFINE_integer("eval_every", 1, "epochs between validations", lower_bound=1)
flags.DEFINE_integer("log_every", 50, "minibatches in a compiled call", lower_bound=1)
flags.DEFINE_integer("checkpoint_every", 500, "minibatches between checkpoints", 1)
flags.DEFINE_integer(
    "patience", 0, "validations without a gain until the end; 0: no", 0
)
flags.DEFINE_integer("average_checkpoints", 1, "of the last so many best ones", 1, 100)


@dataclasses.dataclass
class Progress:
    """Where a run stands, beside its TrainState; kept in each checkpoint."""

    step: int = 0  # minibatches done
    epoch: int = 0  # epochs done
    cursor: int = 0  # minibatches done of this epoch: the place in the data
    total: float = 0.0  # nats over this epoch so far
    count: float = 0.0  # predictions over this epoch so far
    train_perplexity: float = math.nan  # Job.measure over the last epoch
    best_value: float = math.nan  # on validation, of Job.criterion
    best_perplexity: float = math.nan  # on validation, then; decides between equals
    best_step: int = 0
    stale: int = 0  # validations without a gain in best_value
    predictions: float = 0.0  # over the run
    train_seconds: float = 0.0  # within compiled calls, without compilation
    seconds: float = 0.0  # wall clock over all starts


@dataclasses.dataclass(frozen=True)
class Job:
    """What a run does; the experiment fills it in.

    Attributes:
      train_loop: (state, data, plan, begin, end) -> (state, (total, count, grad_norm)).
      data: what the loop reads, on the device.
      plan: epoch -> the minibatches of that epoch, of some length.
      total_steps: where to stop; or with
      epochs: after how many to stop, total_steps being about as many minibatches.
      validate: state -> {name: number} on held-out data.
      new_epoch: state -> state with the carry of an epoch's beginning.
      criterion: which of these numbers is to improve (of equals the lower
        "valid_perplexity" is best, if there is one), and
      maximize: whether by rising.
      measure: what (total, count) is shown as, and
      measure_of: the function that makes it of them.
      unit: what is counted.
    """

    train_loop: callable
    data: object
    plan: callable
    total_steps: int
    validate: callable
    new_epoch: callable = lambda state: state
    criterion: str = "valid_perplexity"
    maximize: bool = False
    measure: str = "perplexity"
    measure_of: callable = perplexity
    unit: str = "tokens"
    epochs: int | None = None

    def improves(self, value, best):
        """Whether a validation is better than the best so far, nan if there is none."""
        return math.isnan(best) or (value > best if self.maximize else value < best)


def fit(job, workdir, state):
    """Train until the job is done, from the workdir's last checkpoint if it has one.

    Returns:
      (state, Progress).

    Raises:
      UserError: when a loss or gradient is not finite; the checkpoints stay.
    """
    started = time.perf_counter()
    last = Checkpoints(workdir.checkpoints / "last", keep=2)
    best = Checkpoints(workdir.checkpoints / "best", FLAGS.average_checkpoints)
    state, progress = _resume(last, workdir, state)
    earlier, saved = progress.seconds, progress.step
    if not _is_over(job, progress):
        # A call of no steps compiles, so that the clock below measures training alone.
        state, _ = job.train_loop(state, job.data, job.plan(progress.epoch), 0, 0)

    with run.ProgressBar(job.total_steps, progress.step) as bar:
        while not _is_over(job, progress):
            state = _train_call(job, workdir, state, progress, last, bar)
            at_end = _is_over(job, progress)
            epoch_over = progress.cursor == 0 and progress.epoch % FLAGS.eval_every == 0
            if at_end or epoch_over:
                improved = _validate(job, workdir, state, progress, last, best, bar)
                if epoch_over and not improved:
                    state = _on_plateau(state)
                at_end = _is_over(job, progress)
            progress.seconds = earlier + time.perf_counter() - started
            if at_end or progress.step - saved >= FLAGS.checkpoint_every:
                _check_parameters(state, last)
                last.save(progress.step, state, dataclasses.asdict(progress))
                saved = progress.step
    return state, progress


def check_nothing_is_chosen():
    """Refuse a choice by the validation part, where --train_on_valid trains on it."""
    by_patience = FLAGS.patience or FLAGS.schedule == "plateau"
    if FLAGS.train_on_valid and (FLAGS.checkpoint == "best" or by_patience):
        raise run.UserError(
            "--train_on_valid needs --checkpoint=last, and neither --patience nor "
            "--schedule=plateau: nothing is held out to choose by."
        )


def with_valid(corpus):
    """A corpus as --train_on_valid has it: its train holds valid, too.

    Args:
      corpus: a NamedTuple of lists, `train` and `valid` among them.
    """
    if not FLAGS.train_on_valid:
        return corpus
    return corpus._replace(train=[*corpus.train, *corpus.valid])


def valid_column():
    """The heading of the validation part's numbers."""
    return "valid (trained on)" if FLAGS.train_on_valid else "valid"


def _on_plateau(state):
    factor = FLAGS.decay if FLAGS.schedule == "plateau" else 1.0
    return state.replace(learning_rate_scale=state.learning_rate_scale * factor)


def _is_over(job, progress):
    tired = FLAGS.patience and progress.stale >= FLAGS.patience
    return _steps_left(job, progress) <= 0 or tired


def _steps_left(job, progress):
    """Minibatches until the end; whole epochs have an end that need not be known."""
    if job.epochs is None:
        return job.total_steps - progress.step
    return math.inf if progress.epoch < job.epochs else 0


def _epochs(job, progress):
    """Epochs done, with the part of the one that is under way."""
    if progress.cursor == 0:  # the next one's plan need not be made for this
        return float(progress.epoch)
    return progress.epoch + progress.cursor / len(job.plan(progress.epoch))


def _resume(last, workdir, state):
    if not last.steps():
        workdir.rewind_metrics(0)
        return state, Progress()
    state, progress, unreadable = last.restore(state)
    for sentence in unreadable:
        run.note(f"{sentence} Going on from the one before.")
    progress = Progress(**progress)
    workdir.rewind_metrics(progress.step)
    run.note(f"going on from step {progress.step} in {workdir.path}.")
    return state, progress


def _train_call(job, workdir, state, progress, last, bar):
    """One compiled call of up to `log_every` minibatches, and its line of metrics."""
    if progress.cursor == 0:
        state = job.new_epoch(state)
        progress.total = progress.count = 0.0
    plan, begin = job.plan(progress.epoch), progress.cursor
    end = min(
        begin + FLAGS.log_every - begin % FLAGS.log_every,
        len(plan),
        begin + _steps_left(job, progress),
    )
    clock = time.perf_counter()
    state, summed = job.train_loop(state, job.data, plan, begin, end)
    total, count, grad_norm = (float(x) for x in summed)
    seconds = time.perf_counter() - clock
    if not (math.isfinite(total) and math.isfinite(grad_norm)):
        what = "gradient" if math.isfinite(total) else "loss"
        _stop(what, int(state.step), last)

    progress.step += end - begin
    progress.cursor = end % len(plan)
    progress.epoch += end == len(plan)
    progress.total += total
    progress.count += count
    progress.train_perplexity = job.measure_of(progress.total, progress.count)
    progress.predictions += count
    progress.train_seconds += seconds
    numbers = {
        f"train_{job.measure}": job.measure_of(total, count),
        "grad_norm": grad_norm,
        f"{job.unit}_per_second": round(count / seconds),
    }
    workdir.log(step=progress.step, epoch=_epochs(job, progress), **numbers)
    bar.advance(end - begin, f"{job.measure} {progress.train_perplexity:.3f}")
    return state


def _validate(job, workdir, state, progress, last, best, bar):
    """Whether validation gained on the best so far; the best state is kept."""
    numbers = job.validate(state)
    if any(map(math.isnan, numbers.values())):
        _stop("validation loss", progress.step, last)
    workdir.log(
        step=progress.step,
        epoch=_epochs(job, progress),
        **{f"epoch_{job.measure}": progress.train_perplexity},
        **numbers,
    )
    shown = (f"{k.replace('_', ' ')} {v:.3f}" for k, v in numbers.items())
    bar.line(
        f"epoch {progress.epoch}, step {progress.step}: train {job.measure} "
        f"{progress.train_perplexity:.3f}, {', '.join(shown)}, "
        f"{progress.predictions / progress.train_seconds:,.0f} {job.unit}/s"
    )
    value = numbers[job.criterion]
    improved = job.improves(value, progress.best_value)
    progress.stale = 0 if improved else progress.stale + 1
    # At an accuracy of 1 epochs tie, and perplexity goes on falling: the surer one is
    # better, but no gain, or patience would wait for perplexity.
    perplexity = numbers.get("valid_perplexity", math.nan)
    surer = value == progress.best_value and perplexity < progress.best_perplexity
    if improved or surer:
        _check_parameters(state, last)
        progress.best_value, progress.best_step = value, progress.step
        progress.best_perplexity = perplexity
        best.save(progress.step, state, dataclasses.asdict(progress))
    return improved


def _check_parameters(state, last):
    """Parameters that are not finite are never saved."""
    if not all(np.isfinite(p).all() for p in jax.tree.leaves(state.params)):
        _stop("update", int(state.step), last)


def _stop(what, step, last):
    kept = last.steps()
    where = f"the checkpoint of step {kept[-1]} is kept" if kept else "none was saved"
    raise run.UserError(
        f"the {what} was not finite at step {step}; {where}; try a lower "
        f"--learning_rate, or --clip_norm, in another --workdir."
    )
