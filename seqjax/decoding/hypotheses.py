"""What every search shares: its result, final scores, and what may come next."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

# A length penalty is a function (log_prob, length) -> score that rises with log_prob;
# length counts eos.


def no_penalty(log_prob, length):
    """log_prob: the likeliest sequence, most often a short one."""
    del length
    return log_prob


def power_penalty(alpha=0.75):
    """log_prob / length**alpha, the textbook's."""
    return lambda log_prob, length: log_prob / length**alpha


def gnmt_penalty(alpha=0.6):
    """log_prob / ((5 + length) / 6)**alpha (Wu et al. 2016, arXiv:1609.08144)."""
    return lambda log_prob, length: log_prob / ((5 + length) / 6) ** alpha


def word_reward(reward):
    """log_prob + reward * length (He et al. 2016)."""
    return lambda log_prob, length: log_prob + reward * length


def gnmt_coverage(beta=0.2):
    """beta * sum_s min(log(attention_s), 0) (Wu et al. 2016, equation 14).

    Returns:
      (attention [S], mask [S]) -> a number at most 0: what a hypothesis has paid to
      each source position so far, over all its steps.
    """

    def penalty(attention, mask):
        log = jnp.log(jnp.clip(attention, 1e-9, 1.0))
        return beta * jnp.sum(jnp.where(mask, log, 0.0))

    return penalty


class Hypotheses(NamedTuple):
    """The results of a search, best first.

    Those that ended come before those that were cut off at the maximum length; places
    that nothing fills have length 0 and score -inf.
    """

    tokens: jax.Array  # [B, K, L] int32: eos included, bos not; eos after the end
    scores: jax.Array  # [B, K] float32: the final scores, penalties included
    lengths: jax.Array  # [B, K] int32: tokens, eos included


class Rules(NamedTuple):
    """Which tokens a search may take, and what score the result gets.

    Attributes:
      eos: the token that ends a hypothesis.
      length_penalty, coverage, min_length, no_repeat_ngram: as `beam_search`.
    """

    eos: int
    length_penalty: Any = no_penalty
    coverage: Any = None
    min_length: int = 0
    no_repeat_ngram: int = 0

    def for_context(self, step, context):
        """A step and rules that take a context, whether there is one or not."""
        if context is not None:
            return step, self
        rules = self
        if self.coverage is not None:
            rules = self._replace(coverage=lambda state, _: self.coverage(state))
        return lambda state, token, _: step(state, token), rules

    def log_probs(self, logits, tokens, t, forced):
        """log softmax(logits) [V], -inf for what may not follow tokens[:t].

        Args:
          logits: [V].
          tokens: [L], those so far.
          t: how many those are.
          forced: the token that has to come, whatever else holds; -1 leaves it free.
        """
        free = jax.nn.log_softmax(logits.astype(jnp.float32))
        vocab = jnp.arange(len(logits), dtype=jnp.int32)
        banned = (vocab == self.eos) & (t < self.min_length)
        if 0 < self.no_repeat_ngram <= len(tokens):
            banned |= _repeats(tokens, t, self.no_repeat_ngram, len(logits))
        banned = jnp.where(forced >= 0, vocab != forced, banned)
        return jnp.where(banned, -jnp.inf, free)

    def scores(self, log_probs, lengths, states, context, parents=None):
        """The final scores of one sentence's hypotheses, [N].

        Args:
          log_probs: [N].
          lengths: [N] or one for all.
          states: those they ended in, leaves [N, ...]; or with
          parents: [N], where in the states each has its own.
        """
        lengths = jnp.asarray(lengths, jnp.float32)
        scores = self.length_penalty(log_probs, lengths)
        if self.coverage is None:
            return scores
        coverage = jax.vmap(self.coverage, (0, None))(states, context)
        return scores + (coverage if parents is None else coverage[parents])


def empty_places(number, max_length, eos):
    """Hypotheses of one sentence, none of them found yet."""
    return Hypotheses(
        jnp.full((number, max_length), eos, jnp.int32),
        jnp.full(number, -jnp.inf, jnp.float32),
        jnp.zeros(number, jnp.int32),
    )


def best_first(found, ended, n_best, eos):
    """The best of one sentence's hypotheses, those that ended before the others.

    Args:
      found: Hypotheses without a batch axis, a score of -inf for those that are none.
      ended: bool [K].
      n_best: N, at most K.
      eos: what fills the tokens of places that stay empty.
    """
    real = jnp.isfinite(found.scores)
    group = jnp.where(real, jnp.where(ended, 0, 1), 2)
    order = jnp.lexsort((-found.scores, group))[:n_best]
    found, real = jax.tree.map(lambda a: a[order], (found, real))
    return Hypotheses(
        jnp.where(real[:, None], found.tokens, eos),
        jnp.where(real, found.scores, -jnp.inf),
        jnp.where(real, found.lengths, 0),
    )


def forced_tokens(prefix, num_sentences, max_length):
    """The tokens that have to come, [B, L], -1 where any may, from a prefix [B, P]."""
    forced = jnp.full((num_sentences, max_length), -1, jnp.int32)
    if prefix is None:
        return forced
    prefix = jnp.asarray(prefix, jnp.int32)[:, :max_length]
    return forced.at[:, : prefix.shape[1]].set(prefix)


def _repeats(tokens, t, n, vocab_size):
    """Which tokens would complete an n-gram that tokens[:t] holds: bool [V]."""
    last = lax.dynamic_slice(tokens, (t - (n - 1),), (n - 1,))
    places = jnp.arange(len(tokens) - n + 1)
    ngrams = tokens[places[:, None] + jnp.arange(n)]  # [L - n + 1, n]
    seen = (ngrams[:, :-1] == last).all(axis=1) & (places + n <= t)
    return jnp.zeros(vocab_size, bool).at[ngrams[:, -1]].max(seen)
