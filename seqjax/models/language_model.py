"""The recurrent language model: tokens in, logits of the next token out."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seqjax.cell_protocol import Params, State
from seqjax.cells import Initializer
from seqjax.mesh_axes import REPLICATED, batch_spec, on_any_mesh, steps_spec
from seqjax.nn import layers, losses
from seqjax.nn.adaptive_softmax import (
    AdaptiveParams,
    adaptive_init,
    check_clusters,
    tie,
)
from seqjax.recurrence import Unrollable, initial_state, is_bidirectional
from seqjax.truncation import truncated_unroll


class LanguageModelParams(NamedTuple):
    """Parameters of a LanguageModel."""

    embed: jax.Array | None  # [V, E]; None for one-hot input
    cell: Params
    # DenseParams(w [H, V], b [V]); with tied embeddings the bias [V] alone; with
    # clusters AdaptiveParams
    out: Any


@dataclasses.dataclass(frozen=True)
class LanguageModel:
    """P(x_t | x_{t-1}, ..., x_0) by a recurrent network.

        xs = embed[tokens]            or  one_hot(tokens)
        state, ys = unroll(cell, xs)
        logits = ys @ w + b           or, tied,  ys @ embed.T + b

    With `clusters` the softmax is adaptive, see `losses.adaptive_log_softmax`, and the
    logits are log probabilities.

    Args:
      vocab_size: V.
      cell: a cell or a Stack, not bidirectional.
      embed_size: E, or None for one-hot input.
      tie_embeddings: use the embedding table as softmax weights (Press and Wolf 2017);
        needs embed_size equal to the output_size of the cell.
      dropout: rate on the embeddings (not on one-hot input) and on the outputs of the
        last layer. The rate between layers belongs to the Stack.
      locked: drop the same units of a sequence at all its steps.
      chunk: the number of words whose logits the loss holds at a time, for wide
        vocabularies; None holds all, or 4096 with clusters. The values are the same.
      clusters: the first words of the clusters of rare words of an adaptive softmax;
        None has none. The tokens must be numbered by falling frequency.

    Raises:
      ValueError: if the cell is bidirectional, the sizes of a tied softmax differ, the
        rate is outside [0, 1), the chunk is below 1, or the clusters are not rising and
        below V.

    Example:
      >>> model = LanguageModel(vocab_size=28, cell=seqjax.LSTM(256))
      >>> params = model.init(jax.random.key(0))
      >>> state = model.initial_state((32,))
      >>> state, logits = model.apply(params, jnp.zeros((35, 32), int), state)
      >>> logits.shape
      (35, 32, 28)

    Source: Mikolov et al., "Recurrent neural network based language model",
    Interspeech 2010; dropout as Zaremba et al. 2014, arXiv:1409.2329.
    """

    vocab_size: int
    cell: Unrollable
    embed_size: int | None = None
    tie_embeddings: bool = False
    dropout: float = 0.0
    locked: bool = False
    chunk: int | None = None
    clusters: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if is_bidirectional(self.cell):
            raise ValueError(
                "a bidirectional cell cannot be a language model: its backward half "
                "reads the tokens to be predicted, and generated text has no future to "
                "read"
            )
        if not 0.0 <= self.dropout < 1.0:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")
        if self.chunk is not None and self.chunk < 1:
            raise ValueError(f"chunk must be at least 1, got {self.chunk}")
        if self.clusters is not None:
            check_clusters(self.clusters, self.vocab_size)
        if self.tie_embeddings and self.embed_size != self.cell.output_size:
            raise ValueError(
                f"tied embeddings need embed_size equal to the cell's output_size, got "
                f"{self.embed_size} and {self.cell.output_size}"
            )

    def init(
        self, key: jax.Array, w_init: Initializer | None = None
    ) -> LanguageModelParams:
        """Initial parameters.

        Args:
          key: a random key.
          w_init: initializer of the softmax weights, see `layers.dense_init`.
        """
        k_embed, k_cell, k_out = jax.random.split(key, 3)
        vocab, embed, input_size = self.vocab_size, None, self.vocab_size
        if self.embed_size is not None:
            embed = layers.embed_init(k_embed, vocab, self.embed_size)
            input_size = self.embed_size
        out: Any
        size, tied = self.cell.output_size, self.tie_embeddings
        if self.clusters is not None:
            out = adaptive_init(k_out, size, vocab, self.clusters, tied, w_init=w_init)
        elif tied:
            out = jnp.zeros(vocab, jnp.float32)
        else:
            out = layers.dense_init(k_out, size, vocab, w_init)
        return LanguageModelParams(embed, self.cell.init(k_cell, input_size), out)

    def initial_state(self, batch_shape: tuple[int, ...] = ()) -> State:
        """The state before the first token."""
        return self.cell.initial_state(batch_shape)

    @on_any_mesh(lambda a: (batch_spec(a["tokens"]), steps_spec(a["tokens"])))
    def apply(
        self,
        params: LanguageModelParams,
        tokens: jax.Array,
        state: State,
        key: jax.Array | None = None,
        *,
        factors: jax.Array | None = None,
    ) -> tuple[State, jax.Array]:
        """Logits of the token after each input token.

        Args:
          params: from `init`.
          tokens: integers [T, ...].
          state: from `initial_state` or an earlier call.
          key: random key for dropout; None turns dropout off.
          factors: xi [T] of truncated backpropagation, see `truncation`; None is full
            backpropagation.

        Returns:
          (state, logits [T, ..., V]).
        """
        state, ys = self.outputs(params, tokens, state, key, factors=factors)
        softmax = self._softmax(params)
        if isinstance(softmax, AdaptiveParams):
            return state, losses.adaptive_log_softmax(softmax, ys)
        return state, layers.logits(ys, *softmax)

    @on_any_mesh(lambda a: (batch_spec(a["tokens"]), steps_spec(a["tokens"])))
    def outputs(
        self,
        params: LanguageModelParams,
        tokens: jax.Array,
        state: State,
        key: jax.Array | None = None,
        *,
        factors: jax.Array | None = None,
    ) -> tuple[State, jax.Array]:
        """(state, ys [T, ..., H]), which the softmax reads; arguments as `apply`."""
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
        return state, layers.dropout(keys[2], ys, self.dropout, self.locked)

    def _softmax(
        self, params: LanguageModelParams
    ) -> layers.DenseParams | AdaptiveParams:
        """The weights of all words and their biases."""
        if not self.tie_embeddings:
            return params.out
        assert params.embed is not None
        if self.clusters is not None:
            return tie(params.out, params.embed)
        return layers.DenseParams(params.embed.T, params.out)

    def step(
        self, params: LanguageModelParams, state: State, token: jax.Array
    ) -> tuple[State, jax.Array]:
        """One token [...]: (state, logits [..., V]), as `decoding` needs it."""
        state, logits = self.apply(params, token[None], state)
        return state, logits[0]

    @on_any_mesh(lambda a: (REPLICATED, batch_spec(a["batch"])))
    def loss(
        self,
        params: LanguageModelParams,
        batch: jax.Array,
        key: jax.Array | None = None,
        *,
        state: State | None = None,
        mask: jax.Array | None = None,
        factors: jax.Array | None = None,
    ) -> tuple[tuple[jax.Array, jax.Array], State]:
        """Cross-entropy of each token of a window, given the tokens before it.

        Args:
          params: from `init`.
          batch: the window, integers [T + 1, ...]: inputs [:-1], labels [1:].
          key: random key for dropout; None turns dropout off.
          state: from an earlier call; None is `initial_state`.
          mask: bool [T, ...], the labels that count; None is all.
          factors: see `apply`.

        Returns:
          ((total, count), state): as `losses.cross_entropy`, and the state after the
          window.
        """
        if state is None:
            state = initial_state(self.cell, params.cell, batch.shape[1:])
        state, ys = self.outputs(params, batch[:-1], state, key, factors=factors)
        softmax, labels = self._softmax(params), batch[1:]
        if isinstance(softmax, AdaptiveParams):
            options = {} if self.chunk is None else {"chunk": self.chunk}
            loss = losses.adaptive_cross_entropy(softmax, ys, labels, mask, **options)
            return loss, state
        if self.chunk is None:
            logits = layers.logits(ys, *softmax)
            return losses.cross_entropy(logits, labels, mask), state
        loss = losses.chunked_cross_entropy(ys, *softmax, labels, mask, self.chunk)
        return loss, state
