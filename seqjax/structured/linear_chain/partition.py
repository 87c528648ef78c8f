"""Dynamic programming over linear chains: hidden Markov models and CRFs use it.

A chain of K states gives each sequence s of L states, of all K^L, the score

    score(s) = sum_{t=0}^{L-1} unary[t, s_t] + sum_{t=1}^{L-1} pairwise[s_{t-1}, s_t]

and with Z = sum_s exp(score(s)) the probability exp(score(s)) / Z. In a hidden Markov
model the potentials are logs of probabilities and Z is the likelihood; in a conditional
random field they are any numbers. What stands at the ends (the first state's
probability, scores of starting and stopping) belongs into the first and last unary.

What leads to a state at t is in a message from the past, what it leads to in one from
the future (`chain_messages.py`), and together they know all of the chain:

    p(s_t = k) = exp(past[t, k] + unary[t, k] + future[t, k] - log Z)

just as a bidirectional RNN joins a state from the left and one from the right.

Everywhere: unary [T, ..., K]; pairwise [K, K] for all, [..., K, K] for each sequence,
or [T, ..., K, K] for each step, where pairwise[t] leads from t-1 to t and pairwise[0]
is not read; lengths [...], None for T. Potentials of -inf forbid. Padding may hold
anything, and results there are zero. A sequence of length 0 has one path, of score 0.
With `parallel=True` the work is done by associative scans: the same numbers, on a
device with many cores sooner. The batch belongs inside: under `jax.vmap` over the
potentials the exact loop, needed only where floats are too narrow, always runs, too.

Source: Rabiner, "A tutorial on hidden Markov models", Proceedings of the IEEE 77, 1989;
Lafferty et al., "Conditional random fields", ICML 2001.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.structured.messages import (
    finite_max,
    max_alphas,
    scaled_exp,
    shifted,
    sum_messages,
    trusted_log,
)

Array = jax.Array


class Forward(NamedTuple):
    """What a pass over the past gives."""

    log_partition: Array  # [...], log Z
    predicted: Array  # [T, ..., K], log p(s_t | unary[:t]); log 1/K at t = 0
    filtered: Array  # [T, ..., K], log p(s_t | unary[:t + 1])


class Marginals(NamedTuple):
    """What the whole chain says of each state and of each pair of neighbors."""

    log_partition: Array  # [...], log Z
    states: Array  # [T, ..., K], p(s_t = k)
    pairs: Array  # p(s_{t-1} = i, s_t = j), summed over all that share a potential


def log_partition(unary, pairwise, lengths=None, parallel=False):
    """log Z [...]; its gradient by the potentials are the marginals.

    The gradient is made by forward and backward, not through the loop; it is finite
    also where potentials are -inf, and zero where no path is possible (log Z = -inf).

    Raises:
      ValueError: for shapes that do not go together.

    Example:
      >>> log_partition(jnp.zeros((3, 2)), jnp.zeros((2, 2)))  # ln 2^3
      Array(2.0794415, dtype=float32)
    """
    return _log_partition(*_prepare(unary, pairwise, lengths), parallel)


def forward(unary, pairwise, lengths=None, parallel=False):
    """log Z and, at each t, the states by what came before: a `Forward`."""
    unary, pairwise, real = _prepare(unary, pairwise, lengths)
    past = _past(unary, pairwise, real, parallel)
    messages = past, past + unary
    predicted, filtered = (_masked(_log_normalized(m), real) for m in messages)
    return Forward(_total(past, unary, real), predicted, filtered)


def backward(unary, pairwise, lengths=None, parallel=False):
    """The messages from the future, [T, ..., K], each up to a constant.

    log sum over all that can follow state k at t, unary[t] itself not in; the largest
    is 0.
    """
    unary, pairwise, real = _prepare(unary, pairwise, lengths)
    return _masked(shifted(_future(unary, pairwise, real, parallel)), real)


def marginals(unary, pairwise, lengths=None, parallel=False):
    """Probabilities of states and of pairs, given the whole chain: a `Marginals`.

    `pairs` has the shape of `pairwise`: [K, K] holds sums over time and batch, the
    expected number of transitions; [T, ..., K, K] one matrix a step, the first zero.
    """
    chain = unary, pairwise, real = _prepare(unary, pairwise, lengths)
    past, log_states = _past_and_log_states(*chain, parallel)
    total = _total(past, unary, real)
    pairs = _pairs(past, log_states, *chain, jnp.ones_like(total))
    return Marginals(total, jnp.exp(log_states), pairs)


def viterbi(unary, pairwise, lengths=None, parallel=False):
    """The best path, int32 [T, ...], and its score [...].

    Of equal paths one is chosen; where none is possible the score is -inf.
    """
    chain = unary, pairwise, real = _prepare(unary, pairwise, lengths)
    alpha = max_alphas(unary, pairwise, _has_previous(real), parallel)
    path = _trace_back(alpha, pairwise, real, parallel)
    return path, _score(path, *chain)


def sample(key, unary, pairwise, lengths=None, parallel=False):
    """A path, int32 [T, ...], drawn with its probability for each sequence.

    From the last state to the first, each from p(s_t | s_{t+1}, unary[:t + 1]), by the
    largest of its logs plus Gumbel noise. `vmap` over keys draws several.
    """
    unary, pairwise, real = _prepare(unary, pairwise, lengths)
    alpha = shifted(_past(unary, pairwise, real, parallel) + unary)
    noise = jax.random.gumbel(key, alpha.shape, alpha.dtype)
    return _trace_back(alpha + noise, pairwise, real, parallel)


def score(path, unary, pairwise, lengths=None):
    """The score [...] of a path, integers [T, ...]; it has plain gradients."""
    return _score(path, *_prepare(unary, pairwise, lengths))


# ---------------------------------------------------------------- log Z and marginals


@partial(jax.custom_vjp, nondiff_argnums=(3,))
def _log_partition(unary, pairwise, real, parallel):
    return _total(_past(unary, pairwise, real, parallel), unary, real)


def _log_partition_forward(unary, pairwise, real, parallel):
    chain = unary, pairwise, real
    past, log_states = _past_and_log_states(*chain, parallel)
    return _total(past, unary, real), (past, log_states, *chain)


def _log_partition_backward(parallel, residuals, ct):
    del parallel
    return ct[..., None] * jnp.exp(residuals[1]), _pairs(*residuals, ct), None


_log_partition.defvjp(_log_partition_forward, _log_partition_backward)


def _past(unary, pairwise, real, parallel):
    return sum_messages(unary, pairwise, _has_previous(real), parallel)


def _future(unary, pairwise, real, parallel):
    backwards = jnp.swapaxes(_next(pairwise, unary), -1, -2)
    return sum_messages(unary, backwards, _has_next(real), parallel, reverse=True)


def _past_and_log_states(unary, pairwise, real, parallel):
    """Messages from the past and log marginals, -inf at padding."""
    past = _past(unary, pairwise, real, parallel)
    joint = past + unary + _future(unary, pairwise, real, parallel)
    log_states = jnp.where(real[..., None], _log_normalized(joint), -jnp.inf)
    return past, log_states


def _total(past, unary, real):
    """log Z: the shifts of all steps, and the sum of the last."""
    alpha = past + unary
    steps = jnp.where(
        _has_next(real), jnp.max(alpha, -1), jax.nn.logsumexp(alpha, axis=-1)
    )
    return jnp.sum(jnp.where(real, steps, jnp.zeros_like(steps)), axis=0)


def _pairs(past, log_states, unary, pairwise, real, factor):
    """Probabilities of pairs, times `factor` [...], in the shape of `pairwise`.

    p(i, j) = exp(before[i] + pairwise[i, j] + after[j]); where one matrix serves all
    steps, the sum over them is one product of matrices, if exp(after) is no overflow.
    """
    before = shifted(jnp.roll(past + unary, 1, axis=0))
    linked = _has_previous(real)[..., None] & ~jnp.isneginf(past)
    after = jnp.where(linked, log_states - jnp.where(linked, past, 0), -jnp.inf)

    def at(before, pairwise, after):
        exponents = before[..., :, None] + pairwise + after[..., None, :]
        return factor[..., None, None] * jnp.exp(exponents)

    if pairwise.ndim > unary.ndim:
        return at(before, pairwise, after)
    weights, shift = scaled_exp(pairwise)

    def by_product():
        left, right = jnp.exp(before), factor[..., None] * jnp.exp(after + shift)
        return weights * _sum_of_outer(left, right, pairwise)

    def step_by_step():
        def step(total, inputs):
            here = at(inputs[0], pairwise, inputs[1])
            return total + here.reshape(-1, *pairwise.shape).sum(axis=0), None

        return lax.scan(step, jnp.zeros_like(pairwise), (before, after))[0]

    fits = jnp.all(after + shift <= -trusted_log(unary.dtype))
    return lax.cond(fits, by_product, step_by_step)


def _sum_of_outer(left, right, pairwise):
    """Sums of left[i] * right[j], [T, ..., K] each, in the shape of `pairwise`."""
    if pairwise.ndim == 2:
        left, right = (a.reshape(-1, a.shape[-1]) for a in (left, right))
    return jnp.einsum(
        "t...i,t...j->...ij", left, right, precision=lax.Precision.HIGHEST
    )


# ---------------------------------------------------------------- paths


def _trace_back(alpha, pairwise, real, parallel):
    """s_t = argmax_i(alpha[t, i] + pairwise[t+1][i, s_{t+1}]), from the last on.

    In parallel, each step is a map from s_{t+1} to s_t, and maps are composed.
    """
    following, linked = _next(pairwise, alpha), _has_next(real)[..., None]

    def step(state, inputs):
        alpha_t, linked_t, pairwise_t = inputs
        into = _column(pairwise_t if varying else pairwise, state)
        state = jnp.argmax(alpha_t + jnp.where(linked_t, into, 0), axis=-1)
        return state.astype(jnp.int32), state.astype(jnp.int32)

    varying = pairwise.ndim > alpha.ndim
    if parallel:
        into = jnp.where(linked[..., None], following, jnp.zeros_like(following))
        maps = jnp.argmax(alpha[..., :, None] + into, axis=-2)  # [T, ..., K]
        paths = lax.associative_scan(_compose, maps, reverse=True)[..., 0]
    else:
        inputs = alpha, linked, following if varying else None
        start = jnp.zeros(alpha.shape[1:-1], jnp.int32)
        paths = lax.scan(step, start, inputs, reverse=True)[1]
    return jnp.where(real, paths.astype(jnp.int32), 0)


def _compose(first, second):
    """j -> second[first[j]]."""
    return jnp.take_along_axis(second, first, axis=-1)


def _score(path, unary, pairwise, real):
    path = jnp.where(real, path, 0)
    here = jnp.take_along_axis(unary, path[..., None], axis=-1)[..., 0]
    into = _column(pairwise, path)  # [T, ..., K]
    previous = jnp.roll(path, 1, axis=0)[..., None]
    link = jnp.take_along_axis(into, previous, axis=-1)[..., 0]
    here, link = jnp.where(real, here, 0), jnp.where(_has_previous(real), link, 0)
    return jnp.sum(here + link, axis=0)


def _column(pairwise, state):
    """pairwise[..., :, state], one column for each state [...]: [..., K]."""
    if pairwise.ndim == 2:
        return pairwise.T[state]
    pairwise = pairwise.reshape(
        (1,) * (state.ndim + 2 - pairwise.ndim) + pairwise.shape
    )
    return jnp.take_along_axis(pairwise, state[..., None, None], axis=-1)[..., 0]


# ---------------------------------------------------------------- shapes and lengths


def _prepare(unary, pairwise, lengths):
    """(unary, pairwise, real [T, ...]): checked, broadcast, padding made zero."""
    unary, pairwise = jnp.asarray(unary), jnp.asarray(pairwise)
    dtype = jnp.result_type(unary, pairwise)
    dtype = jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype
    if unary.ndim < 2 or 0 in (unary.shape[0], unary.shape[-1]):
        raise ValueError(
            f"unary must be [T, ..., K], T and K at least 1, got {list(unary.shape)}"
        )
    num_steps, *batch, states = unary.shape
    square, ndim = (states, states), pairwise.ndim
    shape = (num_steps, *batch, *square) if ndim > unary.ndim else (*batch, *square)
    shape = square if ndim == 2 else shape
    fits = len(shape) == ndim and all(
        p in (s, 1) for p, s in zip(pairwise.shape, shape, strict=True)
    )
    if not fits or pairwise.shape[-2:] != square:
        raise ValueError(
            f"pairwise must be [K, K], [..., K, K] or [T, ..., K, K] to go with unary "
            f"{list(unary.shape)}, got {list(pairwise.shape)}"
        )
    if lengths is None:
        lengths = jnp.full(batch, num_steps)
    lengths = jnp.asarray(lengths)
    if lengths.shape != tuple(batch):
        raise ValueError(f"lengths must be {batch}, got {list(lengths.shape)}")
    times = jnp.arange(num_steps, dtype=lengths.dtype)
    real = times.reshape(-1, *(1,) * len(batch)) < lengths  # [T, ...]
    pairwise = jnp.broadcast_to(pairwise.astype(dtype), shape)
    if ndim > unary.ndim:
        pairwise = _masked(pairwise, _has_previous(real)[..., None])
    return _masked(unary.astype(dtype), real), pairwise, real


def _masked(a, real):
    return jnp.where(real[..., None], a, jnp.zeros_like(a))


def _has_previous(real):
    return real.at[0].set(False)


def _has_next(real):
    return jnp.roll(real, -1, axis=0).at[-1].set(False)


def _next(pairwise, unary):
    """The matrices that lead from t to t+1; the last is not read."""
    varying = pairwise.ndim > unary.ndim
    return jnp.roll(pairwise, -1, axis=0) if varying else pairwise


def _log_normalized(a):
    """a - logsumexp(a), and -inf where that is all there is."""
    top = finite_max(a, -1)
    total = jnp.log(jnp.sum(jnp.exp(a - top), axis=-1, keepdims=True))
    return a - top - jnp.where(jnp.isneginf(total), jnp.zeros_like(total), total)
