"""The recurrent language model: tokens in, logits of the next token out."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seqjax.nn import layers, losses
from seqjax.recurrence import is_bidirectional
from seqjax.truncation import truncated_unroll


class LanguageModelParams(NamedTuple):
    embed: Any  # [V, E], or None for one-hot input
    cell: Any
    out: Any  # DenseParams(w [H, V], b [V]); with tied embeddings the bias [V] alone


@dataclasses.dataclass(frozen=True)
class LanguageModel:
    """P(x_t | x_{t-1}, ..., x_0) by a recurrent network.

        xs = embed[tokens]            or  one_hot(tokens)
        state, ys = unroll(cell, xs)
        logits = ys @ w + b           or, tied,  ys @ embed.T + b

    Args:
      vocab_size: V.
      cell: a cell or a Stack; nothing bidirectional.
      embed_size: E, or None for one-hot input.
      tie_embeddings: use the embedding table as softmax weights (Press and Wolf 2017);
        needs embed_size equal to the cell's hidden size.
      dropout: rate on the embeddings (not on one-hot input) and on the outputs of the
        last layer; the rate between layers is the Stack's.
      locked: whether each sequence drops the same units at all its steps.

    Raises:
      ValueError: for a bidirectional cell, a tied softmax whose sizes differ, or a rate
        outside [0, 1).

    Example:
      >>> model = LanguageModel(vocab_size=28, cell=seqjax.LSTM(256))
      >>> params = model.init(jax.random.key(0))
      >>> state = model.initial_state((32,))
      >>> state, logits = model.apply(params, tokens, state)  # [35, 32] -> [35, 32, 28]

    Source: Mikolov et al., "Recurrent neural network based language model",
    Interspeech 2010; dropout as Zaremba et al. 2014, arXiv:1409.2329.
    """

    vocab_size: int
    cell: Any
    embed_size: int | None = None
    tie_embeddings: bool = False
    dropout: float = 0.0
    locked: bool = False

    def __post_init__(self):
        if is_bidirectional(self.cell):
            raise ValueError(
                "a bidirectional cell cannot be a language model: its backward half "
                "reads the tokens that are to be predicted, and a text being written "
                "has no future to read"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        if self.tie_embeddings and self.embed_size != self.cell.hidden_size:
            raise ValueError(
                f"tied embeddings need embed_size equal to hidden_size, got "
                f"{self.embed_size} and {self.cell.hidden_size}"
            )

    def init(self, key, w_init=None):
        """Parameters; `w_init` draws the softmax weights, see `layers.dense_init`."""
        k_embed, k_cell, k_out = jax.random.split(key, 3)
        hidden, vocab = self.cell.hidden_size, self.vocab_size
        embed = None
        if self.embed_size is not None:
            embed = layers.embed_init(k_embed, vocab, self.embed_size)
        if self.tie_embeddings:
            out = jnp.zeros(vocab, jnp.float32)
        else:
            out = layers.dense_init(k_out, hidden, vocab, w_init)
        cell = self.cell.init(k_cell, vocab if embed is None else self.embed_size)
        return LanguageModelParams(embed, cell, out)

    def initial_state(self, batch_shape=()):
        """The state before any token."""
        return self.cell.initial_state(batch_shape)

    def apply(self, params, tokens, state, key=None, factors=None):
        """Logits of each next token.

        Args:
          params: from `init`.
          tokens: integers [T, ...].
          state: from `initial_state` or an earlier call.
          key: switches dropout on; None is evaluation.
          factors: xi [T] of truncated backpropagation, see `truncation`; None is full.

        Returns:
          (state, logits [T, ..., V]).
        """
        keys = (None,) * 3 if key is None else jax.random.split(key, 3)
        if params.embed is None:
            dtype = jax.tree.leaves(params.cell)[0].dtype
            xs = jax.nn.one_hot(tokens, self.vocab_size, dtype=dtype)  # [T, ..., V]
        else:
            xs = layers.embed(params.embed, tokens)  # [T, ..., E]
            xs = layers.dropout(keys[0], xs, self.dropout, self.locked)
        state, ys = truncated_unroll(
            self.cell, params.cell, xs, factors, state, key=keys[1]
        )
        ys = layers.dropout(keys[2], ys, self.dropout, self.locked)  # [T, ..., H]
        if self.tie_embeddings:
            return state, layers.matmul(ys, params.embed.T) + params.out
        return state, layers.dense(params.out, ys)

    def step(self, params, state, token):
        """One token: (state, logits [..., V]) from `token` [...]; for decoding."""
        state, logits = self.apply(params, token[None], state)
        return state, logits[0]

    def loss(self, params, window, state, key=None, mask=None, factors=None):
        """Cross-entropy of each token of a window given those before it.

        Args:
          window: integers [T + 1, ...]: inputs `window[:-1]`, labels `window[1:]`.
          mask: [T, ...], which labels count; None is all.
          factors: as `apply`.

        Returns:
          (total, count), state: as `losses.cross_entropy`, and the state after.
        """
        state, logits = self.apply(params, window[:-1], state, key, factors)
        return losses.cross_entropy(logits, window[1:], mask), state
