"""Beam search on the device: one loop for all sentences and hypotheses."""

from functools import partial
from typing import NamedTuple

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
from seqjax.decoding.sampling import greedy
from seqjax.decoding.top_k import top_k


def beam_search(
    step: Step,
    state: State,
    *,
    bos: int,
    eos: int,
    beam_size: int,
    max_length: int,
    n_best: int | None = None,
    length_penalty: LengthPenalty = no_penalty,
    coverage: Coverage | None = None,
    min_length: Integer = 0,
    no_repeat_ngram: int = 0,
    prefix: ArrayLike | None = None,
    context: Context = None,
    early_stopping: bool | jax.Array = True,
) -> Hypotheses:
    """The best sequences found while keeping K hypotheses at a time.

    Each step considers the 2K most probable of the K * V continuations. At most K of
    them end in eos. These are finished and get their final score,

        score = length_penalty(sum_t log P(y_t | y_<t), length) + coverage(state)

    The search keeps the N best finished hypotheses of all steps, and the K most
    probable of the other continuations. A sentence is done when no continuation can
    reach a score among the N best at any length, so the result equals that of a search
    without early stopping.

    Call it within `jax.jit`; each shape is compiled once.

    Args:
      step: (state, token) -> (state, logits [V]) for one hypothesis; with a context,
        (state, token, context).
      state: the state before bos; leaves [B, ...].
      bos, eos: the tokens that begin and end a sequence.
      beam_size: K, at least 1. A beam of size 1 is `greedy`, which takes eos only where
        it is the most probable token.
      max_length: L, the maximum number of tokens, eos included.
      n_best: N, at most K, the number of hypotheses to return; None is K. A smaller N
        stops earlier.
      length_penalty: a function (log_prob, length) -> score that rises with log_prob,
        see `penalties`.
      coverage: a function of the state of one hypothesis, at most 0; with a context, of
        (state, context).
      min_length: the minimum number of tokens before eos.
      no_repeat_ngram: n, such that no n-gram occurs twice; 0 allows all repetitions.
      prefix: tokens [B, P] that the hypotheses begin with; -1 is a free choice.
      context: data of each sentence that no step changes, leaves [B, ...]. It is not
        copied per hypothesis.
      early_stopping: False continues to max_length with the same result; for tests.

    Returns:
      Hypotheses with tokens [B, N, L].

    Raises:
      ValueError: if beam_size, n_best or max_length is out of range, the arrays of
        state and context do not begin with one B, or the prefix is not [B, P].

    Example:
      >>> logits = jnp.log(jnp.array([[0.1, 0.6, 0.3], [0.5, 0.1, 0.4], [1, 1, 1]]))
      >>> def step(state, token):  # a bigram model, which needs no state
      ...     return state, logits[token]
      >>> state = jnp.zeros((1, 1))  # B = 1
      >>> found = beam_search(step, state, bos=0, eos=2, beam_size=2, max_length=4)
      >>> found.tokens[0].tolist(), found.lengths[0].tolist()
      ([[2, 2, 2, 2], [1, 2, 2, 2]], [1, 2])

    Source: Wu et al. 2016, arXiv:1609.08144, section 7; Huang et al. 2017, "When to
    finish?", for the stopping rule.
    """
    n_best = beam_size if n_best is None else n_best
    if not (1 <= n_best <= beam_size and max_length >= 1):
        raise ValueError(
            f"beam_search: beam_size must be at least 1, n_best in 1 .. beam_size and "
            f"max_length at least 1, got {beam_size}, {n_best} and {max_length}"
        )
    if beam_size == 1:
        return greedy(
            step,
            state,
            bos=bos,
            eos=eos,
            max_length=max_length,
            length_penalty=length_penalty,
            coverage=coverage,
            min_length=min_length,
            no_repeat_ngram=no_repeat_ngram,
            prefix=prefix,
            context=context,
        )
    rules = Rules(eos, length_penalty, coverage, min_length, no_repeat_ngram)
    step, rules = rules.for_context(step, context)
    search = _Search(step, bos, rules, max_length, early_stopping)
    forced = forced_tokens(prefix, batch_size(state, context), max_length)
    start = jax.vmap(partial(search.start, beam_size, n_best))(state)
    advance = jax.vmap(search.advance, in_axes=(None, 0, 0, 0))

    def body(t: jax.Array, beam: _Beam) -> tuple[_Beam, jax.Array]:
        now = None if forced is None else forced[:, t]
        return advance(t, beam, now, context)

    beam, choices = scan_until(
        body, start, max_length, lambda beam: beam.done.all(), fill=0
    )
    found = jax.vmap(search.ends)(beam)
    is_finished = jnp.arange(n_best + beam_size) < n_best
    depths = found.lengths - is_finished.astype(jnp.int32)  # the eos is in no history
    tokens = _trace(choices, beam_size, found.slots, depths, eos)
    return jax.vmap(partial(best_first, n_best=n_best, eos=eos), (0, None))(
        Hypotheses(tokens, found.scores, found.lengths), is_finished
    )


class _Ends(NamedTuple):
    """Sequences of one sentence, each by the live hypothesis that it ends with."""

    scores: jax.Array  # [N], -inf for an empty slot
    lengths: jax.Array  # [N], eos included
    slots: jax.Array  # [N], the index of the live hypothesis


class _Beam(NamedTuple):
    """The hypotheses of one sentence: K live ones and the N best finished ones."""

    state: State  # of the live ones, leaves [K, ...]
    last: jax.Array  # [K], their last tokens
    rows: jax.Array | None  # [K, L], all their tokens, where a rule needs them
    log_probs: jax.Array  # [K], -inf for an empty slot
    scores: jax.Array  # [K], those of sequences that are cut off here
    finished: _Ends  # N of them
    done: jax.Array  # whether no live hypothesis can enter the N best


class _Search(NamedTuple):
    """The search for one sentence; `beam_search` maps it over the batch."""

    step: Step
    bos: int
    rules: Rules
    max_length: int
    early_stopping: bool | jax.Array

    def start(self, beam_size: int, n_best: int, state: State) -> _Beam:
        none = jnp.full(beam_size, -jnp.inf, jnp.float32)
        zeros = jnp.zeros(n_best, jnp.int32)
        return _Beam(
            state=jax.tree.map(
                lambda s: jnp.broadcast_to(s, (beam_size, *s.shape)), state
            ),
            last=jnp.full(beam_size, self.bos, jnp.int32),
            rows=self.rules.rows(beam_size, self.max_length),
            log_probs=none.at[0].set(0.0),
            scores=none,
            finished=_Ends(jnp.full(n_best, -jnp.inf, jnp.float32), zeros, zeros),
            done=jnp.zeros((), bool),
        )

    def advance(
        self, t: jax.Array, beam: _Beam, forced: jax.Array | None, context: Context
    ) -> tuple[_Beam, jax.Array]:
        """(beam, the choices of its hypotheses) after one step; see `_trace`.

        From the step max_length on, nothing changes that `ends` reads.
        """
        beam_size, eos = len(beam.log_probs), self.rules.eos
        state, logits = jax.vmap(self.step, (0, 0, None))(
            beam.state, beam.last, context
        )
        log_probs = jax.vmap(self.rules.log_probs, (0, 0, None, None))(
            logits, beam.rows, t, forced
        )
        totals = beam.log_probs[:, None] + log_probs  # [K, V]
        vocab_size = totals.shape[1]
        totals, indices = top_k(totals.ravel(), min(2 * beam_size, totals.size))
        parents, chosen = indices // vocab_size, indices % vocab_size  # [2K]

        ended = chosen == eos
        scores = self.rules.scores(totals, t + 1, state, context, parents)
        ends = _Ends(
            jnp.where(ended, scores, -jnp.inf), jnp.full_like(chosen, t + 1), parents
        )
        finished = _merge(beam.finished, ends)

        log_probs, kept = lax.top_k(jnp.where(ended, -jnp.inf, totals), beam_size)
        scores = jnp.where(ended, -jnp.inf, scores)[kept]
        parents, last = parents[kept], chosen[kept]
        rows = beam.rows
        if rows is not None:
            rows = rows[parents].at[:, t].set(last)
        done = self.bound(log_probs, t + 1) <= finished.scores[-1]
        over = t >= self.max_length
        frozen = beam.done | over
        new = _Beam(
            state=jax.tree.map(lambda s: s[parents], state),
            last=last,
            rows=rows,
            log_probs=jnp.where(over, beam.log_probs, log_probs),
            scores=jnp.where(over, beam.scores, scores),
            finished=jax.tree.map(partial(jnp.where, frozen), beam.finished, finished),
            done=beam.done | (done & self.early_stopping),
        )
        return new, last * beam_size + parents

    def bound(self, log_probs: jax.Array, length: jax.Array) -> jax.Array:
        """An upper bound on the scores of longer continuations of the hypotheses."""
        lengths = jnp.arange(1, self.max_length + 1, dtype=jnp.int32)
        scores = self.rules.length_penalty(
            log_probs[:, None], lengths.astype(jnp.float32)
        )
        return jnp.where(lengths > length, scores, -jnp.inf).max()

    def ends(self, beam: _Beam) -> _Ends:
        """The finished sequences, then those that are cut off."""
        beam_size = len(beam.scores)
        length = jnp.full(beam_size, self.max_length, jnp.int32)
        cut_off = _Ends(beam.scores, length, jnp.arange(beam_size, dtype=jnp.int32))
        return jax.tree.map(lambda *a: jnp.concatenate(a), beam.finished, cut_off)


def _merge(old: _Ends, new: _Ends) -> _Ends:
    """The N best of both, N being the number of old ones; ties go to the older."""
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), old, new)
    _, kept = lax.top_k(both.scores, len(old.scores))
    return jax.tree.map(lambda a: a[kept], both)


def _trace(
    choices: jax.Array, beam_size: int, slots: jax.Array, depths: jax.Array, eos: int
) -> jax.Array:
    """The tokens [B, N, L] of hypotheses, followed back from their last step.

    Args:
      choices: [L, B, K], of each live hypothesis of each step: token * K + the index of
        its parent among those of the step before.
      beam_size: K.
      slots: [B, N], the index of each hypothesis at its last step.
      depths: [B, N], the numbers of their tokens; eos follows.
      eos: the token that ends a sequence.
    """

    def back(
        slots: jax.Array, step: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        t, choices = step
        chosen = jnp.take_along_axis(choices, slots, axis=1)
        inside = t < depths
        token = jnp.where(inside, chosen // beam_size, eos)
        return jnp.where(inside, chosen % beam_size, slots), token

    steps = jnp.arange(len(choices), dtype=jnp.int32), choices
    _, tokens = lax.scan(back, slots, steps, reverse=True)
    return jnp.moveaxis(tokens, 0, -1)
