"""CTC against enumeration of all alignments: loss, greedy and beam search."""

import itertools
from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.structured import ctc
from tests.equality import assert_same

T, B, V, L = 5, 3, 3, 4
ALL = 63  # labellings of at most 5 labels out of 2, including the empty one
fuzz = settings(deadline=None, max_examples=60)
seeds = st.integers(0, 2**32 - 1)
sizes = st.lists(st.integers(0, T), min_size=B, max_size=B)
search = partial(jax.jit, static_argnames=("beam_size", "max_length"))(ctc.beam_search)
log_prob, greedy = jax.jit(ctc.log_prob), jax.jit(ctc.greedy)


def draw(seed, lengths, scale=2.0):
    """Logits [T, B, V], nan past the lengths."""
    logits = scale * np.random.default_rng(seed).normal(size=(T, B, V))
    logits[np.arange(T)[:, None] >= np.asarray(lengths)] = np.nan
    return logits.astype(np.float32)


def collapsed(path):
    """The definition: merge equal symbols, then remove blanks."""
    return tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != 0)


def labellings(logits):
    """{labelling: probability} over all V^T paths, logits [T, V], in float64."""
    probs = np.exp(np.asarray(logits, np.float64))
    probs /= probs.sum(axis=-1, keepdims=True)
    found = {}
    for path in itertools.product(range(V), repeat=len(probs)):
        labels = collapsed(path)
        prob = np.prod([probs[t, symbol] for t, symbol in enumerate(path)])
        found[labels] = found.get(labels, 0.0) + prob
    return found


@fuzz
@given(st.lists(st.integers(0, 3), max_size=9))
def test_collapse_is_the_definition(path):
    assert tuple(ctc.collapse(path)) == collapsed(path)


@fuzz
@given(seeds, sizes)
def test_log_prob_sums_over_all_alignments(seed, lengths):
    rng = np.random.default_rng(seed)
    logits, lengths = draw(seed, lengths), np.array(lengths, np.int32)
    labels = rng.integers(1, V, (L, B)).astype(np.int32)
    label_lengths = rng.integers(0, L + 1, B).astype(np.int32)
    inside = np.arange(L)[:, None] < label_lengths
    found = log_prob(logits, lengths, np.where(inside, labels, 99), label_lengths)
    needed = ctc.steps_needed(labels, label_lengths)
    for b in range(B):
        wanted = tuple(labels[: label_lengths[b], b].tolist())
        prob = labellings(logits[: lengths[b], b]).get(wanted, 0.0)
        assert (prob > 0) == (needed[b] <= lengths[b])
        if prob > 0:
            assert float(found[b]) == pytest.approx(np.log(prob), abs=1e-4)
        else:
            assert found[b] < -1e4


@fuzz
@given(seeds, sizes, st.sampled_from([0.5, 2.0, 8.0]))
def test_a_wide_beam_returns_all_labellings_in_order(seed, lengths, scale):
    logits = draw(seed, lengths, scale)
    found = search(logits, np.array(lengths, np.int32), beam_size=ALL)
    for b, length in enumerate(lengths):
        want = labellings(logits[:length, b])
        ours = {}
        for tokens, size, score in zip(
            *(np.asarray(a[b]) for a in (found.tokens, found.lengths, found.scores)),
            strict=True,
        ):
            if score > -np.inf:
                labels = tuple(tokens[:size].tolist())
                assert labels not in ours and not tokens[size:].any()
                ours[labels] = float(score)
        assert set(ours) == set(want)
        for labels, score in ours.items():
            assert score == pytest.approx(np.log(want[labels]), abs=2e-4)
        assert list(ours.values()) == sorted(ours.values(), reverse=True)


@fuzz
@given(seeds, sizes, st.sampled_from([1, 2, 5]))
def test_a_narrow_beam_has_distinct_labellings_and_lower_bounds(
    seed, lengths, beam_size
):
    logits = draw(seed, lengths)
    found = search(logits, np.array(lengths, np.int32), beam_size=beam_size)
    for b, length in enumerate(lengths):
        want = labellings(logits[:length, b])
        used = np.asarray(found.scores[b]) > -np.inf
        assert used.sum() == min(beam_size, len(want))
        ours = [
            tuple(t[:n].tolist())
            for t, n in zip(
                np.asarray(found.tokens[b]), np.asarray(found.lengths[b]), strict=True
            )
        ]
        ours = [labels for labels, ok in zip(ours, used, strict=True) if ok]
        assert len(set(ours)) == len(ours)
        for labels, score in zip(ours, np.asarray(found.scores[b]), strict=False):
            assert score <= np.log(want[labels]) + 2e-4


@fuzz
@given(seeds, sizes)
def test_greedy_is_the_most_probable_path(seed, lengths):
    logits = draw(seed, lengths)
    found = greedy(logits, np.array(lengths, np.int32))
    for b, length in enumerate(lengths):
        log_probs = np.asarray(jax.nn.log_softmax(logits[:length, b]), np.float64)
        want = ctc.collapse(log_probs.argmax(axis=-1))
        tokens = np.asarray(found.tokens[b, 0])
        assert tokens[: found.lengths[b, 0]].tolist() == want
        assert not tokens[len(want) :].any()
        best = log_probs.max(axis=-1).sum() if length else 0.0
        assert float(found.scores[b, 0]) == pytest.approx(best, abs=1e-5)


@fuzz
@given(seeds, sizes)
def test_a_beam_of_one_is_greedy(seed, lengths):
    logits, lengths = draw(seed, lengths), np.array(lengths, np.int32)
    assert_same(search(logits, lengths, beam_size=1), greedy(logits, lengths))


def test_a_beam_of_one_has_no_maximum_length():
    logits, lengths = draw(0, [T] * B), np.array([T] * B, np.int32)
    with pytest.raises(ValueError, match="beam_size=1 is greedy and has no max_length"):
        ctc.beam_search(logits, lengths, beam_size=1, max_length=2)


def one(steps):
    """Logits [T, 1, 3] of given probabilities."""
    return np.log(np.array(steps, np.float32))[:, None]


def test_the_best_labelling_is_not_that_of_the_best_path():
    # Nothing has 0.6 * 0.6 = 0.36; a has 0.4 * 0.4 + 2 * 0.4 * 0.6 = 0.64.
    logits, lengths = one([[0.6, 0.4, 1e-9]] * 2), np.array([2], np.int32)
    assert int(greedy(logits, lengths).lengths[0, 0]) == 0
    found = search(logits, lengths, beam_size=3)
    assert np.asarray(found.tokens[0, 0]).tolist() == [1, 0]
    assert np.exp(found.scores[0, :2]) == pytest.approx([0.64, 0.36])


def test_a_label_is_repeated_only_across_a_blank():
    apart, adjacent = (
        [[1e-9, 1, 1e-9], [1, 1e-9, 1e-9], [1e-9, 1, 1e-9]],
        [[0, 1, 0]] * 3,
    )
    for steps, want in ((apart, [1, 1, 0]), (adjacent, [1, 0, 0])):
        logits = one(np.maximum(steps, 1e-9))
        found = search(logits, np.array([3], np.int32), beam_size=4)
        assert np.asarray(found.tokens[0, 0]).tolist() == want


def test_the_maximum_length_is_respected():
    logits = one([[0.1, 0.45, 0.45]] * 5)
    found = search(logits, np.array([5], np.int32), beam_size=ALL, max_length=2)
    assert found.tokens.shape == (1, ALL, 2) and int(found.lengths.max()) == 2
    want = {k: p for k, p in labellings(logits[:, 0]).items() if len(k) <= 2}
    used = np.asarray(found.scores[0]) > -np.inf
    assert used.sum() == len(want) == 7
    for tokens, length, score in zip(
        *(np.asarray(a[0][used]) for a in (found.tokens, found.lengths, found.scores)),
        strict=True,
    ):
        assert score <= np.log(want[tuple(tokens[:length].tolist())]) + 1e-5
    assert not np.any(found.lengths[0][~used])
    for bad in ({"beam_size": 0}, {"beam_size": 1, "max_length": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            ctc.beam_search(logits, np.array([5], np.int32), **bad)


def test_impossible_labels_do_not_count_and_padding_gets_no_gradient():
    lengths = np.array([4, 3, 0, 2], np.int32)
    labels = np.array([[1, 1, 1, 2], [1, 1, 1, 1], [2, 2, 2, 2]], np.int32)
    label_lengths = np.array([2, 3, 0, 1], np.int32)  # the second needs 4 steps
    logits = np.random.default_rng(0).normal(size=(T, 4, V)).astype(np.float32)
    logits[np.arange(T)[:, None] >= lengths] = np.nan
    run = jax.jit(jax.value_and_grad(ctc.loss, has_aux=True))
    (total, count), grad = run(logits, lengths, labels, label_lengths)
    assert float(count) == 3
    parts = -log_prob(logits, lengths, labels, label_lengths)
    assert float(total) == pytest.approx(float(parts[0] + parts[2] + parts[3]))
    grad = np.asarray(grad)
    assert np.isfinite(grad).all() and grad[:4, 0].all() and grad[:2, 3].all()
    assert not grad[:, 1].any() and not grad[4, 0].any() and not grad[2:, 3].any()
