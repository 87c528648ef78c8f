"""Messages along a chain: log sums over all paths that lead into a state.

With alpha[t] = message[t] + unary[t], a message is

    message[t, j] = log sum_i exp(alpha[t-1, i] - max alpha[t-1] + pairwise[i, j])

and zero where no state comes before (`linked` is False), so that a chain may begin
anywhere. Since alpha is shifted to a maximum of 0 at every step, a message is as large
as one step, however long the chain, and loses no digits; log Z sums up the shifts.

The log of that sum is taken of a product of probabilities and a matrix,
log(exp(alpha - max) @ exp(pairwise - max)): K exponentials a step instead of K * K.
What lies below the smallest float is lost in it, which can matter if *all* that leads
to a state is that small. `_trusted` finds whether it can, from the messages, and only
then the chain is run once more with the exact sum.

The parallel way multiplies the matrices of all steps by `lax.associative_scan`: K times
the work in about 2 log2(T) rounds (Särkkä and García-Fernández 2021, "Temporal
parallelization of Bayesian smoothers", arXiv:1905.13002; for HMMs Hassan et al. 2021,
arXiv:2102.05743).
"""

import math

import jax
import jax.numpy as jnp
from jax import lax

UNROLL = 4  # steps in one turn of the compiled loop


def sum_messages(unary, pairwise, linked, parallel=False, reverse=False):
    """The messages of a chain.

    Args:
      unary: [T, ..., K], log potentials of the states.
      pairwise: [K, K], [..., K, K] or [T, ..., K, K]: from the state before, in the
        order in which the chain is run, to the state at t.
      linked: bool [T, ...], whether there is a state before t.
      parallel: by an associative scan instead of step by step.
      reverse: the chain is run from the last step to the first.

    Returns:
      [T, ..., K]; `shifted` of the alpha before is what they are relative to.
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
        agree = True
    return lax.cond(
        agree & _trusted(messages, before, pairwise, weights[1], linked),
        lambda: messages,
        lambda: _scan(_exact_product, unary, pairwise, linked, reverse),
    )


def max_alphas(unary, pairwise, linked, parallel=False):
    """alpha[t] - max alpha[t] with the best path in place of the sum: [T, ..., K]."""
    if parallel:
        return shifted(_products(_max_matmul, unary, pairwise, linked, reverse=False))
    messages = _scan(_max_product, unary, pairwise, linked, reverse=False)
    return shifted(messages + unary)


def finite_max(a, axis):
    """The maximum, kept as an axis; 0 in place of -inf, so that it can be taken off."""
    top = jnp.max(a, axis, keepdims=True)
    return jnp.where(jnp.isneginf(top), jnp.zeros_like(top), top)


def shifted(alpha):
    """alpha less its largest state's."""
    return alpha - finite_max(alpha, -1)


def scaled_exp(pairwise):
    """(exp(pairwise - shift), shift) with a shift [..., 1] for each matrix."""
    shift = finite_max(pairwise, (-2, -1))
    return jnp.exp(pairwise - shift), shift[..., 0]


def trusted_log(dtype):
    """The smallest log of a sum of products that floats lose nothing of.

    What is lost of a sum is below K times the smallest float, exp(-87) in float32; a
    sum above exp(-57) does not feel it.
    """
    return 0.65 * math.log(jnp.finfo(dtype).tiny)


def row_times_matrix(rows, matrix):
    """[..., K] times [K, K] as one product of matrices, or [..., K, K] row by row."""
    high = lax.Precision.HIGHEST
    if matrix.ndim == 2:
        flat = rows.reshape(-1, rows.shape[-1])  # [N, K]
        return jnp.matmul(flat, matrix, precision=high).reshape(rows.shape)
    return jnp.matmul(rows[..., None, :], matrix, precision=high)[..., 0, :]


# One step: alpha [..., K], shifted, and a matrix -> messages [..., K].


def _sum_product(alpha, weights):
    matrix, shift = weights
    return jnp.log(row_times_matrix(jnp.exp(alpha), matrix)) + shift


def _exact_product(alpha, pairwise):
    return jax.nn.logsumexp(alpha[..., :, None] + pairwise, axis=-2)


def _max_product(alpha, pairwise):
    return jnp.max(alpha[..., :, None] + pairwise, axis=-2)


def _scan(product, unary, weights, linked, reverse):
    """Messages step by step; `weights` are scanned if they have a time axis."""
    varying = jax.tree.leaves(weights)[0].ndim > unary.ndim

    def step(alpha, inputs):
        unary_t, linked_t, weights_t = inputs
        here = weights_t if varying else weights
        message = _linked(product(shifted(alpha), here), linked_t)
        return message + unary_t, message

    inputs = (unary, linked, weights if varying else None)
    start = jnp.zeros_like(unary[0])
    unroll = UNROLL if product is _sum_product else 1
    return lax.scan(step, start, inputs, reverse=reverse, unroll=unroll)[1]


def _products(matmul, unary, pairwise, linked, reverse):
    """alpha by products of matrices in a tree, each up to a constant: [T, ..., K].

    The matrix of a step is pairwise + unary; where nothing comes before, every row is
    unary, so that whatever it is multiplied with is forgotten.
    """
    steps = jnp.where(linked[..., None, None], pairwise, jnp.zeros_like(pairwise))
    steps = steps + unary[..., None, :]  # [T, ..., K, K]
    return lax.associative_scan(matmul, steps, reverse=reverse)[..., 0, :]


def _log_matmul(a, b):
    """log(exp(a) @ exp(b)) up to a constant."""
    rows, columns = finite_max(a, -1), finite_max(b, -2)
    product = jnp.matmul(
        jnp.exp(a - rows), jnp.exp(b - columns), precision=lax.Precision.HIGHEST
    )
    product = jnp.log(product) + rows + columns
    return product - finite_max(product, (-2, -1))


def _max_matmul(a, b):
    product = jnp.max(a[..., :, :, None] + b[..., None, :, :], axis=-2)
    return product - finite_max(product, (-2, -1))


def _linked(message, linked):
    return jnp.where(linked[..., None], message, jnp.zeros_like(message))


def _neighbor(alpha, reverse):
    """What stands before each step in the order of the run; the first is no matter."""
    return jnp.roll(alpha, -1 if reverse else 1, axis=0)


def _trusted(messages, before, pairwise, shift, linked):
    """Whether no message is the log of a sum that floats have lost a part of.

    A message of -inf is right if no possible state leads there.
    """
    limit = trusted_log(messages.dtype)
    small = linked[..., None] & (messages - shift < limit)

    def are_impossible():
        possible, links = (
            (~jnp.isneginf(a)).astype(messages.dtype) for a in (before, pairwise)
        )
        return ~jnp.any(small & (row_times_matrix(possible, links) > 0))

    return lax.cond(jnp.any(small), are_impossible, lambda: jnp.asarray(True))


def _agree(products, alpha):
    """Whether the tree's alphas are those that one step makes of their neighbors."""
    a, b = shifted(products), shifted(alpha)
    close = jnp.abs(a - b) <= 1e3 * jnp.finfo(a.dtype).eps * (1 + jnp.abs(b))
    return jnp.all(close | (a == b) | jnp.isnan(b))  # both may be -inf
