"""Layers without a state: dense, embedding and dropout, as init and apply functions."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from seqjax.backend import several_devices

_config: Any = jax.config  # jax declares its settings at run time


class DenseParams(NamedTuple):
    """Parameters of a dense layer."""

    w: jax.Array  # [D, H]
    b: jax.Array  # [H]


def dense_init(
    key: jax.Array,
    input_size: int,
    output_size: int,
    w_init: Callable[..., jax.Array] | None = None,
    dtype: DTypeLike = jnp.float32,
) -> DenseParams:
    """Draw parameters of a dense layer: w [D, H], and b [H] of zeros.

    Args:
      key: random key.
      input_size: D.
      output_size: H.
      w_init: initializer `(key, shape, dtype) -> array` of w; None draws from
        U(-1/sqrt(D), 1/sqrt(D)), as torch does.
      dtype: dtype of w and b.
    """
    bound = input_size**-0.5
    if w_init is None:
        w = jax.random.uniform(key, (input_size, output_size), dtype, -bound, bound)
    else:
        w = w_init(key, (input_size, output_size), dtype)
    return DenseParams(w=w, b=jnp.zeros(output_size, dtype))


def matmul(xs: jax.Array, w: jax.Array) -> jax.Array:
    """xs @ w, [..., D] @ [D, H] -> [..., H], as one product of two matrices.

    The gradient of a product with more than two axes makes XLA copy the cotangent into
    another memory layout; this form avoids the copy. Where jax has several devices the
    axes stay apart, because a batch that is sharded over them could not be merged with
    the time axis. If w is not a matrix, this is jnp.dot.

    Under `jax.default_matmul_precision("BF16_BF16_F32")` the product and the products
    of its gradient multiply in bfloat16 and add in float32. XLA ignores this setting on
    a CPU, so a custom VJP implements it there. That product has no forward-mode
    derivative.

    Raises:
      ValueError: if the widths D differ.
    """
    if w.ndim != 2:
        return jnp.dot(xs, w)
    if xs.shape[-1:] != w.shape[:1]:
        raise ValueError(
            f"the last axis of xs must have the size of the first axis of w, got xs "
            f"{xs.shape} and w {w.shape}"
        )
    product = _bf16_product if _bf16_on_cpu(xs, w) else jnp.dot
    if several_devices():
        return product(xs, w)
    flat = xs.reshape(math.prod(xs.shape[:-1]), xs.shape[-1])  # [..., D] -> [N, D]
    return product(flat, w).reshape(*xs.shape[:-1], w.shape[-1])


def matmul_gradient(xs: jax.Array, ct: jax.Array) -> jax.Array:
    """The gradient of w in matmul(xs, w), from xs [..., D] and ct [..., H]: [D, H]."""
    if several_devices() and not _bf16_on_cpu(xs, ct):
        leading = list(range(xs.ndim - 1))
        return jnp.tensordot(xs, ct, axes=(leading, leading))
    xs, ct = (a.reshape(math.prod(a.shape[:-1]), a.shape[-1]) for a in (xs, ct))
    if not _bf16_on_cpu(xs, ct):
        return xs.T @ ct
    # The barrier makes XLA store the transpose: it has no fast bfloat16 product that
    # contracts the first axes of both operands.
    return _bf16_product(lax.optimization_barrier(xs.astype(jnp.bfloat16).T), ct)


def _bf16_on_cpu(*operands: jax.Array) -> bool:
    wanted = _config.jax_default_matmul_precision == "BF16_BF16_F32"
    in_float32 = all(a.dtype == jnp.float32 for a in operands)
    return wanted and in_float32 and jax.default_backend() == "cpu"


@jax.custom_vjp
def _bf16_product(v: jax.Array, w: jax.Array) -> jax.Array:
    v, w = v.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
    # Under the name BF16_BF16_F32, some versions of XLA have no outer product.
    precision = lax.Precision.DEFAULT
    return jnp.matmul(v, w, precision=precision, preferred_element_type=jnp.float32)


def _bf16_product_backward(
    residuals: tuple[jax.Array, jax.Array], ct: jax.Array
) -> tuple[jax.Array, jax.Array]:
    v, w = residuals
    return _bf16_product(ct, w.T), matmul_gradient(v, ct)


_bf16_product.defvjp(lambda v, w: (_bf16_product(v, w), (v, w)), _bf16_product_backward)


def dense(params: DenseParams, xs: jax.Array) -> jax.Array:
    """xs @ w + b: [..., D] -> [..., H]."""
    return matmul(xs, params.w) + params.b


def logits(xs: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    """xs @ w + b for a softmax: [..., H], [H, V], [V] -> [..., V].

    Under `jax.default_matmul_precision("BF16_BF16_F32")` logits of float32 are made and
    kept in bfloat16, as torch's autocast does, and half as much memory is read and
    written. Their gradients are summed in float32. They have no forward-mode
    derivative.
    """
    wanted = _config.jax_default_matmul_precision == "BF16_BF16_F32"
    if not wanted or any(a.dtype != jnp.float32 for a in (xs, w, b)):
        return matmul(xs, w) + b
    if several_devices():
        return (matmul(xs, w) + b).astype(jnp.bfloat16)
    flat = xs.reshape(math.prod(xs.shape[:-1]), xs.shape[-1])
    return _bf16_logits(flat, w, b).reshape(*xs.shape[:-1], w.shape[-1])


@jax.custom_vjp
def _bf16_logits(xs: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    xs, w = xs.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
    precision = lax.Precision.DEFAULT  # as `_bf16_product`
    product = jnp.matmul(
        xs, w, precision=precision, preferred_element_type=jnp.bfloat16
    )
    return product + b.astype(jnp.bfloat16)


def _bf16_logits_backward(
    residuals: tuple[jax.Array, jax.Array], ct: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    xs, w = residuals
    ct = lax.optimization_barrier(ct)  # else XLA also writes it in float32
    xs_t = lax.optimization_barrier(xs.astype(jnp.bfloat16).T)  # as `matmul_gradient`
    d_b = ct.astype(jnp.float32).sum(axis=0)
    return _bf16_product(ct, w.T), _bf16_product(xs_t, ct), d_b


_bf16_logits.defvjp(
    lambda xs, w, b: (_bf16_logits(xs, w, b), (xs, w)), _bf16_logits_backward
)


def embed_init(
    key: jax.Array, vocab_size: int, embed_size: int, dtype: DTypeLike = jnp.float32
) -> jax.Array:
    """Draw an embedding table [V, E] from U(-0.1, 0.1) (Zaremba et al. 2014)."""
    return jax.random.uniform(key, (vocab_size, embed_size), dtype, -0.1, 0.1)


def embed(table: jax.Array, tokens: jax.Array) -> jax.Array:
    """The rows of `table` [V, E] at the integers `tokens` [...]: [..., E]."""
    with jax.named_scope("embedding"):
        return table[tokens]


def dropout(
    key: jax.Array | None, xs: jax.Array, rate: float, locked: bool = False
) -> jax.Array:
    """Zero each element with probability `rate` and scale the rest by 1 / (1 - rate).

    Args:
      key: random key; None returns xs (evaluation).
      xs: an array; [T, ...] if locked.
      rate: dropout rate in [0, 1).
      locked: use one mask for all T, as variational dropout does (Gal and Ghahramani
        2016).

    Source: Srivastava et al., "Dropout", JMLR 15, 2014; Gal and Ghahramani, "A
    theoretically grounded application of dropout in recurrent neural networks", 2016,
    arXiv:1512.05287.
    """
    if key is None or rate == 0.0:
        return xs
    keep = jax.random.bernoulli(key, 1.0 - rate, xs.shape[1:] if locked else xs.shape)
    return jnp.where(keep, xs / (1.0 - rate), 0.0)
