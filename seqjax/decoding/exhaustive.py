"""Exhaustive search, the reference for the other searches."""

from functools import partial

import jax
import jax.numpy as jnp
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
    empty_hypotheses,
    forced_tokens,
)
from seqjax.decoding.penalties import LengthPenalty, no_penalty


def exhaustive(
    step: Step,
    state: State,
    *,
    bos: int,
    eos: int,
    max_length: int,
    n_best: int = 1,
    length_penalty: LengthPenalty = no_penalty,
    coverage: Coverage | None = None,
    min_length: Integer = 0,
    no_repeat_ngram: int = 0,
    prefix: ArrayLike | None = None,
    context: Context = None,
) -> Hypotheses:
    """The best of all sequences of up to max_length tokens.

    The memory grows as V**max_length.

    Args:
      step, state, bos, eos, max_length, n_best, length_penalty, coverage, min_length,
        no_repeat_ngram, prefix, context: see `beam_search`.

    Returns:
      Hypotheses with tokens [B, n_best, max_length].

    Raises:
      ValueError: if n_best or max_length is below 1, or as `beam_search`.

    Example:
      >>> logits = jnp.log(jnp.array([[0.1, 0.6, 0.3], [0.5, 0.1, 0.4], [1, 1, 1]]))
      >>> def step(state, token):  # a bigram model, which needs no state
      ...     return state, logits[token]
      >>> state = jnp.zeros((1, 1))  # B = 1
      >>> found = exhaustive(step, state, bos=0, eos=2, max_length=2, n_best=2)
      >>> found.tokens[0].tolist(), np.exp(found.scores[0]).round(2)  # 0.3, 0.6 * 0.4
      ([[2, 2], [1, 2]], array([0.3 , 0.24], dtype=float32))
    """
    if not (n_best >= 1 and max_length >= 1):
        raise ValueError(
            f"exhaustive: n_best and max_length must be at least 1, "
            f"got {n_best} and {max_length}"
        )
    rules = Rules(eos, length_penalty, coverage, min_length, no_repeat_ngram)
    step, rules = rules.for_context(step, context)
    forced = forced_tokens(prefix, batch_size(state, context), max_length)

    def search(state: State, forced: jax.Array | None, context: Context) -> Hypotheses:
        state = jax.tree.map(lambda s: s[None], state)
        tokens = jnp.full((1, max_length), eos, jnp.int32)
        totals = jnp.zeros(1, jnp.float32)
        finished = [empty_hypotheses(n_best, max_length, eos)]
        for t in range(max_length):
            now = None if forced is None else forced[t]
            last = tokens[:, t - 1] if t else jnp.full(1, bos, jnp.int32)
            state, logits = jax.vmap(step, (0, 0, None))(state, last, context)
            log_probs = jax.vmap(rules.log_probs, (0, 0, None, None))(
                logits, tokens, t, now
            )
            log_probs += totals[:, None]  # [N, V]
            scores = rules.scores(log_probs[:, eos], t + 1, state, context)
            finished.append(_of_length(t + 1, tokens, scores))
            others = jnp.delete(jnp.arange(logits.shape[1]), eos)
            expand = partial(jnp.repeat, repeats=logits.shape[1] - 1, axis=0)
            state, tokens = jax.tree.map(expand, (state, tokens))
            tokens = tokens.at[:, t].set(jnp.tile(others, len(totals)))
            totals = log_probs[:, others].ravel()  # [N * (V - 1)]
        scores = rules.scores(totals, max_length, state, context)
        cut_off = _of_length(max_length, tokens, scores)
        found = jax.tree.map(lambda *a: jnp.concatenate(a), *finished, cut_off)
        is_finished = jnp.arange(len(found.scores)) < len(found.scores) - len(scores)
        return best_first(found, is_finished, n_best, eos)

    return jax.vmap(search)(state, forced, context)


def _of_length(length: int, tokens: jax.Array, scores: jax.Array) -> Hypotheses:
    return Hypotheses(tokens, scores, jnp.full(len(scores), length, jnp.int32))
