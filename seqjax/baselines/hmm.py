"""Hidden Markov models: a chain of states that nobody sees, and what it emits.

    p(s_0) = initial,   p(s_t | s_{t-1}) = transition,   p(x_t | s_t) = emission
    p(x) = sum_s p(s_0) prod_t p(s_t | s_{t-1}) prod_t p(x_t | s_t)

Filtering (the state given the past) is what a recurrent network does from left to
right; smoothing joins it with a pass from right to left, and is the discrete
counterpart of `seqjax.Bidirectional`, whose states know past and future likewise.

Baum-Welch is EM: `statistics` counts, in expectation, how often each state began, was
followed by each other and emitted each thing; `maximize` makes parameters of the
counts. The likelihood never falls. Statistics of minibatches add up, so that a corpus
of any size needs the memory of one.

Parameters are logs of probabilities, `linear_chain.py` does the sums over paths, and
everything here has xs [T, ...] (with a last axis D of features for Gaussians) and
lengths [...], as everywhere.

Source: Rabiner, "A tutorial on hidden Markov models", Proceedings of the IEEE 77, 1989.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from seqjax.structured import linear_chain

Array = jax.Array


class Moments(NamedTuple):
    """What Gaussians are estimated from."""

    weight: Array  # [K]
    total: Array  # [K, D]
    squares: Array  # [K, D]


class GaussianParams(NamedTuple):
    mean: Array  # [K, D]
    log_variance: Array  # [K, D]


class HMMParams(NamedTuple):
    """Logs of probabilities: rows of `transition` lead from a state to the next."""

    initial: Array  # [K]
    transition: Array  # [K, K]
    emission: Array | GaussianParams  # [K, V] of a Categorical


class Statistics(NamedTuple):
    """Expected counts, and the log likelihood of what was counted."""

    log_likelihood: Array  # []
    initial: Array  # [K]
    transition: Array  # [K, K]
    emission: Array | Moments  # [K, V] of a Categorical


class Filtered(NamedTuple):
    """The states by what came before."""

    log_likelihood: Array  # [...]
    predicted: Array  # [T, ..., K], log p(s_t | x_0 .. x_{t-1})
    filtered: Array  # [T, ..., K], log p(s_t | x_0 .. x_t)
    belief: Array  # [..., K], log p(s_L | x_0 .. x_{L-1}): the state to come


@dataclasses.dataclass(frozen=True)
class Categorical:
    """Symbols: xs are integers in [0, num_symbols), p(x | s) = exp(table[s, x])."""

    num_symbols: int

    def init(self, key, num_states):
        """A table [K, V] whose rows are drawn evenly from all distributions."""
        return _random_log_probs(key, (num_states, self.num_symbols))

    def log_prob(self, table, xs):
        """log p(x | s): integers [T, ...] -> [T, ..., K]."""
        return table.T[xs]

    def statistics(self, weights, xs):
        """How often each state emitted each symbol, [K, V], `weights` [T, ..., K]."""
        flat = weights.reshape(-1, weights.shape[-1])  # [N, K]
        counts = jax.ops.segment_sum(flat, xs.reshape(-1), self.num_symbols)
        return counts.T

    def maximize(self, table, counts, prior):
        """The likeliest table; `prior` is added to each count."""
        return _log_shares(counts + prior, table)

    def sample(self, key, table, states):
        """A symbol for each state, [...] -> [...]."""
        return jax.random.categorical(key, table[states])

    def predict(self, table, belief):
        """log p(x) [..., V] if the states have log probabilities `belief` [..., K]."""
        return jax.nn.logsumexp(belief[..., :, None] + table, axis=-2)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """Vectors: xs [T, ..., D] with independent normal features in each state.

    Standardize the data first: means are drawn from N(0, 1), and a variance is the
    difference of two sums. No variance falls below `min_variance`, without which a
    state that holds a single point would have an infinite density.
    """

    num_features: int
    min_variance: float = 1e-4

    def init(self, key, num_states):
        """Means from N(0, 1), variances of 1."""
        mean = jax.random.normal(key, (num_states, self.num_features))
        return GaussianParams(mean, jnp.zeros_like(mean))

    def log_prob(self, params, xs):
        """log p(x | s): [T, ..., D] -> [T, ..., K]."""
        deviation = xs[..., None, :] - params.mean  # [T, ..., K, D]
        squares = deviation**2 * jnp.exp(-params.log_variance)
        return -0.5 * jnp.sum(
            squares + params.log_variance + math.log(2 * math.pi), axis=-1
        )

    def statistics(self, weights, xs):
        """The moments of each state, `weights` [T, ..., K]."""
        seen = jnp.any(weights > 0, axis=-1, keepdims=True)  # padding may hold nan
        flat = jnp.where(seen, xs, 0).reshape(-1, self.num_features)  # [N, D]
        weights = weights.reshape(-1, weights.shape[-1]).T  # [K, N]
        return Moments(weights.sum(axis=-1), weights @ flat, weights @ flat**2)

    def maximize(self, params, moments, prior):
        """The likeliest means and variances; a prior there is none."""
        del prior
        seen = moments.weight[:, None] > 0
        weight = jnp.where(seen, moments.weight[:, None], 1)
        mean = moments.total / weight
        variance = jnp.maximum(moments.squares / weight - mean**2, self.min_variance)
        fresh = GaussianParams(mean, jnp.log(variance))
        return jax.tree.map(lambda new, old: jnp.where(seen, new, old), fresh, params)

    def sample(self, key, params, states):
        """A vector for each state, [...] -> [..., D]."""
        mean, deviation = params.mean[states], jnp.exp(params.log_variance / 2)[states]
        return mean + deviation * jax.random.normal(key, mean.shape, mean.dtype)

    def predict(self, params, belief):
        """Mean and variance, [..., D] each, by log probabilities of states [..., K]."""
        shares = jnp.exp(belief)
        mean = shares @ params.mean
        squares = shares @ (jnp.exp(params.log_variance) + params.mean**2)
        return mean, squares - mean**2


@dataclasses.dataclass(frozen=True)
class HMM:
    """A hidden Markov model.

    Args:
      num_states: K.
      emission: a `Categorical` or a `Gaussian`.

    Raises:
      ValueError: for fewer states than 1.

    Example:
      >>> model = HMM(8, Categorical(28))
      >>> params = model.init(jax.random.key(0))
      >>> for _ in range(50):                                   # xs [N, T, B]
      ...     params, _ = model.baum_welch_step(params, xs, lengths)
      >>> path, log_prob = model.viterbi(params, xs[0], lengths[0])
    """

    num_states: int
    emission: Categorical | Gaussian

    def __post_init__(self):
        if self.num_states < 1:
            raise ValueError(f"an HMM needs at least 1 state, got {self.num_states}")

    def init(self, key):
        """Random parameters, float32."""
        k_initial, k_transition, k_emission = jax.random.split(key, 3)
        return HMMParams(
            _random_log_probs(k_initial, (self.num_states,)),
            _random_log_probs(k_transition, (self.num_states, self.num_states)),
            self.emission.init(k_emission, self.num_states),
        )

    def potentials(self, params, xs, belief=None):
        """(unary [T, ..., K], pairwise [K, K]) of the chain whose Z is p(xs).

        Args:
          belief: log p(s_0) [..., K], if it is not `params.initial`.
        """
        unary = self.emission.log_prob(params.emission, xs)
        start = params.initial if belief is None else belief
        return unary.at[0].add(start), params.transition

    def log_likelihood(self, params, xs, lengths=None, parallel=False):
        """log p(xs) [...] of each sequence."""
        potentials = self.potentials(params, xs)
        return linear_chain.log_partition(*potentials, lengths, parallel)

    def filter(self, params, xs, lengths=None, belief=None, parallel=False):
        """The states by what came before, a `Filtered`.

        Args:
          belief: log p(s_0) [..., K]; that of a part of a text is the belief that the
            part before returned, as a recurrent network's state.
        """
        unary, pairwise = self.potentials(params, xs, belief)
        found = linear_chain.forward(unary, pairwise, lengths, parallel)
        start = params.initial if belief is None else belief
        start = jnp.broadcast_to(start, unary.shape[1:])
        if lengths is None:
            lengths = jnp.full(unary.shape[1:-1], len(unary))
        last = jnp.maximum(lengths - 1, 0)[None, ..., None]
        last = jnp.take_along_axis(found.filtered, last, axis=0)[0]
        to_come = jax.nn.logsumexp(last[..., :, None] + pairwise, axis=-2)
        some = lengths[..., None] > 0
        return Filtered(
            found.log_partition,
            found.predicted.at[0].set(jnp.where(some, start, 0)),
            found.filtered,
            jnp.where(some, to_come, start),
        )

    def smooth(self, params, xs, lengths=None, parallel=False):
        """The states by all of xs, and the transitions: `linear_chain.Marginals`."""
        return linear_chain.marginals(*self.potentials(params, xs), lengths, parallel)

    def viterbi(self, params, xs, lengths=None, parallel=False):
        """The likeliest path [T, ...], and its log probability with xs [...]."""
        return linear_chain.viterbi(*self.potentials(params, xs), lengths, parallel)

    def posterior_states(self, params, xs, lengths=None, parallel=False):
        """The likeliest state of each step by itself, int32 [T, ...]; 0 at padding.

        As many states are right as can be expected, though the path they make may be
        impossible.
        """
        states = self.smooth(params, xs, lengths, parallel).states
        return jnp.argmax(states, axis=-1).astype(jnp.int32)

    def predict(self, params, belief):
        """What comes next, by the belief that `filter` returns.

        Returns:
          log probabilities [..., V] of symbols, or mean and variance [..., D].
        """
        return self.emission.predict(params.emission, belief)

    def sample(self, key, params, num_steps, batch_shape=(), belief=None):
        """(states [T, ...], xs [T, ...]) drawn from the model.

        Args:
          belief: log p(s_0) [..., K], if it is not `params.initial`.
        """
        start = params.initial if belief is None else belief
        start = jnp.broadcast_to(start, (*batch_shape, self.num_states))

        def step(log_probs, key):
            state = jax.random.categorical(key, log_probs)
            return params.transition[state], state

        key, k_emission = jax.random.split(key)
        states = jax.lax.scan(step, start, jax.random.split(key, num_steps))[1]
        return states, self.emission.sample(k_emission, params.emission, states)

    def statistics(self, params, xs, lengths=None, parallel=False):
        """Expected counts over a minibatch, the E step: `Statistics`, which add up."""
        found = self.smooth(params, xs, lengths, parallel)
        first = found.states[0].reshape(-1, self.num_states)
        return Statistics(
            found.log_partition.sum(),
            first.sum(axis=0),
            found.pairs,
            self.emission.statistics(found.states, xs),
        )

    def baum_welch_step(self, params, xs, lengths, prior=0.0, parallel=False):
        """One iteration of EM over a whole corpus, in the memory of one minibatch.

        Args:
          xs: [N, T, ...], N minibatches.
          lengths: [N, ...].

        Returns:
          (params, log likelihood of xs by the parameters *before*).
        """

        def add(total, minibatch):
            counts = self.statistics(params, *minibatch, parallel)
            return jax.tree.map(jnp.add, total, counts), None

        shapes = jax.eval_shape(self.statistics, params, xs[0], lengths[0])
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        counts, _ = jax.lax.scan(add, zero, (xs, lengths))
        return self.maximize(params, counts, prior), counts.log_likelihood

    def maximize(self, params, statistics, prior=0.0):
        """The parameters that make the counts likeliest, the M step.

        Args:
          params: what a state that was never visited keeps.
          prior: added to each count of a state or symbol: a symmetric Dirichlet prior
            with parameter 1 + prior, under which nothing becomes impossible. The
            likelihood times the prior's density never falls.
        """
        return HMMParams(
            _log_shares(statistics.initial + prior, params.initial),
            _log_shares(statistics.transition + prior, params.transition),
            self.emission.maximize(params.emission, statistics.emission, prior),
        )


def _random_log_probs(key, shape):
    """Rows drawn from the flat Dirichlet distribution, as logs."""
    return jax.nn.log_softmax(-jax.random.gumbel(key, shape), axis=-1)


def _log_shares(counts, old):
    """Logs of the counts' shares of each row; an empty row stays as it was."""
    total = counts.sum(axis=-1, keepdims=True)
    return jnp.where(total > 0, jnp.log(counts / jnp.where(total > 0, total, 1)), old)
