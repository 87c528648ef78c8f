"""Poems from flags: the corpus, its vocabulary, minibatches of whole poems."""

from typing import NamedTuple

import numpy as np
from absl import flags

from experiments import run
from seqjax.data import buckets, poems
from seqjax.data.text import DataError
from seqjax.data.vocab import BOS, EOS, SENTENCE_TOKENS, Vocab

FLAGS = flags.FLAGS
flags.DEFINE_string("dataset", "verses", "one of " + ", ".join(poems.NAMES))
flags.DEFINE_string("corpus", None, 'a file of lines "title:content" of your own')
flags.DEFINE_bool("clean", None, "no notes, gaps, spaces, repeats (own: kept)")
flags.DEFINE_integer("line_length", 0, "only poems of lines so long; 0: any", 0)
flags.DEFINE_integer("num_lines", 0, "only poems of so many lines; 0: any", 0)
flags.DEFINE_integer("min_length", 0, "characters of a poem, at least", 0)
flags.DEFINE_integer("max_length", 200, "characters of a poem, at most", 1, 10**5)
flags.DEFINE_bool("truncate", False, "cut longer ones short; else they are left out")
flags.DEFINE_integer("min_freq", 1, "rarer characters become <unk>", lower_bound=1)
flags.DEFINE_bool("titles", False, "read the title before the poem")

COLON = ":"  # between a title and its poem


class Sequence(NamedTuple):
    """bos, perhaps a title and a colon, the poem, eos."""

    tokens: np.ndarray  # int32 [N]
    start: int  # the place of the poem's first character


class Batch(NamedTuple):
    """Sequences, padded."""

    tokens: np.ndarray  # int32 [T + 1, B]
    starts: np.ndarray  # int32 [B]
    lengths: np.ndarray  # int32 [B]; 0 in rows that fill up


def check_flags():
    """Refuse a data set that there is not; settle --clean, for flags.txt too."""
    run.choose("dataset", dict.fromkeys(poems.NAMES))
    if FLAGS.clean is None:
        FLAGS.clean = FLAGS.corpus is None  # what is one's own may hold anything


def load_corpus():
    """The poems that the flags name and let through, in three parts.

    Raises:
      DataError: if none is left.
    """
    name = FLAGS.dataset
    if FLAGS.corpus is not None:
        name = FLAGS.corpus
        found, sha256 = poems.read(FLAGS.corpus)
    else:
        found, sha256 = poems.load(FLAGS.dataset, FLAGS.data_dir)
    cleaned = poems.clean(found) if FLAGS.clean else found
    kept = [poem for poem in cleaned if _fits(poem.content)]
    if not kept:
        also = "--noclean keeps those with spaces or gaps; " if FLAGS.clean else ""
        raise DataError(f"no poem of {name} is left; {also}see the flags of lengths.")
    if len(kept) < len(found):
        run.note(
            f"{len(found) - len(kept):,} of {len(found):,} poems are left out: "
            + "repeated, with spaces or gaps (--noclean keeps them), or " * FLAGS.clean
            + "of other lengths than the flags say."
        )
    return poems.split(name, kept, sha256)


def _fits(content):
    """Whether the flags let a poem through."""
    num_lines, line_length = poems.form(content) or (None, None)
    return (
        FLAGS.min_length <= len(content)
        and (FLAGS.truncate or len(content) <= FLAGS.max_length)
        and FLAGS.line_length in (0, line_length)
        and FLAGS.num_lines in (0, num_lines)
    )


def make_vocab(train):
    """The characters of the training poems, and of their titles if they are read."""
    texts = [p.title + COLON + p.content if FLAGS.titles else p.content for p in train]
    return Vocab("".join(texts), FLAGS.min_freq, SENTENCE_TOKENS)


def opening(title, vocab):
    """What comes before a poem: bos, and the title if titles are read."""
    before = vocab.encode(title + COLON) if FLAGS.titles else []
    return np.asarray([BOS, *before], np.int32)


def encode(split, vocab):
    """A Sequence for each poem."""
    sequences = []
    for title, content in split:
        before = opening(title, vocab)
        tokens = np.concatenate([before, _encode(content, vocab)])
        sequences.append(Sequence(tokens.astype(np.int32), len(before)))
    return sequences


def _encode(content, vocab):
    """A poem and its end, of which one that is cut short has none."""
    tokens = vocab.encode(content[: FLAGS.max_length])
    return tokens if len(content) > FLAGS.max_length else np.append(tokens, EOS)


def make_batch(sequences, bucket):
    """The Batch of a Bucket."""
    rows = [sequences[i] for i in bucket.rows if i >= 0]
    tokens, lengths = buckets.pad([row.tokens for row in rows], bucket)
    starts = np.zeros_like(lengths)
    starts[: len(rows)] = [row.start for row in rows]
    return Batch(tokens, starts, lengths)


def predicted(batch):
    """Which labels count: the poem's characters and its end, bool [T, B]."""
    places = np.arange(1, len(batch.tokens))[:, None]
    return (places >= batch.starts) & (places < batch.lengths)


def one_text(split, vocab):
    """The poems of a split one after the other, bos before each: int32 [N]."""
    parts = [np.r_[BOS, _encode(poem.content, vocab)] for poem in split]
    return np.concatenate(parts).astype(np.int32)


def known(text, vocab, flag):
    """The tokens of what poems are to hold.

    Raises:
      UserError: if the model does not know a character.
    """
    unknown = sorted({character for character in text if character not in vocab})
    if unknown:
        raise run.UserError(f"--{flag}: the model does not know {', '.join(unknown)}.")
    return vocab.encode(text)
