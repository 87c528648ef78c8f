"""Markov chains against enumeration of all sequences and sums over all paths."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from seqjax.baselines.markov import MarkovChain, fit
from seqjax.baselines.ngram import laplace
from seqjax.data.ngrams import count_ngrams

SIZES = [(2, 1), (4, 1), (2, 2), (3, 2), (2, 3)]  # V, k
chains = pytest.mark.parametrize(("size", "order"), SIZES)


def random_chain(size, order, seed=0):
    rng = np.random.default_rng(seed)
    initial = rng.dirichlet(np.ones(size**order)).reshape((size,) * order)
    transition = rng.dirichlet(np.ones(size), size=(size,) * order)
    return MarkovChain(initial, transition)


def probability(chain, states):
    """P of at least k states, as a product of factors."""
    k = chain.order
    value = chain.initial[tuple(states[:k])]
    for t in range(k, len(states)):
        value *= chain.transition[tuple(states[t - k : t])][states[t]]
    return value


def sequences(size, length):
    return itertools.product(range(size), repeat=length)


@chains
def test_log_prob_is_the_product_and_sums_to_one(size, order):
    chain = random_chain(size, order)
    total = 0
    for states in sequences(size, order + 2):
        want = probability(chain, states)
        assert chain.log_prob(states) == pytest.approx(math.log(want), rel=1e-12)
        total += math.exp(chain.log_prob(states))
    assert total == pytest.approx(1)


@chains
def test_short_sequences_are_sums_over_continuations(size, order):
    chain = random_chain(size, order)
    assert chain.log_prob([]) == pytest.approx(0)
    for length in range(1, order):
        for states in sequences(size, length):
            rest = sequences(size, order - length)
            want = sum(probability(chain, (*states, *more)) for more in rest)
            assert chain.log_prob(states) == pytest.approx(math.log(want))


@chains
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_n_steps_are_the_sum_over_all_paths(size, order, steps):
    chain = random_chain(size, order)
    got = chain.after(steps)
    assert got.shape == (size,) * (order + 1)
    for context in sequences(size, order):
        start = chain.initial[context]
        want = np.zeros(size)
        for path in sequences(size, steps):
            want[path[-1]] += probability(chain, (*context, *path)) / start
        np.testing.assert_allclose(got[context], want, rtol=1e-12)


@chains
def test_after_many_steps_the_start_is_forgotten(size, order):
    chain = random_chain(size, order)
    marginal = chain.stationary().reshape(-1, size).sum(axis=0)  # of the last state
    np.testing.assert_allclose(
        chain.after(400), np.broadcast_to(marginal, chain.transition.shape), rtol=1e-9
    )


@chains
def test_the_stationary_distribution_is_not_changed_by_a_step(size, order):
    chain = random_chain(size, order)
    stationary = chain.stationary()
    assert stationary.sum() == pytest.approx(1) and (stationary > 0).all()
    after = chain.joint(stationary).sum(axis=0)
    np.testing.assert_allclose(after, stationary, rtol=1e-10)


def test_the_stationary_distribution_by_hand():
    """Sunny days stay sunny with probability 0.9, rainy days rainy with 0.5."""
    chain = MarkovChain(np.array([1.0, 0.0]), np.array([[0.9, 0.1], [0.5, 0.5]]))
    np.testing.assert_allclose(chain.stationary(), [5 / 6, 1 / 6])


def test_several_stationary_distributions_raise():
    chain = MarkovChain(np.array([0.5, 0.5]), np.eye(2))
    with pytest.raises(ValueError, match="more than one stationary"):
        chain.stationary()


def test_a_chain_that_ends_has_no_stationary_distribution():
    chain = fit([0, 1, 0, 1, 2], 4)
    with pytest.raises(ValueError, match="has no successor"):
        chain.stationary()
    transient = fit([3, 0, 1, 0, 1, 0], 4)  # 3 is transient, 2 unreachable
    np.testing.assert_allclose(transient.stationary(), [0.5, 0.5, 0, 0], atol=1e-15)


@chains
@pytest.mark.parametrize("kind", ["stationary", "given"])
def test_the_reversed_chain_is_bayes_on_the_joint_table(size, order, kind):
    chain = random_chain(size, order)
    marginal = chain.initial if kind == "given" else None
    backwards = chain.reversed(marginal)
    start = chain.stationary() if marginal is None else marginal
    for context in sequences(size, order):  # x, c_k .. c_2: reversed order
        later = context[::-1]
        joint = [
            start[(c, *later[:-1])] * chain.transition[(c, *later[:-1])][later[-1]]
            for c in range(size)
        ]
        assert backwards.initial[context] == pytest.approx(sum(joint))
        np.testing.assert_allclose(
            backwards.transition[context], np.array(joint) / sum(joint)
        )


@chains
def test_a_reversed_sequence_has_the_same_probability(size, order):
    chain = random_chain(size, order)
    chain = chain._replace(initial=chain.stationary())
    backwards = chain.reversed()
    for states in sequences(size, order + 3):
        want = chain.log_prob(states)
        assert backwards.log_prob(states[::-1]) == pytest.approx(want)
    again = backwards.reversed()
    np.testing.assert_allclose(again.transition, chain.transition)


@pytest.mark.parametrize("smoothing", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_fit_is_counting(order, smoothing):
    states = np.random.default_rng(0).integers(0, 3, 40).tolist()
    chain = fit(states, 4, order, smoothing)  # state 3 does not occur
    windows = Counter(
        tuple(states[i : i + order + 1]) for i in range(len(states) - order)
    )
    total = windows.total() + smoothing * 4 ** (order + 1)
    for context in sequences(4, order):
        number = np.array([windows[(*context, x)] for x in range(4)]) + smoothing
        want = number / number.sum() if number.sum() else np.zeros(4)
        np.testing.assert_allclose(chain.transition[context], want)
        assert chain.initial[context] == pytest.approx(number.sum() / total)


def test_order_1_is_the_bigram_model_without_smoothing():
    states = np.random.default_rng(0).integers(0, 5, 200)
    model = laplace(count_ngrams(states, 5, 2), [0.0, 0.0])
    want = [model.distribution([x]) for x in range(5)]
    np.testing.assert_allclose(fit(states, 5).transition, want, rtol=1e-14)


def test_unseen_transitions_have_probability_0():
    chain = fit([0, 1, 0, 1, 0], 3)
    assert chain.log_prob([0, 1, 0]) > -math.inf
    assert chain.log_prob([0, 0]) == chain.log_prob([2, 0]) == -math.inf


@chains
def test_samples_have_the_chains_frequencies(size, order):
    chain = random_chain(size, order)
    drawn = chain.sample(np.random.default_rng(0), order + 2, number=40_000)
    assert drawn.shape == (order + 2, 40_000)
    found = Counter(map(tuple, drawn.T.tolist()))
    for states in sequences(size, order + 2):
        want = probability(chain, states)
        assert found[states] / 40_000 == pytest.approx(want, abs=0.01)


def test_starting_with_is_a_condition():
    chain = random_chain(3, 2)
    for start in ((), (1,), (2, 0)):
        given = chain.starting_with(start)
        share = math.exp(chain.log_prob(start))
        for states in sequences(3, 4):
            want = probability(chain, states) / share
            want = want if states[: len(start)] == start else 0.0
            assert math.exp(given.log_prob(states)) == pytest.approx(want)
    for start in ((0, 1, 2), (2, 2)):
        with pytest.raises(ValueError, match="cannot begin"):
            fit([0, 1, 2, 0, 1], 3, order=2).starting_with(start)


def test_samples_of_any_length_and_without_successor():
    rng = np.random.default_rng(0)
    for length in (0, 1, 2, 5):
        assert random_chain(3, 2).sample(rng, length, 4).shape == (length, 4)
    chain = fit([0, 1, 2], 3)
    with pytest.raises(ValueError, match="has no successor"):
        chain.sample(rng, 5, number=10)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: fit([0, 1, 2], 3, order=0), "below the 3 states, got 0"),
        (lambda: fit([0, 1, 2], 3, order=3), "below the 3 states, got 3"),
        (lambda: fit([0, 1], 3, smoothing=-1.0), "at least 0, got -1.0"),
        (lambda: random_chain(2, 1).after(0), "at least 1, got 0"),
    ],
)
def test_invalid_arguments_raise(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
