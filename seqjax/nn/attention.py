"""Attention over a memory with a mask: dot, general and additive scores."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from seqjax.nn.activations import tanh
from seqjax.nn.layers import matmul


class AttentionParams(NamedTuple):
    """Parameters of an Attention; None for those that its score does not use."""

    w_k: jax.Array | None  # [H, A]
    w_q: jax.Array | None  # [Q, A]
    v: jax.Array | None  # [A]


@dataclasses.dataclass(frozen=True)
class Attention:
    """Attention: a weighted sum of a memory, with weights that depend on a query.

        keys    = memory @ w_k                      once for all queries
        score_s = q . memory_s                      "dot"
                  q . keys_s                        "general"
                  v . tanh(q @ w_q + keys_s)        "additive"
        weights = softmax over s of score, 0 where the mask is False
        context = sum_s weights_s memory_s

    If the mask is False at all positions, weights and context are zero. The positions S
    are the axis before the last, so that the context is one matrix product per
    sequence. On a CPU this takes a fifth of the time of memory [S, ..., H].

    Args:
      score: "dot", "general" or "additive".

    Shapes: memory [..., S, H], query [..., Q], w_k [H, A], w_q [Q, A], v [A], with
    A = Q. The score "dot" needs H = Q.

    Raises:
      ValueError: the score is unknown.

    Example:
      >>> attention = Attention("general")
      >>> params = attention.init(jax.random.key(0), query_size=4, memory_size=6)
      >>> query, memory = jnp.ones((2, 4)), jnp.ones((2, 5, 6))
      >>> keys, mask = attention.keys(params, memory), jnp.ones((2, 5), bool)
      >>> context, weights = attention.attend(params, query, keys, memory, mask)
      >>> context.shape, weights.shape
      ((2, 6), (2, 5))

    Source: Luong et al. 2015, arXiv:1508.04025, section 3.1; Bahdanau et al. 2015,
    arXiv:1409.0473, appendix A.1.2.
    """

    score: str = "additive"

    def __post_init__(self) -> None:
        if self.score not in ("dot", "general", "additive"):
            raise ValueError(
                f'Attention: score must be "dot", "general" or "additive", '
                f"got {self.score!r}"
            )

    def init(
        self, key: jax.Array, query_size: int, memory_size: int
    ) -> AttentionParams:
        """Draw parameters from U(-1/sqrt(n), 1/sqrt(n)), n the rows of a matrix.

        Raises:
          ValueError: the score is "dot" and query and memory have different widths.
        """
        if self.score == "dot" and query_size != memory_size:
            raise ValueError(
                f'Attention: the score "dot" needs query and memory of equal width, '
                f'got {query_size} and {memory_size}; "general" accepts any widths'
            )

        def draw(key: jax.Array, rows: int, *columns: int) -> jax.Array:
            bound = rows**-0.5
            return jax.random.uniform(
                key, (rows, *columns), minval=-bound, maxval=bound
            )

        k_k, k_q, k_v = jax.random.split(key, 3)
        additive = self.score == "additive"
        return AttentionParams(
            w_k=None if self.score == "dot" else draw(k_k, memory_size, query_size),
            w_q=draw(k_q, query_size, query_size) if additive else None,
            v=draw(k_v, query_size) if additive else None,
        )

    def keys(self, params: AttentionParams, memory: jax.Array) -> jax.Array:
        """The part of the score without the query: [..., S, H] -> [..., S, A]."""
        return memory if params.w_k is None else matmul(memory, params.w_k)

    def attend(
        self,
        params: AttentionParams,
        query: jax.Array,
        keys: jax.Array,
        memory: jax.Array,
        mask: jax.Array,
        dot: Callable[[jax.Array, jax.Array], jax.Array] = matmul,
    ) -> tuple[jax.Array, jax.Array]:
        """Attend with one query: (context [..., H], weights [..., S]).

        Args:
          params: as `init` returns them.
          query: [..., Q].
          keys: [..., S, A], from `keys`.
          memory: [..., S, H].
          mask: booleans [..., S], True at the positions to attend to.
          dot: the product of the query with w_q, as in a cell's `step`.
        """
        if params.w_q is None or params.v is None:
            scores = jnp.einsum("...a,...sa->...s", query, keys)
        else:
            hidden = tanh(keys + dot(query, params.w_q)[..., None, :])
            scores = hidden @ params.v
        weights = masked_softmax(scores, mask)
        return jnp.einsum("...s,...sh->...h", weights, memory), weights


def masked_softmax(scores: jax.Array, mask: jax.Array) -> jax.Array:
    """Softmax over the positions of the last axis where the mask is True, else 0.

    If the mask is False at all positions, the result and its gradients are zero.

    Args:
      scores: [..., S], of any float dtype. Where the mask is False, they may have any
        value.
      mask: booleans [..., S].

    Returns:
      [..., S] in the dtype of the scores.

    Example:
      >>> scores = jnp.array([[2.0, 9.0, 2.0], [1.0, 2.0, 3.0]])
      >>> mask = jnp.array([[True, False, True], [False, False, False]])
      >>> masked_softmax(scores, mask).tolist()
      [[0.5, 0.0, 0.5], [0.0, 0.0, 0.0]]
    """
    top = jnp.max(scores, axis=-1, keepdims=True, where=mask, initial=-jnp.inf)
    top = jax.lax.stop_gradient(jnp.where(jnp.isfinite(top), top, 0.0))
    parts = jnp.where(mask, jnp.exp(jnp.where(mask, scores - top, 0.0)), 0.0)
    total = parts.sum(axis=-1, keepdims=True)
    return parts / jnp.where(total > 0, total, 1.0)
