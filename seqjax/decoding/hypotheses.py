"""The result of a search, and the rules that all searches share."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from seqjax.decoding.penalties import LengthPenalty, no_penalty

State = Any  # a pytree; leaves begin with B where a search takes or returns it
Context = Any  # a pytree, one entry per sentence
Step = Callable[..., tuple[State, jax.Array]]  # (state, token[, context])
Integer = int | jax.Array  # a scalar, static or traced
Coverage = Callable[..., jax.Array]  # (state[, context]) -> score


class Hypotheses(NamedTuple):
    """The results of a search, best first.

    Finished hypotheses precede those cut off at the maximum length. Empty slots have
    length 0 and score -inf.
    """

    tokens: jax.Array  # [B, K, L] int32, with eos, without bos; eos after the end
    scores: jax.Array  # [B, K] float32, penalties included
    lengths: jax.Array  # [B, K] int32, eos included


class Rules(NamedTuple):
    """The tokens a search may choose, and the score of a sequence.

    Attributes:
      eos: the token that ends a hypothesis.
      length_penalty, coverage, min_length, no_repeat_ngram: see `beam_search`.
    """

    eos: int
    length_penalty: LengthPenalty = no_penalty
    coverage: Coverage | None = None
    min_length: Integer = 0
    no_repeat_ngram: int = 0

    def for_context(self, step: Step, context: Context) -> tuple[Step, "Rules"]:
        """Return a step and rules that both take a context, which may be None."""
        if context is not None:
            return step, self
        rules = self
        if (coverage := self.coverage) is not None:
            rules = self._replace(coverage=lambda state, _: coverage(state))
        return lambda state, token, _: step(state, token), rules

    def rows(self, number: int, max_length: int) -> jax.Array | None:
        """Empty tokens [number, L] of hypotheses; None if no rule needs them."""
        if not 0 < self.no_repeat_ngram <= max_length:
            return None
        return jnp.full((number, max_length), self.eos, jnp.int32)

    def log_probs(
        self,
        logits: jax.Array,
        tokens: jax.Array | None,
        t: Integer,
        forced: jax.Array | None,
    ) -> jax.Array:
        """log softmax(logits) [V], with -inf for tokens that may not follow tokens[:t].

        Args:
          logits: [V].
          tokens: [L], the hypothesis so far, from `rows`.
          t: the number of its tokens.
          forced: the token that must come next, which overrides all other rules; -1 or
            None for a free choice.
        """
        log_probs = jax.nn.log_softmax(logits.astype(jnp.float32))
        vocab = jnp.arange(len(logits), dtype=jnp.int32)
        banned: jax.Array | bool = False
        if not isinstance(self.min_length, int) or self.min_length > 0:
            banned = (vocab == self.eos) & (t < self.min_length)
        if tokens is not None and 0 < self.no_repeat_ngram <= len(tokens):
            banned |= _completes_ngram(tokens, t, self.no_repeat_ngram, len(logits))
        if forced is not None:
            banned = jnp.where(forced >= 0, vocab != forced, banned)
        return log_probs if banned is False else jnp.where(banned, -jnp.inf, log_probs)

    def scores(
        self,
        log_probs: jax.Array,
        lengths: Integer,
        states: State,
        context: Context,
        parents: jax.Array | None = None,
    ) -> jax.Array:
        """Final scores [N] of the hypotheses of one sentence.

        Args:
          log_probs: [N].
          lengths: [N], or one length for all.
          states: the states of the hypotheses, leaves [N, ...].
          context: of the sentence.
          parents: [N], the index of each hypothesis in `states`; None is 0 .. N - 1.
        """
        lengths = jnp.asarray(lengths, jnp.float32)
        scores = self.length_penalty(log_probs, lengths)
        if self.coverage is None:
            return scores
        coverage = jax.vmap(self.coverage, (0, None))(states, context)
        return scores + (coverage if parents is None else coverage[parents])


def empty_hypotheses(number: int, max_length: int, eos: int) -> Hypotheses:
    """`number` empty slots of one sentence."""
    return Hypotheses(
        jnp.full((number, max_length), eos, jnp.int32),
        jnp.full(number, -jnp.inf, jnp.float32),
        jnp.zeros(number, jnp.int32),
    )


def best_first(
    found: Hypotheses, finished: jax.Array, n_best: int, eos: int
) -> Hypotheses:
    """The best hypotheses of one sentence, finished ones first.

    Args:
      found: Hypotheses without a batch axis; a score of -inf marks an empty slot.
      finished: bool [K].
      n_best: N, at most K.
      eos: fills the tokens of empty slots.
    """
    real = jnp.isfinite(found.scores)
    group = jnp.where(real, jnp.where(finished, 0, 1), 2)
    order = jnp.lexsort((-found.scores, group))[:n_best]
    found, real = jax.tree.map(lambda a: a[order], (found, real))
    return Hypotheses(
        jnp.where(real[:, None], found.tokens, eos),
        jnp.where(real, found.scores, -jnp.inf),
        jnp.where(real, found.lengths, 0),
    )


def forced_tokens(
    prefix: ArrayLike | None, num_sentences: int, max_length: int
) -> jax.Array | None:
    """Pad a prefix [B, P] to forced tokens [B, L]; -1 is a free choice.

    None stays None.

    Raises:
      ValueError: if the prefix is not integers [B, P].
    """
    if prefix is None:
        return None
    prefix = jnp.asarray(prefix)
    fits = prefix.ndim == 2 and len(prefix) == num_sentences
    if not (fits and jnp.issubdtype(prefix.dtype, jnp.integer)):
        raise ValueError(
            f"the prefix must be integers [B, P] with B = {num_sentences}, got "
            f"{prefix.dtype} {prefix.shape}"
        )
    prefix = prefix[:, :max_length].astype(jnp.int32)
    forced = jnp.full((num_sentences, max_length), -1, jnp.int32)
    return forced.at[:, : prefix.shape[1]].set(prefix)


def batch_size(state: State, context: Context = None) -> int:
    """B, the leading dimension of all leaves of a state and of a context.

    Raises:
      ValueError: if the state has no leaves, or the leaves begin with different sizes.
    """
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves((state, context))]
    if not jax.tree.leaves(state):
        raise ValueError(
            f"the state must hold at least one array [B, ...], which tells the number "
            f"of sentences B, got {state!r}; a step without a state can take "
            f"jnp.zeros((B, 0))"
        )
    if len({shape[:1] for shape in shapes}) > 1 or () in shapes:
        raise ValueError(
            f"all arrays of the state and the context must begin with the number of "
            f"sentences B, got shapes {', '.join(map(str, shapes))}"
        )
    return shapes[0][0]


def _completes_ngram(
    tokens: jax.Array, t: Integer, n: int, vocab_size: int
) -> jax.Array:
    """Whether each token would complete an n-gram of tokens[:t]: bool [V]."""
    last = lax.dynamic_slice(tokens, (t - (n - 1),), (n - 1,))
    starts = jnp.arange(len(tokens) - n + 1, dtype=jnp.int32)
    ngrams = tokens[starts[:, None] + jnp.arange(n, dtype=jnp.int32)]  # [L - n + 1, n]
    seen = (ngrams[:, :-1] == last).all(axis=1) & (starts + n <= t)
    return jnp.zeros(vocab_size, bool).at[ngrams[:, -1]].max(seen)
