"""CTC with impossible symbols, and with sequences that just fit their labels.

The oracle enumerates all paths in float64.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax.structured import ctc
from tests.equality import assert_close

T, B, V = 4, 3, 3
LABELLINGS = [  # labels [L, B] and their lengths
    ([[1, 1, 2], [2, 1, 0]], [2, 2, 1]),
    ([[2, 1, 1], [0, 2, 1]], [1, 2, 2]),
    ([[1, 2, 1], [1, 2, 2]], [0, 2, 2]),
]


def paths_to(labels, probs):
    """(path, probability) of all paths [T] of one sequence that give the labels."""
    for path in itertools.product(range(V), repeat=len(probs)):
        merged = tuple(s for s, _ in itertools.groupby(path) if s != 0)
        if merged == tuple(labels):
            yield path, np.prod([probs[t, s] for t, s in enumerate(path)])


def oracle(logits, labels):
    """log P of one sequence, and the gradient of -log P; (-inf, 0) where P = 0."""
    with np.errstate(invalid="ignore"):
        probs = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probs = np.where(np.isneginf(logits), 0, probs)
    sums = probs.sum(axis=-1, keepdims=True)
    probs = probs / np.where(sums > 0, sums, 1)
    occupied, total = np.zeros_like(probs), 0.0
    for path, prob in paths_to(labels, probs):
        total += prob
        occupied[np.arange(len(path)), list(path)] += prob
    if total == 0:
        return -np.inf, np.zeros_like(probs)
    return np.log(total), probs - occupied / total


log_prob_of = jax.jit(ctc.log_prob)
loss_of = jax.jit(ctc.loss)
loss_and_gradient = jax.jit(jax.value_and_grad(ctc.loss, has_aux=True))


def cases():
    """Logits with symbols forbidden everywhere, at single steps, and all at a step."""
    for seed, (labels, label_lengths) in enumerate(LABELLINGS):
        rng = np.random.default_rng(seed)
        for forbid in (0.0, 0.2, 0.5, 0.8):
            logits = np.float32(2 * rng.normal(size=(T, B, V)))
            logits[rng.random(logits.shape) < forbid] = -np.inf
            yield logits, rng.integers(0, T + 1, B), labels, label_lengths
        for symbol in range(V):
            logits = np.float32(rng.normal(size=(T, B, V)))
            logits[:, :, symbol] = -np.inf
            yield logits, np.full(B, T), labels, label_lengths
        logits[1:2] = -np.inf
        yield logits, np.array([T, 1, 2]), labels, label_lengths


def test_loss_and_gradient_are_those_of_all_paths():
    for logits, lengths, labels, label_lengths in cases():
        args = [jnp.asarray(a, jnp.int32) for a in (lengths, labels, label_lengths)]
        found = log_prob_of(logits, *args)
        (total, count), gradient = loss_and_gradient(logits, *args)
        want_total, want_gradient, want_count = 0.0, np.zeros(logits.shape), 0
        for b in range(B):
            one = np.float64(logits[: lengths[b], b])
            mine = np.asarray(labels)[: label_lengths[b], b]
            log_prob, grad = oracle(one, mine)
            assert float(found[b]) == pytest.approx(log_prob, abs=1e-4)
            if log_prob > -np.inf:
                want_total -= log_prob
                want_count += len(mine)
                want_gradient[: lengths[b], b] = grad
        assert float(total) == pytest.approx(want_total, abs=1e-4)
        assert float(count) == want_count
        assert_close(gradient, np.float32(want_gradient), atol=1e-5)


@pytest.mark.parametrize("labels", [[1], [1, 2], [1, 1], [1, 1, 2, 2], [2, 2, 2]])
def test_a_sequence_that_just_fits_has_one_path(labels):
    """One step less has none, for both symbols of the loss and of `steps_needed`."""
    column = np.asarray(labels)[:, None]
    size = np.asarray([len(labels)])
    needed = int(jax.jit(ctc.steps_needed)(column, size)[0])
    repeats = sum(a == b for a, b in itertools.pairwise(labels))
    assert needed == len(labels) + repeats
    logits = np.float32(np.random.default_rng(0).normal(size=(needed, 1, V)))
    want, _ = oracle(np.float64(logits[:, 0]), labels)
    ((path, _),) = paths_to(labels, np.ones((needed, V)))
    log_probs = logits[:, 0] - np.log(np.exp(logits[:, 0]).sum(-1, keepdims=True))
    assert want == pytest.approx(sum(log_probs[range(needed), path]), abs=1e-5)
    total, count = loss_of(logits, np.asarray([needed]), column, size)
    assert (float(total), float(count)) == (pytest.approx(-want, abs=1e-4), len(labels))
    total, count = loss_of(logits, np.asarray([needed - 1]), column, size)
    assert (float(total), float(count)) == (0, 0)


def test_small_probabilities_are_no_impossible_ones():
    """A path whose log probability is far below -1e5 still counts."""
    logits = np.zeros((T, 1, V), np.float32)
    logits[:, :, 1] = -1e5
    args = jnp.asarray([T]), jnp.asarray([[1], [1]]), jnp.asarray([2])
    assert float(log_prob_of(logits, *args)[0]) == pytest.approx(-2e5, rel=1e-3)
    assert float(loss_of(logits, *args)[1]) == 2


@pytest.mark.parametrize("search", [ctc.greedy, lambda *a: ctc.beam_search(*a, 4)])
def test_decoders_never_return_an_impossible_symbol(search):
    run = jax.jit(search)
    for logits, lengths, _, _ in cases():
        found = jax.device_get(run(logits, jnp.asarray(lengths)))
        for b in range(B):
            one = np.float64(logits[: lengths[b], b])
            for tokens, score, size in zip(*(a[b] for a in found), strict=True):
                if score > -np.inf:
                    labels = np.asarray(tokens)[: int(size)].tolist()
                    assert oracle(one, labels)[0] >= float(score) - 1e-4
                else:
                    assert int(size) == 0 and not np.asarray(tokens).any()
