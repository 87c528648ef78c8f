"""Encoder and decoder, plain (Sutskever et al. 2014) or with attention."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from seqjax.data.vocab import BOS
from seqjax.nn.attention import Attention
from seqjax.nn.attention_cell import Attending, AttendingState
from seqjax.nn.layers import (
    dense,
    dense_init,
    dropout,
    embed,
    embed_init,
    matmul,
)
from seqjax.nn.losses import smoothed_cross_entropy
from seqjax.recurrence import Stack, unroll


class Seq2SeqParams(NamedTuple):
    """Parameters of a Seq2Seq; None where it has no such part."""

    source_embed: jax.Array | None  # [V, E]; None if shared
    target_embed: jax.Array  # [V, E]
    encoder: Any
    bridge: Any  # a dense layer for each leaf of the decoder's state
    below: Any  # the decoder's layers but the last
    top: Any  # the last
    out_w: jax.Array | None  # [H, V]; None if tied
    out_b: jax.Array  # [V]


class DecoderState(NamedTuple):
    """Of hypotheses: what the layers remember, and where they have looked."""

    below: Any
    top: Any
    feed: Any  # [..., E], the last output; None without attention
    attention: Any  # [..., S], weights summed over the steps; None without attention


class Encoded(NamedTuple):
    """What a decoder reads of a source, sentences first."""

    summary: jax.Array  # [B, N], the encoder's last state
    keys: Any  # [B, S, A]; None without attention
    memory: Any  # [B, S, M]; None without attention
    mask: jax.Array  # [B, S]


@dataclasses.dataclass(frozen=True)
class Seq2Seq:
    """A decoder that is a language model of the target, told about the source.

        memory, last = encoder(embed(source))
        state_0      = bridge(last)
        P(y_t | y_<t, source) = softmax(decoder(embed(y_{t-1})) @ out_w + out_b)

    Without attention the encoder's last state, all its leaves side by side, is joined
    to every input of the decoder; with it the decoder's last layer is an `Attending`.

    Args:
      source_size, target_size: entries of the vocabularies.
      encoder: a cell, a Stack or a Bidirectional.
      decoder: a tuple of cells, the layers from the input up.
      embed_size: E.
      attention: None, "dot", "general" or "additive".
      input_feeding: whether the attending layer sees its last output.
      bridge: from the encoder's last state to the decoder's first: "copy" (of the same
        form), "linear" (tanh of a dense layer of its last layer) or "zero".
      tied: whether the target's embeddings are the softmax weights, too.
      shared: whether source and target have one table of embeddings.
      dropout: rate on embeddings, between layers and on what the softmax reads; active
        with a key.
      locked: whether each sequence drops the same units at all its steps.

    Raises:
      ValueError: for widths or names that do not go together.

    Example:
      >>> model = Seq2Seq(8000, 8000, Bidirectional(GRU(256)), (GRU(512),), 256)
      >>> params = model.init(jax.random.key(0))
      >>> total, count = model.loss(params, batch)

    Source: Sutskever et al. 2014, arXiv:1409.3215; Cho et al. 2014, arXiv:1406.1078
    (the last state at every step); Luong et al. 2015, arXiv:1508.04025.
    """

    source_size: int
    target_size: int
    encoder: Any
    decoder: tuple
    embed_size: int
    attention: str | None = "additive"
    input_feeding: bool = True
    bridge: str = "linear"
    tied: bool = False
    shared: bool = False
    dropout: float = 0.0
    locked: bool = False

    def __post_init__(self):
        object.__setattr__(self, "decoder", tuple(self.decoder))  # hashable
        if self.bridge not in ("copy", "linear", "zero"):
            raise ValueError(
                f'Seq2Seq: bridge must be "copy", "linear" or "zero", '
                f"got {self.bridge!r}"
            )
        if self.tied and not self.attention and self.embed_size != self._width:
            raise ValueError(
                f"Seq2Seq: tied embeddings need embed_size {self._width}, the "
                f"decoder's width, got {self.embed_size}"
            )
        if self.shared and self.source_size != self.target_size:
            raise ValueError("Seq2Seq: a shared table needs one joint vocabulary")
        if self.bridge == "copy":
            last = jax.eval_shape(lambda: self.encoder.initial_state((1,)))
            first = jax.eval_shape(lambda: self._initial_state((1,)))
            if not _same_form(last, first):
                raise ValueError(
                    'Seq2Seq: bridge="copy" needs an encoder whose state has the form '
                    'of the decoder\'s; "linear" takes any'
                )

    @property
    def _width(self):
        """Of the decoder's last cell."""
        return self.decoder[-1].hidden_size

    @property
    def _below(self):
        """The decoder's layers but the last; None if there is one."""
        layers = self.decoder[:-1]
        return Stack(layers, self.dropout, self.locked) if layers else None

    @property
    def _top(self):
        """The decoder's last layer."""
        if self.attention is None:
            return self.decoder[-1]
        return Attending(
            self.decoder[-1],
            Attention(self.attention),
            self.embed_size if self.tied else self._width,
            self.input_feeding,
        )

    def _last_layer(self, state):
        """The encoder's last layer's part of its state."""
        return state[-1] if isinstance(self.encoder, Stack) else state

    def _initial_state(self, batch_shape):
        """Of the decoder's cells, in the form of an encoder of the same layers."""
        states = tuple(cell.initial_state(batch_shape) for cell in self.decoder)
        return states if len(states) > 1 else states[0]

    def init(self, key):
        """Fresh parameters; the softmax bias starts at zero."""
        keys = jax.random.split(key, 7)
        width = self.embed_size
        source_embed = None
        if not self.shared:
            source_embed = embed_init(keys[0], self.source_size, width)
        state = jax.eval_shape(lambda: self.encoder.initial_state((1,)))
        summary = sum(
            leaf.shape[-1] for leaf in jax.tree.leaves(self._last_layer(state))
        )
        bottom = width + (summary if self.attention is None else 0)
        below = self._below and self._below.init(keys[3], bottom)
        args = [self._below.hidden_size if below else bottom]
        if self.attention is not None:
            args.append(self.encoder.hidden_size)
        read = self.embed_size if self.tied else self._width
        out = dense_init(keys[5], read, self.target_size)
        return Seq2SeqParams(
            source_embed=source_embed,
            target_embed=embed_init(keys[1], self.target_size, width),
            encoder=self.encoder.init(keys[2], width),
            bridge=self._init_bridge(keys[6], summary),
            below=below,
            top=self._top.init(keys[4], *args),
            out_w=None if self.tied else out.w,
            out_b=out.b,
        )

    def _init_bridge(self, key, summary):
        if self.bridge != "linear":
            return None
        leaves = jax.tree.leaves(jax.eval_shape(lambda: self._initial_state((1,))))
        keys = jax.random.split(key, len(leaves))
        return [
            dense_init(k, summary, leaf.shape[-1])
            for k, leaf in zip(keys, leaves, strict=True)
        ]

    def encode(self, params, source, lengths, key=None):
        """The source as the decoder reads it: (memory, mask, summary, state).

        Args:
          source: integers [S, B].
          lengths: integers [B], 0 allowed.
          key: switches dropout on.

        Returns:
          memory [B, S, M], zero past the lengths; mask [B, S]; the encoder's last state
          side by side [B, N]; and the decoder's first, a tuple with an entry a layer.
        """
        keys = _split(key, 3)
        table = params.target_embed if self.shared else params.source_embed
        xs = dropout(keys[0], embed(table, source), self.dropout, self.locked)
        last, memory = unroll(
            self.encoder, params.encoder, xs, lengths=lengths, key=keys[1]
        )
        memory = dropout(keys[2], memory, self.dropout, self.locked)
        memory = memory.swapaxes(0, 1)  # [S, B, M] -> [B, S, M]
        mask = jnp.arange(len(source)) < lengths[:, None]  # [B, S]
        leaves = jax.tree.leaves(self._last_layer(last))
        summary = jnp.concatenate(leaves, axis=-1)  # [B, N]
        state = self._initial_state(source.shape[1:])
        state = jax.tree.map(lambda s: s.astype(memory.dtype), state)
        if self.bridge == "copy":
            state = last
        elif self.bridge == "linear":
            tree = jax.tree.structure(state)
            parts = [jnp.tanh(dense(layer, summary)) for layer in params.bridge]
            state = jax.tree.unflatten(tree, parts)
        return memory, mask, summary, state if len(self.decoder) > 1 else (state,)

    def loss(self, params, batch, key=None, label_smoothing=0.0, sampling=0.0):
        """Cross-entropy of the targets, teacher forced: (total, count), in nats.

        Args:
          batch: a `data.buckets.Batch`.
          key: switches dropout on.
          label_smoothing: as `losses.smoothed_cross_entropy`, in the gradient alone.
          sampling: probability that an input is drawn from the model's own prediction
            instead of the target (Bengio et al. 2015, arXiv:1506.03099). The draws come
            from a pass of their own, without dropout; no gradient goes through them.
        """
        k_dropout, k_sampling = _split(key, 2)
        inputs = _shifted(batch.target)
        if sampling > 0:
            inputs = self._sampled(params, batch, k_sampling, sampling)
        logits = self.logits(params, batch, inputs, k_dropout)
        steps = jnp.arange(len(batch.target))[:, None]
        mask = steps < batch.target_lengths
        return smoothed_cross_entropy(logits, batch.target, mask, label_smoothing)

    def logits(self, params, batch, inputs, key=None):
        """What follows each of `inputs` [T, B]: logits [T, B, V]."""
        keys = _split(key, 5)
        memory, mask, summary, state = self.encode(
            params, batch.source, batch.source_lengths, keys[0]
        )
        xs = embed(params.target_embed, inputs)
        xs = dropout(keys[1], xs, self.dropout, self.locked)
        if self.attention is None:
            summary = jnp.broadcast_to(summary, (*xs.shape[:-1], summary.shape[-1]))
            xs = jnp.concatenate([xs, summary], axis=-1)  # [T, B, E + N]
        if self._below is not None:
            _, xs = unroll(self._below, params.below, xs, state[:-1], key=keys[2])
            xs = dropout(keys[3], xs, self.dropout, self.locked)
        first = state[-1]
        if self.attention is not None:
            first = self._top.start(params.top, first, memory, mask)
        _, ys = unroll(self._top, params.top, xs, first)
        ys = dropout(keys[4], ys, self.dropout, self.locked)
        return self._read_out(params, ys)

    def _read_out(self, params, ys):
        w = params.target_embed.T if self.tied else params.out_w
        return matmul(ys, w) + params.out_b

    def _sampled(self, params, batch, key, rate):
        """Inputs [T, B], some of them the model's own."""
        state, encoded = self.start(params, batch.source, batch.source_lengths)
        step = jax.vmap(self.step, (None, 0, 0, 0))

        def body(carry, target):
            state, token, key = carry
            key, k_token, k_coin = jax.random.split(key, 3)
            state, logits = step(params, state, token, encoded)
            drawn = jax.random.categorical(k_token, logits).astype(token.dtype)
            own = jax.random.bernoulli(k_coin, rate, token.shape)
            return (state, jnp.where(own, drawn, target), key), token

        first = _shifted(batch.target)[0]
        _, inputs = jax.lax.scan(body, (state, first, key), batch.target)
        return jax.lax.stop_gradient(inputs)

    def start(self, params, source, lengths):
        """(state, context) of the searches in `decoding`, before bos.

        Args:
          source: integers [S, B].
          lengths: integers [B].

        Returns:
          DecoderState and Encoded, whose leaves begin with B.
        """
        memory, mask, summary, state = self.encode(params, source, lengths)
        if self.attention is None:
            states = DecoderState(state[:-1], state[-1], None, None)
            return states, Encoded(summary, None, None, mask)
        first = self._top.start(params.top, state[-1], memory, mask)
        attention = jnp.zeros(mask.shape, memory.dtype)
        return (
            DecoderState(state[:-1], first.cell, first.feed, attention),
            Encoded(summary, first.keys, memory, mask),
        )

    def step(self, params, state, token, encoded):
        """One step for one hypothesis: (new state, logits [V]).

        Args:
          state: a DecoderState without B.
          token: an integer.
          encoded: an Encoded without B.
        """
        x = embed(params.target_embed, token)
        if self.attention is None:
            x = jnp.concatenate([x, encoded.summary])
        below = []
        for cell, p, s in zip(
            self.decoder[:-1], params.below or (), state.below, strict=True
        ):
            s, x = cell.step(p, s, cell.project(p, x[None])[0], dot=matmul)
            below.append(s)
        z = self._top.project(params.top, x[None])[0]
        if self.attention is None:
            top, y = self._top.step(params.top, state.top, z, dot=matmul)
            state = DecoderState(tuple(below), top, None, None)
        else:
            first = AttendingState(
                state.top, state.feed, encoded.keys, encoded.memory, encoded.mask
            )
            last, y, weights = self._top.look(params.top, first, z, dot=matmul)
            attention = state.attention + weights
            state = DecoderState(tuple(below), last.cell, last.feed, attention)
        return state, self._read_out(params, y)

    def attention_weights(self, params, source, lengths, targets):
        """Where each step of given translations looked: [T, B, S].

        Args:
          source: integers [S, B].
          lengths: integers [B].
          targets: integers [T, B].
        """
        state, encoded = self.start(params, source, lengths)
        step = jax.vmap(self.step, (None, 0, 0, 0))

        def body(state, token):
            new, _ = step(params, state, token, encoded)
            return new, new.attention - state.attention

        return jax.lax.scan(body, state, _shifted(targets))[1]


def _shifted(targets):
    """What a decoder reads when it is to say `targets`: bos and all but the last."""
    bos = jnp.full_like(targets[:1], BOS)
    return jnp.concatenate([bos, targets[:-1]])


def _same_form(a, b):
    same = jax.tree.structure(a) == jax.tree.structure(b)
    return same and all(
        x.shape == y.shape
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def _split(key, number):
    return (None,) * number if key is None else jax.random.split(key, number)
