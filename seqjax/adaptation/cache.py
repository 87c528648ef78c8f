"""The neural cache: what was read before shifts the distribution of the next token."""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax


class Memory(NamedTuple):
    """The last entries of a cache, the newest last."""

    hidden: jax.Array  # [N, H]
    labels: jax.Array  # int32 [N], the token that followed
    filled: jax.Array  # how many of the entries there are, int32


@dataclasses.dataclass(frozen=True)
class Cache:
    """A distribution over the tokens that followed similar outputs.

        p_cache(w) ~ sum_i exp(flatness * y_t . y_i) [label_i = w]
        p(w) = (1 - share) * p_model(w) + share * p_cache(w)

    The sum is over the last `size` positions i before t. While it is empty, p is
    p_model.

    Args:
      size: N, the number of positions that are kept.
      flatness: theta, the weight of the similarity; 0 weighs all alike.
      share: lambda in [0, 1).

    Raises:
      ValueError: if the size is below 1 or the share outside [0, 1).

    Example:
      >>> cache = Cache(size=3, flatness=1.0, share=0.5)
      >>> memory = cache.initial_memory(2, jnp.float32)
      >>> ys, labels = jnp.array([[1.0, 0.0], [1.0, 0.0]]), jnp.array([4, 4])
      >>> log_p = jnp.log(jnp.array([0.1, 0.1]))  # of the model, for the labels
      >>> mixed = cache.mix(memory, ys, labels, log_p)  # empty, then sure of 4
      >>> np.exp(mixed).round(2)
      array([0.1 , 0.55], dtype=float32)

    Source: Grave, Joulin and Usunier, "Improving neural language models with a
    continuous cache", 2017, arXiv:1612.04426, section 3.
    """

    size: int
    flatness: float = 0.3
    share: float = 0.1

    def __post_init__(self) -> None:
        if self.size < 1 or not 0 <= self.share < 1:
            raise ValueError(
                f"Cache: size must be at least 1 and share in [0, 1), got {self.size} "
                f"and {self.share}"
            )

    def initial_memory(self, hidden_size: int, dtype: jnp.dtype) -> Memory:
        """An empty memory for outputs of width `hidden_size`."""
        return Memory(
            jnp.zeros((self.size, hidden_size), dtype),
            jnp.zeros(self.size, jnp.int32),
            jnp.zeros((), jnp.int32),
        )

    def mix(
        self, memory: Memory, ys: jax.Array, labels: jax.Array, log_p: jax.Array
    ) -> jax.Array:
        """The log probabilities of the labels of a window.

        Args:
          memory: the entries before the window.
          ys: the outputs of the window, [T, H].
          labels: integers [T].
          log_p: their log probabilities by the model, [T].

        Returns:
          [T].
        """
        num_steps = len(labels)
        hidden = jnp.concatenate([memory.hidden, ys])
        followed = jnp.concatenate([memory.labels, labels.astype(jnp.int32)])
        # Entry j is before position t if j < size + t, and among the last `size` of
        # these if j >= t. Those before size - filled do not exist.
        j = jnp.arange(self.size + num_steps, dtype=jnp.int32)
        t = jnp.arange(num_steps, dtype=jnp.int32)[:, None]
        seen = (j >= t) & (j < self.size + t) & (j >= self.size - memory.filled)
        scores = self.flatness * jnp.matmul(ys, hidden.T)
        scores = jnp.where(seen, scores, -jnp.inf)
        any_seen = seen.any(axis=-1)
        highest = jnp.where(any_seen, scores.max(axis=-1), 0.0)
        weights = jnp.exp(scores - highest[:, None])
        is_label = followed == labels[:, None].astype(jnp.int32)
        total = jnp.where(any_seen, weights.sum(axis=-1), 1.0)
        p_cache = jnp.where(is_label, weights, 0.0).sum(axis=-1) / total
        # Logarithms, because a probability of the model may be below every number.
        mixed = jnp.logaddexp(
            math.log1p(-self.share) + log_p, jnp.log(self.share * p_cache)
        )
        return jnp.where(any_seen, mixed, log_p)

    def remember(
        self, memory: Memory, ys: jax.Array, labels: jax.Array, length: jax.Array
    ) -> Memory:
        """The memory after a window.

        Args:
          memory: the entries before the window.
          ys: [T, H].
          labels: integers [T].
          length: the number of positions of the window that are no padding.
        """

        def newest(entries: jax.Array) -> jax.Array:
            return lax.dynamic_slice_in_dim(entries, length, self.size)

        labels = jnp.concatenate([memory.labels, labels.astype(jnp.int32)])
        return Memory(
            newest(jnp.concatenate([memory.hidden, ys])),
            newest(labels),
            jnp.minimum(memory.filled + length, self.size),
        )
