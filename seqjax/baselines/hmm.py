"""Hidden Markov models: an unobserved chain of states, and what each state emits.

    p(s_0) = initial,   p(s_t | s_{t-1}) = transition,   p(x_t | s_t) = emission
    p(x) = sum_s p(s_0) prod_t p(s_t | s_{t-1}) prod_t p(x_t | s_t)

Filtering, the state given the past, corresponds to a recurrent network from left to
right. Smoothing combines it with a pass from right to left, and is the discrete
counterpart of `seqjax.Bidirectional`.

Baum-Welch is EM: `statistics` computes the expected counts of first states, transitions
and emissions, and `maximize` the parameters from the counts. The likelihood never
falls. Statistics of minibatches add up, so a corpus of any size needs the memory of one
minibatch.

Parameters are log probabilities, and `structured.linear_chain` computes the sums over
paths. xs are [T, ...], with a last axis D of features for Gaussians.

Source: Rabiner, "A tutorial on hidden Markov models", Proceedings of the IEEE 77, 1989.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seqjax.baselines.emissions import (
    CategoricalEmission,
    GaussianEmission,
    normalized_logs,
    random_log_probs,
)
from seqjax.nn.masks import as_lengths
from seqjax.structured import linear_chain

Array = jax.Array
Emission = Any  # [K, V] of a CategoricalEmission, GaussianParams of a GaussianEmission


class HMMParams(NamedTuple):
    """Log probabilities; a row of `transition` leads from a state to the next."""

    initial: Array  # [K]
    transition: Array  # [K, K]
    emission: Emission


class SufficientStatistics(NamedTuple):
    """Expected counts, and the log likelihood of the data."""

    log_likelihood: Array  # []
    initial: Array  # [K]
    transition: Array  # [K, K]
    emission: Any  # [K, V] of a CategoricalEmission, Moments of a GaussianEmission


class Filtered(NamedTuple):
    """The states given the past."""

    log_likelihood: Array  # [...]
    predicted: Array  # [T, ..., K], log p(s_t | x_0 .. x_{t-1})
    filtered: Array  # [T, ..., K], log p(s_t | x_0 .. x_t)
    belief: Array  # [..., K], log p(s_L | x_0 .. x_{L-1}), the next state


@dataclasses.dataclass(frozen=True)
class HMM:
    """A hidden Markov model.

    Args:
      num_states: K.
      emission: a CategoricalEmission or a GaussianEmission.

    Raises:
      ValueError: if num_states is below 1.

    Example:
      >>> model = HMM(8, CategoricalEmission(28))
      >>> params = model.init(jax.random.key(0))
      >>> xs = jnp.zeros((2, 10, 4), int)  # [N, T, B]
      >>> lengths = jnp.full((2, 4), 10)
      >>> params, log_likelihood = model.baum_welch_step(params, xs, lengths)
      >>> path, log_prob = model.viterbi(params, xs[0], lengths[0])
      >>> path.shape, log_prob.shape
      ((10, 4), (4,))
    """

    num_states: int
    emission: CategoricalEmission | GaussianEmission

    def __post_init__(self) -> None:
        if self.num_states < 1:
            raise ValueError(f"an HMM needs at least 1 state, got {self.num_states}")

    def init(self, key: Array) -> HMMParams:
        """Random parameters, float32."""
        k_initial, k_transition, k_emission = jax.random.split(key, 3)
        return HMMParams(
            random_log_probs(k_initial, (self.num_states,)),
            random_log_probs(k_transition, (self.num_states, self.num_states)),
            self.emission.init(k_emission, self.num_states),
        )

    def potentials(
        self, params: HMMParams, xs: Array, belief: Array | None = None
    ) -> tuple[Array, Array]:
        """(unary [T, ..., K], pairwise [K, K]) of the chain whose Z is p(xs).

        Args:
          params: from `init`.
          xs: [T, ...].
          belief: log p(s_0) [..., K]; None is `params.initial`.

        Raises:
          ValueError: if T is 0.
        """
        if len(xs) == 0:
            raise ValueError(f"HMM: xs must be [T, ...], T at least 1, got {xs.shape}")
        unary = self.emission.log_prob(params.emission, xs)
        start = params.initial if belief is None else belief
        return unary.at[0].add(start), params.transition

    def log_likelihood(
        self,
        params: HMMParams,
        xs: Array,
        lengths: Array | None = None,
        parallel: bool = False,
    ) -> Array:
        """log p(xs) [...] of each sequence."""
        potentials = self.potentials(params, xs)
        return linear_chain.log_partition(*potentials, lengths, parallel)

    def filter(
        self,
        params: HMMParams,
        xs: Array,
        lengths: Array | None = None,
        belief: Array | None = None,
        parallel: bool = False,
    ) -> Filtered:
        """The states given the past.

        Args:
          params: from `init`.
          xs: [T, ...].
          lengths: integers [...]; None is T.
          belief: log p(s_0) [..., K]. For a later part of a text, the belief that the
            part before returned, like the state of a recurrent network.
          parallel: see `linear_chain`.
        """
        unary, pairwise = self.potentials(params, xs, belief)
        found = linear_chain.forward(unary, pairwise, lengths, parallel)
        start = params.initial if belief is None else belief
        start = jnp.broadcast_to(start, unary.shape[1:])
        if lengths is None:
            lengths = jnp.full(unary.shape[1:-1], len(unary), jnp.int32)
        lengths = as_lengths(lengths, len(unary), unary.shape[1:-1])
        last = jnp.maximum(lengths - 1, 0)[None, ..., None]
        last = jnp.take_along_axis(found.filtered, last, axis=0)[0]
        next_state = jax.nn.logsumexp(last[..., :, None] + pairwise, axis=-2)
        nonempty = lengths[..., None] > 0
        return Filtered(
            found.log_partition,
            found.predicted.at[0].set(jnp.where(nonempty, start, 0)),
            found.filtered,
            jnp.where(nonempty, next_state, start),
        )

    def smooth(
        self,
        params: HMMParams,
        xs: Array,
        lengths: Array | None = None,
        parallel: bool = False,
    ) -> linear_chain.Marginals:
        """The states and transitions given all of xs."""
        return linear_chain.marginals(*self.potentials(params, xs), lengths, parallel)

    def viterbi(
        self,
        params: HMMParams,
        xs: Array,
        lengths: Array | None = None,
        parallel: bool = False,
    ) -> tuple[Array, Array]:
        """The most probable path [T, ...], and its log probability with xs [...]."""
        return linear_chain.viterbi(*self.potentials(params, xs), lengths, parallel)

    def posterior_states(
        self,
        params: HMMParams,
        xs: Array,
        lengths: Array | None = None,
        parallel: bool = False,
    ) -> Array:
        """The most probable state of each step, int32 [T, ...]; 0 at padding.

        This maximizes the expected number of correct states. The path of these states
        may be impossible.
        """
        states = self.smooth(params, xs, lengths, parallel).states
        return jnp.argmax(states, axis=-1).astype(jnp.int32)

    def predict(self, params: HMMParams, belief: Array) -> Any:
        """The distribution of the next observation, given the belief of `filter`.

        Returns:
          log probabilities [..., V] of symbols, or (mean, variance) [..., D].
        """
        return self.emission.predict(params.emission, belief)

    def sample(
        self,
        key: Array,
        params: HMMParams,
        num_steps: int,
        batch_shape: tuple[int, ...] = (),
        belief: Array | None = None,
    ) -> tuple[Array, Array]:
        """Random (states [T, ...], xs [T, ...]).

        Args:
          key: a random key.
          params: from `init`.
          num_steps: T.
          batch_shape: the other axes of states.
          belief: log p(s_0) [..., K]; None is `params.initial`.
        """
        start = params.initial if belief is None else belief
        start = jnp.broadcast_to(start, (*batch_shape, self.num_states))

        def step(log_probs: Array, key: Array) -> tuple[Array, Array]:
            state = jax.random.categorical(key, log_probs)
            return params.transition[state], state

        key, k_emission = jax.random.split(key)
        states = jax.lax.scan(step, start, jax.random.split(key, num_steps))[1]
        return states, self.emission.sample(k_emission, params.emission, states)

    def statistics(
        self,
        params: HMMParams,
        xs: Array,
        lengths: Array | None = None,
        parallel: bool = False,
    ) -> SufficientStatistics:
        """The E step: expected counts over a minibatch, which add up."""
        found = self.smooth(params, xs, lengths, parallel)
        first = found.states[0].reshape(-1, self.num_states)
        return SufficientStatistics(
            found.log_partition.sum(),
            first.sum(axis=0),
            found.pairs,
            self.emission.statistics(found.states, xs),
        )

    def maximize(
        self,
        params: HMMParams,
        statistics: SufficientStatistics,
        prior: Array | float = 0.0,
    ) -> HMMParams:
        """The M step: the maximum likelihood parameters.

        Args:
          params: kept for states without counts.
          statistics: from `statistics`.
          prior: added to each count of a state or symbol: a symmetric Dirichlet prior
            with parameter 1 + prior, under which no probability becomes 0. EM then
            never lowers the product of the likelihood and the prior density.
        """
        return HMMParams(
            normalized_logs(statistics.initial + prior, params.initial),
            normalized_logs(statistics.transition + prior, params.transition),
            self.emission.maximize(params.emission, statistics.emission, prior),
        )

    def baum_welch_step(
        self,
        params: HMMParams,
        xs: Array,
        lengths: Array,
        prior: Array | float = 0.0,
        parallel: bool = False,
    ) -> tuple[HMMParams, Array]:
        """One iteration of EM over a corpus, in the memory of one minibatch.

        Args:
          params: from `init`.
          xs: [N, T, ...], N minibatches.
          lengths: [N, ...].
          prior: see `maximize`.
          parallel: see `linear_chain`.

        Returns:
          (params, log likelihood of xs under the parameters *before* the step).

        Raises:
          ValueError: if N is 0, or differs between xs and lengths, or lengths are not
            integers in 0 .. T.
        """

        def add(
            total: SufficientStatistics, minibatch: tuple[Array, Array]
        ) -> tuple[SufficientStatistics, None]:
            counts = self.statistics(params, *minibatch, parallel)
            return jax.tree.map(jnp.add, total, counts), None

        if len(xs) != len(lengths) or not len(xs):
            raise ValueError(
                f"xs [N, T, ...] and lengths [N, ...] must have the same N, at least "
                f"1, got {xs.shape} and {jnp.shape(lengths)}"
            )
        lengths = as_lengths(lengths, xs.shape[1])
        shapes = jax.eval_shape(self.statistics, params, xs[0], lengths[0])
        zero = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        counts, _ = jax.lax.scan(add, zero, (xs, lengths))
        return self.maximize(params, counts, prior), counts.log_likelihood
