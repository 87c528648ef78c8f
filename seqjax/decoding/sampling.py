"""Sampling and greedy decoding from a step function."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from seqjax.decoding.hypotheses import (
    Context,
    Coverage,
    Hypotheses,
    Integer,
    Rules,
    State,
    Step,
    batch_size,
    best_first,
    forced_tokens,
)
from seqjax.decoding.loops import scan_until
from seqjax.decoding.penalties import LengthPenalty, no_penalty
from seqjax.decoding.top_k import top_k

Key = Any  # a random key, or None where nothing is sampled
Chooser = Callable[[Key, jax.Array], jax.Array]  # (key, log_probs [V]) -> token


def sample_token(
    key: jax.Array,
    logits: jax.Array,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
) -> jax.Array:
    """Sample a token from softmax(logits / temperature), truncated.

    Args:
      key: a random key; not used at temperature 0.
      logits: [..., V].
      temperature: at least 0. Values below 1 sharpen the distribution, values above 1
        flatten it, and 0 is greedy.
      top_k: keep the k most probable tokens (Fan et al. 2018). Ties go to the lower
        index. 0 keeps all tokens.
      top_p: then keep the smallest set of most probable tokens whose probability is at
        least top_p (Holtzman et al. 2020, arXiv:1904.09751). 1 keeps all tokens.
      min_p: then keep the tokens whose probability is at least min_p times that of the
        most probable one (Nguyen et al. 2024, arXiv:2407.01082). 0 keeps all tokens.

    Returns:
      tokens [...], int32.

    Raises:
      ValueError: if temperature or top_k is negative, top_p is outside (0, 1], or min_p
        outside [0, 1].

    Example:
      >>> logits = jnp.log(jnp.array([0.3, 0.5, 0.2]))
      >>> sample_token(jax.random.key(0), logits, temperature=0).item()
      1
      >>> many = jnp.tile(logits, (1000, 1))
      >>> tokens = sample_token(jax.random.key(0), many, top_p=0.6)
      >>> sorted(set(tokens.tolist()))  # 0.5 alone is below 0.6
      [0, 1]

    Source: Fan et al. 2018, arXiv:1805.04833, for top_k; Holtzman et al. 2020,
    arXiv:1904.09751, section 3.1, for top_p; Nguyen et al. 2024, arXiv:2407.01082, for
    min_p.
    """
    if not (temperature >= 0 and top_k >= 0 and 0 < top_p <= 1):
        raise ValueError(
            f"temperature and top_k must not be negative and top_p in (0, 1], "
            f"got {temperature}, {top_k} and {top_p}"
        )
    if not 0 <= min_p <= 1:
        raise ValueError(f"min_p must be in [0, 1], got {min_p}")
    if temperature == 0:
        return jnp.argmax(logits, axis=-1).astype(jnp.int32)
    logits = logits.astype(jnp.float32) / temperature
    if 0 < top_k < logits.shape[-1]:
        logits = _most_probable(logits, top_k)
    if top_p < 1:
        logits = _nucleus(logits, top_p)
    if min_p > 0:
        highest = logits.max(axis=-1, keepdims=True)
        logits = jnp.where(logits >= highest + math.log(min_p), logits, -jnp.inf)
    return jax.random.categorical(key, logits).astype(jnp.int32)


def _most_probable(logits: jax.Array, number: int) -> jax.Array:
    """The logits, with -inf for all but this number of the most probable tokens."""
    values, indices = top_k(logits, number)
    tokens = jnp.arange(logits.shape[-1], dtype=jnp.int32)
    equal_and_first = (logits == values[..., -1:]) & (tokens <= indices[..., -1:])
    return jnp.where((logits > values[..., -1:]) | equal_and_first, logits, -jnp.inf)


def _nucleus(logits: jax.Array, top_p: float) -> jax.Array:
    """The logits, with -inf for tokens whose predecessors have probability top_p.

    The predecessors are the more probable tokens, and of the equally probable ones
    those with a lower index. Nothing is sorted: the probability of the last token kept
    is found by bisection of its bits, which rise with it.
    """
    probabilities = jax.nn.softmax(logits, axis=-1)

    def more_probable(bits: jax.Array) -> jax.Array:
        above = probabilities > lax.bitcast_convert_type(bits, jnp.float32)
        return jnp.where(above, probabilities, 0.0).sum(axis=-1, keepdims=True)

    def halve(_: int, interval: tuple[jax.Array, jax.Array]) -> Any:
        low, high = interval  # probabilities above high sum up to less than top_p
        middle = jnp.maximum((low + high) // 2, 0)
        enough = more_probable(middle) >= top_p
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    one = lax.bitcast_convert_type(jnp.ones((), jnp.float32), jnp.int32)
    shape = (*logits.shape[:-1], 1)
    interval = jnp.full(shape, -1, jnp.int32), jnp.full(shape, one)
    _, bits = lax.fori_loop(0, 30, halve, interval)
    last = lax.bitcast_convert_type(bits, jnp.float32)
    equal = probabilities == last
    rank = jnp.cumsum(equal, axis=-1, dtype=jnp.float32) - 1  # among the equal ones
    preceding = more_probable(bits) + last * rank
    kept = (probabilities > last) | (equal & (preceding < top_p))
    return jnp.where(kept, logits, -jnp.inf)


def greedy(
    step: Step,
    state: State,
    *,
    bos: int,
    eos: int,
    max_length: int,
    length_penalty: LengthPenalty = no_penalty,
    coverage: Coverage | None = None,
    min_length: Integer = 0,
    no_repeat_ngram: int = 0,
    prefix: ArrayLike | None = None,
    context: Context = None,
) -> Hypotheses:
    """Choose the most probable token at each step, until eos.

    Args:
      step, state, bos, eos, max_length, length_penalty, coverage, min_length,
        no_repeat_ngram, prefix, context: see `beam_search`.

    Returns:
      Hypotheses with tokens [B, 1, max_length].

    Raises:
      ValueError: if max_length is below 1, or as `beam_search`.

    Example:
      >>> logits = jnp.log(jnp.array([[0.1, 0.6, 0.3], [0.5, 0.1, 0.4], [1, 1, 1]]))
      >>> def step(state, token):  # a bigram model, which needs no state
      ...     return state, logits[token]
      >>> state = jnp.zeros((1, 1))  # B = 1
      >>> found = greedy(step, state, bos=0, eos=2, max_length=4)
      >>> found.tokens[0, 0].tolist(), found.lengths[0, 0].item()
      ([1, 0, 1, 0], 4)
    """

    def choose(_: Key, log_probs: jax.Array) -> jax.Array:
        return jnp.argmax(log_probs).astype(jnp.int32)

    rules = Rules(eos, length_penalty, coverage, min_length, no_repeat_ngram)
    return _generate(step, state, choose, rules, bos, max_length, prefix, context)


def sample(
    step: Step,
    state: State,
    key: jax.Array,
    *,
    bos: int,
    eos: int,
    max_length: int,
    num_samples: int = 1,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    min_p: float = 0.0,
    length_penalty: LengthPenalty = no_penalty,
    coverage: Coverage | None = None,
    min_length: Integer = 0,
    no_repeat_ngram: int = 0,
    prefix: ArrayLike | None = None,
    context: Context = None,
) -> Hypotheses:
    """Sample sequences token by token, until eos.

    Args:
      key: a random key.
      num_samples: K, samples per sentence.
      temperature, top_k, top_p, min_p: see `sample_token`.
      step, state, bos, eos, max_length, length_penalty, coverage, min_length,
        no_repeat_ngram, prefix, context: see `beam_search`.

    Returns:
      Hypotheses with tokens [B, K, max_length], best first. The scores are those of the
      model at temperature 1, without truncation.

    Raises:
      ValueError: if max_length or num_samples is below 1, or as `sample_token` and
        `beam_search`.

    Example:
      >>> logits = jnp.log(jnp.array([[0.1, 0.6, 0.3], [0.5, 0.1, 0.4], [1, 1, 1]]))
      >>> def step(state, token):  # a bigram model, which needs no state
      ...     return state, logits[token]
      >>> state, key = jnp.zeros((1, 1)), jax.random.key(0)  # B = 1
      >>> found = sample(step, state, key, bos=0, eos=2, max_length=3, num_samples=5)
      >>> found.tokens.shape
      (1, 5, 3)
      >>> found = sample(step, state, key, bos=0, eos=2, max_length=3, top_k=1)
      >>> found.tokens[0].tolist()
      [[1, 0, 1]]
    """
    drawing: Any = {"temperature": temperature, "top_k": top_k}
    choose = partial(sample_token, **drawing, top_p=top_p, min_p=min_p)
    rules = Rules(eos, length_penalty, coverage, min_length, no_repeat_ngram)
    return _generate(
        step, state, choose, rules, bos, max_length, prefix, context, num_samples, key
    )


class _Path(NamedTuple):
    """One sequence in progress."""

    state: State
    last: jax.Array  # its last token
    row: jax.Array | None  # [L], all its tokens, where a rule needs them
    log_prob: jax.Array
    length: jax.Array
    finished: jax.Array


def _generate(
    step: Step,
    state: State,
    choose: Chooser,
    rules: Rules,
    bos: int,
    max_length: int,
    prefix: ArrayLike | None,
    context: Context,
    num_paths: int = 1,
    key: Key = None,
) -> Hypotheses:
    """`num_paths` sequences per sentence, of the tokens that `choose` returns."""
    if max_length < 1:
        raise ValueError(f"max_length must be at least 1, got {max_length}")
    if num_paths < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_paths}")
    step, rules = rules.for_context(step, context)
    num_sentences = batch_size(state, context)
    forced = forced_tokens(prefix, num_sentences, max_length)
    keys = None if key is None else jax.random.split(key, (num_sentences, num_paths))

    def advance(
        t: jax.Array,
        path: _Path,
        key: Key,
        forced: jax.Array | None,
        context: Context,
    ) -> tuple[_Path, jax.Array]:
        state, logits = step(path.state, path.last, context)
        log_probs = rules.log_probs(logits, path.row, t, forced)
        key = None if key is None else jax.random.fold_in(key, t)
        token = choose(key, log_probs)
        log_prob = path.log_prob + log_probs[token]
        finished = (token == rules.eos) | jnp.isneginf(log_prob)
        row = None if path.row is None else path.row.at[t].set(token)
        new = _Path(state, token, row, log_prob, t + 1, finished)
        over = path.finished | (t >= max_length)
        token = jnp.where(over, rules.eos, token)
        return jax.tree.map(partial(jnp.where, over), path, new), token

    def finish(path: _Path, tokens: jax.Array, context: Context) -> Hypotheses:
        scores = rules.scores(path.log_prob, path.length, path.state, context)
        found = Hypotheses(tokens, scores, path.length)
        return best_first(found, path.finished, num_paths, rules.eos)

    advance_all = jax.vmap(advance, in_axes=(None, 0, 0, None, None))  # K
    advance_all = jax.vmap(advance_all, in_axes=(None, 0, 0, 0, 0))  # B

    def body(t: jax.Array, path: _Path) -> tuple[_Path, jax.Array]:
        now = None if forced is None else forced[:, t]
        return advance_all(t, path, keys, now, context)

    path = _empty_paths(state, (num_sentences, num_paths), rules, bos, max_length)
    path, tokens = scan_until(
        body, path, max_length, lambda path: path.finished.all(), fill=rules.eos
    )
    return jax.vmap(finish)(path, jnp.moveaxis(tokens, 0, -1), context)


def _empty_paths(
    state: State, shape: tuple[int, int], rules: Rules, bos: int, max_length: int
) -> _Path:
    """Paths [B, K] before their first token, from states [B, ...]."""
    num_sentences, num_paths = shape
    row = rules.rows(num_paths, max_length)
    return _Path(
        jax.tree.map(lambda s: jnp.repeat(s[:, None], num_paths, axis=1), state),
        jnp.full(shape, bos, jnp.int32),
        None if row is None else jnp.broadcast_to(row, (num_sentences, *row.shape)),
        jnp.zeros(shape, jnp.float32),
        jnp.zeros(shape, jnp.int32),
        jnp.zeros(shape, bool),
    )
