"""Softmax cross-entropy over a wide vocabulary, a part of the vocabulary at a time."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from seqjax.mesh_axes import vary_alike
from seqjax.nn.layers import matmul, matmul_gradient
from seqjax.nn.masks import masked_total


def chunked_cross_entropy(
    hidden: jax.Array,
    w: jax.Array,
    b: jax.Array | None,
    labels: jax.Array,
    mask: jax.Array | None = None,
    chunk: int = 4096,
    label_smoothing: float = 0.0,
) -> tuple[jax.Array, jax.Array]:
    """`cross_entropy` of the logits hidden @ w + b, without an array of all logits.

    The forward pass keeps log sum_v exp(logits_v) of each position. The backward pass
    computes the logits again, `chunk` columns of w at a time. It takes one product
    more, and the memory of [N, chunk] logits for N positions instead of [N, V].

    Args:
      hidden: [..., H].
      w: [H, V]. For tied embeddings it is the transpose of their table.
      b: [V], or None.
      labels: integers [...] in [0, V).
      mask: booleans [...], True where a position counts; None counts all. Where it is
        False, hidden may have any value, and its gradient is exactly zero.
      chunk: the number of words whose logits are in memory at a time.
      label_smoothing: as `cross_entropy`.

    Returns:
      (total, count): as `cross_entropy`.

    Raises:
      ValueError: if the shapes do not fit together, or the chunk is below 1.

    Example:
      >>> hidden, w, labels = jnp.zeros((7, 3, 5)), jnp.zeros((5, 28)), jnp.ones((7, 3))
      >>> labels = labels.astype(int)
      >>> total, count = chunked_cross_entropy(hidden, w, None, labels, chunk=10)
      >>> print(f"{total / count:.4f}")  # ln 28
      3.3322
    """
    _check(hidden, w, b, labels, mask, chunk)
    labels = jnp.asarray(labels).astype(jnp.int32)  # of fewer bits, V might not fit
    if mask is not None:
        hidden = jnp.where(mask[..., None], hidden, jnp.zeros_like(hidden))
    losses = _losses(hidden, w, b, labels, min(chunk, w.shape[1]), label_smoothing)
    return masked_total(losses, mask)


def position_losses(
    hidden: jax.Array,
    w: jax.Array,
    b: jax.Array | None,
    labels: jax.Array,
    chunk: int = 4096,
) -> jax.Array:
    """The cross-entropy of each position; see `chunked_cross_entropy`.

    Args:
      hidden, w, b, labels, chunk: as `chunked_cross_entropy`.

    Returns:
      [...].

    Raises:
      ValueError: as `chunked_cross_entropy`.

    Example:
      >>> hidden, w, labels = jnp.zeros((7, 5)), jnp.zeros((5, 28)), jnp.arange(7)
      >>> print(f"{position_losses(hidden, w, None, labels)[6]:.4f}")  # ln 28
      3.3322
    """
    _check(hidden, w, b, labels, None, chunk)
    labels = jnp.asarray(labels).astype(jnp.int32)
    return _losses(hidden, w, b, labels, min(chunk, w.shape[1]), 0.0)


class _Sums(NamedTuple):
    """Of each position, over the words so far."""

    log_z: jax.Array  # log sum_v exp(logits_v)
    label: jax.Array  # the logit of the label
    logits: jax.Array  # sum_v logits_v, if labels are smoothed


def forward(
    hidden: jax.Array,
    w: jax.Array,
    b: jax.Array | None,
    labels: jax.Array,
    chunk: int,
    smoothing: float,
) -> tuple[jax.Array, tuple]:
    """The loss of each position, and what `backward` needs.

    Args:
      hidden, w, b: as `chunked_cross_entropy`.
      labels: int32 [...].
      chunk: at most V.
      smoothing: the label smoothing.

    Returns:
      (losses [...], (hidden, w, b, labels, log_z [...])).
    """

    def body(start: Any, size: int, sums: _Sums) -> _Sums:
        logits = _logits(hidden, *_columns(w, b, start, size))
        is_label = _is_label(labels, start, size)
        return _Sums(
            jnp.logaddexp(sums.log_z, jax.nn.logsumexp(logits, axis=-1)),
            sums.label + jnp.where(is_label, logits, jnp.zeros_like(logits)).sum(-1),
            sums.logits + logits.sum(-1) if smoothing else sums.logits,
        )

    zeros = jnp.zeros(labels.shape, of_sums(jnp.result_type(hidden, w)))
    start, *_ = vary_alike(_Sums(zeros - jnp.inf, zeros, zeros), hidden, w, labels)
    sums = _over_chunks(body, start, w.shape[1], chunk)
    losses = sums.log_z - (1 - smoothing) * sums.label
    losses -= smoothing / w.shape[1] * sums.logits
    return losses, (hidden, w, b, labels, sums.log_z)


def backward(
    chunk: int, smoothing: float, saved: tuple, cotangent: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array | None, None]:
    """The cotangents of hidden, w and b, and None for the labels.

    Args:
      chunk, smoothing: as `forward`.
      saved: from `forward`.
      cotangent: [...], of the losses.
    """
    hidden, w, b, labels, log_z = saved
    vocab_size = w.shape[1]

    def body(start: Any, size: int, gradients: tuple) -> tuple:
        d_hidden, d_w, d_b = gradients
        columns, biases = _columns(w, b, start, size)
        logits = _logits(hidden, columns, biases)
        is_label = _is_label(labels, start, size).astype(logits.dtype)
        d = jnp.exp(logits - log_z[..., None])
        d -= (1 - smoothing) * is_label + smoothing / vocab_size
        d *= cotangent[..., None]
        if b is not None:
            d_b = lax.dynamic_update_slice_in_dim(
                d_b, d.sum(range(d.ndim - 1)).astype(b.dtype), start, 0
            )
        d = d.astype(jnp.result_type(hidden, w))
        part = matmul_gradient(hidden, d).astype(w.dtype)
        d_w = lax.dynamic_update_slice_in_dim(d_w, part, start, 1)
        return d_hidden + matmul(d, columns.T).astype(hidden.dtype), d_w, d_b

    start = (
        jnp.zeros_like(hidden),
        jnp.zeros_like(w),
        None if b is None else jnp.zeros_like(b),
    )
    return *_over_chunks(body, start, vocab_size, chunk), None


# (hidden [..., H], w, b, labels [...], chunk, smoothing) -> the losses [...]
_losses = jax.custom_vjp(lambda *args: forward(*args)[0], nondiff_argnums=(4, 5))
_losses.defvjp(forward, backward)


def _over_chunks(
    body: Callable[[Any, int, Any], Any], carry: Any, vocab_size: int, chunk: int
) -> Any:
    """carry = body(start, size, carry) for all parts of the vocabulary."""
    carry = lax.fori_loop(
        0, vocab_size // chunk, lambda i, carry: body(i * chunk, chunk, carry), carry
    )
    rest = vocab_size % chunk
    return body(vocab_size - rest, rest, carry) if rest else carry


def _columns(
    w: jax.Array, b: jax.Array | None, start: Any, size: int
) -> tuple[jax.Array, jax.Array | None]:
    biases = None if b is None else lax.dynamic_slice_in_dim(b, start, size)
    return lax.dynamic_slice_in_dim(w, start, size, 1), biases


def _logits(hidden: jax.Array, w: jax.Array, b: jax.Array | None) -> jax.Array:
    logits = matmul(hidden, w)
    logits = logits if b is None else logits + b
    return logits.astype(of_sums(logits.dtype))


def of_sums(dtype: DTypeLike) -> DTypeLike:
    """The dtype for sums of logits of another one: at least float32."""
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else dtype


def _is_label(labels: jax.Array, start: Any, size: int) -> jax.Array:
    return labels[..., None] - start == jnp.arange(size, dtype=labels.dtype)


def _check(
    hidden: jax.Array,
    w: jax.Array,
    b: jax.Array | None,
    labels: jax.Array,
    mask: jax.Array | None,
    chunk: int,
) -> None:
    fits = hidden.shape[:-1] == labels.shape and hidden.shape[-1:] == w.shape[:1]
    if not (fits and w.ndim == 2 and (b is None or b.shape == w.shape[1:])):
        raise ValueError(
            f"chunked_cross_entropy: hidden must be [..., H], w [H, V], b [V] and "
            f"labels [...], got {hidden.shape}, {w.shape}, "
            f"{None if b is None else b.shape} and {labels.shape}"
        )
    if mask is not None and mask.shape != labels.shape:
        raise ValueError(
            f"chunked_cross_entropy: the mask must have the shape of labels, "
            f"{labels.shape}, got {mask.shape}"
        )
    if chunk < 1:
        raise ValueError(
            f"chunked_cross_entropy: chunk must be at least 1, got {chunk}"
        )
