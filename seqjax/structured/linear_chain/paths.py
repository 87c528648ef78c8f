"""Paths of a chain: the best one, random ones, and the score of a given one."""

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from seqjax.structured.linear_chain.messages import max_alphas, shifted
from seqjax.structured.linear_chain.partition import past_messages
from seqjax.structured.linear_chain.potentials import (
    has_next,
    has_previous,
    next_pairwise,
    prepare,
)


def viterbi(
    unary: ArrayLike,
    pairwise: ArrayLike,
    lengths: ArrayLike | None = None,
    parallel: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """The best path and its score.

    The score is -inf if no path is possible. Ties go to any of the best paths.

    Args:
      unary, pairwise, lengths, parallel: see `linear_chain`.

    Returns:
      (path, score): int32 [T, ...], zero past the lengths, and [...], float32 or wider.

    Raises:
      ValueError: as `log_partition`.

    Example:
      >>> unary = jnp.array([[3.0, 2.0], [1.0, 1.5]])  # [T, K]
      >>> pairwise = jnp.array([[0.0, -2.0], [0.0, 4.0]])  # from state, to state
      >>> path, score = viterbi(unary, pairwise)
      >>> path.tolist(), score.item()  # 2 + 4 + 1.5
      ([1, 1], 7.5)

    Source: Viterbi, "Error bounds for convolutional codes", IEEE Transactions on
    Information Theory 13, 1967.
    """
    chain = unary, pairwise, real = prepare(unary, pairwise, lengths)
    alpha = max_alphas(unary, pairwise, has_previous(real), parallel)
    path = _trace_back(alpha, pairwise, real, parallel)
    return path, _score(path, *chain)


def sample(
    key: jax.Array,
    unary: ArrayLike,
    pairwise: ArrayLike,
    lengths: ArrayLike | None = None,
    parallel: bool = False,
) -> jax.Array:
    """A random path per sequence, with the probability of the chain.

    From the last state to the first, each state is drawn from p(s_t | s_{t+1},
    unary[:t + 1]), as the maximum of log p plus Gumbel noise. `vmap` over keys draws
    several paths.

    Args:
      key: a random key.
      unary, pairwise, lengths, parallel: see `linear_chain`.

    Returns:
      int32 [T, ...], zero past the lengths.

    Raises:
      ValueError: as `log_partition`.

    Example:
      >>> stay = jnp.log(jnp.eye(3))  # no change of the state
      >>> path = sample(jax.random.key(0), jnp.zeros((5, 3)), stay)
      >>> path.shape, len(set(path.tolist()))
      ((5,), 1)
    """
    unary, pairwise, real = prepare(unary, pairwise, lengths)
    alpha = shifted(past_messages(unary, pairwise, real, parallel) + unary)
    noise = jax.random.gumbel(key, alpha.shape, alpha.dtype)
    return _trace_back(alpha + noise, pairwise, real, parallel)


def score(
    path: jax.Array,
    unary: ArrayLike,
    pairwise: ArrayLike,
    lengths: ArrayLike | None = None,
) -> jax.Array:
    """The score of a path; plain automatic gradients.

    Args:
      path: integers [T, ...]; any values past the lengths.
      unary, pairwise, lengths: see `linear_chain`.

    Returns:
      [...], float32 or wider.

    Raises:
      ValueError: as `log_partition`.

    Example:
      >>> unary = jnp.array([[3.0, 2.0], [1.0, 1.5]])  # [T, K]
      >>> pairwise = jnp.array([[0.0, -2.0], [0.0, 4.0]])
      >>> score(jnp.array([0, 1]), unary, pairwise).item()  # 3 - 2 + 1.5
      2.5
    """
    return _score(path, *prepare(unary, pairwise, lengths))


def _trace_back(
    alpha: jax.Array, pairwise: jax.Array, real: jax.Array, parallel: bool
) -> jax.Array:
    """s_t = argmax_i(alpha[t, i] + pairwise[t+1][i, s_{t+1}]), from the last step.

    In parallel, each step is a map from s_{t+1} to s_t, and the maps are composed.
    """
    following, linked = next_pairwise(pairwise, alpha), has_next(real)[..., None]
    per_step = pairwise.ndim > alpha.ndim

    def step(
        state: jax.Array, inputs: tuple[jax.Array, jax.Array, jax.Array | None]
    ) -> tuple[jax.Array, jax.Array]:
        alpha_t, linked_t, pairwise_t = inputs
        into = _column(pairwise if pairwise_t is None else pairwise_t, state)
        state = jnp.argmax(alpha_t + jnp.where(linked_t, into, 0), axis=-1)
        return state.astype(jnp.int32), state.astype(jnp.int32)

    if parallel:
        into = jnp.where(linked[..., None], following, jnp.zeros_like(following))
        maps = jnp.argmax(alpha[..., :, None] + into, axis=-2)  # [T, ..., K]
        paths = lax.associative_scan(_compose, maps, reverse=True)[..., 0]
    else:
        inputs = alpha, linked, following if per_step else None
        start = jnp.zeros(alpha.shape[1:-1], jnp.int32)
        paths = lax.scan(step, start, inputs, reverse=True)[1]
    return jnp.where(real, paths.astype(jnp.int32), 0)


def _compose(first: jax.Array, second: jax.Array) -> jax.Array:
    """The map j -> second[first[j]]."""
    return jnp.take_along_axis(second, first, axis=-1)


def _score(
    path: jax.Array, unary: jax.Array, pairwise: jax.Array, real: jax.Array
) -> jax.Array:
    path = jnp.where(real, path, 0)
    own = jnp.take_along_axis(unary, path[..., None], axis=-1)[..., 0]
    into = _column(pairwise, path)  # [T, ..., K]
    previous = jnp.roll(path, 1, axis=0)[..., None]
    link = jnp.take_along_axis(into, previous, axis=-1)[..., 0]
    own, link = jnp.where(real, own, 0), jnp.where(has_previous(real), link, 0)
    return jnp.sum(own + link, axis=0)


def _column(pairwise: jax.Array, state: jax.Array) -> jax.Array:
    """pairwise[..., :, state], one column for each state [...]: [..., K]."""
    if pairwise.ndim == 2:
        return pairwise.T[state]
    pairwise = pairwise.reshape(
        (1,) * (state.ndim + 2 - pairwise.ndim) + pairwise.shape
    )
    return jnp.take_along_axis(pairwise, state[..., None, None], axis=-1)[..., 0]
