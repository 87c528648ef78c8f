"""Sampling against the distribution worked out by hand, streams against a loop."""

from functools import partial
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax.decoding import sample_token, stream

N = 40_000
# Two rows of logits, the likeliest tokens in different places.
LOGITS = np.float32(
    [[0.3, 2.0, -1.0, 1.1, 0.9, -4.0], [1.9, -0.2, 2.3, -3.0, 0.1, 2.1]]
)


def distribution(logits, temperature=1.0, top_k=0, top_p=1.0):
    """The probabilities that the settings stand for, token by token in float64."""
    powers = np.exp(np.float64(logits) / temperature)
    likeliest = sorted(range(len(powers)), key=lambda i: -powers[i])
    if top_k:
        likeliest = likeliest[:top_k]
    nucleus, share = [], 0.0
    for i in likeliest:
        nucleus.append(i)
        share += powers[i] / powers[likeliest].sum()
        if share >= top_p:
            break
    probabilities = np.zeros(len(powers))
    probabilities[nucleus] = powers[nucleus] / powers[nucleus].sum()
    return probabilities


def frequencies(key, logits, **how):
    """How often each token is drawn: [rows, V] -> [rows, V]."""
    many = jnp.broadcast_to(jnp.asarray(logits), (N, *logits.shape))
    tokens = np.asarray(sample_token(key, many, **how))
    assert tokens.shape == (N, len(logits))
    assert tokens.dtype == np.int32
    return np.stack(
        [np.bincount(row, minlength=logits.shape[-1]) / N for row in tokens.T]
    )


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"temperature": 0.5},
        {"temperature": 3.0},
        {"top_k": 1},
        {"top_k": 3},
        {"top_k": 6},
        {"top_k": 100},
        {"top_p": 1e-6},
        {"top_p": 0.5},
        {"top_p": 0.8},
        {"top_p": 0.999},
        {"top_k": 3, "top_p": 0.7},
        {"top_k": 2, "top_p": 0.99},
        {"temperature": 0.4, "top_p": 0.8},
        {"temperature": 2.0, "top_k": 4, "top_p": 0.9},
    ],
    ids=str,
)
def test_tokens_are_drawn_as_often_as_they_are_likely(key, how):
    want = np.stack([distribution(row, **how) for row in LOGITS])
    sigma = np.sqrt(want * (1 - want) / N)
    # Exact where the probability is 0 or 1, so the support is exact too.
    assert np.all(np.abs(frequencies(key, LOGITS, **how) - want) <= 5 * sigma)


def test_the_nucleus_by_hand(key):
    logits = np.log(np.float32([[0.04, 0.5, 0.06, 0.3, 0.1]]))
    for top_p, support in [
        (0.49, {1}),
        (0.51, {1, 3}),
        (0.79, {1, 3}),
        (0.81, {1, 3, 4}),
        (0.95, {1, 2, 3, 4}),
        (0.97, {0, 1, 2, 3, 4}),
    ]:
        drawn = frequencies(key, logits, top_p=top_p)[0]
        assert set(np.flatnonzero(drawn).tolist()) == support
    # 0.7 reaches past the first of 0.5 and 0.3, which top_k makes 5/8 and 3/8; 0.6 not.
    drawn = [frequencies(key, logits, top_k=2, top_p=p)[0] for p in (0.7, 0.6)]
    assert [np.flatnonzero(d).tolist() for d in drawn] == [[1, 3], [1]]


@pytest.mark.parametrize("how", [{"top_k": 0}, {"top_k": 6}, {"top_p": 1.0}], ids=str)
def test_what_cuts_nothing_changes_no_draw(key, how):
    many = jnp.broadcast_to(LOGITS[0], (200, 6))
    np.testing.assert_array_equal(
        sample_token(key, many, **how), jax.random.categorical(key, many)
    )


@pytest.mark.parametrize("shape", [(), (3,), (4, 2), (0, 2)])
def test_greedy_is_the_first_of_the_likeliest(key, shape):
    rng = np.random.default_rng(0)
    logits = rng.integers(4, size=(*shape, 9)).astype(np.float32)  # full of ties
    tokens = sample_token(key, jnp.asarray(logits), temperature=0)
    assert tokens.shape == shape
    assert tokens.dtype == jnp.int32
    np.testing.assert_array_equal(tokens, logits.argmax(axis=-1))


@pytest.mark.parametrize(
    "how", [{"temperature": 1e-4}, {"top_k": 1}, {"top_p": 1e-9}], ids=str
)
@pytest.mark.parametrize("shape", [(), (3,), (4, 2)])
def test_every_batch_shape_and_cut_has_its_greedy_limit(key, shape, how):
    logits = np.random.default_rng(1).normal(size=(*shape, 9)).astype(np.float32)
    tokens = sample_token(key, jnp.asarray(logits), **how)
    assert tokens.shape == shape
    assert tokens.dtype == jnp.int32
    np.testing.assert_array_equal(tokens, logits.argmax(axis=-1))


def test_rows_of_a_batch_are_drawn_apart(key):
    tokens = np.asarray(sample_token(key, jnp.zeros((2, 20_000, 2))))
    assert abs(np.mean(tokens[0] == tokens[1]) - 0.5) < 5 * 0.5 / np.sqrt(20_000)
    other = np.asarray(sample_token(jax.random.key(1), jnp.zeros((2, 20_000, 2))))
    assert abs(np.mean(tokens == other) - 0.5) < 5 * 0.5 / np.sqrt(40_000)


@pytest.mark.parametrize(
    "how", [{}, {"top_k": 4}, {"top_p": 0.9999}, {"temperature": 5.0}], ids=str
)
def test_the_impossible_is_never_drawn(key, how):
    logits = np.where([False, True, False, False, True, True], -np.inf, LOGITS)
    drawn = frequencies(key, np.float32(logits), **how)
    assert not drawn[:, [1, 4, 5]].any()
    assert drawn[:, [0, 2, 3]].all()


@pytest.mark.parametrize("how", [{"top_k": 2}, {"top_p": 0.6}], ids=str)
def test_a_tie_at_the_cut_lets_in_nothing_less_likely(key, how):
    """Probabilities 2/5, 1/5, 1/5, 1/10, 1/10: at least one of the fifths is kept."""
    logits = np.log(np.float32([[0.1, 0.2, 0.4, 0.2, 0.1]]))
    drawn = frequencies(key, logits, **how)[0]
    assert drawn[2] > 0.4
    assert drawn[1] + drawn[3] > 0
    assert not drawn[[0, 4]].any()


@pytest.mark.parametrize(
    "how",
    [
        {"temperature": -0.1},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": -0.5},
        {"top_p": 1.01},
        {"top_p": float("nan")},
    ],
    ids=str,
)
def test_settings_that_mean_nothing_are_refused(key, how):
    (value,) = how.values()
    with pytest.raises(ValueError, match=f"must not be negative.*{value}"):
        sample_token(key, jnp.asarray(LOGITS), **how)


def test_compiled_and_mapped_draws_are_the_same(key):
    draw = partial(sample_token, temperature=0.7, top_k=4, top_p=0.9)
    keys = jax.random.split(key, 20)
    logits = jnp.asarray(LOGITS[0])
    looped = [int(draw(k, logits)) for k in keys]
    compiled = jax.jit(draw)
    assert [int(compiled(k, logits)) for k in keys] == looped
    assert jax.vmap(draw, (0, None))(keys, logits).tolist() == looped
    assert len(set(looped)) > 1


# A model that remembers its whole past exactly: the state is a polynomial hash of it.
M, V = 1009, 6
TABLE = np.random.default_rng(0).normal(scale=2, size=(M, V)).astype(np.float32)
STATE = jnp.asarray(17)


def step(state, token):
    state = (31 * state + token + 1) % M
    return state, jnp.asarray(TABLE)[state]


def loop(prompt, key, length, **how):
    """What a stream must yield, one step and one draw at a time, in Python."""
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
def test_a_stream_is_a_loop_of_steps_and_draws(key, prompt, how):
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
def test_a_prompt_of_any_kind_of_integers(key, kind):
    tokens = list(islice(stream(step, STATE, kind([4, 3, 2]), key), 8))
    assert tokens == loop([4, 3, 2], key, 8)


def test_a_stream_is_decided_by_its_key(key):
    one, again, two = (
        list(islice(stream(step, STATE, [1, 2], k), 12))
        for k in (key, key, jax.random.key(1))
    )
    assert one == again != two


@pytest.mark.parametrize("prompt", [[], np.zeros(0, np.int32)], ids=["list", "array"])
def test_an_empty_prompt_is_refused(key, prompt):
    with pytest.raises(ValueError, match="the prompt must hold at least one token"):
        next(stream(step, STATE, prompt, key))
