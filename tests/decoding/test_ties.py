"""Ties and boundaries of searches and samples, as their docstrings promise them.

The logits are equal or differ by infinity, so that equal scores are equal floats.
"""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax.decoding import beam_search, greedy, sample, sample_token
from seqjax.decoding.penalties import gnmt_coverage

EOS, V = 3, 4
OPEN = [0.0] * V


def uniform(state, token):
    return state, jnp.zeros(V)


def table(rows):
    """A bigram model: the logits after each token."""

    def step(state, token):
        return state, jnp.asarray(rows, jnp.float32)[token]

    return step


def found_by(search, step, **options):
    run = partial(search, step, bos=0, eos=EOS, **options)
    found = jax.device_get(jax.jit(run)(jnp.zeros((1, 1))))
    return [
        tuple(tokens[:length].tolist())
        for tokens, length in zip(found.tokens[0], found.lengths[0], strict=True)
        if length
    ]


def reference(rows, beam_size, max_length):
    """Beam search on lists, where a tie goes to the lower index or the older one.

    The 2K best continuations come in the order of (score, parent, token); the N = K
    best finished ones in the order of (score, age).
    """
    weights = np.exp(np.float32(rows))
    with np.errstate(divide="ignore"):
        log_probs = np.log(weights / weights.sum(axis=-1, keepdims=True))
    beam, finished = [((), np.float32(0))], []
    for _ in range(max_length):
        longer = [
            ((*tokens, token), total + log_probs[tokens[-1] if tokens else 0][token])
            for tokens, total in beam
            for token in range(V)
        ]
        longer = sorted(longer, key=lambda pair: -pair[1])[: 2 * beam_size]
        finished += [pair for pair in longer if pair[0][-1] == EOS]
        finished = sorted(finished, key=lambda pair: -pair[1])[:beam_size]
        beam = [pair for pair in longer if pair[0][-1] != EOS][:beam_size]
    found = [p for p in finished if p[1] > -np.inf]
    cut_off = sorted(beam, key=lambda pair: -pair[1])
    found += [p for p in cut_off if p[1] > -np.inf]
    return [tokens for tokens, _ in found[:beam_size]]


FORBID = -np.inf
TABLES = {
    "uniform": [OPEN] * V,
    "eos_late": [[0, 0, 0, FORBID], [0, 0, FORBID, 0], OPEN, OPEN],
    "two_ways": [[FORBID, 0, 0, FORBID], [0, FORBID, FORBID, 0], [0, 0, 0, 0], OPEN],
}


@pytest.mark.parametrize("rows", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("beam_size", [2, 3])
def test_ties_of_a_beam_go_to_the_lower_index_and_the_older_hypothesis(rows, beam_size):
    for max_length in (1, 3):
        options = {"beam_size": beam_size, "max_length": max_length}
        want = reference(rows, **options)
        assert found_by(beam_search, table(rows), **options) == want


def test_a_tie_with_a_finished_hypothesis_of_another_length_goes_to_the_older():
    """A reward of ln 4 a token makes the scores of all lengths 0."""
    reward = np.float32(np.log(V))
    found = found_by(
        beam_search,
        uniform,
        beam_size=2,
        max_length=2,
        length_penalty=lambda log_prob, length: log_prob + reward * length,
    )
    assert found == [(3,), (0, 3)]


def test_greedy_and_a_beam_of_one_take_the_first_of_equals():
    assert found_by(greedy, uniform, max_length=3) == [(0, 0, 0)]
    assert found_by(beam_search, uniform, beam_size=1, max_length=3) == [(0, 0, 0)]


def support(**how):
    """The tokens that can be drawn from equal logits."""
    run = jax.jit(partial(sample_token, **how))
    return set(np.unique(run(jax.random.key(0), jnp.zeros((400, V)))).tolist())


@pytest.mark.parametrize(
    ("how", "tokens"),
    [
        ({"top_p": 0.25}, 1),  # reached exactly by the first token
        ({"top_p": 0.5}, 2),
        ({"top_p": 0.75}, 3),
        ({"top_p": 1.0}, 4),
        ({"top_p": 0.2501}, 2),
        ({"top_k": 1}, 1),
        ({"top_k": 3}, 3),
        ({"top_k": 4}, 4),
        ({"top_k": 2, "top_p": 0.5}, 1),  # of two tokens, the first has one half
    ],
    ids=str,
)
def test_a_cut_among_equals_keeps_the_lower_indices(how, tokens):
    assert support(**how) == set(range(tokens))


def test_equals_below_the_top_keep_their_order():
    logits = jnp.broadcast_to(jnp.asarray([0.0, 1.0, 0.0, 0.0]), (400, V))
    drawn = sample_token(jax.random.key(0), logits, top_k=3)
    assert set(np.unique(drawn).tolist()) == {0, 1, 2}


@pytest.mark.parametrize("bad", [{"top_p": 0.0}, {"top_p": 1.01}, {"top_k": -1}])
def test_cuts_that_keep_nothing_are_refused(bad):
    with pytest.raises(ValueError, match=r"top_p in \(0, 1\]"):
        sample_token(jax.random.key(0), jnp.zeros(V), **bad)


def test_a_sequence_may_end_exactly_at_the_minimum_and_the_maximum_length():
    ends = table([[0, FORBID, FORBID, 9.0]] * V)  # eos, wherever it is allowed
    for minimum, want in ((0, (3,)), (1, (0, 3)), (2, (0, 0, 3))):
        for search in (greedy, sample):
            key = {"key": jax.random.key(0)} if search is sample else {}
            options = {"min_length": minimum, "max_length": 3}
            run = partial(search, ends, bos=0, eos=EOS, **options, **key)
            found = jax.device_get(jax.jit(run)(jnp.zeros((1, 1))))
            if search is greedy:
                assert tuple(found.tokens[0, 0, : len(want)].tolist()) == want
            assert int(found.lengths[0, 0]) >= minimum + 1
        found = found_by(beam_search, ends, beam_size=2, **options)
        assert found[0] == want


def test_no_ngram_occurs_twice_and_all_others_may():
    """Over two letters, the longest word without a repeated bigram has 5 letters."""
    letters = table([[0, 0, FORBID, -50.0]] * V)
    options = {"max_length": 7, "no_repeat_ngram": 2}
    found = found_by(beam_search, letters, beam_size=64, **options)
    for n in range(1, 7):
        want = {
            word
            for word in itertools.product((0, 1), repeat=n)
            if len(set(itertools.pairwise(word))) == max(n - 1, 0)
        }
        got = {word[:-1] for word in found if len(word) == n + 1 and word[-1] == EOS}
        assert got == want


def test_a_forced_token_overrides_the_minimum_length_and_token_0_can_be_forced():
    first_one = table([[0, 9.0, 0, 0]] * V)
    for prefix, want in (
        ([[0, -1]], (0, 1)),
        ([[EOS, -1]], (EOS,)),
        ([[-1, 0]], (1, 0)),
    ):
        options = {"prefix": jnp.asarray(prefix), "max_length": 2, "min_length": 2}
        assert found_by(greedy, first_one, **options)[0] == want


def test_coverage_counts_attention_up_to_1_and_not_the_padding():
    """Wu et al., equation 14: min(log a, 0), so that more attention is no gain."""
    mask = jnp.asarray([True, True, True, False])
    covered = gnmt_coverage(0.5)(jnp.asarray([0.5, 1.0, 3.0, 0.1]), mask)
    np.testing.assert_allclose(covered, 0.5 * np.log(0.5), rtol=1e-6)
