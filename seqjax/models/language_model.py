"""The recurrent language model: tokens in, logits of the next token out."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from seqjax.cell_parts import Initializer
from seqjax.cell_protocol import Params, State
from seqjax.mesh_axes import REPLICATED, batch_spec, on_any_mesh, steps_spec
from seqjax.models.word_softmax import WordSoftmax
from seqjax.nn import layers
from seqjax.nn.adaptive_softmax import check_clusters
from seqjax.nn.masks import valid_steps
from seqjax.nn.regularization import (
    activation_penalty,
    drop_connect,
    drop_words,
    temporal_penalty,
)
from seqjax.recurrence import Unrollable, initial_state, is_bidirectional
from seqjax.truncation import truncated_unroll

_RATES = (
    *("dropout", "input_dropout", "output_dropout"),
    *("embed_dropout", "weight_dropout", "latent_dropout"),
)


class LanguageModelParams(NamedTuple):
    """Parameters of a LanguageModel."""

    embed: jax.Array | None  # [V, E]; None for one-hot input
    cell: Params
    out: Any  # of a WordSoftmax


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
        needs embed_size equal to the output_size of the cell, unless there are
        mixtures.
      dropout: rate on the embeddings (not on one-hot input) and on the outputs of the
        last layer. The rate between layers belongs to the Stack.
      locked: drop the same units of a sequence at all its steps.
      input_dropout, output_dropout: rates on the embeddings and on the outputs of the
        last layer, where they differ from `dropout`; None is `dropout`.
      embed_dropout: rate of dropped words, see `regularization.drop_words`.
      weight_dropout: rate of dropped recurrent weights, see
        `regularization.drop_connect`.
      activation_penalty, temporal_penalty: weights of the penalties of
        `regularization` on the outputs of the last layer (AR after its dropout, TAR
        before it). They change the gradient of a loss with a key, and no value of it.
      mixtures: K, the number of softmaxes of a mixture (see `mixture_softmax`), whose
        latent vectors have the width E, or without an embedding H; None is a plain
        softmax.
      latent_dropout: rate of a locked dropout of the latent vectors.
      chunk: the number of words whose logits the loss holds at a time, for wide
        vocabularies; None holds all, or 4096 with clusters. The values are the same.
      clusters: the first words of the clusters of rare words of an adaptive softmax;
        None has none. The tokens must be numbered by falling frequency.

    Raises:
      ValueError: if the cell is bidirectional, the sizes of a tied softmax differ, the
        rate is outside [0, 1), a penalty is negative, the chunk or mixtures are below
        1, the clusters are not rising and below V, or there are clusters and mixtures.

    Example:
      >>> model = LanguageModel(vocab_size=28, cell=seqjax.LSTM(256))
      >>> params = model.init(jax.random.key(0))
      >>> state = model.initial_state((32,))
      >>> state, logits = model.apply(params, jnp.zeros((35, 32), int), state)
      >>> logits.shape
      (35, 32, 28)

    Source: Mikolov et al., "Recurrent neural network based language model",
    Interspeech 2010; dropout as Zaremba et al. 2014, arXiv:1409.2329; dropped words,
    dropped weights and penalties as Merity et al. 2017, arXiv:1708.02182.
    """

    vocab_size: int
    cell: Unrollable
    embed_size: int | None = None
    tie_embeddings: bool = False
    dropout: float = 0.0
    locked: bool = False
    chunk: int | None = None
    clusters: tuple[int, ...] | None = None
    input_dropout: float | None = None
    output_dropout: float | None = None
    embed_dropout: float = 0.0
    weight_dropout: float = 0.0
    activation_penalty: float = 0.0
    temporal_penalty: float = 0.0
    mixtures: int | None = None
    latent_dropout: float = 0.0

    def __post_init__(self) -> None:
        if is_bidirectional(self.cell):
            raise ValueError(
                "a bidirectional cell cannot be a language model: its backward half "
                "reads the tokens to be predicted, and generated text has no future to "
                "read"
            )
        for name in _RATES:
            rate = getattr(self, name)
            if rate is not None and not 0.0 <= rate < 1.0:
                raise ValueError(f"{name} must be in [0, 1), got {rate}")
        for name in ("activation_penalty", "temporal_penalty"):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"{name} must not be negative, got {getattr(self, name)}"
                )
        if self.chunk is not None and self.chunk < 1:
            raise ValueError(f"chunk must be at least 1, got {self.chunk}")
        if self.clusters is not None:
            check_clusters(self.clusters, self.vocab_size)
        if self.mixtures is not None and self.clusters is not None:
            raise ValueError("mixtures and clusters of a softmax exclude each other")
        if self.mixtures is not None and self.mixtures < 1:
            raise ValueError(f"mixtures must be at least 1, got {self.mixtures}")
        if self.tie_embeddings and self.embed_size != self.softmax.size:
            raise ValueError(
                f"tied embeddings need embed_size equal to the cell's output_size, got "
                f"{self.embed_size} and {self.cell.output_size}"
            )

    @property
    def softmax(self) -> WordSoftmax:
        """The output layer."""
        width = self.cell.output_size
        size = width if self.mixtures is None else self.embed_size or width
        return WordSoftmax(
            self.vocab_size,
            width,
            size,
            self.tie_embeddings,
            self.chunk,
            self.clusters,
            self.mixtures,
            self.latent_dropout,
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
        out = self.softmax.init(k_out, jax.random.fold_in(key, 3), w_init)
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
        keys = _Keys.of(key)
        state, ys = self._unrolled(params, tokens, state, keys, factors)
        ys = self._dropped(ys, keys)
        return state, self.softmax.logits(params.out, params.embed, ys, keys.latents)

    @on_any_mesh(lambda a: (batch_spec(a["tokens"]), steps_spec(a["tokens"])))
    def outputs(
        self,
        params: LanguageModelParams,
        tokens: jax.Array,
        state: State,
        key: jax.Array | None = None,
        *,
        lengths: jax.Array | None = None,
        factors: jax.Array | None = None,
    ) -> tuple[State, jax.Array]:
        """(state, ys [T, ..., H]), which the softmax reads.

        Arguments as `apply`, and lengths as `unroll`.
        """
        keys = _Keys.of(key)
        state, ys = self._unrolled(params, tokens, state, keys, factors, lengths)
        return state, self._dropped(ys, keys)

    def _unrolled(
        self,
        params: LanguageModelParams,
        tokens: jax.Array,
        state: State,
        keys: "_Keys",
        factors: jax.Array | None,
        lengths: jax.Array | None = None,
    ) -> tuple[State, jax.Array]:
        """(state, ys) of the last layer, before its dropout."""
        if params.embed is None:
            dtype = jax.tree.leaves(params.cell)[0].dtype
            xs = jax.nn.one_hot(tokens, self.vocab_size, dtype=dtype)  # [T, ..., V]
        else:
            xs = layers.embed(params.embed, tokens)  # [T, ..., E]
            xs = drop_words(keys.words, xs, tokens, self.vocab_size, self.embed_dropout)
            rate = self.dropout if self.input_dropout is None else self.input_dropout
            xs = layers.dropout(keys.inputs, xs, rate, self.locked)
        cell = drop_connect(keys.weights, params.cell, self.weight_dropout)
        options = {"key": keys.cell, "lengths": lengths}
        return truncated_unroll(self.cell, cell, xs, factors, state, **options)

    def _dropped(self, ys: jax.Array, keys: "_Keys") -> jax.Array:
        """The outputs of the last layer after their dropout."""
        rate = self.dropout if self.output_dropout is None else self.output_dropout
        return layers.dropout(keys.outputs, ys, rate, self.locked)

    def logits(self, params: LanguageModelParams, ys: jax.Array) -> jax.Array:
        """Logits [T, ..., V] from `outputs`; log probabilities of clusters or mixtures.

        Args:
          params: from `init`.
          ys: [T, ..., H].
        """
        return self.softmax.logits(params.out, params.embed, ys)

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
        lengths: jax.Array | None = None,
        factors: jax.Array | None = None,
    ) -> tuple[tuple[jax.Array, jax.Array], State]:
        """Cross-entropy of each token of a window, given the tokens before it.

        Args:
          params: from `init`.
          batch: the window, integers [T + 1, ...]: inputs [:-1], labels [1:].
          key: random key for dropout; None turns dropout off.
          state: from an earlier call; None is `initial_state`.
          mask: bool [T, ...], the labels that count; None is all.
          lengths: integers [...], the number of steps of each row: later labels do not
            count, and the state is that after so many tokens; None is T.
          factors: see `apply`.

        Returns:
          ((total, count), state): as `losses.cross_entropy`, and the state after the
          window.
        """
        if state is None:
            state = initial_state(self.cell, params.cell, batch.shape[1:])
        if lengths is not None:
            valid = valid_steps(len(batch) - 1, lengths)
            mask = valid if mask is None else mask & valid
        keys = _Keys.of(key)
        state, ys = self._unrolled(params, batch[:-1], state, keys, factors, lengths)
        dropped = self._dropped(ys, keys)
        total, count = self.softmax.cross_entropy(
            params.out, params.embed, dropped, batch[1:], mask, keys.latents
        )
        penalty = jnp.zeros((), total.dtype)
        if key is not None and self.activation_penalty:
            penalty += self.activation_penalty * activation_penalty(dropped, mask)
        if key is not None and self.temporal_penalty:
            penalty += self.temporal_penalty * temporal_penalty(ys, mask)
        return (total + (penalty - lax.stop_gradient(penalty)), count), state


class _Keys(NamedTuple):
    """The random keys of a training pass; all None otherwise."""

    inputs: jax.Array | None = None
    cell: jax.Array | None = None
    outputs: jax.Array | None = None
    words: jax.Array | None = None
    weights: jax.Array | None = None
    latents: jax.Array | None = None

    @classmethod
    def of(cls, key: jax.Array | None) -> "_Keys":
        if key is None:
            return cls()
        later = jax.random.split(jax.random.fold_in(key, 3), 3)
        return cls(*jax.random.split(key, 3), *later)
