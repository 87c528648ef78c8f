"""Classical models beside their peers: a hidden Markov model, counts of n-grams.

    python -m experiments.benchmarks.baselines
    python -m experiments.benchmarks.baselines --quick

One sequence of T steps, K states, random potentials. "filter" is the log likelihood and
the state of each step by the past; "smoother" the log likelihood, the state by past and
future, and the expected transitions, which is all that an iteration of Baum-Welch
needs. Every arm must agree with the loop in float64 before it is timed; all are timed
in float32. The peers are dynamax and a loop in NumPy.

N characters of the embedded text are counted up to some order, and made the model of
relative frequencies, beside nltk.lm (`ngram_baseline.py`). --shapes names shapes of the
hidden Markov model and leaves the n-grams out. Peers that are missing are left out
(`pip install dynamax nltk`).
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import run
from experiments.benchmarks import ngram_baseline, timing
from experiments.benchmarks.equality import compare
from seqjax.structured import linear_chain

FLAGS = flags.FLAGS
flags.adopt_module_key_flags(timing)

LETTERS = "TxK"
SHAPES = [(10_000, 64)]
QUICK_SHAPES = [(500, 16)]
TASKS = ("filter", "smoother")
TOLERANCE = 1e-4  # of probabilities in float32; of log Z relative


def draw(sizes):
    """(initial [K], transition [K, K], log likelihoods [T, K]), float64."""
    num_steps, states = sizes
    rng = np.random.default_rng(FLAGS.seed)
    initial = rng.dirichlet(np.ones(states))
    transition = rng.dirichlet(np.ones(states), states)
    return initial, transition, 2.0 * rng.normal(size=(num_steps, states))


# An arm is a function (task, initial, transition, log_likelihoods) -> a function of
# nothing that returns {name: array}.


def seqjax_arm(parallel):
    """This project's chains, step by step or in parallel."""

    @jax.jit
    def filtered(unary, pairwise):
        found = linear_chain.forward(unary, pairwise, parallel=parallel)
        return {"log Z": found.log_partition, "states": jnp.exp(found.filtered)}

    @jax.jit
    def smoothed(unary, pairwise):
        found = linear_chain.marginals(unary, pairwise, parallel=parallel)
        return {
            "log Z": found.log_partition,
            "states": found.states,
            "transitions": found.pairs,
        }

    def arm(task, initial, transition, log_likelihoods):
        unary = jnp.asarray(log_likelihoods).at[0].add(np.log(initial))
        pairwise = jnp.log(jnp.asarray(transition))
        call = {"filter": filtered, "smoother": smoothed}[task]
        return lambda: jax.block_until_ready(call(unary, pairwise))

    return arm


def dynamax_arm(task, initial, transition, log_likelihoods):
    """dynamax's filter and smoother, which are compiled by themselves."""
    from dynamax.hidden_markov_model import hmm_filter, hmm_smoother

    args = [jnp.asarray(a) for a in (initial, transition, log_likelihoods)]

    def filtered():
        found = hmm_filter(*args)
        found = {"log Z": found.marginal_loglik, "states": found.filtered_probs}
        return jax.block_until_ready(found)

    def smoothed():
        found = hmm_smoother(*args)
        found = {
            "log Z": found.marginal_loglik,
            "states": found.smoothed_probs,
            "transitions": found.trans_probs,
        }
        return jax.block_until_ready(found)

    return {"filter": filtered, "smoother": smoothed}[task]


def numpy_arm(task, initial, transition, log_likelihoods):
    """The textbook's scaled recursions, a loop over time."""
    return lambda: numpy_forward_backward(task, initial, transition, log_likelihoods)


def numpy_forward_backward(task, initial, transition, log_likelihoods):
    tops = log_likelihoods.max(axis=1)
    likelihoods = np.exp(log_likelihoods - tops[:, None])
    filtered, scales = np.empty_like(likelihoods), np.empty_like(tops)
    predicted = initial
    for t, likelihood in enumerate(likelihoods):
        joint = predicted * likelihood
        scales[t] = joint.sum()
        filtered[t] = joint / scales[t]
        predicted = filtered[t] @ transition
    log_z = np.sum(np.log(scales) + tops, dtype=np.float64)
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


def chosen_arms():
    arms = {"sequential": seqjax_arm(False), "parallel": seqjax_arm(True)}
    if timing.installed("dynamax"):
        arms["dynamax"] = dynamax_arm
    return arms | {"numpy": numpy_arm}


def measure(sizes, task):
    """The record of one shape and task: equality, then seconds a call."""
    problem = draw(sizes)
    want = numpy_forward_backward(task, *problem)
    single = [np.float32(a) for a in problem]
    calls = {name: arm(task, *single) for name, arm in chosen_arms().items()}
    for name, call in calls.items():
        check_equal(f"{timing.joined(sizes)}, {task}, {name}", call(), want)
    seconds = timing.take_turns(
        {name: timing.warmed(call) for name, call in calls.items()},
        timing.chosen_rounds(),
    )
    spreads = {name: timing.spread(times) for name, times in seconds.items()}
    ours = min(spreads[name]["median"] for name in ("sequential", "parallel"))
    return {
        "shape": timing.joined(sizes),
        "task": task,
        "arms": {
            name: {"seconds": times, "ratio": ours / times["median"]}
            for name, times in spreads.items()
        },
    }


def check_equal(who, got, want):
    """Refuse an arm that computes something else.

    Sums over T steps are divided by T: the log likelihood and the transitions.
    """
    num_steps = len(want["states"])
    per_step = {"log Z": num_steps, "states": 1, "transitions": num_steps}
    compare(
        who,
        {name: np.asarray(a, np.float64) / per_step[name] for name, a in got.items()},
        {name: want[name] / per_step[name] for name in want},
        TOLERANCE,
    )


def milliseconds(arm):
    """Median and range, as text."""
    low, median, high = (
        timing.show(1e3 * arm["seconds"][k], 1) for k in ("low", "median", "high")
    )
    return median, f"({low}-{high})"


def print_records(records):
    """A row for each arm of a shape and task."""
    sections = {}
    for record in records:
        rows = sections.setdefault(f"{record['task']}, {LETTERS} {record['shape']}", [])
        for name, arm in record["arms"].items():
            rows.append([name, *milliseconds(arm), f"{arm['ratio']:.2f}"])
    header = ["arm", "ms", "(range)", "better engine / arm"]
    run.print_columns("hidden Markov model", header, sections)


def measure_ngrams():
    """The records of counting, none where nltk is missing."""
    if FLAGS.shapes is not None or not timing.installed("nltk"):
        return []
    sizes = ngram_baseline.QUICK_SIZES if FLAGS.quick else ngram_baseline.SIZES
    records = []
    for num_tokens, order in sizes:
        run.note(f"{num_tokens:,} characters, order {order} ...")
        records.append(
            ngram_baseline.measure(num_tokens, order, timing.chosen_rounds())
        )
    return records


def print_ngrams(records):
    """A row for each arm of a size."""
    sections = {}
    for record in records:
        rows = sections.setdefault(f"characters x order {record['shape']}", [])
        ours = record["arms"]["seqjax"]["seconds"]["median"]
        for name, arm in record["arms"].items():
            speed = f"{arm['tokens_per_second']['median']:,.0f}"
            ratio = f"{ours / arm['seconds']['median']:.3f}"
            rows.append([name, *milliseconds(arm), speed, ratio])
    header = ["arm", "ms", "(range)", "characters/s", "seqjax / arm"]
    run.print_columns("n-grams counted and made a model", header, sections)


def main():
    shapes = timing.chosen_shapes(LETTERS, SHAPES, QUICK_SHAPES)
    path = timing.json_path("baselines")
    timing.prepare()
    records = []
    for sizes in shapes:
        for task in TASKS:
            run.note(f"{timing.joined(sizes)}, {task} ...")
            records.append(measure(sizes, task))
            timing.write_json(path, sys.modules[__name__], records, {})
    print_records(records)
    ngrams = measure_ngrams()
    if ngrams:
        timing.write_json(path, sys.modules[__name__], records, {"ngrams": ngrams})
        print_ngrams(ngrams)


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
