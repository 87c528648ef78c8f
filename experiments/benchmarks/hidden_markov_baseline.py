"""Forward-backward of a hidden Markov model, for `benchmarks.baselines`.

An arm is a function (task, initial [K], transition [K, K], log_likelihoods [T, K]) that
returns a function without arguments. That function computes

    "filter"     {"log Z", "states"}: the log-likelihood of the sequence, and
                 P(state t | observations to t) [T, K]
    "smoother"   {"log Z", "states", "transitions"}: the log-likelihood,
                 P(state t | all observations) [T, K], and the expected numbers of
                 transitions [K, K]: the expectations of one iteration of Baum-Welch
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import environment, timing
from experiments.benchmarks.config import Shape, format_shape
from experiments.benchmarks.equality import compare
from seqjax.structured import linear_chain

TASKS = ("filter", "smoother")
TOLERANCE = 1e-4  # of probabilities and of log Z / T, in float32

Results: TypeAlias = Mapping[str, Any]
Arm: TypeAlias = Callable[..., Callable[[], Results]]


def draw(sizes: Shape, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random initial [K], transition [K, K] and log-likelihoods [T, K], float64.

    Args:
      sizes: (T, K).
      seed: random seed.
    """
    num_steps, num_states = sizes
    rng = np.random.default_rng(seed)
    initial = rng.dirichlet(np.ones(num_states))
    transition = rng.dirichlet(np.ones(num_states), num_states)
    return initial, transition, 2.0 * rng.normal(size=(num_steps, num_states))


def seqjax_arm(parallel: bool) -> Arm:
    """The arm of seqjax: a loop over time, or associative scans."""

    @jax.jit
    def run_filter(unary: jax.Array, pairwise: jax.Array) -> Results:
        found = linear_chain.forward(unary, pairwise, parallel=parallel)
        return {"log Z": found.log_partition, "states": jnp.exp(found.filtered)}

    @jax.jit
    def run_smoother(unary: jax.Array, pairwise: jax.Array) -> Results:
        found = linear_chain.marginals(unary, pairwise, parallel=parallel)
        return {
            "log Z": found.log_partition,
            "states": found.states,
            "transitions": found.pairs,
        }

    def arm(
        task: str, initial: Any, transition: Any, log_likelihoods: Any
    ) -> Callable[[], Results]:
        unary = jnp.asarray(log_likelihoods).at[0].add(np.log(initial))
        pairwise = jnp.log(jnp.asarray(transition))
        call = {"filter": run_filter, "smoother": run_smoother}[task]
        return lambda: jax.block_until_ready(call(unary, pairwise))

    return arm


def dynamax_arm(
    task: str, initial: Any, transition: Any, log_likelihoods: Any
) -> Callable[[], Results]:
    """The arm of dynamax, whose functions are compiled already."""
    from dynamax.hidden_markov_model import hmm_filter, hmm_smoother

    args = [jnp.asarray(a) for a in (initial, transition, log_likelihoods)]

    def run_filter() -> Results:
        found = hmm_filter(*args)
        results = {"log Z": found.marginal_loglik, "states": found.filtered_probs}
        return jax.block_until_ready(results)

    def run_smoother() -> Results:
        found = hmm_smoother(*args)
        results = {
            "log Z": found.marginal_loglik,
            "states": found.smoothed_probs,
            "transitions": found.trans_probs,
        }
        return jax.block_until_ready(results)

    return {"filter": run_filter, "smoother": run_smoother}[task]


def numpy_arm(
    task: str, initial: Any, transition: Any, log_likelihoods: Any
) -> Callable[[], Results]:
    """The arm of `numpy_forward_backward`."""
    return lambda: numpy_forward_backward(task, initial, transition, log_likelihoods)


def numpy_forward_backward(
    task: str, initial: np.ndarray, transition: np.ndarray, log_likelihoods: np.ndarray
) -> dict[str, np.ndarray]:
    """The results of a task by the scaled recursions, a loop over time.

    Source: Rabiner, "A tutorial on hidden Markov models", Proceedings of the IEEE 77,
    1989, section V.A.
    """
    maxima = log_likelihoods.max(axis=1)
    likelihoods = np.exp(log_likelihoods - maxima[:, None])
    filtered, scales = np.empty_like(likelihoods), np.empty_like(maxima)
    predicted = initial
    for t, likelihood in enumerate(likelihoods):
        joint = predicted * likelihood
        scales[t] = joint.sum()
        filtered[t] = joint / scales[t]
        predicted = filtered[t] @ transition
    log_z = np.sum(np.log(scales) + maxima, dtype=np.float64)
    if task == "filter":
        return {"log Z": log_z, "states": filtered}
    smoothed, ratios = np.empty_like(filtered), np.empty_like(filtered)
    future = np.ones_like(initial)
    for t in reversed(range(len(likelihoods))):
        smoothed[t] = filtered[t] * future
        ratios[t] = likelihoods[t] * future / scales[t]
        future = transition @ ratios[t]
    transitions = transition * (filtered[:-1].T @ ratios[1:])
    return {"log Z": log_z, "states": smoothed, "transitions": transitions}


def available_arms() -> dict[str, Arm]:
    """The arms whose packages are installed."""
    arms = {"sequential": seqjax_arm(False), "parallel": seqjax_arm(True)}
    if environment.installed("dynamax"):
        arms["dynamax"] = dynamax_arm
    return arms | {"numpy": numpy_arm}


def measure(sizes: Shape, task: str, rounds: int, seed: int) -> dict[str, Any]:
    """The record of one shape and task: seconds of every arm in float32.

    Args:
      sizes: (T, K).
      task: one of TASKS.
      rounds: timed calls of each arm.
      seed: random seed of the model and its observations.

    Returns:
      {"shape", "task", "arms": {arm: {"seconds", "ratio"}}}; the ratio is the time of
      the faster arm of seqjax divided by the time of this arm.

    Raises:
      UserError: if an arm differs from the loop over time in float64.
    """
    problem = draw(sizes, seed)
    want = numpy_forward_backward(task, *problem)
    single = [np.float32(a) for a in problem]
    calls = {name: arm(task, *single) for name, arm in available_arms().items()}
    for name, call in calls.items():
        check_equal(f"{format_shape(sizes)}, {task}, {name}", call(), want)
    spreads = timing.spreads(timing.time_calls(calls, rounds))
    ours = min(spreads[name]["median"] for name in ("sequential", "parallel"))
    return {
        "shape": format_shape(sizes),
        "task": task,
        "arms": {
            name: {"seconds": times, "ratio": ours / times["median"]}
            for name, times in spreads.items()
        },
    }


def check_equal(label: str, got: Results, want: Mapping[str, np.ndarray]) -> None:
    """Refuse results that differ from the reference.

    The log-likelihood and the transitions are sums over T steps and are divided by T.

    Args:
      label: names the arm in the error message.
      got: the results of the arm.
      want: the results of the reference.

    Raises:
      UserError: naming the arm and the result.
    """
    num_steps = len(want["states"])
    per_step = {"log Z": num_steps, "states": 1, "transitions": num_steps}
    compare(
        label,
        {name: np.asarray(a, np.float64) / per_step[name] for name, a in got.items()},
        {name: want[name] / per_step[name] for name in want},
        TOLERANCE,
    )
