"""Training by Baum-Welch iterations, with checkpoints, and held-out likelihoods."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import activity, interrupts
from experiments.common.console import ProgressBar, note
from experiments.common.errors import UserError
from experiments.common.workdir import Workdir
from experiments.hidden_markov.config import Config, TrainConfig
from experiments.hidden_markov.data import Observations, cut, minibatches
from seqjax.baselines.emissions import GaussianParams
from seqjax.baselines.hmm import HMM, HMMParams
from seqjax.checkpoint import Checkpoints

CHUNK = 1024  # held-out tokens that are filtered at a time


def fit(
    config: Config, workdir: Workdir, model: HMM, data: Observations
) -> tuple[HMMParams, dict[str, Any]]:
    """Iterate from the last checkpoint, if there is one: (params, progress)."""
    started, train = time.perf_counter(), config.train
    checkpoints = Checkpoints(workdir.checkpoints / "last")
    params = initial_params(config.run.seed, model, data)
    params, progress = resume(workdir, checkpoints, params)
    batches = minibatches(data.train, train.num_steps, train.batch_size)
    step = compiled_step(model, params, batches, config.model.prior)
    earlier, saved_at = progress["seconds"], started
    with ProgressBar(train.iterations, progress["iterations"]) as bar:
        while not is_finished(train, progress):
            with interrupts.held():
                # A step returns the likelihood of the parameters that it was given.
                params, log_likelihood = step(params, *batches, config.model.prior)
                progress = advanced(progress, float(log_likelihood), len(data.train))
                progress["seconds"] = earlier + time.perf_counter() - started
                report(workdir, progress, bar)
                minutes = (time.perf_counter() - saved_at) / 60
                if (
                    interrupts.requested()
                    or is_finished(train, progress)
                    or progress["iterations"] % train.checkpoint_every == 0
                    or minutes >= train.checkpoint_minutes
                ):
                    checkpoints.save(progress["iterations"], params, progress)
                    saved_at = time.perf_counter()
                    keep(workdir, progress)
    activity.begin("the evaluation")
    return params, progress


def compiled_step(
    model: HMM, params: HMMParams, batches: Any, prior: float
) -> Callable[..., Any]:
    """`model.baum_welch_step`, compiled before the iterations."""
    with activity.compiling("the training step", print):
        step = jax.jit(model.baum_welch_step).lower(params, *batches, prior).compile()
    activity.begin("the training")
    return step


def report(workdir: Workdir, progress: dict[str, Any], bar: ProgressBar) -> None:
    """Log an iteration, and show it."""
    iteration, per_token = progress["iterations"], progress["per_token"]
    workdir.log(step=iteration, log_likelihood=progress["log_likelihood"])
    text = f"log-likelihood {per_token:.4f} per token"
    bar.advance(1, text)
    if iteration % 10 == 0:
        bar.line(f"iteration {iteration}: {text}")


def keep(workdir: Workdir, progress: dict[str, Any]) -> None:
    """Set what an interrupt says."""
    interrupts.keep(
        f"iteration {progress['iterations']} is saved in {workdir.path}; the same "
        f"command continues from there"
    )


def initial_params(seed: int, model: HMM, data: Observations) -> HMMParams:
    """Random parameters; Gaussians start at quantiles of the data."""
    params = model.init(jax.random.key(seed))
    if data.vocab is None:
        number = model.num_states
        shares = (np.arange(number) + 0.5) / number
        mean = jnp.asarray(np.quantile(data.train, shares, axis=0), jnp.float32)
        narrow = jnp.full_like(mean, -2 * math.log(number))  # deviations of 1/K
        params = params._replace(emission=GaussianParams(mean, narrow))
    return params


def resume(
    workdir: Workdir, checkpoints: Checkpoints, params: HMMParams
) -> tuple[HMMParams, dict[str, Any]]:
    """(params, progress) of the last checkpoint, else of the beginning."""
    progress: dict[str, Any] = dict.fromkeys(("log_likelihood", "per_token", "gain"))
    progress |= {"iterations": 0, "seconds": 0.0}
    if checkpoints.steps():
        params, progress, unreadable = checkpoints.restore(params)
        for sentence in unreadable:
            note(f"{sentence} Continuing from the one before.")
        note(f"continuing from iteration {progress['iterations']} in {workdir.path}.")
        keep(workdir, progress)
    workdir.rewind_metrics(progress["iterations"])
    return params, progress


def is_finished(train: TrainConfig, progress: dict[str, Any]) -> bool:
    """Whether the iterations are done, or the last one gained too little."""
    gain = progress["gain"]
    gained_little = gain is not None and gain < train.tolerance
    return gained_little or progress["iterations"] >= train.iterations


def advanced(
    progress: dict[str, Any], log_likelihood: float, num_tokens: int
) -> dict[str, Any]:
    """The progress after one more iteration.

    Raises:
      UserError: if the data have probability 0.
    """
    if not math.isfinite(log_likelihood):
        raise UserError(
            f"the log-likelihood is {log_likelihood} after "
            f"{progress['iterations']} iterations; give a --prior above 0."
        )
    per_token, before = log_likelihood / num_tokens, progress["per_token"]
    return progress | {
        "iterations": progress["iterations"] + 1,
        "log_likelihood": log_likelihood,
        "per_token": per_token,
        "gain": None if before is None else per_token - before,
    }


_log_likelihood = jax.jit(HMM.log_likelihood, static_argnums=0)


@partial(jax.jit, static_argnums=0)
def _log_likelihoods(
    model: HMM, params: HMMParams, xs: jax.Array, lengths: jax.Array
) -> jax.Array:
    """[N]: each chunk xs [N, T, ...] of one sequence, given those before it."""

    def chunk(belief: jax.Array, inputs: Any) -> tuple[jax.Array, jax.Array]:
        xs, lengths = inputs
        found = model.filter(params, xs, lengths, belief)
        return found.belief, found.log_likelihood

    return jax.lax.scan(chunk, params.initial, (xs, lengths))[1]


def held_out(model: HMM, params: HMMParams, part: np.ndarray) -> tuple[float, int]:
    """(negative log-likelihood, count) of a part but for its first element."""
    xs, lengths = cut(part, CHUNK)
    found = _log_likelihoods(model, params, jnp.asarray(xs), jnp.asarray(lengths))
    first = _log_likelihood(model, params, jnp.asarray(part[:1]))
    total = np.asarray(found, np.float64).sum() - float(first)
    return -total, len(part) - 1
