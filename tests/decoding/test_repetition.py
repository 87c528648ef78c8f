"""The repetition penalty and min_p, by hand."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax import decoding

LOGITS = np.array([2.0, -1.0, 1.0, 0.5])


def step(state, token):
    """The same logits at every step."""
    return state + 1, jnp.asarray(LOGITS, jnp.float32)


def test_read_tokens_are_lowered_and_stay_lowered():
    penalized, state = decoding.repetition_penalty(
        step, jnp.zeros(()), jnp.zeros(4, bool), 2.0
    )
    seen = np.zeros(4, bool)
    for token in (1, 0, 0, 3):
        seen[token] = True
        state, logits = penalized(state, jnp.asarray(token))
        lower = np.where(LOGITS > 0, LOGITS / 2, LOGITS * 2)
        np.testing.assert_allclose(logits, np.where(seen, lower, LOGITS))
    assert float(state[0]) == 4  # the state of the step goes on


def test_a_search_penalizes_each_sequence_by_its_own_tokens():
    penalized, state = decoding.repetition_penalty(
        step, jnp.zeros((2, 1)), jnp.zeros((2, 4), bool), 5.0
    )
    found = decoding.greedy(penalized, state, bos=1, eos=9, max_length=4)
    assert found.tokens[:, 0].tolist() == [[0, 2, 3, 0]] * 2  # then all are lowered


def test_a_penalty_of_one_changes_nothing():
    penalized, state = decoding.repetition_penalty(
        step, jnp.zeros(()), jnp.ones(4, bool), 1.0
    )
    np.testing.assert_allclose(penalized(state, jnp.asarray(0))[1], LOGITS)
    with pytest.raises(ValueError, match=r"at least 1, got 0\.9"):
        decoding.repetition_penalty(step, state, jnp.ones(4, bool), 0.9)


@pytest.mark.parametrize(
    ("min_p", "kept"), [(0.0, {0, 1, 2, 3}), (0.3, {0, 2}), (0.36, {0, 2}), (1.0, {0})]
)
def test_min_p_keeps_what_is_probable_beside_the_best(min_p, kept):
    """The probabilities are e^(logit - 2) times that of token 0."""
    many = jnp.tile(jnp.asarray(LOGITS, jnp.float32), (3000, 1))
    tokens = decoding.sample_token(jax.random.key(0), many, min_p=min_p)
    assert set(tokens.tolist()) == kept


def test_min_p_out_of_bounds_is_refused():
    with pytest.raises(ValueError, match=r"min_p must be in \[0, 1\], got 2"):
        decoding.sample_token(jax.random.key(0), jnp.zeros(3), min_p=2)


def test_a_stream_of_several_samples_is_independent_and_repeatable():
    def drawn():
        stream = decoding.stream(
            step, jnp.zeros(()), [0], jax.random.key(0), num_samples=50
        )
        return np.array(list(itertools.islice(stream, 40)))

    tokens = drawn()
    assert tokens.shape == (40, 50)
    np.testing.assert_array_equal(tokens, drawn())
    assert len({tuple(row) for row in tokens.T}) == 50
    expected = np.exp(LOGITS) / np.exp(LOGITS).sum()
    shares = np.bincount(tokens.ravel(), minlength=4) / tokens.size
    np.testing.assert_allclose(shares, expected, atol=0.04)


def test_a_stream_of_no_samples_is_refused():
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        decoding.stream(step, jnp.zeros(()), [0], jax.random.key(0), num_samples=0)
