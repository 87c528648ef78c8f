"""Streams of samples, against a Python loop."""

from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax.decoding import sample_token, stream

# The state of this model is a polynomial hash of all tokens.
M, V = 1009, 6
TABLE = np.random.default_rng(0).normal(scale=2, size=(M, V)).astype(np.float32)
STATE = jnp.asarray(17)


def step(state, token):
    state = (31 * state + token + 1) % M
    return state, jnp.asarray(TABLE)[state]


def loop(prompt, key, length, **how):
    """The expected stream, one step and one sample at a time."""
    state = 17
    for token in prompt:
        state = (31 * state + token + 1) % M
    tokens = []
    for i in range(length):
        logits = jnp.asarray(TABLE[state])
        token = int(sample_token(jax.random.fold_in(key, i), logits, **how))
        tokens.append(token)
        state = (31 * state + token + 1) % M
    return tokens


@pytest.mark.parametrize(
    "how",
    [{}, {"temperature": 0}, {"temperature": 1.5, "top_k": 4}, {"top_p": 0.7}],
    ids=str,
)
@pytest.mark.parametrize("prompt", [[2], [5, 0, 2], [0] * 40])
def test_a_stream_is_a_loop_of_steps_and_samples(key, prompt, how):
    tokens = list(islice(stream(step, STATE, prompt, key, **how), 25))
    assert tokens == loop(prompt, key, 25, **how)
    assert all(type(token) is int for token in tokens)


def test_every_token_of_the_prompt_matters(key):
    prompt = [3, 1, 4]
    prompts = [prompt, *([*prompt[:i], 0, *prompt[i + 1 :]] for i in range(3))]
    streams = [list(islice(stream(step, STATE, p, key), 12)) for p in prompts]
    assert streams == [loop(p, key, 12) for p in prompts]
    assert len({tuple(tokens) for tokens in streams}) == len(prompts)


@pytest.mark.parametrize("kind", [tuple, np.int64, jnp.int32, np.uint8])
def test_a_prompt_may_have_any_integer_type(key, kind):
    tokens = list(islice(stream(step, STATE, kind([4, 3, 2]), key), 8))
    assert tokens == loop([4, 3, 2], key, 8)


def test_a_stream_depends_on_its_key_alone(key):
    one, again, two = (
        list(islice(stream(step, STATE, [1, 2], k), 12))
        for k in (key, key, jax.random.key(1))
    )
    assert one == again != two


@pytest.mark.parametrize("prompt", [[], np.zeros(0, np.int32)], ids=["list", "array"])
def test_an_empty_prompt_raises(key, prompt):
    with pytest.raises(ValueError, match="the prompt must hold at least one token"):
        next(stream(step, STATE, prompt, key))
