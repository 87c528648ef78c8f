"""Emission distributions of a hidden Markov model: symbols or vectors."""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array


class GaussianParams(NamedTuple):
    """Parameters of a GaussianEmission."""

    mean: Array  # [K, D]
    log_variance: Array  # [K, D]


class Moments(NamedTuple):
    """Sufficient statistics of a GaussianEmission."""

    weight: Array  # [K]
    total: Array  # [K, D]
    squares: Array  # [K, D]


@dataclasses.dataclass(frozen=True)
class CategoricalEmission:
    """Symbols: xs are integers in [0, num_symbols), p(x | s) = exp(table[s, x]).

    Args:
      num_symbols: V.

    Example:
      >>> emission = CategoricalEmission(num_symbols=3)
      >>> weights = jnp.array([[1.0, 0.0], [0.25, 0.75]])  # [T, K]
      >>> counts = emission.statistics(weights, jnp.array([0, 2]))
      >>> counts.tolist()
      [[1.0, 0.0, 0.25], [0.0, 0.0, 0.75]]
      >>> table = emission.maximize(jnp.zeros((2, 3)), counts, prior=0.0)
      >>> np.exp(table[0]).round(2)
      array([0.8, 0. , 0.2], dtype=float32)
    """

    num_symbols: int

    def init(self, key: Array, num_states: int) -> Array:
        """A table [K, V] whose rows are uniform over all distributions."""
        return random_log_probs(key, (num_states, self.num_symbols))

    def log_prob(self, table: Array, xs: Array) -> Array:
        """log p(x | s): integers [T, ...] -> [T, ..., K]."""
        return table.T[xs]

    def statistics(self, weights: Array, xs: Array) -> Array:
        """Expected counts [K, V] of symbols per state, with weights [T, ..., K]."""
        flat = weights.reshape(-1, weights.shape[-1])  # [N, K]
        counts = jax.ops.segment_sum(flat, xs.reshape(-1), self.num_symbols)
        return counts.T

    def maximize(self, table: Array, counts: Array, prior: Array | float) -> Array:
        """The maximum likelihood table, with `prior` added to each count."""
        return normalized_logs(counts + prior, table)

    def sample(self, key: Array, table: Array, states: Array) -> Array:
        """A symbol for each state, [...] -> [...]."""
        return jax.random.categorical(key, table[states])

    def predict(self, table: Array, belief: Array) -> Array:
        """log p(x) [..., V], given log probabilities of the states [..., K]."""
        return jax.nn.logsumexp(belief[..., :, None] + table, axis=-2)


@dataclasses.dataclass(frozen=True)
class GaussianEmission:
    """Vectors: xs [T, ..., D] with independent normal features in each state.

    Standardize the data first, since initial means come from N(0, 1), and variances are
    computed as differences of two sums.

    Args:
      num_features: D.
      min_variance: lower bound of the variances. Without it, a state with a single
        point would have an infinite density.

    Example:
      >>> emission = GaussianEmission(num_features=1)
      >>> params = emission.init(jax.random.key(0), num_states=2)
      >>> xs = jnp.array([[1.0], [3.0], [5.0]])  # [T, D]
      >>> weights = jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # [T, K]
      >>> moments = emission.statistics(weights, xs)
      >>> emission.maximize(params, moments, prior=0.0).mean.tolist()
      [[2.0], [5.0]]
    """

    num_features: int
    min_variance: float = 1e-4

    def init(self, key: Array, num_states: int) -> GaussianParams:
        """Means from N(0, 1), variances of 1."""
        mean = jax.random.normal(key, (num_states, self.num_features))
        return GaussianParams(mean, jnp.zeros_like(mean))

    def log_prob(self, params: GaussianParams, xs: Array) -> Array:
        """log p(x | s): [T, ..., D] -> [T, ..., K]."""
        deviation = xs[..., None, :] - params.mean  # [T, ..., K, D]
        squares = deviation**2 * jnp.exp(-params.log_variance)
        return -0.5 * jnp.sum(
            squares + params.log_variance + math.log(2 * math.pi), axis=-1
        )

    def statistics(self, weights: Array, xs: Array) -> Moments:
        """Moments of each state, with weights [T, ..., K]."""
        seen = jnp.any(weights > 0, axis=-1, keepdims=True)  # padding may hold nan
        flat = jnp.where(seen, xs, 0).reshape(-1, self.num_features)  # [N, D]
        weights = weights.reshape(-1, weights.shape[-1]).T  # [K, N]
        return Moments(weights.sum(axis=-1), weights @ flat, weights @ flat**2)

    def maximize(
        self, params: GaussianParams, moments: Moments, prior: Array | float
    ) -> GaussianParams:
        """The maximum likelihood means and variances; there is no prior."""
        del prior
        seen = moments.weight[:, None] > 0
        weight = jnp.where(seen, moments.weight[:, None], 1)
        mean = moments.total / weight
        variance = jnp.maximum(moments.squares / weight - mean**2, self.min_variance)
        fresh = GaussianParams(mean, jnp.log(variance))
        return jax.tree.map(lambda new, old: jnp.where(seen, new, old), fresh, params)

    def sample(self, key: Array, params: GaussianParams, states: Array) -> Array:
        """A vector for each state, [...] -> [..., D]."""
        mean, deviation = params.mean[states], jnp.exp(params.log_variance / 2)[states]
        return mean + deviation * jax.random.normal(key, mean.shape, mean.dtype)

    def predict(self, params: GaussianParams, belief: Array) -> tuple[Array, Array]:
        """(mean, variance) [..., D], given log probabilities of the states [..., K]."""
        shares = jnp.exp(belief)
        mean = shares @ params.mean
        squares = shares @ (jnp.exp(params.log_variance) + params.mean**2)
        return mean, squares - mean**2


def random_log_probs(key: Array, shape: tuple[int, ...]) -> Array:
    """Rows from the flat Dirichlet distribution, as logs."""
    return jax.nn.log_softmax(-jax.random.gumbel(key, shape), axis=-1)


def normalized_logs(counts: Array, old: Array) -> Array:
    """log(counts / sum of each row); rows without counts keep the old values."""
    total = counts.sum(axis=-1, keepdims=True)
    return jnp.where(total > 0, jnp.log(counts / jnp.where(total > 0, total, 1)), old)
