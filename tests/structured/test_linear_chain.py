"""Linear chains, against enumeration of all paths and against NumPy loops."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.structured import linear_chain
from seqjax.structured.linear_chain import messages
from tests.gradients import assert_finite_differences

ENGINES = {"sequential": False, "parallel": True}
KINDS = ("shared", "per sequence", "per step")
T, K = 4, 3


def draw(batch=(3,), kind="shared", num_steps=T, states=K, seed=0, forbid=0.0, scale=2):
    """(unary, pairwise, lengths) as float64, lengths from 0 to T, nan as padding."""
    rng = np.random.default_rng(seed)
    unary = scale * rng.normal(size=(num_steps, *batch, states))
    shape = {"shared": (), "per sequence": batch, "per step": (num_steps, *batch)}[kind]
    pairwise = scale * rng.normal(size=(*shape, states, states))
    unary[rng.random(unary.shape) < forbid] = -np.inf
    pairwise[rng.random(pairwise.shape) < forbid] = -np.inf
    lengths = rng.permutation(np.arange(np.prod(batch, dtype=int)) % (num_steps + 1))
    lengths = np.where(rng.random() < 0.5, lengths, num_steps - lengths % 2)
    lengths = lengths.reshape(batch).astype(np.int32)
    unary[np.arange(num_steps).reshape(-1, *[1] * len(batch)) >= lengths] = np.nan
    return unary, pairwise, lengths


def matrices(unary, pairwise):
    """pairwise as [T, ..., K, K]."""
    if pairwise.ndim > unary.ndim:
        return pairwise
    return np.broadcast_to(pairwise, (*unary.shape, unary.shape[-1]))


def all_paths(unary, pairwise, length):
    """One sequence: its paths [N, L] and their scores [N]."""
    states = range(unary.shape[-1])
    paths = np.array(list(itertools.product(states, repeat=int(length))), int)
    scores = [
        sum(unary[t, s] for t, s in enumerate(path))
        + sum(pairwise[t, path[t - 1], path[t]] for t in range(1, length))
        for path in paths
    ]
    return paths, np.array(scores, float)


def enumerated(unary, pairwise, lengths):
    """log Z, marginals of states and of pairs per step, best score: by enumeration."""
    pairwise, states = matrices(unary, pairwise), unary.shape[-1]
    log_z, best = np.zeros(lengths.shape), np.zeros(lengths.shape)
    marginals, pairs = np.zeros(unary.shape), np.zeros((*unary.shape, states))
    for b in np.ndindex(lengths.shape):
        at = (slice(None), *b)
        paths, scores = all_paths(unary[at], pairwise[at], lengths[b])
        best[b] = scores.max()
        total = np.exp(scores - max(best[b], -1e9)).sum()
        log_z[b] = best[b] + np.log(total) if total else -np.inf
        for path, score in zip(paths, scores, strict=True):
            weight = np.exp(score - log_z[b]) if total else 0.0
            for t, s in enumerate(path):
                marginals[(t, *b, s)] += weight
                if t:
                    pairs[(t, *b, path[t - 1], s)] += weight
    return log_z, marginals, pairs, best


def summed_like(pairs, pairwise):
    """Pairs per step, [T, ..., K, K], summed over all that share a potential."""
    if pairwise.ndim == pairs.ndim:
        return pairs
    pairs = pairs.sum(axis=0)
    return pairs.reshape(-1, *pairwise.shape).sum(axis=0)


@partial(jax.jit, static_argnums=3)
def everything(unary, pairwise, lengths, parallel):
    """All results, and the gradient of log Z weighted by sequence."""
    args = unary, pairwise, lengths, parallel

    def loss(unary, pairwise):
        log_z = linear_chain.log_partition(unary, pairwise, lengths, parallel)
        weights = 1 + jnp.arange(log_z.size, dtype=log_z.dtype).reshape(log_z.shape)
        return jnp.sum(weights * jnp.where(jnp.isneginf(log_z), 0, log_z)), log_z

    (_, log_z), grads = jax.value_and_grad(loss, (0, 1), has_aux=True)(unary, pairwise)
    return {
        "log_z": log_z,
        "grads": grads,
        "marginals": linear_chain.marginals(*args),
        "forward": linear_chain.forward(*args),
        "backward": linear_chain.backward(*args),
        "viterbi": linear_chain.viterbi(*args),
        "sample": linear_chain.sample(jax.random.key(3), *args),
    }


score_of = jax.jit(linear_chain.score)


def run(problem, parallel, dtype=jnp.float64):
    unary, pairwise, lengths = problem
    cast = jnp.asarray(unary, dtype), jnp.asarray(pairwise, dtype)
    return jax.device_get(everything(*cast, jnp.asarray(lengths), parallel))


def close(got, want, tolerance=1e-9):
    jax.tree.map(
        lambda g, w: np.testing.assert_allclose(g, w, rtol=tolerance, atol=tolerance),
        got,
        want,
    )


def check_against_enumeration(problem, found, tolerance=1e-9):
    unary, pairwise, lengths = problem
    log_z, states, pairs, best = enumerated(*problem)
    near = partial(close, tolerance=tolerance)
    near(found["log_z"], log_z)
    near(found["forward"].log_partition, log_z)
    near(found["marginals"].log_partition, log_z)
    near(found["marginals"].states, states)
    near(found["marginals"].pairs, summed_like(pairs, pairwise))
    weights = 1 + np.arange(lengths.size).reshape(lengths.shape)
    near(found["grads"][0], states * weights[..., None])
    weighted = pairs * weights[..., None, None]
    near(found["grads"][1], summed_like(weighted, pairwise))
    path, score = found["viterbi"]
    near(score, best)
    real = np.arange(len(unary)).reshape(-1, *[1] * lengths.ndim) < lengths
    assert not path[~real].any() and not found["sample"][~real].any()
    assert path.dtype == found["sample"].dtype == np.int32
    for one in (path, found["sample"]):  # the score is -inf for an impossible path
        scores = path_scores(one, unary, pairwise, lengths)
        assert (np.isfinite(scores) | np.isneginf(log_z)).all()
        near(score_of(one, *problem), scores)
    near(path_scores(path, unary, pairwise, lengths), best)


def path_scores(path, unary, pairwise, lengths):
    pairwise, scores = matrices(unary, pairwise), np.zeros(lengths.shape)
    for b in np.ndindex(lengths.shape):
        for t in range(lengths[b]):
            s = path[(t, *b)]
            scores[b] += unary[(t, *b, s)]
            if t:
                scores[b] += pairwise[(t, *b, path[(t - 1, *b)], s)]
    return scores


CASES = {
    **{f"{kind}, {e}": ((3,), kind, p) for kind in KINDS for e, p in ENGINES.items()},
    "no batch": ((), "shared", False),
    "batch of two axes": ((2, 2), "per sequence", False),
}


@pytest.mark.parametrize(("batch", "kind", "parallel"), CASES.values(), ids=CASES)
def test_all_functions_agree_with_enumeration(batch, kind, parallel, x64):
    for seed, forbid in ((0, 0.0), (1, 0.3), (2, 0.6)):
        problem = draw(batch, kind, seed=seed, forbid=forbid)
        check_against_enumeration(problem, run(problem, parallel))


@pytest.mark.parametrize("parallel", ENGINES.values(), ids=ENGINES)
def test_underflow_is_detected(parallel):
    """Potentials hundreds apart, in float32, where exp(-104) is 0."""
    for seed in range(8):
        unary, pairwise, lengths = draw((3,), seed=seed, forbid=0.2, scale=150)
        problem = np.float32(unary), np.float32(pairwise), lengths
        found = run(problem, parallel, jnp.float32)
        check_against_enumeration(problem, found, 2e-4)


@pytest.mark.parametrize("parallel", ENGINES.values(), ids=ENGINES)
def test_a_state_below_the_smallest_float_may_win(parallel):
    """Weight 1 in state 0, exp(-200) in state 1; the last step allows state 1 only."""
    unary = np.zeros((T, 3, K), np.float32)
    unary[0, :, 1], unary[:, :, 2], unary[-1, :, 0] = -200.0, -np.inf, -np.inf
    pairwise = np.where(np.eye(K), 0, -np.inf)
    found = run((unary, pairwise, np.full(3, T, np.int32)), parallel, jnp.float32)
    close(found["log_z"], np.full(3, -200.0), 1e-6)
    close(found["marginals"].states, np.tile(np.eye(K)[1], (T, 3, 1)), 1e-6)
    close(found["marginals"].pairs, 3 * (T - 1) * np.diag([0.0, 1.0, 0.0]), 1e-6)
    assert (found["viterbi"][0] == 1).all()


@pytest.mark.parametrize("parallel", ENGINES.values(), ids=ENGINES)
def test_states_that_no_path_reaches_do_not_hide_the_only_path(parallel):
    """The path 0, 0, ... has exp(-50) a step; from state 2, state 0 has 1 a step."""
    pairwise = jnp.full((K, K), -jnp.inf).at[0, 0].set(-50.0).at[2, ::2].set(0.0)
    unary = jnp.zeros((9, K)).at[0, 1:].set(-jnp.inf)
    log_partition = jax.jit(linear_chain.log_partition, static_argnums=3)
    close(log_partition(unary, pairwise, None, parallel), -400.0, 1e-6)


@pytest.mark.parametrize("parallel", ENGINES.values(), ids=ENGINES)
def test_paths_below_the_smallest_float_are_summed(parallel):
    """The last step allows states 1 and 2 only, which all have the same weight."""
    unary = np.zeros((T, 3, K), np.float32)
    unary[0, :, 1:], unary[-1, :, 0] = -200.0, -np.inf
    pairwise = np.zeros((K, K), np.float32)
    pairwise[0, 1:] = pairwise[1:, 0] = -np.inf
    found = run((unary, pairwise, np.full(3, T, np.int32)), parallel, jnp.float32)
    close(found["log_z"], np.full(3, -200 + T * np.log(2)), 1e-6)
    close(found["marginals"].states[..., 1:], np.full((T, 3, 2), 0.5), 1e-6)


def numpy_loop(unary, pairwise):
    """log Z and state marginals of one sequence in log space, state by state."""
    num_steps, states = unary.shape
    alpha, beta = np.zeros_like(unary), np.zeros_like(unary)
    alpha[0] = unary[0]
    for t in range(1, num_steps):
        for j in range(states):
            alpha[t, j] = unary[t, j] + log_sum(alpha[t - 1] + pairwise[:, j])
    for t in reversed(range(num_steps - 1)):
        for i in range(states):
            beta[t, i] = log_sum(pairwise[i] + unary[t + 1] + beta[t + 1])
    log_z = log_sum(alpha[-1])
    return log_z, np.exp(alpha + beta - log_z)


def log_sum(a):
    return np.log(np.exp(a - a.max()).sum()) + a.max()


@pytest.mark.parametrize("parallel", ENGINES.values(), ids=ENGINES)
def test_long_chains_are_accurate_in_float32(parallel):
    rng = np.random.default_rng(0)
    unary = np.float32(rng.normal(size=(2000, 4)) - 30.0)
    pairwise = np.float32(rng.normal(size=(4, 4)))
    args = jnp.asarray(unary), jnp.asarray(pairwise), None, parallel
    found = jax.jit(linear_chain.marginals, static_argnums=3)(*args)
    log_z, states = numpy_loop(np.float64(unary), np.float64(pairwise))
    np.testing.assert_allclose(found.log_partition, log_z, rtol=2e-6)
    np.testing.assert_allclose(found.states, states, atol=5e-6)


def test_parallel_is_sequential(x64):
    """Gradients, paths and samples with the same noise, on a longer chain."""

    @partial(jax.jit, static_argnums=3)
    def results(unary, pairwise, lengths, parallel):
        args = pairwise, lengths, parallel
        gradient = jax.grad(lambda u: linear_chain.log_partition(u, *args).sum())(unary)
        path, _ = linear_chain.viterbi(unary, *args)
        return gradient, path, linear_chain.sample(jax.random.key(3), unary, *args)

    for seed in range(3):
        problem = draw((4,), "shared", num_steps=37, states=5, seed=seed, forbid=0.1)
        problem = tuple(map(jnp.asarray, problem))
        close(results(*problem, True), results(*problem, False), 1e-8)


@pytest.mark.parametrize("parallel", ENGINES.values(), ids=ENGINES)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_padding_changes_nothing(parallel, data):
    """A padded sequence gives the numbers of the sequence alone."""
    seed = data.draw(st.integers(0, 2**16))
    kind = data.draw(st.sampled_from(KINDS))
    junk = data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e30]))
    lengths = np.array(data.draw(st.lists(st.integers(0, T), min_size=3, max_size=3)))
    rng = np.random.default_rng(seed)
    unary, pairwise, _ = draw((3,), kind, seed=seed)
    unary = rng.normal(size=unary.shape)
    padding = np.arange(T)[:, None] >= lengths
    unary[padding] = junk
    if kind == "per step":
        pairwise[padding] = junk
    problem = unary, pairwise, lengths.astype(np.int32)
    with jax.enable_x64(True):
        found = run(problem, parallel)
    assert all(np.isfinite(a).all() for a in jax.tree.leaves(found))
    for b, length in enumerate(lengths):
        if length == 0:
            assert found["log_z"][b] == found["viterbi"][1][b] == 0
            continue
        alone = matrices(unary, pairwise)[:length, b]
        log_z, states, pairs, _ = enumerated(unary[:length, b], alone, np.array(length))
        close(found["log_z"][b], log_z)
        close(found["marginals"].states[:length, b], states)
        if kind == "per step":
            close(found["marginals"].pairs[:length, b], pairs)
    for a in (*found["forward"][1:], found["backward"], found["marginals"].states):
        assert not a[padding].any()


@pytest.mark.parametrize("parallel", ENGINES.values(), ids=ENGINES)
def test_forward_is_the_truncated_chain(parallel, x64):
    unary, pairwise, _ = draw((3,), "shared", seed=4)
    unary = np.random.default_rng(0).normal(size=unary.shape)
    found = run((unary, pairwise, np.full(3, T, np.int32)), parallel)
    for t in range(T):
        cut = unary[: t + 1].copy(), pairwise, np.full(3, t + 1)
        close(np.exp(found["forward"].filtered[t]), enumerated(*cut)[1][t])
        cut[0][t] = 0
        close(np.exp(found["forward"].predicted[t]), enumerated(*cut)[1][t])
    close(found["backward"].max(axis=-1), np.zeros((T, 3)))
    joint = found["forward"].filtered + found["backward"]
    joint = np.exp(joint - joint.max(axis=-1, keepdims=True))
    close(joint / joint.sum(axis=-1, keepdims=True), found["marginals"].states)


@pytest.mark.parametrize("parallel", ENGINES.values(), ids=ENGINES)
def test_sample_frequencies_match_the_probabilities(parallel):
    unary, pairwise, _ = draw((), "shared", num_steps=3, scale=1, forbid=0.1, seed=3)
    unary = np.nan_to_num(unary, nan=0.5)
    keys = jax.random.split(jax.random.key(0), 20_000)
    args = jnp.float32(unary), jnp.float32(pairwise)
    draws = jax.jit(
        jax.vmap(lambda k: linear_chain.sample(k, *args, parallel=parallel))
    )(keys)
    paths, scores = all_paths(unary, matrices(unary, pairwise), 3)
    probabilities = np.exp(scores - log_sum(scores))
    counts = (np.asarray(draws)[:, None] == paths).all(axis=-1).sum(axis=0)
    assert counts.sum() == 20_000
    error = np.sqrt(20_000 * probabilities * (1 - probabilities))
    assert (np.abs(counts - 20_000 * probabilities) <= 5 * error).all()


def test_the_exact_loop_runs_only_where_it_is_needed(monkeypatch):
    """Ordinary and forbidden transitions do not need it."""
    broken = lambda alpha, pairwise: jnp.full_like(alpha, jnp.nan)  # noqa: E731
    monkeypatch.setattr(messages, "_exact_product", broken)
    unary = np.random.default_rng(0).normal(size=(9, 4))
    left_to_right = np.where(np.tri(4, k=-1) > 0, -np.inf, -1.0)
    log_z, _ = numpy_loop(unary, left_to_right)
    unary = jnp.float32(unary)
    linked = jnp.arange(9) > 0
    for parallel, reverse in itertools.product(ENGINES.values(), (False, True)):
        run = jax.jit(messages.sum_messages, static_argnums=(3, 4))
        run = partial(run, unary.at[3, 1].set(-jnp.inf))
        have_previous = linked[::-1] if reverse else linked
        pairwise = jnp.float32(left_to_right)
        assert not jnp.isnan(run(pairwise, have_previous, parallel, reverse)).any()
    for parallel in ENGINES.values():
        total = partial(jax.jit(linear_chain.log_partition, static_argnums=3), unary)
        pairwise = jnp.float32(left_to_right)
        np.testing.assert_allclose(total(pairwise, None, parallel), log_z, 1e-5)
        apart = -100 * (1 - jnp.eye(4))
        assert jnp.isnan(total(apart.at[0, 0].set(-100), None, parallel))


@pytest.mark.parametrize("shape", [(1, K, K), (1, 1, K, K), (T, 1, K, K), (1, 3, K, K)])
def test_axes_of_size_1_of_the_transitions_broadcast(shape):
    unary, _, lengths = draw((3,))
    pairwise = np.random.default_rng(1).normal(size=shape)
    whole = np.broadcast_to(pairwise, (T, 3, K, K)[-len(shape) :])
    total = partial(linear_chain.log_partition, jnp.float32(np.nan_to_num(unary)))
    found, want = (total(jnp.float32(p), lengths) for p in (pairwise, whole))
    np.testing.assert_array_equal(found, want)


def test_finite_differences_agree(x64):
    unary, pairwise, lengths = draw((3,), "per sequence", seed=5)
    unary = jnp.asarray(np.nan_to_num(unary))
    weights = 1 + jnp.arange(3.0)

    def loss(unary, pairwise):
        log_z = linear_chain.log_partition(unary, pairwise, jnp.asarray(lengths))
        return jnp.sum(weights * log_z)

    assert_finite_differences(loss, (unary, jnp.asarray(pairwise)))


@pytest.mark.parametrize(
    ("unary", "pairwise", "lengths", "sentence"),
    [
        ((4,), (3, 3), None, "unary must be"),
        ((0, 3), (3, 3), None, "unary must be"),
        ((4, 3), (3, 2), None, "pairwise must be"),
        ((4, 2, 3), (5, 3, 3), None, "pairwise must be"),
        ((4, 2, 3), (3, 2, 3, 3), None, "pairwise must be"),
        ((4, 2, 3), (3, 3), (4,), "lengths must be"),
    ],
)
def test_shapes_that_do_not_fit_raise(unary, pairwise, lengths, sentence):
    lengths = None if lengths is None else jnp.ones(lengths, jnp.int32)
    with pytest.raises(ValueError, match=sentence):
        linear_chain.log_partition(jnp.zeros(unary), jnp.zeros(pairwise), lengths)
