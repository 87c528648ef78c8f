"""Beam search on the device: one loop, vectorized over sentences and hypotheses."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.decoding.hypotheses import (
    Hypotheses,
    Rules,
    best_first,
    empty_places,
    forced_tokens,
    no_penalty,
)


class _Beam(NamedTuple):
    """Of one sentence: K hypotheses that go on, and the N best that have ended."""

    state: Any  # [K, ...]
    tokens: jax.Array  # [K, L]
    log_probs: jax.Array  # [K], -inf for an empty place
    ended: Hypotheses  # tokens [N, L], scores [N], lengths [N]
    over: jax.Array  # nothing that goes on can come among the N best


def beam_search(
    step,
    state,
    *,
    bos,
    eos,
    beam_size,
    max_length,
    n_best=None,
    length_penalty=no_penalty,
    coverage=None,
    min_length=0,
    no_repeat_ngram=0,
    prefix=None,
    context=None,
    stop=True,
):
    """The best of the sequences that K hypotheses kept at a time lead to.

    At each step the 2K likeliest of the K * V continuations are looked at. Those with
    eos, K at the most, have ended: they get their final score,

        score = length_penalty(sum_t log P(y_t | y_<t), length) + coverage(state)

    and the best N of all steps are kept. The likeliest K of the others go on. A
    sentence is over as soon as no hypothesis that goes on can get a score among the N
    best, at whatever length: the result is that of a search without an early end.

    To be called within `jax.jit`, once per shape.

    Args:
      step: (state, token) -> (state, logits [V]) for one hypothesis; with a context,
        (state, token, context).
      state: the state before bos; leaves [B, ...].
      bos, eos: the tokens that begin and end a sequence.
      beam_size: K, at least 2; width 1 is `greedy`, which takes eos only where it is
        the likeliest token.
      max_length: L, tokens at most, eos included.
      n_best: N, at most K, how many to return; None is K. Fewer end sooner.
      length_penalty: a function (log_prob, length) that rises with log_prob, see
        `hypotheses`.
      coverage: a function of one hypothesis's state, at most 0; with a context, of
        (state, context).
      min_length: how many tokens come before eos, at least.
      no_repeat_ngram: n, so that no n tokens in a row come twice; 0 allows all.
      prefix: tokens [B, P] that the hypotheses begin with; -1 leaves a place free.
      context: what each sentence has and no step changes, leaves [B, ...]; it is not
        copied per hypothesis.
      stop: False goes on to max_length: the same result, for tests.

    Returns:
      Hypotheses with tokens [B, N, L].

    Raises:
      ValueError: for widths or lengths that cannot be.

    Example:
      >>> translate = jax.jit(lambda params, source, lengths: beam_search(
      ...     functools.partial(model.step, params),
      ...     *model.start(params, source, lengths),
      ...     bos=2, eos=3, beam_size=5, max_length=100))

    Source: Wu et al. 2016, arXiv:1609.08144, section 7; Huang et al. 2017, "When to
    finish?", for the stopping rule.
    """
    n_best = beam_size if n_best is None else n_best
    if not (beam_size >= 2 and 1 <= n_best <= beam_size and max_length >= 1):
        raise ValueError(
            f"beam_search: beam_size must be at least 2, n_best in 1 .. beam_size and "
            f"max_length at least 1, got {beam_size}, {n_best} and {max_length}"
        )
    rules = Rules(eos, length_penalty, coverage, min_length, no_repeat_ngram)
    step, rules = rules.for_context(step, context)
    search = _Search(step, bos, rules, max_length, stop)
    forced = forced_tokens(prefix, len(jax.tree.leaves(state)[0]), max_length)
    start = jax.vmap(partial(search.start, beam_size, n_best))(state)
    advance = jax.vmap(search.advance, in_axes=(None, 0, 0, 0))

    def going_on(loop):
        t, beam = loop
        return (t < max_length) & ~beam.over.all()

    def body(loop):
        t, beam = loop
        return t + 1, advance(t, beam, forced[:, t], context)

    _, beam = lax.while_loop(going_on, body, (jnp.zeros((), jnp.int32), start))
    return jax.vmap(search.finish)(beam, context)


class _Search(NamedTuple):
    """The search for one sentence; `beam_search` runs it for all at once."""

    step: Any
    bos: int
    rules: Rules
    max_length: int
    stop: Any

    def start(self, beam_size, n_best, state):
        shape = beam_size, self.max_length
        return _Beam(
            state=jax.tree.map(
                lambda s: jnp.broadcast_to(s, (beam_size, *s.shape)), state
            ),
            tokens=jnp.full(shape, self.rules.eos, jnp.int32),
            log_probs=jnp.full(beam_size, -jnp.inf, jnp.float32).at[0].set(0.0),
            ended=empty_places(n_best, self.max_length, self.rules.eos),
            over=jnp.zeros((), bool),
        )

    def advance(self, t, beam, forced, context):
        width, eos = len(beam.log_probs), self.rules.eos
        last = jnp.where(t > 0, beam.tokens[:, t - 1], self.bos)
        state, logits = jax.vmap(self.step, (0, 0, None))(beam.state, last, context)
        log_probs = jax.vmap(self.rules.log_probs, (0, 0, None, None))(
            logits, beam.tokens, t, forced
        )
        totals = beam.log_probs[:, None] + log_probs  # [K, V]
        vocab_size = totals.shape[1]
        totals, places = lax.top_k(totals.ravel(), min(2 * width, totals.size))
        parents, chosen = places // vocab_size, places % vocab_size  # [2K]
        tokens = beam.tokens[parents].at[:, t].set(chosen.astype(jnp.int32))

        scores = self.rules.scores(totals, t + 1, state, context, parents)
        scores = jnp.where(chosen == eos, scores, -jnp.inf)
        lengths = jnp.full_like(chosen, t + 1, jnp.int32)
        ended = _best(beam.ended, Hypotheses(tokens, scores, lengths))

        alive = jnp.where(chosen == eos, -jnp.inf, totals)
        alive, kept = lax.top_k(alive, width)
        over = self.bound(alive, t + 1) <= ended.scores[-1]
        return _Beam(
            state=jax.tree.map(lambda s: s[parents[kept]], state),
            tokens=tokens[kept],
            log_probs=alive,
            ended=jax.tree.map(partial(jnp.where, beam.over), beam.ended, ended),
            over=beam.over | (over & self.stop),
        )

    def bound(self, log_probs, length):
        """The best score that hypotheses of this length can get at any later one."""
        lengths = jnp.arange(1, self.max_length + 1)
        penalty = self.rules.length_penalty
        scores = penalty(log_probs[:, None], lengths.astype(jnp.float32))
        return jnp.where(lengths > length, scores, -jnp.inf).max()

    def finish(self, beam, context):
        """The N that have ended; in places left over, the best that have not."""
        width, n_best = len(beam.log_probs), len(beam.ended.scores)
        length = self.max_length
        cut_off = Hypotheses(
            beam.tokens,
            self.rules.scores(beam.log_probs, length, beam.state, context),
            jnp.full(width, length, jnp.int32),
        )
        found = jax.tree.map(lambda *a: jnp.concatenate(a), beam.ended, cut_off)
        ended = jnp.arange(n_best + width) < n_best
        return best_first(found, ended, n_best, self.rules.eos)


def _best(old, new):
    """The best of both, as many as there are old ones; of equal ones the older."""
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), old, new)
    scores, kept = lax.top_k(both.scores, len(old.scores))
    return Hypotheses(both.tokens[kept], scores, both.lengths[kept])
