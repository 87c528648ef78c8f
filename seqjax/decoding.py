"""Decoding: the next token from logits, and a stream of tokens from a step function."""

from functools import partial

import jax
import jax.numpy as jnp


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
