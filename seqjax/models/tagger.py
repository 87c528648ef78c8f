"""A tag for each word: recurrent features, and a softmax or a CRF on top."""

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from seqjax.data.vocab import UNK
from seqjax.nn import layers, losses
from seqjax.nn.masks import valid_steps
from seqjax.recurrence import unroll
from seqjax.structured import linear_chain

OUTSIDE = "O"  # the tag of what is in no span


class Words(NamedTuple):
    """Sentences as a tagger reads them; padding may hold anything."""

    words: Any  # integers [T, ...]
    lengths: Any  # integers [...], of the sentences
    chars: Any = None  # integers [W, T, ...], the letters of each word
    char_lengths: Any = None  # integers [T, ...], of the words


class CharParams(NamedTuple):
    embed: Any  # [C, E]
    window: Any  # DenseParams(w [3E, F], b [F])


class CRFParams(NamedTuple):
    start: Any  # [K], scores of a sentence's first tag
    pairs: Any  # [K, K], from a tag to the next
    end: Any  # [K], of its last


class TaggerParams(NamedTuple):
    embed: Any  # [V, E]
    chars: Any  # CharParams, or None
    cell: Any
    out: Any  # DenseParams(w [H, K], b [K])
    crf: Any  # CRFParams, or None: a softmax for each word alone


@dataclasses.dataclass(frozen=True)
class Tagger:
    """Tags of words, by what stands before and after them.

        xs_t     = embed[word_t] ; max_i relu(window(letters i - 1, i, i + 1 of word_t))
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
      crf: whether neighboring tags are scored, too.
      num_chars: C, letters; 0 reads none.
      char_embed_size: of a letter.
      char_size: F, features of a word's letters.
      constrained: whether `predict` gives only tags with I after a B or I of its type;
        they are potentials of -inf. Training is without, as usual: what the data have,
        a CRF may score.
      outside_bias: what `predict` takes off the scores of the tag O, which training
        leaves too high where spans are rare: more of them are found, and more wrongly.
      dropout: rate on what the cell reads and on what it gives; the rate between layers
        is the Stack's.
      locked: whether each sentence drops the same units at all its words.
      word_dropout: share of words read as unknown in training, so that there is a use
        for letters and a meaning to unknown words.

    Raises:
      ValueError: for a rate outside [0, 1), no tags, or a bias where no tag is O.

    Example:
      >>> tags = ("O", "B-fruit", "I-fruit")
      >>> model = Tagger(500, tags, Bidirectional(LSTM(50)), embed_size=50)
      >>> params = model.init(jax.random.key(0))
      >>> logits = model.logits(params, inputs)  # [T, B, 3]
      >>> path, score = model.predict(params, logits, inputs.lengths)  # [T, B] and [B]

    Source: Huang et al. 2015, arXiv:1508.01991; letters as Ma and Hovy 2016,
    arXiv:1603.01354; the bias as Minkov et al., "NER systems that suit user's
    preferences", 2006, section 2.
    """

    vocab_size: int
    tags: tuple
    cell: Any
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

    def __post_init__(self):
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

    def init(self, key):
        """Fresh parameters; scores of pairs of tags start at zero."""
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
            crf = CRFParams(*map(jnp.zeros, (num_tags, (num_tags, num_tags), num_tags)))
        return TaggerParams(
            embed=layers.embed_init(k_embed, self.vocab_size, self.embed_size),
            chars=chars,
            cell=self.cell.init(k_cell, width),
            out=layers.dense_init(k_out, self.cell.hidden_size, num_tags),
            crf=crf,
        )

    def logits(self, params, inputs, key=None):
        """Scores of the tags of each word, [T, ..., K].

        Args:
          params: from `init`.
          inputs: a `Words`.
          key: switches dropout on; None is evaluation.
        """
        keys = (None,) * 4 if key is None else jax.random.split(key, 4)
        words = inputs.words
        if key is not None and self.word_dropout:
            unknown = jax.random.bernoulli(keys[0], self.word_dropout, words.shape)
            words = jnp.where(unknown, UNK, words)
        drop = partial(layers.dropout, rate=self.dropout, locked=self.locked)
        xs = layers.embed(params.embed, words)  # [T, ..., E]
        if params.chars is not None:
            letters = letter_features(params.chars, inputs.chars, inputs.char_lengths)
            xs = jnp.concatenate([xs, letters], axis=-1)
        xs = drop(keys[1], xs)
        _, ys = unroll(
            self.cell, params.cell, xs, lengths=inputs.lengths, key=keys[2]
        )  # [T, ..., H]
        return layers.dense(params.out, drop(keys[3], ys))

    def loss(self, params, logits, tags, lengths):
        """-log P(tags), summed over words or sentences, and the number of words.

        Args:
          logits: from `logits`.
          tags: integers [T, ...].
          lengths: [...].

        Returns:
          (total, count), as `losses.cross_entropy`.
        """
        real = valid_steps(len(logits), lengths)  # [T, ...]
        tags = jnp.where(real, tags, 0)
        if not self.crf:
            return losses.cross_entropy(logits, tags, real)
        chain = *_potentials(params.crf, logits, lengths), lengths
        total = linear_chain.log_partition(*chain) - linear_chain.score(tags, *chain)
        return total.sum(), jnp.sum(real, dtype=total.dtype)

    def predict(self, params, logits, lengths):
        """The likeliest tags that are allowed, int32 [T, ...], and their score [...].

        The score of a CRF's tags is their log P up to log Z; that of a softmax the sum
        of its logits; in both less `outside_bias` for each O.
        """
        if self.outside_bias:
            logits = logits.at[..., self.tags.index(OUTSIDE)].add(-self.outside_bias)
        unary, pairs = logits, jnp.zeros((len(self.tags),) * 2, logits.dtype)
        if self.crf:
            unary, pairs = _potentials(params.crf, logits, lengths)
        if self.constrained:
            first, follows = (jnp.asarray(a, logits.dtype) for a in bio(self.tags))
            unary = unary.at[0].add(first)
            pairs = pairs + follows
        return linear_chain.viterbi(unary, pairs, lengths)


def letter_features(params, chars, lengths):
    """The largest response of each feature to three letters of a word in a row.

    Beyond its ends a word has letters of zeros; a word of no letters has features of
    zero.

    Args:
      params: CharParams.
      chars: integers [W, ...].
      lengths: integers [...], each in 0 .. W.

    Returns:
      [..., F].
    """
    real = valid_steps(len(chars), lengths)  # [W, ...]
    xs = layers.embed(params.embed, chars)  # [W, ..., E]
    xs = jnp.where(real[..., None], xs, jnp.zeros_like(xs))
    nothing = jnp.zeros_like(xs[:1])
    before = jnp.concatenate([nothing, xs[:-1]])
    after = jnp.concatenate([xs[1:], nothing])
    windows = jnp.concatenate([before, xs, after], axis=-1)  # [W, ..., 3E]
    ys = jax.nn.relu(layers.dense(params.window, windows))
    return jnp.max(jnp.where(real[..., None], ys, jnp.zeros_like(ys)), axis=0)


def bio(tags):
    """What BIO forbids, as potentials: 0 or -inf, for first tags [K] and pairs [K, K].

    I of a type stands only after B or I of that type. Tags of other forms may stand
    anywhere.

    Example:
      >>> bio(("O", "B-x", "I-x"))[0]
      array([  0.,   0., -inf])
    """
    parts = [tag.partition("-")[::2] for tag in tags]

    def potential(before, after):
        goes_on = before[0] in ("B", "I") and before[1] == after[1]
        return 0.0 if after[0] != "I" or goes_on else -np.inf

    first = np.array([potential((OUTSIDE, ""), tag) for tag in parts])
    return first, np.array([[potential(a, b) for b in parts] for a in parts])


def _potentials(crf, logits, lengths):
    """(unary, pairwise): what stands at the ends is in the first and last unary."""
    real, others = (valid_steps(len(logits), n) for n in (lengths, lengths - 1))
    last = (real & ~others)[..., None]
    unary = logits + jnp.where(last, crf.end, jnp.zeros_like(crf.end))
    return unary.at[0].add(crf.start), crf.pairs
