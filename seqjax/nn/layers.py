"""Layers without a state: dense, embedding, normalization and dropout."""

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

    Returns:
      DenseParams(w [D, H], b [H]).

    Example:
      >>> params = dense_init(jax.random.key(0), input_size=4, output_size=3)
      >>> params.w.shape, (abs(params.w) <= 0.5).all().item(), params.b.tolist()
      ((4, 3), True, [0.0, 0.0, 0.0])
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

    Args:
      xs: [..., D].
      w: [D, H].

    Returns:
      [..., H].

    Raises:
      ValueError: if the widths D differ.

    Example:
      >>> xs = jnp.arange(6.0).reshape(3, 1, 2)  # [T, B, D]
      >>> w = jnp.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
      >>> matmul(xs, w)[:, 0].tolist()
      [[0.0, 1.0, 1.0], [2.0, 3.0, 5.0], [4.0, 5.0, 9.0]]
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
    """The gradient of w in matmul(xs, w): the sum of the outer products of all rows.

    Args:
      xs: [..., D].
      ct: the cotangent of the product, [..., H].

    Returns:
      [D, H].

    Example:
      >>> xs = jnp.array([[[1.0, 2.0]], [[3.0, 4.0]]])  # [T, B, D]
      >>> matmul_gradient(xs, jnp.array([[[1.0]], [[10.0]]])).tolist()
      [[31.0], [42.0]]
    """
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
    """xs @ w + b, see `matmul`.

    Args:
      params: DenseParams(w [D, H], b [H]).
      xs: [..., D].

    Returns:
      [..., H].

    Raises:
      ValueError: if the widths D differ.

    Example:
      >>> w, b = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([10.0, 20.0])
      >>> dense(DenseParams(w, b), jnp.array([2.0, 1.0])).tolist()
      [15.0, 28.0]
    """
    return matmul(xs, params.w) + params.b


def logits(xs: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    """xs @ w + b for a softmax.

    Under `jax.default_matmul_precision("BF16_BF16_F32")` logits of float32 are made and
    kept in bfloat16, as torch's autocast does, and half as much memory is read and
    written. Their gradients are summed in float32. They have no forward-mode
    derivative.

    Args:
      xs: [..., H].
      w: [H, V].
      b: [V].

    Returns:
      [..., V].

    Example:
      >>> w = jnp.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
      >>> logits(jnp.array([1.0, 2.0]), w, jnp.array([0.0, 0.0, 10.0])).tolist()
      [1.0, 2.0, 13.0]
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


def layer_norm(
    xs: jax.Array, gain: jax.Array, b: jax.Array | None = None, eps: float = 1e-5
) -> jax.Array:
    """(xs - mean) / sqrt(var + eps) * gain + b, mean and var over the features.

    Args:
      xs: [..., H].
      gain: [H].
      b: [H]; None adds nothing.
      eps: keeps a constant row finite.

    Returns:
      [..., H].

    Example:
      >>> layer_norm(jnp.array([1.0, 3.0]), jnp.array([1.0, 2.0])).round(2).tolist()
      [-1.0, 2.0]

    Source: Ba, Kiros and Hinton, "Layer normalization", 2016, arXiv:1607.06450.
    """
    centered = xs - xs.mean(axis=-1, keepdims=True)
    variance = (centered**2).mean(axis=-1, keepdims=True)
    normal = centered * lax.rsqrt(variance + eps) * gain
    return normal if b is None else normal + b


def embed_init(
    key: jax.Array, vocab_size: int, embed_size: int, dtype: DTypeLike = jnp.float32
) -> jax.Array:
    """Draw an embedding table from U(-0.1, 0.1).

    Args:
      key: a random key.
      vocab_size: V.
      embed_size: E.
      dtype: dtype of the table.

    Returns:
      [V, E].

    Example:
      >>> table = embed_init(jax.random.key(0), vocab_size=28, embed_size=4)
      >>> table.shape, (abs(table) <= 0.1).all().item()
      ((28, 4), True)

    Source: Zaremba et al. 2014, "Recurrent neural network regularization",
    arXiv:1409.2329.
    """
    return jax.random.uniform(key, (vocab_size, embed_size), dtype, -0.1, 0.1)


def embed(table: jax.Array, tokens: jax.Array) -> jax.Array:
    """The rows of a table at the tokens.

    Args:
      table: [V, E].
      tokens: integers [...] in [0, V).

    Returns:
      [..., E] in the dtype of the table.

    Example:
      >>> table = jnp.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
      >>> embed(table, jnp.array([2, 0])).tolist()
      [[4.0, 5.0], [0.0, 1.0]]
    """
    with jax.named_scope("embedding"):
        return table[tokens]


def dropout(
    key: jax.Array | None, xs: jax.Array, rate: float, locked: bool = False
) -> jax.Array:
    """Zero each element with probability `rate` and scale the rest by 1 / (1 - rate).

    Args:
      key: random key; None returns xs (evaluation).
      xs: an array of any float dtype; [T, ...] if locked.
      rate: dropout rate in [0, 1).
      locked: use one mask for all T, as variational dropout does (Gal and Ghahramani
        2016).

    Returns:
      An array like xs.

    Example:
      >>> xs = jnp.arange(1.0, 33.0)
      >>> dropped = dropout(jax.random.key(0), xs, rate=0.5)
      >>> sorted(set((dropped / xs).tolist()))
      [0.0, 2.0]
      >>> dropout(None, xs, rate=0.5) is xs
      True

    Source: Srivastava et al., "Dropout", JMLR 15, 2014; Gal and Ghahramani, "A
    theoretically grounded application of dropout in recurrent neural networks", 2016,
    arXiv:1512.05287.
    """
    if key is None or rate == 0.0:
        return xs
    keep = jax.random.bernoulli(key, 1.0 - rate, xs.shape[1:] if locked else xs.shape)
    return jnp.where(keep, xs / (1.0 - rate), 0.0)
