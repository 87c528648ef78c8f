"""A tag per word: a recurrent network with a softmax or a CRF on top."""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from seqjax.cell_protocol import Params
from seqjax.mesh_axes import on_any_mesh, replicated, steps_spec
from seqjax.models.word_dropout import word_dropout
from seqjax.nn import layers, losses
from seqjax.nn.masks import as_lengths, valid_steps
from seqjax.recurrence import Unrollable, unroll
from seqjax.structured import linear_chain
from seqjax.structured.bio import OUTSIDE, bio_potentials


class TaggerInputs(NamedTuple):
    """Sentences; padding may hold any values."""

    words: jax.Array  # integers [T, ...]
    lengths: jax.Array  # integers [...], in words
    chars: jax.Array | None = None  # integers [W, T, ...], the characters of each word
    char_lengths: jax.Array | None = None  # integers [T, ...], in characters


class TaggerBatch(NamedTuple):
    """Sentences and their tags; padding may hold any values."""

    inputs: TaggerInputs
    tags: jax.Array  # integers [T, ...]


class CharParams(NamedTuple):
    """Parameters of the character features."""

    embed: jax.Array  # [C, E]
    window: layers.DenseParams  # w [3E, F], b [F]


class CRFParams(NamedTuple):
    """Scores of a conditional random field, added to the logits."""

    start: jax.Array  # [K], of the first tag
    pairs: jax.Array  # [K, K], of a tag and the next
    end: jax.Array  # [K], of the last tag


class TaggerParams(NamedTuple):
    """Parameters of a Tagger."""

    embed: jax.Array  # [V, E]
    chars: CharParams | None  # None without character features
    cell: Params
    out: layers.DenseParams  # w [H, K], b [K]
    crf: CRFParams | None  # None with a softmax


@dataclasses.dataclass(frozen=True)
class Tagger:
    """P(tags | words) by a recurrent network, and a softmax or a CRF.

        xs_t     = embed[word_t] ; max_i relu(window(chars i - 1, i, i + 1 of word_t))
        _, ys    = unroll(cell, xs)
        logits_t = ys_t @ w + b
        softmax: P(tags) = prod_t softmax(logits_t)[tag_t]
        CRF:     P(tags) = exp(start[tag_0] + sum_t logits_t[tag_t]
                               + sum_t pairs[tag_{t-1}, tag_t] + end[tag_last]) / Z

    Args:
      vocab_size: V, words.
      tags: names of the K tags.
      cell: a cell, a Stack or a Bidirectional.
      embed_size: E, of a word.
      crf: use a CRF, which also scores pairs of neighboring tags.
      num_chars: C, characters; 0 turns the character features off.
      char_embed_size: of a character.
      char_size: F, character features per word.
      constrained: `predict` returns valid BIO sequences only. Training is without the
        constraint, as usual.
      outside_bias: subtracted by `predict` from the scores of the tag O. A positive
        value raises the recall of spans and lowers their precision.
      dropout: rate on the inputs and on the outputs of the cell. The rate between
        layers belongs to the Stack.
      locked: drop the same units of a sentence at all its words.
      word_dropout: rate at which words are replaced by UNK in training, so that the
        model learns to use characters and gets an embedding of unknown words.

    Raises:
      ValueError: if a rate is outside [0, 1), there are no tags, or outside_bias is set
        and no tag is O.

    Example:
      >>> tags = ("O", "B-fruit", "I-fruit")
      >>> cell = seqjax.Bidirectional(seqjax.LSTM(50))
      >>> model = Tagger(500, tags, cell, embed_size=50)
      >>> params = model.init(jax.random.key(0))
      >>> inputs = TaggerInputs(jnp.ones((7, 2), int), jnp.array([7, 4]))
      >>> logits = model.apply(params, inputs)
      >>> path, score = model.predict(params, logits, inputs.lengths)
      >>> logits.shape, path.shape, score.shape
      ((7, 2, 3), (7, 2), (2,))

    Source: Huang et al. 2015, arXiv:1508.01991; characters as Ma and Hovy 2016,
    arXiv:1603.01354; the bias as Minkov et al., "NER systems that suit user's
    preferences", 2006, section 2.
    """

    vocab_size: int
    tags: tuple[str, ...]
    cell: Unrollable
    embed_size: int
    crf: bool = True
    num_chars: int = 0
    char_embed_size: int = 25
    char_size: int = 50
    constrained: bool = False
    outside_bias: float = 0.0
    dropout: float = 0.0
    locked: bool = False
    word_dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", tuple(self.tags))  # hashable
        if not self.tags:
            raise ValueError("Tagger: at least one tag is needed, got none")
        if self.outside_bias and OUTSIDE not in self.tags:
            raise ValueError(
                f"Tagger: outside_bias needs a tag {OUTSIDE}, got "
                f"{', '.join(self.tags[:5])}"
            )
        for name in ("dropout", "word_dropout"):
            if not 0.0 <= (rate := getattr(self, name)) < 1.0:
                raise ValueError(f"Tagger: {name} must be in [0, 1), got {rate}")

    def init(self, key: jax.Array) -> TaggerParams:
        """Initial parameters; the scores of the CRF are zero."""
        k_embed, k_chars, k_window, k_cell, k_out = jax.random.split(key, 5)
        num_tags, width, chars, crf = len(self.tags), self.embed_size, None, None
        if self.num_chars:
            size = self.char_embed_size
            chars = CharParams(
                layers.embed_init(k_chars, self.num_chars, size),
                layers.dense_init(k_window, 3 * size, self.char_size),
            )
            width += self.char_size
        if self.crf:
            shapes = (num_tags,), (num_tags, num_tags), (num_tags,)
            crf = CRFParams(*map(jnp.zeros, shapes))
        return TaggerParams(
            embed=layers.embed_init(k_embed, self.vocab_size, self.embed_size),
            chars=chars,
            cell=self.cell.init(k_cell, width),
            out=layers.dense_init(k_out, self.cell.output_size, num_tags),
            crf=crf,
        )

    @on_any_mesh(lambda a: steps_spec(a["inputs"]))
    def apply(
        self, params: TaggerParams, inputs: TaggerInputs, key: jax.Array | None = None
    ) -> jax.Array:
        """Logits [T, ..., K] of the tags of each word.

        Args:
          params: from `init`.
          inputs: a TaggerInputs.
          key: random key for dropout; None turns dropout off.

        Raises:
          ValueError: if the model has character features, and the inputs have none.
        """
        keys = (None,) * 4 if key is None else jax.random.split(key, 4)
        drop = partial(layers.dropout, rate=self.dropout, locked=self.locked)
        words = word_dropout(keys[0], inputs.words, self.word_dropout)
        xs = layers.embed(params.embed, words)  # [T, ..., E]
        if params.chars is not None:
            if inputs.chars is None or inputs.char_lengths is None:
                raise ValueError("Tagger: the inputs have no chars or char_lengths")
            chars = char_features(params.chars, inputs.chars, inputs.char_lengths)
            xs = jnp.concatenate([xs, chars], axis=-1)
        xs = drop(keys[1], xs)
        _, ys = unroll(
            self.cell, params.cell, xs, lengths=inputs.lengths, key=keys[2]
        )  # [T, ..., H]
        return layers.dense(params.out, drop(keys[3], ys))

    @on_any_mesh(replicated)
    def loss(
        self, params: TaggerParams, batch: TaggerBatch, key: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """-log P(tags), summed over words or sentences, and the number of words.

        Args:
          params: from `init`.
          batch: a TaggerBatch.
          key: random key for dropout; None turns dropout off.

        Returns:
          (total, count), as `losses.cross_entropy`.
        """
        logits = self.apply(params, batch.inputs, key)
        return self.loss_of_logits(params, logits, batch.tags, batch.inputs.lengths)

    def loss_of_logits(
        self,
        params: TaggerParams,
        logits: jax.Array,
        tags: jax.Array,
        lengths: jax.Array,
    ) -> tuple[jax.Array, jax.Array]:
        """`loss` from the logits of `apply`, for callers that also need the logits."""
        lengths = as_lengths(lengths, logits.shape[0], logits.shape[1:-1], of="logits")
        real = valid_steps(logits.shape[0], lengths)  # [T, ...]
        tags = jnp.where(real, tags, 0)
        if params.crf is None:
            return losses.cross_entropy(logits, tags, real)
        chain = *_potentials(params.crf, logits, lengths), lengths
        total = linear_chain.log_partition(*chain) - linear_chain.score(tags, *chain)
        return total.sum(), jnp.sum(real, dtype=total.dtype)

    def predict(
        self, params: TaggerParams, logits: jax.Array, lengths: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """The most probable allowed tags, int32 [T, ...], and their score [...].

        The score is log P + log Z with a CRF and the sum of the logits with a softmax,
        minus `outside_bias` for each O.

        Args:
          params: from `init`.
          logits: from `apply`.
          lengths: integers [...].
        """
        lengths = as_lengths(lengths, logits.shape[0], logits.shape[1:-1], of="logits")
        if self.outside_bias:
            logits = logits.at[..., self.tags.index(OUTSIDE)].add(-self.outside_bias)
        unary, pairs = logits, jnp.zeros((len(self.tags),) * 2, logits.dtype)
        if params.crf is not None:
            unary, pairs = _potentials(params.crf, logits, lengths)
        if self.constrained:
            start, transition = bio_potentials(self.tags)
            unary = unary.at[0].add(jnp.asarray(start, logits.dtype))
            pairs = pairs + jnp.asarray(transition, logits.dtype)
        return linear_chain.viterbi(unary, pairs, lengths)


def char_features(
    params: CharParams, chars: jax.Array, lengths: jax.Array
) -> jax.Array:
    """The maximum response of each feature to three consecutive characters of a word.

    Beyond the ends of a word the embeddings are zero. A word without characters has
    features of zero.

    Args:
      params: CharParams.
      chars: integers [W, ...].
      lengths: integers [...], each in 0 .. W.

    Returns:
      [..., F].
    """
    lengths = as_lengths(
        lengths, chars.shape[0], chars.shape[1:], "char_lengths", "words"
    )
    real = valid_steps(chars.shape[0], lengths)  # [W, ...]
    xs = layers.embed(params.embed, chars)  # [W, ..., E]
    xs = jnp.where(real[..., None], xs, jnp.zeros_like(xs))
    zero = jnp.zeros_like(xs[:1])
    previous = jnp.concatenate([zero, xs[:-1]])
    following = jnp.concatenate([xs[1:], zero])
    windows = jnp.concatenate([previous, xs, following], axis=-1)  # [W, ..., 3E]
    ys = jax.nn.relu(layers.dense(params.window, windows))
    return jnp.max(jnp.where(real[..., None], ys, jnp.zeros_like(ys)), axis=0)


def _potentials(
    crf: CRFParams, logits: jax.Array, lengths: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(unary, pairwise); start and end scores are part of the unary potentials."""
    if logits.shape[0] == 0:
        raise ValueError(
            f"Tagger: a CRF needs logits [T, ..., K] with T at least 1, got "
            f"{logits.shape}"
        )
    times = jnp.arange(logits.shape[0], dtype=jnp.int32).reshape(
        -1, *[1] * lengths.ndim
    )
    last = (times == lengths - 1)[..., None]
    unary = logits + jnp.where(last, crf.end, jnp.zeros_like(crf.end))
    return unary.at[0].add(crf.start), crf.pairs
