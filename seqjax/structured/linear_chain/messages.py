"""Messages along a chain: log sums over all paths that lead to a state.

With alpha[t] = message[t] + unary[t], a message is

    message[t, j] = log sum_i exp(alpha[t-1, i] - max alpha[t-1] + pairwise[i, j])

and zero where there is no previous state (`linked` is False), so that a chain may begin
at any step. Since alpha is shifted to a maximum of 0 at every step, the size of a
message does not grow with the length of the chain and no precision is lost; log Z is
the sum of the shifts.

The log sum is computed as a matrix product of probabilities,
log(exp(alpha - max) @ exp(pairwise - max)), with K exponentials per step instead of
K * K. Terms below the smallest float are lost, which matters only if all terms of a
message are that small. `_trusted` detects this from the messages, and the chain is then
run again with the exact sum.

The parallel form multiplies the matrices of all steps by `lax.associative_scan`: K
times the work in about 2 log2(T) rounds.

Source: Särkkä and García-Fernández 2021, "Temporal parallelization of Bayesian
smoothers", arXiv:1905.13002; for HMMs Hassan et al. 2021, arXiv:2102.05743.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.backend import several_devices

Array = jax.Array
UNROLL = 4  # steps per iteration of the compiled loop


def sum_messages(
    unary: Array,
    pairwise: Array,
    linked: Array,
    parallel: bool = False,
    reverse: bool = False,
) -> Array:
    """The messages of a chain.

    Args:
      unary: [T, ..., K].
      pairwise: [K, K], [..., K, K] or [T, ..., K, K]: from the previous state, in the
        direction of the run, to the state at t.
      linked: bool [T, ...], whether t has a previous state.
      parallel: use an associative scan instead of a loop.
      reverse: run from the last step to the first.

    Returns:
      [T, ..., K], relative to the maximum of the previous alpha.
    """
    weights = scaled_exp(pairwise)
    if parallel:
        products = _products(_log_matmul, unary, pairwise, linked, reverse)
        before = shifted(_neighbor(products, reverse))
        messages = _linked(_sum_product(before, weights), linked)
        agree = _agree(products, messages + unary)
    else:
        messages = _scan(_sum_product, unary, weights, linked, reverse)
        before = shifted(_neighbor(messages + unary, reverse))
        agree = jnp.asarray(True)
    return lax.cond(
        agree & _trusted(messages, before, pairwise, weights[1], linked),
        lambda: messages,
        lambda: _scan(_exact_product, unary, pairwise, linked, reverse),
    )


def max_alphas(
    unary: Array, pairwise: Array, linked: Array, parallel: bool = False
) -> Array:
    """alpha[t] - max alpha[t] with a maximum instead of the sum: [T, ..., K]."""
    if parallel:
        return shifted(_products(_max_matmul, unary, pairwise, linked, reverse=False))
    messages = _scan(_max_product, unary, pairwise, linked, reverse=False)
    return shifted(messages + unary)


def finite_max(a: Array, axis: int | tuple[int, ...]) -> Array:
    """The maximum with its axis kept; 0 instead of -inf, so that a - max is defined."""
    top = jnp.max(a, axis, keepdims=True)
    return jnp.where(jnp.isneginf(top), jnp.zeros_like(top), top)


def shifted(alpha: Array) -> Array:
    """alpha minus its maximum over the states."""
    return alpha - finite_max(alpha, -1)


def scaled_exp(pairwise: Array) -> tuple[Array, Array]:
    """(exp(pairwise - shift), shift), with one shift [..., 1] per matrix."""
    shift = finite_max(pairwise, (-2, -1))
    return jnp.exp(pairwise - shift), shift[..., 0]


def trusted_log(dtype: jnp.dtype) -> float:
    """The smallest log of a sum of products that is exact to rounding.

    The lost terms are below K times the smallest float, exp(-87) in float32, which is
    negligible in a sum above exp(-57).
    """
    return 0.65 * math.log(jnp.finfo(dtype).tiny)


def row_times_matrix(rows: Array, matrix: Array) -> Array:
    """[..., K] @ [K, K] as one matrix product, or @ [..., K, K] row by row."""
    high = lax.Precision.HIGHEST
    if matrix.ndim == 2 and several_devices():  # see `layers.matmul`
        return jnp.matmul(rows, matrix, precision=high)
    if matrix.ndim == 2:
        flat = rows.reshape(-1, rows.shape[-1])  # [N, K]
        return jnp.matmul(flat, matrix, precision=high).reshape(rows.shape)
    return jnp.matmul(rows[..., None, :], matrix, precision=high)[..., 0, :]


# One step: shifted alpha [..., K] and a matrix -> messages [..., K].


def _sum_product(alpha: Array, weights: tuple[Array, Array]) -> Array:
    matrix, shift = weights
    return jnp.log(row_times_matrix(jnp.exp(alpha), matrix)) + shift


def _exact_product(alpha: Array, pairwise: Array) -> Array:
    return jax.nn.logsumexp(alpha[..., :, None] + pairwise, axis=-2)


def _max_product(alpha: Array, pairwise: Array) -> Array:
    return jnp.max(alpha[..., :, None] + pairwise, axis=-2)


def _scan(
    product: Callable[[Array, Any], Array],
    unary: Array,
    weights: Any,
    linked: Array,
    reverse: bool,
) -> Array:
    """Messages in a loop; `weights` are scanned if they have a time axis."""
    per_step = jax.tree.leaves(weights)[0].ndim > unary.ndim

    def step(alpha: Array, inputs: tuple[Array, Array, Any]) -> tuple[Array, Array]:
        unary_t, linked_t, weights_t = inputs
        current = weights_t if per_step else weights
        message = _linked(product(shifted(alpha), current), linked_t)
        return message + unary_t, message

    inputs = (unary, linked, weights if per_step else None)
    start = jnp.zeros_like(unary[0])
    unroll = UNROLL if product is _sum_product else 1
    return lax.scan(step, start, inputs, reverse=reverse, unroll=unroll)[1]


def _products(
    matmul: Callable[[Array, Array], Array],
    unary: Array,
    pairwise: Array,
    linked: Array,
    reverse: bool,
) -> Array:
    """alpha by a tree of matrix products, each up to a constant: [T, ..., K].

    The matrix of a step is pairwise + unary. Where there is no previous state, every
    row is unary, so that the product does not depend on the steps before.
    """
    steps = jnp.where(linked[..., None, None], pairwise, jnp.zeros_like(pairwise))
    steps = steps + unary[..., None, :]  # [T, ..., K, K]
    return lax.associative_scan(matmul, steps, reverse=reverse)[..., 0, :]


def _log_matmul(a: Array, b: Array) -> Array:
    """log(exp(a) @ exp(b)) up to a constant."""
    rows, columns = finite_max(a, -1), finite_max(b, -2)
    product = jnp.matmul(
        jnp.exp(a - rows), jnp.exp(b - columns), precision=lax.Precision.HIGHEST
    )
    product = jnp.log(product) + rows + columns
    return product - finite_max(product, (-2, -1))


def _max_matmul(a: Array, b: Array) -> Array:
    product = jnp.max(a[..., :, :, None] + b[..., None, :, :], axis=-2)
    return product - finite_max(product, (-2, -1))


def _linked(message: Array, linked: Array) -> Array:
    return jnp.where(linked[..., None], message, jnp.zeros_like(message))


def _neighbor(alpha: Array, reverse: bool) -> Array:
    """alpha of the previous step in the direction of the run; the first is not read."""
    return jnp.roll(alpha, -1 if reverse else 1, axis=0)


def _trusted(
    messages: Array, before: Array, pairwise: Array, shift: Array, linked: Array
) -> Array:
    """Whether no message lost a relevant term to underflow.

    A message of -inf is exact if no possible state leads there.
    """
    limit = trusted_log(messages.dtype)
    small = linked[..., None] & (messages - shift < limit)

    def are_impossible() -> Array:
        possible, links = (
            (~jnp.isneginf(a)).astype(messages.dtype) for a in (before, pairwise)
        )
        return ~jnp.any(small & (row_times_matrix(possible, links) > 0))

    # Without a small message this is True, and varies as the other branch does.
    return lax.cond(jnp.any(small), are_impossible, lambda: ~jnp.any(small))


def _agree(products: Array, alpha: Array) -> Array:
    """Whether the alphas of the tree equal one loop step from their neighbors."""
    a, b = shifted(products), shifted(alpha)
    close = jnp.abs(a - b) <= 1e3 * jnp.finfo(a.dtype).eps * (1 + jnp.abs(b))
    return jnp.all(close | (a == b) | jnp.isnan(b))  # both may be -inf
