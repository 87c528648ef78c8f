"""Acrostics, against enumeration of all sequences."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax import decoding
from seqjax.decoding import acrostic

A, B, MARK, END = range(4)
BREAKS = np.arange(4) == MARK


def model(state, token):
    """A step function whose logits depend on all tokens so far."""
    seen = token.astype(jnp.float32) - 1.0
    state = jnp.tanh(state @ jnp.asarray([[0.9, -0.4], [0.3, 0.8]]) + seen)
    w = jnp.asarray([[1.0, -1.0, 0.5, -0.5], [0.2, 0.7, -0.3, 0.1]])
    return state, state @ w


def start(number):
    return jnp.asarray(np.random.default_rng(0).normal(size=(number, 2)), jnp.float32)


def keeps(tokens, initials):
    """Whether the lines begin with the initials, and END follows all of them."""
    rest, begins = list(initials), True
    for token in tokens:
        if begins and rest and token != rest.pop(0):
            return False
        if token == END:
            return not rest
        begins = token == MARK
    return True


@pytest.mark.parametrize("initials", [[], [B], [A, B], [MARK, A]])
def test_exactly_the_valid_acrostics_have_nonzero_probability(initials):
    """Over all sequences of four tokens."""
    step, state = acrostic(model, start(1), initials, BREAKS, END)
    first = jax.tree.map(lambda leaf: leaf[0], state)

    @jax.jit
    def log_probs(state, token):
        state, logits = step(state, token)
        return state, jax.nn.log_softmax(logits)

    for tokens in itertools.product(range(4), repeat=4):
        state, last, log_prob = first, END, 0.0
        for token in tokens:
            state, found = log_probs(state, jnp.asarray(last))
            log_prob += np.asarray(found)[token]
            last = token
            if token == END:
                break
        assert np.isfinite(log_prob) == keeps(tokens, initials), tokens


def test_free_tokens_have_the_probabilities_of_the_model():
    step, state = acrostic(model, start(1), [B], BREAKS, END)
    inner, state = start(1)[0], jax.tree.map(lambda leaf: leaf[0], state)
    for token in (END, B, A, MARK, A):  # the token after END is forced
        inner, want = model(inner, jnp.asarray(token))
        state, got = step(state, jnp.asarray(token))
        if token != END:
            np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("search", ["sample", "beam"])
def test_searches_return_valid_acrostics_for_a_batch(search):
    initials = [B, A, B]
    step, state = acrostic(model, start(5), initials, BREAKS, END)
    options = {"bos": END, "eos": END, "max_length": 12}
    if search == "beam":
        run = partial(decoding.beam_search, step, beam_size=3, **options)
    else:
        options |= {"key": jax.random.key(0), "num_samples": 3}
        run = partial(decoding.sample, step, **options)
    found = jax.device_get(jax.jit(run)(state))
    assert np.isfinite(found.scores).all()
    for tokens, length in zip(
        found.tokens.reshape(-1, 12), found.lengths.ravel(), strict=True
    ):
        assert keeps(tokens[:length].tolist(), initials)
