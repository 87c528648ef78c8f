"""Endless sampling: one token at a time, yielded to Python."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from seqjax.decoding.hypotheses import Context, State, Step
from seqjax.decoding.sampling import sample_token


def stream(
    step: Step,
    state: State,
    prompt: Sequence[int] | np.ndarray | jax.Array,
    key: jax.Array,
    *,
    context: Context = None,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    num_samples: int | None = None,
) -> Iterator[Any]:
    """Yield sampled tokens without end, after reading a prompt.

    Args:
      step: (state, token) -> (state, logits [V]) for one sequence; with a context,
        (state, token, context).
      state: the state before the prompt, without a batch axis.
      prompt: integers [N], N at least 1.
      key: a random key; the i-th token uses `fold_in(key, i)`.
      context: data that every step reads and none changes, such as parameters. Arrays
        that `step` closes over are compiled in as constants instead.
      temperature, top_k, top_p, min_p: see `sample_token`.
      num_samples: K, the number of independent continuations; None is one.

    Yields:
      int: the next token; with `num_samples` an array of the K next tokens.

    Raises:
      ValueError: if the prompt is empty, or num_samples is below 1.

    Example:
      >>> model = seqjax.LanguageModel(vocab_size=28, cell=seqjax.GRU(8))
      >>> params = model.init(jax.random.key(0))
      >>> def step(state, token, params):
      ...     return model.step(params, state, token)
      >>> state, key = model.initial_state(), jax.random.key(1)
      >>> tokens = stream(step, state, [3, 1, 4], key, context=params)
      >>> type(next(tokens))
      <class 'int'>
    """
    if len(prompt) == 0:
        raise ValueError("stream: the prompt must hold at least one token")
    if num_samples is not None and num_samples < 1:
        raise ValueError(f"stream: num_samples must be at least 1, got {num_samples}")
    drawing: Any = {"temperature": temperature, "top_k": top_k}
    sample = partial(sample_token, **drawing, top_p=top_p, min_p=min_p)
    prompt = jnp.asarray(prompt, jnp.int32)
    if context is None:
        return _stream(
            lambda s, token, _: step(s, token),
            state,
            prompt,
            key,
            (),
            sample,
            num_samples,
        )
    return _stream(step, state, prompt, key, context, sample, num_samples)


def _stream(
    step: Step,
    state: State,
    prompt: jax.Array,
    key: jax.Array,
    context: Context,
    sample: Callable[[jax.Array, jax.Array], jax.Array],
    num_samples: int | None,
) -> Iterator[Any]:
    @jax.jit
    def read(
        state: State, tokens: jax.Array, context: Context
    ) -> tuple[State, jax.Array]:
        return jax.lax.scan(lambda s, token: step(s, token, context), state, tokens)

    def advance_one(
        state: State, logits: jax.Array, key: jax.Array, i: int, context: Context
    ) -> tuple[State, jax.Array, jax.Array]:
        token = sample(jax.random.fold_in(key, i), logits)
        state, logits = step(state, token, context)
        return state, logits, token

    state, logits = read(state, prompt, context)
    logits, i = logits[-1], 0
    if num_samples is None:
        advance = jax.jit(advance_one)
    else:
        advance = jax.jit(jax.vmap(advance_one, in_axes=(0, 0, 0, None, None)))
        key = jax.random.split(key, num_samples)
        state, logits = jax.tree.map(
            lambda a: jnp.repeat(a[None], num_samples, axis=0), (state, logits)
        )
    while True:
        state, logits, token = advance(state, logits, key, i, context)
        yield int(token) if num_samples is None else np.asarray(token)
        i += 1
