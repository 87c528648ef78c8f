"""Layers without a state: embed, dense and dropout as init/apply functions."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class DenseParams(NamedTuple):
    w: jax.Array  # [D, H]
    b: jax.Array  # [H]


def dense_init(key, input_size, output_size, w_init=None, dtype=jnp.float32):
    """Parameters of a dense layer, w [D, H] and b [H]; b starts at zero.

    `w_init` is an initializer `(key, shape, dtype)`; the default is torch's uniform,
    U(-1/sqrt(D), 1/sqrt(D)).
    """
    bound = input_size**-0.5
    if w_init is None:
        w = jax.random.uniform(key, (input_size, output_size), dtype, -bound, bound)
    else:
        w = w_init(key, (input_size, output_size), dtype)
    return DenseParams(w=w, b=jnp.zeros(output_size, dtype))


def matmul(xs, w):
    """xs @ w, [..., D] @ [D, H] -> [..., H], as one product of matrices.

    With more than two axes the gradient would make XLA lay the cotangent out anew.
    Under `jax.default_matmul_precision("BF16_BF16_F32")` the product and those of its
    gradient are made in bfloat16 and summed up in float32, on a CPU too, where XLA
    leaves such products in float32; there they have no forward-mode derivative. What is
    not a matrix is left to jnp.dot.
    """
    if w.ndim != 2:
        return jnp.dot(xs, w)
    flat = xs.reshape(-1, xs.shape[-1])  # [..., D] -> [N, D]
    product = _bf16_product if _bf16_on_cpu(flat, w) else jnp.matmul
    return product(flat, w).reshape(*xs.shape[:-1], w.shape[-1])


def matmul_gradient(xs, ct):
    """The gradient of w in matmul(xs, w): [..., D], [..., H] -> [D, H]."""
    xs, ct = (a.reshape(-1, a.shape[-1]) for a in (xs, ct))
    if not _bf16_on_cpu(xs, ct):
        return xs.T @ ct
    # Laid out anew: XLA has no fast bfloat16 product along the first axis of both.
    return _bf16_product(lax.optimization_barrier(xs.astype(jnp.bfloat16).T), ct)


def _bf16_on_cpu(*operands):
    wanted = jax.config.jax_default_matmul_precision == "BF16_BF16_F32"
    in_float32 = all(a.dtype == jnp.float32 for a in operands)
    return wanted and in_float32 and jax.default_backend() == "cpu"


@jax.custom_vjp
def _bf16_product(v, w):
    v, w = v.astype(jnp.bfloat16), w.astype(jnp.bfloat16)
    # By name, as the context wants it, XLA has no outer product in some versions.
    precision = lax.Precision.DEFAULT
    return jnp.matmul(v, w, precision=precision, preferred_element_type=jnp.float32)


def _bf16_product_transposed(residuals, ct):
    v, w = residuals
    return _bf16_product(ct, w.T), matmul_gradient(v, ct)


_bf16_product.defvjp(
    lambda v, w: (_bf16_product(v, w), (v, w)), _bf16_product_transposed
)


def dense(params, xs):
    """xs @ w + b: [..., D] -> [..., H]."""
    return matmul(xs, params.w) + params.b


def embed_init(key, vocab_size, embed_size, dtype=jnp.float32):
    """A table of embeddings [V, E], drawn from U(-0.1, 0.1) (Zaremba et al. 2014)."""
    return jax.random.uniform(key, (vocab_size, embed_size), dtype, -0.1, 0.1)


def embed(table, tokens):
    """Rows of `table` [V, E] at integer `tokens` [...]: [...] -> [..., E]."""
    return table[tokens]


def dropout(key, xs, rate, locked=False):
    """Zero each element with probability `rate`, scale the others by 1 / (1 - rate).

    Args:
      key: a random key, or None for no dropout (evaluation).
      xs: any array; [T, ...] if locked.
      rate: in [0, 1).
      locked: whether one mask holds for all T (Gal and Ghahramani 2016).

    Source: Srivastava et al., "Dropout", JMLR 15, 2014; Gal and Ghahramani, "A
    theoretically grounded application of dropout in recurrent neural networks", 2016,
    arXiv:1512.05287.
    """
    if key is None or rate == 0.0:
        return xs
    keep = jax.random.bernoulli(key, 1.0 - rate, xs.shape[1:] if locked else xs.shape)
    return jnp.where(keep, xs / (1.0 - rate), 0.0)
