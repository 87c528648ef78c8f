"""Exhaustive search: the best of all sequences, by which others are judged."""

from functools import partial

import jax
import jax.numpy as jnp

from seqjax.decoding.hypotheses import (
    Hypotheses,
    Rules,
    best_first,
    empty_places,
    forced_tokens,
)


def exhaustive(
    step,
    state,
    *,
    bos,
    eos,
    max_length,
    n_best=1,
    context=None,
    prefix=None,
    **options,
):
    """The best of all sequences of up to max_length tokens: V**max_length at a time.

    Args:
      step, state, bos, eos, max_length, n_best, context, **options: as `beam_search`.

    Returns:
      Hypotheses with K = n_best.

    Raises:
      ValueError: for an n_best or max_length below 1.
    """
    if not (n_best >= 1 and max_length >= 1):
        raise ValueError(
            f"exhaustive: n_best and max_length must be at least 1, "
            f"got {n_best} and {max_length}"
        )
    step, rules = Rules(eos, **options).for_context(step, context)
    forced = forced_tokens(prefix, len(jax.tree.leaves(state)[0]), max_length)

    def search(state, forced, context):
        state = jax.tree.map(lambda s: s[None], state)
        tokens = jnp.full((1, max_length), eos, jnp.int32)
        totals = jnp.zeros(1, jnp.float32)
        found = [empty_places(n_best, max_length, eos)]  # where there are fewer
        for t in range(max_length):
            last = tokens[:, t - 1] if t else jnp.full(1, bos, jnp.int32)
            state, logits = jax.vmap(step, (0, 0, None))(state, last, context)
            log_probs = jax.vmap(rules.log_probs, (0, 0, None, None))(
                logits, tokens, t, forced[t]
            )
            log_probs += totals[:, None]  # [N, V]
            scores = rules.scores(log_probs[:, eos], t + 1, state, context)
            found.append((tokens, scores, jnp.full(len(scores), t + 1, jnp.int32)))
            others = jnp.delete(jnp.arange(logits.shape[1]), eos)
            expand = partial(jnp.repeat, repeats=logits.shape[1] - 1, axis=0)
            state, tokens = jax.tree.map(expand, (state, tokens))
            tokens = tokens.at[:, t].set(jnp.tile(others, len(totals)))
            totals = log_probs[:, others].ravel()  # [N * (V - 1)]
        num_ended = sum(len(scores) for _, scores, _ in found)
        scores = rules.scores(totals, max_length, state, context)
        found.append((tokens, scores, jnp.full(len(scores), max_length, jnp.int32)))
        found = Hypotheses(*(jnp.concatenate(a) for a in zip(*found, strict=True)))
        ended = jnp.arange(len(found.scores)) < num_ended
        return best_first(found, ended, n_best, eos)

    return jax.vmap(search)(state, forced, context)
