"""The partition function of a chain, and its marginal probabilities.

A message from the past sums over all paths that lead to a state at t, a message from
the future over all paths that follow it. Together they give the marginals:

    p(s_t = k) = exp(past[t, k] + unary[t, k] + future[t, k] - log Z)
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import ArrayLike

from seqjax.backend import several_devices
from seqjax.structured.linear_chain.messages import (
    finite_max,
    scaled_exp,
    shifted,
    sum_messages,
    trusted_log,
)
from seqjax.structured.linear_chain.potentials import (
    has_next,
    has_previous,
    masked,
    next_pairwise,
    prepare,
)

Array = jax.Array
Lengths = ArrayLike | None


class Forward(NamedTuple):
    """The states given the past."""

    log_partition: Array  # [...], log Z
    predicted: Array  # [T, ..., K], log p(s_t | unary[:t]); log 1/K at t = 0
    filtered: Array  # [T, ..., K], log p(s_t | unary[:t + 1])


class Marginals(NamedTuple):
    """The states and pairs of neighboring states given the whole chain."""

    log_partition: Array  # [...], log Z
    states: Array  # [T, ..., K], p(s_t = k)
    pairs: Array  # p(s_{t-1} = i, s_t = j), summed over all that share a potential


def log_partition(
    unary: ArrayLike,
    pairwise: ArrayLike,
    lengths: Lengths = None,
    parallel: bool = False,
) -> Array:
    """log Z [...]; its gradient with respect to the potentials are the marginals.

    The gradient comes from the forward and backward messages, not from the loop. It is
    finite where potentials are -inf, and zero where no path is possible (log Z = -inf).

    Args:
      unary, pairwise, lengths, parallel: see `linear_chain`.

    Returns:
      log Z, [...], float32 or wider.

    Raises:
      ValueError: if the shapes do not fit together, or lengths are not integers in
        0 .. T.

    Example:
      >>> log_partition(jnp.zeros((3, 2)), jnp.zeros((2, 2)))  # ln 2^3
      Array(2.0794415, dtype=float32)
    """
    return _log_partition(*prepare(unary, pairwise, lengths), parallel)


def forward(
    unary: ArrayLike,
    pairwise: ArrayLike,
    lengths: Lengths = None,
    parallel: bool = False,
) -> Forward:
    """log Z, and the states given the past.

    Args:
      unary, pairwise, lengths, parallel: see `linear_chain`.

    Returns:
      A Forward; predicted and filtered are zero past the lengths.

    Raises:
      ValueError: as `log_partition`.

    Example:
      >>> unary = jnp.log(jnp.array([[0.8, 0.2], [0.5, 1.0]]))  # [T, K]
      >>> pairwise = jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.9]]))
      >>> found = forward(unary, pairwise)
      >>> np.exp(found.predicted[1]).round(2)  # 0.8 * 0.9 + 0.2 * 0.1, and the rest
      array([0.74, 0.26], dtype=float32)
      >>> print(f"{jnp.exp(found.log_partition):.2f}")  # 0.5 * 0.74 + 0.26
      0.63
    """
    unary, pairwise, real = prepare(unary, pairwise, lengths)
    past = past_messages(unary, pairwise, real, parallel)
    messages = past, past + unary
    predicted, filtered = (masked(_log_normalized(m), real) for m in messages)
    return Forward(_total(past, unary, real), predicted, filtered)


def backward(
    unary: ArrayLike,
    pairwise: ArrayLike,
    lengths: Lengths = None,
    parallel: bool = False,
) -> Array:
    """Messages from the future, each up to a constant.

    The log of the sum over all continuations of state k at t, without unary[t]; the
    maximum over k is 0.

    Args:
      unary, pairwise, lengths, parallel: see `linear_chain`.

    Returns:
      [T, ..., K], float32 or wider; zero past the lengths.

    Raises:
      ValueError: as `log_partition`.

    Example:
      >>> unary = jnp.log(jnp.array([[0.8, 0.2], [0.5, 1.0]]))  # [T, K]
      >>> pairwise = jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.9]]))
      >>> np.exp(backward(unary, pairwise)).round(2)  # 0.55 / 0.95
      array([[0.58, 1.  ],
             [1.  , 1.  ]], dtype=float32)
    """
    unary, pairwise, real = prepare(unary, pairwise, lengths)
    return masked(shifted(_future_messages(unary, pairwise, real, parallel)), real)


def marginals(
    unary: ArrayLike,
    pairwise: ArrayLike,
    lengths: Lengths = None,
    parallel: bool = False,
) -> Marginals:
    """Probabilities of states and pairs given the whole chain.

    `pairs` has the shape of `pairwise`: [K, K] sums over time and batch, the expected
    number of transitions; [T, ..., K, K] has one matrix per step, the first zero.

    Args:
      unary, pairwise, lengths, parallel: see `linear_chain`.

    Returns:
      Marginals; the states are zero past the lengths.

    Raises:
      ValueError: as `log_partition`.

    Example:
      >>> unary = jnp.log(jnp.array([[0.8, 0.2], [0.5, 1.0]]))  # [T, K]
      >>> pairwise = jnp.log(jnp.array([[0.9, 0.1], [0.1, 0.9]]))
      >>> found = marginals(unary, pairwise)
      >>> np.asarray(found.states[1]).round(2)  # 0.37 / 0.63, 0.26 / 0.63
      array([0.59, 0.41], dtype=float32)
      >>> np.asarray(found.pairs).round(2)
      array([[0.57, 0.13],
             [0.02, 0.29]], dtype=float32)
    """
    chain = unary, pairwise, real = prepare(unary, pairwise, lengths)
    past, log_states = _past_and_log_states(*chain, parallel)
    total = _total(past, unary, real)
    pairs = _pairs(past, log_states, *chain, jnp.ones_like(total))
    return Marginals(total, jnp.exp(log_states), pairs)


def past_messages(unary: Array, pairwise: Array, real: Array, parallel: bool) -> Array:
    """Messages from the past, of prepared potentials: [T, ..., K]."""
    return sum_messages(unary, pairwise, has_previous(real), parallel)


def _future_messages(
    unary: Array, pairwise: Array, real: Array, parallel: bool
) -> Array:
    backwards = jnp.swapaxes(next_pairwise(pairwise, unary), -1, -2)
    return sum_messages(unary, backwards, has_next(real), parallel, reverse=True)


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _log_partition(unary: Array, pairwise: Array, real: Array, parallel: bool) -> Array:
    return _total(past_messages(unary, pairwise, real, parallel), unary, real)


def _log_partition_forward(
    unary: Array, pairwise: Array, real: Array, parallel: bool
) -> tuple[Array, tuple[Array, ...]]:
    chain = unary, pairwise, real
    past, log_states = _past_and_log_states(*chain, parallel)
    return _total(past, unary, real), (past, log_states, *chain)


def _log_partition_backward(
    parallel: bool, residuals: tuple[Array, Array, Array, Array, Array], ct: Array
) -> tuple[Array, Array, None]:
    del parallel
    return ct[..., None] * jnp.exp(residuals[1]), _pairs(*residuals, ct), None


_log_partition.defvjp(_log_partition_forward, _log_partition_backward)


def _past_and_log_states(
    unary: Array, pairwise: Array, real: Array, parallel: bool
) -> tuple[Array, Array]:
    """Messages from the past, and log marginals, -inf at padding."""
    past = past_messages(unary, pairwise, real, parallel)
    joint = past + unary + _future_messages(unary, pairwise, real, parallel)
    log_states = jnp.where(real[..., None], _log_normalized(joint), -jnp.inf)
    return past, log_states


def _total(past: Array, unary: Array, real: Array) -> Array:
    """log Z: the sum of the shifts of all steps and of the log sum at the last step."""
    alpha = past + unary
    steps = jnp.where(
        has_next(real), jnp.max(alpha, -1), jax.nn.logsumexp(alpha, axis=-1)
    )
    return jnp.sum(jnp.where(real, steps, jnp.zeros_like(steps)), axis=0)


def _pairs(
    past: Array,
    log_states: Array,
    unary: Array,
    pairwise: Array,
    real: Array,
    factor: Array,
) -> Array:
    """Probabilities of pairs, times `factor` [...], in the shape of `pairwise`.

    p(i, j) = exp(before[i] + pairwise[i, j] + after[j]). If all steps share one matrix,
    their sum is one matrix product, unless exp(after) overflows.
    """
    before = shifted(jnp.roll(past + unary, 1, axis=0))
    linked = has_previous(real)[..., None] & ~jnp.isneginf(past)
    after = jnp.where(linked, log_states - jnp.where(linked, past, 0), -jnp.inf)

    def joint(before: Array, pairwise: Array, after: Array) -> Array:
        exponents = before[..., :, None] + pairwise + after[..., None, :]
        return factor[..., None, None] * jnp.exp(exponents)

    if pairwise.ndim > unary.ndim:
        return joint(before, pairwise, after)
    weights, shift = scaled_exp(pairwise)

    def by_product() -> Array:
        left, right = jnp.exp(before), factor[..., None] * jnp.exp(after + shift)
        return weights * _sum_of_outer(left, right, pairwise)

    def step_by_step() -> Array:
        def step(total: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
            pairs = joint(inputs[0], pairwise, inputs[1])
            return total + pairs.reshape(-1, *pairwise.shape).sum(axis=0), None

        return lax.scan(step, jnp.zeros_like(pairwise), (before, after))[0]

    fits = jnp.all(after + shift <= -trusted_log(unary.dtype))
    return lax.cond(fits, by_product, step_by_step)


def _sum_of_outer(left: Array, right: Array, pairwise: Array) -> Array:
    """Sums of left[i] * right[j], [T, ..., K] each, in the shape of `pairwise`."""
    high = lax.Precision.HIGHEST
    if pairwise.ndim == 2 and several_devices():  # see `layers.matmul`
        axes = list(range(left.ndim - 1))
        return jnp.tensordot(left, right, (axes, axes), precision=high)
    if pairwise.ndim == 2:
        left, right = (a.reshape(-1, a.shape[-1]) for a in (left, right))
    return jnp.einsum("t...i,t...j->...ij", left, right, precision=high)


def _log_normalized(a: Array) -> Array:
    """a - logsumexp(a); -inf where all of a is -inf."""
    top = finite_max(a, -1)
    total = jnp.log(jnp.sum(jnp.exp(a - top), axis=-1, keepdims=True))
    return a - top - jnp.where(jnp.isneginf(total), jnp.zeros_like(total), total)
