"""Sampling and greedy decoding from a step function, and streams of tokens."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.decoding.hypotheses import (
    Hypotheses,
    Rules,
    best_first,
    forced_tokens,
)


def sample_token(key, logits, temperature=1.0, top_k=0, top_p=1.0):
    """Draw a token from softmax(logits / temperature), cut to the likely ones.

    Args:
      key: a random key.
      logits: [..., V].
      temperature: above 0; below 1 sharpens, above 1 flattens; 0 is greedy.
      top_k: keep the k likeliest tokens (Fan et al. 2018), of equal ones those with
        the lower index; 0 keeps all.
      top_p: then keep the fewest likeliest tokens with at least this probability
        together (Holtzman et al. 2020, arXiv:1904.09751); 1 keeps all.

    Returns:
      tokens [...], int32.

    Raises:
      ValueError: for a negative temperature or top_k, or top_p outside (0, 1].
    """
    if not (temperature >= 0 and top_k >= 0 and 0 < top_p <= 1):
        raise ValueError(
            f"temperature and top_k must not be negative and top_p in (0, 1], "
            f"got {temperature}, {top_k} and {top_p}"
        )
    if temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    logits = logits.astype(jnp.float32) / temperature
    if 0 < top_k < logits.shape[-1] or top_p < 1:
        order = jnp.argsort(-logits, axis=-1)  # likeliest first, ties by index
        ranks = jnp.argsort(order, axis=-1)
        if 0 < top_k < logits.shape[-1]:
            logits = jnp.where(ranks < top_k, logits, -jnp.inf)
        probabilities = jax.nn.softmax(logits, axis=-1)
        ordered = jnp.take_along_axis(probabilities, order, axis=-1)
        before = jnp.cumsum(ordered, axis=-1) - ordered
        kept = jnp.take_along_axis(before < top_p, ranks, axis=-1)
        logits = jnp.where(kept, logits, -jnp.inf)
    return jax.random.categorical(key, logits).astype(jnp.int32)


def stream(
    step, state, prompt, key, *, context=None, temperature=1.0, top_k=0, top_p=1.0
):
    """Yield tokens one at a time, without end, after warming up on a prompt.

    Args:
      step: (state, token) -> (state, logits [V]), for one hypothesis; with a context,
        (state, token, context).
      state: the state before the prompt.
      prompt: integers [N], N at least 1.
      key: a random key; the i-th token draws from `fold_in(key, i)`.
      context: what every step reads and none changes, such as the parameters; what
        `step` closes over instead is compiled in as a constant.
      temperature, top_k, top_p: as in `sample_token`.

    Yields:
      int: the next token.

    Raises:
      ValueError: for an empty prompt.

    Example:
      >>> step = lambda state, token, params: model.step(params, state, token)
      >>> state, prompt = model.initial_state(), vocab[list("time")]
      >>> tokens = stream(step, state, prompt, key, context=params)
      >>> text = itertools.islice(tokens, 50)
    """
    if len(prompt) == 0:
        raise ValueError("stream: the prompt must hold at least one token")
    sample = partial(sample_token, temperature=temperature, top_k=top_k, top_p=top_p)
    prompt = jnp.asarray(prompt, jnp.int32)
    if context is None:
        return _stream(
            lambda s, token, _: step(s, token), state, prompt, key, (), sample
        )
    return _stream(step, state, prompt, key, context, sample)


def _stream(step, state, prompt, key, context, sample):
    @jax.jit
    def warm_up(state, tokens, context):
        return jax.lax.scan(lambda s, token: step(s, token, context), state, tokens)

    @jax.jit
    def advance(state, logits, key, i, context):
        token = sample(jax.random.fold_in(key, i), logits)
        state, logits = step(state, token, context)
        return state, logits, token

    state, logits = warm_up(state, prompt, context)
    logits, i = logits[-1], 0
    while True:
        state, logits, token = advance(state, logits, key, i, context)
        yield int(token)
        i += 1


def greedy(step, state, *, bos, eos, max_length, context=None, **options):
    """The likeliest token at each step, until eos.

    Args:
      step, state, bos, eos, max_length, context: as `beam_search`.
      **options: length_penalty, coverage, min_length, no_repeat_ngram and prefix, as
        `beam_search`.

    Returns:
      Hypotheses with K = 1.
    """

    def choose(_, log_probs):
        return jnp.argmax(log_probs).astype(jnp.int32)

    return _follow(step, state, choose, 1, bos, eos, max_length, context, **options)


def sample(
    step,
    state,
    key,
    *,
    bos,
    eos,
    max_length,
    num_samples=1,
    temperature=1.0,
    top_k=0,
    top_p=1.0,
    context=None,
    **options,
):
    """Sequences drawn from the model, token by token, until eos.

    Args:
      key: a random key.
      num_samples: K.
      temperature, top_k, top_p: as `sample_token`.
      step, state, bos, eos, max_length, context, **options: as `greedy`.

    Returns:
      Hypotheses, best first; the scores are of the model as it is, at temperature 1.
    """
    draw = partial(sample_token, temperature=temperature, top_k=top_k, top_p=top_p)
    return _follow(
        step, state, draw, num_samples, bos, eos, max_length, context, key, **options
    )


class _Path(NamedTuple):
    """One sequence of tokens on its way."""

    state: Any
    tokens: jax.Array  # [L]
    log_prob: jax.Array
    length: jax.Array
    over: jax.Array


def _follow(
    step,
    state,
    choose,
    num_paths,
    bos,
    eos,
    max_length,
    context,
    key=None,
    prefix=None,
    **options,
):
    """K paths of tokens choose(key, log_probs [V]) for each sentence."""
    if max_length < 1:
        raise ValueError(f"max_length must be at least 1, got {max_length}")
    step, rules = Rules(eos, **options).for_context(step, context)
    num_sentences = len(jax.tree.leaves(state)[0])
    forced = forced_tokens(prefix, num_sentences, max_length)
    keys = None if key is None else jax.random.split(key, (num_sentences, num_paths))

    def advance(t, path, key, forced, context):
        last = jnp.where(t > 0, path.tokens[t - 1], bos)
        state, logits = step(path.state, last, context)
        log_probs = rules.log_probs(logits, path.tokens, t, forced)
        key = None if key is None else jax.random.fold_in(key, t)
        token = choose(key, log_probs)
        log_prob = path.log_prob + log_probs[token]
        over = (token == eos) | jnp.isneginf(log_prob)
        new = _Path(state, path.tokens.at[t].set(token), log_prob, t + 1, over)
        return jax.tree.map(partial(jnp.where, path.over), path, new)

    def finish(path, context):
        scores = rules.scores(path.log_prob, path.length, path.state, context)
        found = Hypotheses(path.tokens, scores, path.length)
        return best_first(found, path.over, num_paths, eos)

    def body(loop):
        t, path = loop
        return t + 1, every(t, path, keys, forced[:, t], context)

    every = jax.vmap(advance, in_axes=(None, 0, 0, None, None))  # K
    every = jax.vmap(every, in_axes=(None, 0, 0, 0, 0))  # B
    shape = (num_sentences, num_paths)
    path = _Path(
        jax.tree.map(lambda s: jnp.repeat(s[:, None], num_paths, axis=1), state),
        jnp.full((*shape, max_length), eos, jnp.int32),
        jnp.zeros(shape, jnp.float32),
        jnp.zeros(shape, jnp.int32),
        jnp.zeros(shape, bool),
    )
    _, path = lax.while_loop(
        lambda loop: (loop[0] < max_length) & ~loop[1].over.all(),
        body,
        (jnp.zeros((), jnp.int32), path),
    )
    return jax.vmap(finish)(path, context)


def ensemble(steps):
    """The step of several models as one: the mean of their probabilities.

        log P(y) = log mean_m softmax(logits_m)[y]

    Args:
      steps: step functions with contexts, over the same vocabulary.

    Returns:
      A step whose state and context are tuples, one entry a model.
    """

    def step(states, token, contexts):
        results = [
            step(state, token, context)
            for step, state, context in zip(steps, states, contexts, strict=True)
        ]
        logits = jnp.stack([logits.astype(jnp.float32) for _, logits in results])
        logs = jax.nn.log_softmax(logits)
        return tuple(state for state, _ in results), jax.nn.logsumexp(logs, axis=0)

    return step
