"""Hidden Markov models, against sums over all paths; properties of EM."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax.baselines.emissions import (
    CategoricalEmission,
    GaussianEmission,
    GaussianParams,
)
from seqjax.baselines.hmm import HMM, HMMParams

K, V, D, T = 3, 4, 2, 5
EMISSIONS = {"categorical": CategoricalEmission(V), "gaussian": GaussianEmission(D)}
LENGTHS = np.array([5, 3, 0, 1], np.int32)

draw = jax.jit(HMM.sample, static_argnums=(0, 3, 4))
em_step = jax.jit(HMM.baum_welch_step, static_argnums=0)
statistics_of = jax.jit(HMM.statistics, static_argnums=0)

emissions = pytest.mark.parametrize("emission", EMISSIONS.values(), ids=EMISSIONS)


def problem(emission, seed=0):
    """(model, params, xs [T, B], lengths): padding of nan, or of a symbol."""
    model = HMM(K, emission)
    params = model.init(jax.random.key(seed))
    _, xs = draw(model, jax.random.key(seed + 100), params, T, (len(LENGTHS),))
    xs = np.array(xs)
    padding = np.arange(T)[:, None] >= LENGTHS
    xs[padding] = np.nan if isinstance(emission, GaussianEmission) else 0
    return model, params, jnp.asarray(xs), LENGTHS


def densities(params, xs):
    """p(x | s), [L, K], from the formulas."""
    if not isinstance(params.emission, GaussianParams):
        return np.exp(np.asarray(params.emission, np.float64)).T[np.asarray(xs)]
    mean, log_variance = (np.asarray(a, np.float64) for a in params.emission)
    variance = np.exp(log_variance)
    normal = np.exp(-((np.asarray(xs)[:, None] - mean) ** 2) / (2 * variance))
    return np.prod(normal / np.sqrt(2 * np.pi * variance), axis=-1)


def enumerated(params, xs):
    """(p(x), {path: p(path, x)}) of one sequence, by enumeration."""
    initial, transition = (np.exp(np.asarray(a, np.float64)) for a in params[:2])
    emitted, joint = densities(params, xs), {}
    for path in itertools.product(range(K), repeat=len(xs)):
        p = initial[path[0]] if path else 1.0
        for t, s in enumerate(path):
            p *= emitted[t, s] * (transition[path[t - 1], s] if t else 1.0)
        joint[path] = p
    return sum(joint.values()), joint


@emissions
def test_inference_agrees_with_enumeration(emission):
    model, params, xs, lengths = problem(emission)

    @jax.jit
    def results(*args):
        names = "log_likelihood", "smooth", "viterbi", "posterior_states", "filter"
        return [getattr(model, name)(*args) for name in names]

    log_likelihood, smoothed, (path, score), single, filtered = jax.device_get(
        results(params, xs, lengths)
    )
    transitions, near = np.zeros((K, K)), partial(np.testing.assert_allclose, rtol=1e-4)
    for b, length in enumerate(lengths):
        total, joint = enumerated(params, xs[:length, b])
        near(log_likelihood[b], np.log(total), atol=1e-5)
        near(filtered.log_likelihood[b], np.log(total), atol=1e-5)
        best = max(joint, key=joint.get)
        assert tuple(path[:length, b].tolist()) == best
        near(score[b], np.log(joint[best]), atol=1e-5)
        states = np.zeros((T, K))
        for one, p in joint.items():
            for t, s in enumerate(one):
                states[t, s] += p / total
                if t:
                    transitions[one[t - 1], s] += p / total
        near(smoothed.states[:, b], states, atol=1e-6)
        assert single[:, b].tolist() == states.argmax(axis=1).tolist()
    near(smoothed.pairs, transitions, atol=1e-5)


@emissions
def test_filter_reads_only_the_past_and_continues_from_a_belief(emission):
    model, params, xs, lengths = problem(emission)
    run, transition = jax.jit(model.filter), np.exp(params.transition)
    whole = jax.device_get(run(params, xs, lengths))
    xs = np.asarray(xs)
    for b, length in enumerate(lengths):
        for t in range(length):
            total, joint = enumerated(params, xs[: t + 1, b])
            now = [sum(p for s, p in joint.items() if s[t] == k) for k in range(K)]
            np.testing.assert_allclose(
                np.exp(whole.filtered[t, b]), now / total, 1e-4, 1e-6
            )
            ahead = now / total @ transition
            later = whole.predicted[t + 1, b] if t + 1 < length else whole.belief[b]
            np.testing.assert_allclose(np.exp(later), ahead, 1e-4, 1e-6)
    first, initial = whole.predicted[0], np.asarray(params.initial)
    np.testing.assert_allclose(first[lengths > 0], [initial] * 3, 1e-6)
    np.testing.assert_allclose(whole.belief[lengths == 0], [initial], 1e-6)
    parts = [np.clip(lengths, 0, 2), np.clip(lengths - 2, 0, 3)]
    head = run(params, xs[:2], parts[0])
    tail = run(params, xs[2:], parts[1], head.belief)
    total = head.log_likelihood + tail.log_likelihood
    np.testing.assert_allclose(total, whole.log_likelihood, 1e-5)
    np.testing.assert_allclose(tail.belief, whole.belief, 1e-4, 1e-5)


def test_the_likelihoods_of_all_sequences_sum_to_one():
    model = HMM(K, CategoricalEmission(V))
    params = model.init(jax.random.key(1))
    xs = jnp.array(list(itertools.product(range(V), repeat=4))).T  # [4, V^4]
    likelihoods = jnp.exp(jax.jit(model.log_likelihood)(params, xs))
    assert jnp.sum(likelihoods) == pytest.approx(1, abs=1e-5)


def test_predictions_are_the_likelihood_of_one_more_step():
    model, params, xs, _ = problem(EMISSIONS["categorical"])
    belief = jax.jit(model.filter)(params, xs[:3]).belief
    shares = np.exp(jax.jit(model.predict)(params, belief))  # [B, V]
    np.testing.assert_allclose(shares.sum(axis=1), 1, 1e-5)
    log_likelihood = jax.jit(model.log_likelihood)
    before = log_likelihood(params, xs[:3])
    for x in range(V):
        more = xs[:4].at[3].set(x)
        ratio = np.exp(np.asarray(log_likelihood(params, more)) - before)
        np.testing.assert_allclose(shares[:, x], ratio, 1e-4)


def test_gaussian_predictions_have_the_mixtures_moments():
    model, params, _, _ = problem(EMISSIONS["gaussian"])
    belief = jnp.log(jnp.array([0.2, 0.5, 0.3]))
    _, xs = draw(model, jax.random.key(0), params, 1, (100_000,), belief)
    mean, variance = model.predict(params, belief)
    np.testing.assert_allclose(mean, xs[0].mean(axis=0), atol=0.03)
    np.testing.assert_allclose(variance, xs[0].var(axis=0), rtol=0.03)


@emissions
def test_samples_have_the_models_frequencies(emission):
    model, params, _, _ = problem(emission)
    states, xs = draw(model, jax.random.key(0), params, 3, (50_000,))
    first = np.bincount(states[0], minlength=K) / 50_000
    np.testing.assert_allclose(first, np.exp(params.initial), atol=0.01)
    moves = np.zeros((K, K))
    np.add.at(moves, (states[1], states[2]), 1)
    moves /= moves.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(moves, np.exp(params.transition), atol=0.03)
    for k in range(K):
        seen = np.asarray(xs)[np.asarray(states) == k]
        if isinstance(emission, GaussianEmission):
            np.testing.assert_allclose(
                seen.mean(axis=0), params.emission.mean[k], atol=0.04
            )
        else:
            shares = np.bincount(seen, minlength=V) / len(seen)
            np.testing.assert_allclose(shares, np.exp(params.emission[k]), atol=0.02)


def corpus(emission, seed, longest=12):
    """(model, xs [N, T, B], lengths [N, B]) drawn from one model; N minibatches."""
    num_steps, number = 12, 8
    model = HMM(K, emission)
    params = model.init(jax.random.key(50 + seed))
    _, xs = draw(model, jax.random.key(seed), params, num_steps, (2, number))
    lengths = np.random.default_rng(seed).integers(0, longest + 1, (2, number))
    return model, jnp.moveaxis(xs, 1, 0), jnp.asarray(lengths, jnp.int32)


@emissions
def test_em_never_lowers_the_likelihood(emission):
    for seed in range(5):
        model, xs, lengths = corpus(emission, seed)
        params, found = model.init(jax.random.key(seed)), []
        for _ in range(25):
            params, log_likelihood = em_step(model, params, xs, lengths)
            found.append(float(log_likelihood))
        gains = np.diff(found)
        assert (gains > -1e-3).all() and gains.sum() > 1
        for rows in (params.initial, params.transition):
            np.testing.assert_allclose(np.exp(rows).sum(axis=-1), 1, 1e-5)


def test_em_with_a_prior_never_lowers_likelihood_times_prior():
    model, xs, lengths = corpus(EMISSIONS["categorical"], 1)
    params, prior, found = model.init(jax.random.key(1)), 0.5, []
    for _ in range(25):
        density = prior * sum(
            np.sum(p) for p in jax.device_get(jax.tree.leaves(params))
        )
        params, log_likelihood = em_step(model, params, xs, lengths, prior)
        found.append(float(log_likelihood) + density)
    assert (np.diff(found) > -1e-3).all()
    assert all(np.isfinite(p).all() for p in jax.tree.leaves(params))


@emissions
def test_counts_of_minibatches_add_up_and_are_the_expected_ones(emission):
    model, xs, lengths = corpus(emission, 2, longest=4)
    params = model.init(jax.random.key(3))
    ones, log_likelihood = em_step(model, params, xs, lengths)
    joined = jnp.concatenate([xs[0], xs[1]], axis=1), lengths.reshape(-1)
    whole = statistics_of(model, params, *joined)
    assert log_likelihood == pytest.approx(float(whole.log_likelihood), rel=1e-5)
    two = jax.jit(model.maximize)(params, whole)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), ones, two)
    initial, states = np.zeros(K), []
    joined = jax.device_get(joined)
    for b, length in enumerate(joined[1]):
        total, joint = enumerated(params, joined[0][:length, b])
        weights = np.zeros((length, K))
        for path, p in joint.items():
            for t, s in enumerate(path):
                weights[t, s] += p / total
        initial += weights[0] if length else 0
        states.append((weights, np.asarray(joined[0][:length, b])))
    np.testing.assert_allclose(whole.initial, initial, 1e-4, 1e-5)
    weights, seen = (np.concatenate(a) for a in zip(*states, strict=True))
    if isinstance(emission, GaussianEmission):
        moments = weights.sum(axis=0), weights.T @ seen, weights.T @ seen**2
        jax.tree.map(
            partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3),
            tuple(whole.emission),
            moments,
        )
    else:
        counts = weights.T @ np.eye(V)[seen]
        np.testing.assert_allclose(whole.emission, counts, 1e-4, 1e-5)


KNOWN = {
    "categorical": jnp.log(
        jnp.array([[8, 1, 0.5, 0.5], [0.5, 8, 1, 0.5], [1, 1, 0, 8]]) / 10
    ),
    "gaussian": GaussianParams(
        jnp.array([[-1.5, 0.0], [0.0, 1.5], [1.5, -1.0]]), jnp.full((3, 2), -2.0)
    ),
}


@pytest.mark.parametrize("name", EMISSIONS)
def test_em_recovers_a_known_model_up_to_the_states_order(name):
    transition = jnp.log(
        jnp.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.3, 0.1, 0.6]])
    )
    known = HMMParams(jnp.log(jnp.array([0.6, 0.3, 0.1])), transition, KNOWN[name])
    model = HMM(K, EMISSIONS[name])
    _, xs = draw(model, jax.random.key(0), known, 60, (150,))
    xs, lengths = xs[None], jnp.full((1, 150), 60)
    best = (-np.inf, None)
    for seed in range(3):
        params = model.init(jax.random.key(seed))
        for _ in range(60):
            params, log_likelihood = em_step(model, params, xs, lengths)
        best = max(best, (float(log_likelihood), seed, params), key=lambda b: b[0])
    params, known = jax.device_get((best[-1], known))
    truth = float(jax.jit(model.log_likelihood)(known, xs[0]).sum())
    assert (
        best[0] > truth
    )  # the maximum likelihood parameters fit better than the true ones
    means = params.emission.mean if name == "gaussian" else np.exp(params.emission)
    wanted = known.emission.mean if name == "gaussian" else np.exp(known.emission)
    orders = [list(order) for order in itertools.permutations(range(K))]
    order = min(orders, key=lambda o: np.abs(means[o] - wanted).max())
    np.testing.assert_allclose(means[order], wanted, atol=0.06)
    found = np.exp(params.transition)[order][:, order]
    np.testing.assert_allclose(found, np.exp(transition), atol=0.06)


def test_a_state_without_counts_keeps_its_parameters():
    for emission in EMISSIONS.values():
        model, params, xs, lengths = problem(emission)
        never = jnp.array([0.0, 0.0, -jnp.inf])
        params = params._replace(
            initial=never - np.log(2), transition=params.transition + never
        )
        counts = statistics_of(model, params, xs, lengths)
        fresh = jax.device_get(jax.jit(model.maximize)(params, counts))
        assert not jax.tree.all(jax.tree.map(lambda a: np.isnan(a).any(), fresh))
        jax.tree.map(
            lambda new, old: np.testing.assert_array_equal(new[2], old[2]),
            (fresh.transition, fresh.emission),
            (params.transition, params.emission),
        )


def test_no_variance_falls_below_the_minimum():
    model = HMM(2, GaussianEmission(1, min_variance=0.01))
    xs = jnp.array([[[0.0]], [[0.0]], [[1.0]]])  # two points, two states
    params, lengths = model.init(jax.random.key(0)), jnp.array([3])
    for _ in range(30):
        params, log_likelihood = em_step(model, params, xs[None], lengths[None])
    assert np.exp(params.emission.log_variance).min() >= 0.00999
    assert np.isfinite(log_likelihood)


def test_no_states_raise():
    with pytest.raises(ValueError, match="at least 1 state"):
        HMM(0, CategoricalEmission(3))
