"""Encoder and decoder, plain (Sutskever et al. 2014) or with attention."""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from seqjax.cell_protocol import Cell, Params
from seqjax.data.buckets import PairBatch
from seqjax.mesh_axes import on_any_mesh, replicated, steps_spec
from seqjax.models.bridge import Bridge
from seqjax.models.decoder import Decoder, DecoderParams, DecoderState, Encoded
from seqjax.models.decoder_inputs import scheduled_sampling, shift_right
from seqjax.nn import layers
from seqjax.nn.attention import Attention
from seqjax.nn.attention_cell import AttentionCell
from seqjax.nn.layers import DenseParams, dense_init, dropout, embed, embed_init
from seqjax.nn.losses import smoothed_cross_entropy
from seqjax.nn.masks import as_lengths, valid_steps
from seqjax.recurrence import (
    Bidirectional,
    Stack,
    Unrollable,
    is_bidirectional,
    unroll,
)


class Seq2SeqParams(NamedTuple):
    """Parameters of a Seq2Seq; None for parts that it does not have."""

    source_embed: jax.Array | None  # [V, E]; None if shared
    target_embed: jax.Array  # [V, E]
    encoder: Params
    bridge: list[DenseParams] | None
    below: Params | None  # the decoder's layers except the last
    top: Params  # the decoder's last layer
    out_w: jax.Array | None  # [H, V]; None if tied
    out_b: jax.Array  # [V]


@dataclasses.dataclass(frozen=True)
class Seq2Seq:
    """A language model of the target, conditioned on a source sequence.

        memory, last = encoder(embed(source))
        state_0      = bridge(last)
        P(y_t | y_<t, source) = softmax(decoder(embed(y_{t-1})) @ out_w + out_b)

    Without attention, the last state of the encoder (`Bridge.summary`) is concatenated
    to every input of the decoder. With attention, the last layer of the decoder is an
    AttentionCell.

    Args:
      source_size, target_size: vocabulary sizes.
      encoder: a cell, a Stack or a Bidirectional.
      decoder: a tuple of cells, the layers from the input up.
      embed_size: E.
      attention: None, "dot", "general" or "additive".
      input_feeding: the attention layer reads its last output.
      bridge: "copy", "linear" or "zero", see `Bridge`.
      tied: use the target embeddings as softmax weights.
      shared: use one embedding table for source and target.
      dropout: rate on the embeddings, between the layers and on the softmax input.
      locked: drop the same units of a sequence at all its steps.

    Raises:
      ValueError: if sizes or names do not fit together, or the decoder is
        bidirectional.

    Example:
      >>> encoder = seqjax.Bidirectional(seqjax.GRU(16))
      >>> model = Seq2Seq(90, 80, encoder, (seqjax.GRU(32),), embed_size=8)
      >>> params = model.init(jax.random.key(0))
      >>> source, lengths = jnp.ones((7, 3), int), jnp.array([7, 5, 0])
      >>> inputs = shift_right(jnp.ones((6, 3), int))
      >>> model.apply(params, source, lengths, inputs).shape
      (6, 3, 80)

    Source: Sutskever et al. 2014, arXiv:1409.3215; Cho et al. 2014, arXiv:1406.1078
    (the last state at every step); Luong et al. 2015, arXiv:1508.04025.
    """

    source_size: int
    target_size: int
    encoder: Unrollable
    decoder: tuple[Cell, ...]
    embed_size: int
    attention: str | None = "additive"
    input_feeding: bool = True
    bridge: str = "linear"
    tied: bool = False
    shared: bool = False
    dropout: float = 0.0
    locked: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.decoder, Stack | Bidirectional):
            raise ValueError(
                f"Seq2Seq: decoder must be a tuple of cells, got a "
                f"{type(self.decoder).__name__}"
            )
        object.__setattr__(self, "decoder", tuple(self.decoder))  # hashable
        if not self.decoder:
            raise ValueError("Seq2Seq: the decoder needs at least one cell, got none")
        for cell in self.decoder:
            _check_decoder_cell(cell)
        if self.tied and not self.attention and self.embed_size != self._width:
            raise ValueError(
                f"Seq2Seq: tied embeddings need embed_size {self._width}, the "
                f"decoder's width, got {self.embed_size}"
            )
        if self.shared and self.source_size != self.target_size:
            raise ValueError("Seq2Seq: a shared table needs one joint vocabulary")
        _ = self._bridge  # which checks its arguments

    @property
    def _width(self) -> int:
        """The output width of the decoder's last cell."""
        return self.decoder[-1].output_size

    @property
    def _bridge(self) -> Bridge:
        return Bridge(self.bridge, self.encoder, self.decoder)

    @property
    def _decoder(self) -> Decoder:
        attention = None
        if self.attention is not None:
            attention = AttentionCell(
                self.decoder[-1],
                Attention(self.attention),
                output_size=self.embed_size if self.tied else self._width,
                memory_size=self.encoder.output_size,
                input_feeding=self.input_feeding,
            )
        return Decoder(self.decoder, attention, self.dropout, self.locked)

    def init(self, key: jax.Array) -> Seq2SeqParams:
        """Initial parameters; the softmax bias is zero."""
        keys = jax.random.split(key, 7)
        width, source_embed = self.embed_size, None
        if not self.shared:
            source_embed = embed_init(keys[0], self.source_size, width)
        decoder = self._decoder.init(keys[3], keys[4], width, self._bridge.summary_size)
        out = dense_init(keys[5], width if self.tied else self._width, self.target_size)
        return Seq2SeqParams(
            source_embed=source_embed,
            target_embed=embed_init(keys[1], self.target_size, width),
            encoder=self.encoder.init(keys[2], width),
            bridge=self._bridge.init(keys[6]),
            below=decoder.below,
            top=decoder.top,
            out_w=None if self.tied else out.w,
            out_b=out.b,
        )

    @on_any_mesh(lambda a: steps_spec(a["inputs"]))
    def apply(
        self,
        params: Seq2SeqParams,
        source: jax.Array,
        lengths: jax.Array,
        inputs: jax.Array,
        key: jax.Array | None = None,
    ) -> jax.Array:
        """Logits [T, B, V] of the token after each decoder input.

        Args:
          params: from `init`.
          source: integers [S, B].
          lengths: integers [B], of the source; 0 allowed.
          inputs: integers [T, B], BOS first, such as `shift_right(target)`.
          key: random key for dropout; None turns dropout off.
        """
        keys = (None,) * 5 if key is None else jax.random.split(key, 5)
        state, encoded = self.start(params, source, lengths, keys[0])
        xs = embed(params.target_embed, inputs)
        xs = dropout(keys[1], xs, self.dropout, self.locked)
        ys = self._decoder.unroll(
            _decoder_params(params), xs, state, encoded, (keys[2], keys[3])
        )
        ys = dropout(keys[4], ys, self.dropout, self.locked)
        return self._read_out(params, ys)

    @on_any_mesh(replicated)
    def loss(
        self,
        params: Seq2SeqParams,
        batch: PairBatch,
        key: jax.Array | None = None,
        *,
        label_smoothing: float = 0.0,
        sampling: float = 0.0,
    ) -> tuple[jax.Array, jax.Array]:
        """Cross-entropy of the targets with teacher forcing.

        Args:
          params: from `init`.
          batch: a PairBatch.
          key: random key for dropout and sampling; None turns both off.
          label_smoothing: see `losses.smoothed_cross_entropy`; affects the gradient
            only.
          sampling: probability that an input is sampled from the model instead of the
            target, see `scheduled_sampling`. The samples come from a separate pass
            without dropout.

        Returns:
          (total, count), the total in nats.
        """
        k_dropout, k_sampling = (None, None) if key is None else jax.random.split(key)
        source, lengths, target, target_lengths = map(jnp.asarray, batch)
        inputs = shift_right(target)
        if sampling > 0 and k_sampling is not None:
            step = partial(jax.vmap(self.step, (None, 0, 0, 0)), params)
            state, encoded = self.start(params, source, lengths)
            inputs = scheduled_sampling(
                step, state, encoded, target, k_sampling, sampling
            )
        logits = self.apply(params, source, lengths, inputs, k_dropout)
        target_lengths = as_lengths(
            target_lengths,
            target.shape[0],
            target.shape[1:],
            "target_lengths",
            "targets",
        )
        mask = valid_steps(target.shape[0], target_lengths)
        return smoothed_cross_entropy(logits, target, mask, label_smoothing)

    def start(
        self,
        params: Seq2SeqParams,
        source: jax.Array,
        lengths: jax.Array,
        key: jax.Array | None = None,
    ) -> tuple[DecoderState, Encoded]:
        """The state before BOS and the context, as `decoding` needs them.

        Args:
          params: from `init`.
          source: integers [S, B].
          lengths: integers [B].
          key: random key for dropout; None turns dropout off.

        Returns:
          (DecoderState, Encoded), whose leaves begin with B.
        """
        keys = (None,) * 3 if key is None else jax.random.split(key, 3)
        lengths = as_lengths(lengths, source.shape[0], source.shape[1:], of="sources")
        table = params.source_embed
        if table is None:
            table = params.target_embed
        xs = dropout(keys[0], embed(table, source), self.dropout, self.locked)
        last, memory = unroll(
            self.encoder, params.encoder, xs, lengths=lengths, key=keys[1]
        )
        memory = dropout(keys[2], memory, self.dropout, self.locked)
        memory = memory.swapaxes(0, 1)  # [S, B, M] -> [B, S, M], zero past the lengths
        mask = valid_steps(source.shape[0], lengths).T  # [B, S]
        summary = self._bridge.summary(last)
        states = self._bridge.apply(params.bridge, last, summary, memory.dtype)
        return self._decoder.start(
            _decoder_params(params), states, memory, mask, summary
        )

    def step(
        self,
        params: Seq2SeqParams,
        state: DecoderState,
        token: jax.Array,
        encoded: Encoded,
    ) -> tuple[DecoderState, jax.Array]:
        """One step of one hypothesis: (new state, logits [V]).

        Args:
          params: from `init`.
          state: a DecoderState without a batch axis.
          token: an integer.
          encoded: an Encoded without a batch axis.
        """
        x = embed(params.target_embed, token)
        state, y = self._decoder.step(_decoder_params(params), x, state, encoded)
        return state, self._read_out(params, y)

    def attention_weights(
        self,
        params: Seq2SeqParams,
        source: jax.Array,
        lengths: jax.Array,
        target: jax.Array,
    ) -> jax.Array:
        """Attention weights [T, B, S] of each step of given translations.

        Args:
          params: from `init`.
          source: integers [S, B].
          lengths: integers [B].
          target: integers [T, B].
        """
        state, encoded = self.start(params, source, lengths)
        step = jax.vmap(self.step, (None, 0, 0, 0))

        def body(
            state: DecoderState, token: jax.Array
        ) -> tuple[DecoderState, jax.Array]:
            new, _ = step(params, state, token, encoded)
            return new, new.attention - state.attention

        return jax.lax.scan(body, state, shift_right(target))[1]

    def _read_out(self, params: Seq2SeqParams, ys: jax.Array) -> jax.Array:
        w = params.target_embed.T if params.out_w is None else params.out_w
        return layers.logits(ys, w, params.out_b)


def _check_decoder_cell(cell: Cell) -> None:
    if is_bidirectional(cell):
        raise ValueError(
            "Seq2Seq: a bidirectional cell cannot be in the decoder: its backward half "
            "reads the tokens to be predicted, and a translation has no future to read"
        )
    if isinstance(cell, Stack):
        raise ValueError(
            "Seq2Seq: decoder must be a tuple of cells, one per layer, got a Stack in "
            "it"
        )


def _decoder_params(params: Seq2SeqParams) -> DecoderParams:
    return DecoderParams(params.below, params.top)
