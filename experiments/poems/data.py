"""The poems of a run: the corpus, its vocabulary, minibatches of whole poems."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common.console import note
from experiments.common.errors import UserError
from experiments.poems.config import DataConfig
from seqjax.data import buckets, poems
from seqjax.data.buckets import Bucket
from seqjax.data.poems import Poem, PoemCorpus
from seqjax.data.sources import sha256_of
from seqjax.data.text import DataError, shown_path
from seqjax.data.vocab import BOS, EOS, SENTENCE_TOKENS, Vocab

COLON = ":"  # between a title and its poem


class PoemSequence(NamedTuple):
    """bos, perhaps a title and a colon, the poem, eos."""

    tokens: np.ndarray  # int32 [N]
    start: int  # the index of the poem's first character


class PoemBatch(NamedTuple):
    """Padded sequences: NumPy arrays that compiled functions see as JAX arrays."""

    tokens: Any  # int32 [T + 1, B]
    starts: Any  # int32 [B]
    lengths: Any  # int32 [B]; 0 in padding rows


def load_corpus(config: DataConfig, data_dir: str | None) -> PoemCorpus:
    """The poems that pass the filters, in three parts.

    Raises:
      DataError: if none is left.
    """
    if config.corpus is None:
        found, sha256 = poems.load(config.dataset, data_dir)
        return poems.split(
            config.dataset, kept_poems(config, found, config.dataset), sha256
        )
    name = shown_path(config.corpus[0])
    parts, sums = zip(*(read_kept(config, path) for path in config.corpus), strict=True)
    if len(parts) == 1:
        return poems.split(name, parts[0], sums[0])
    train, valid, test = parts
    return PoemCorpus(name, train, valid, test, sha256_of("".join(sums).encode()))


def read_kept(config: DataConfig, path: str) -> tuple[list[Poem], str]:
    """The poems of a file that pass the filters, and the file's sha256.

    Raises:
      DataError: if it cannot be read, or none is left.
    """
    found, sha256 = poems.read(path)
    return kept_poems(config, found, shown_path(path)), sha256


def kept_poems(config: DataConfig, found: Sequence[Poem], name: str) -> list[Poem]:
    """The poems that pass the filters, with a note of how many do not.

    Raises:
      DataError: if none is left.
    """
    cleaned = poems.clean(found) if config.clean else found
    kept = [poem for poem in cleaned if _passes(config, poem.content)]
    if not kept:
        also = "--noclean keeps those with spaces or gaps; " if config.clean else ""
        raise DataError(f"no poem of {name} is left; {also}see the flags of lengths.")
    if len(kept) < len(found):
        dropped = "repeated, with spaces or gaps (--noclean keeps them), or "
        note(
            f"{len(found) - len(kept):,} of {len(found):,} poems are left out: "
            f"{dropped if config.clean else ''}of other lengths than the flags allow."
        )
    return kept


def _passes(config: DataConfig, content: str) -> bool:
    """Whether a poem has the form and the length of the settings."""
    num_lines, line_length = poems.form(content) or (None, None)
    return (
        config.min_length <= len(content)
        and (config.truncate or len(content) <= config.max_length)
        and config.line_length in (0, line_length)
        and config.num_lines in (0, num_lines)
    )


class PoemEncoder:
    """Poems as sequences of tokens, as the settings say.

    Args:
      config: whether titles are read, and where poems are cut.
      vocab: the characters.
    """

    def __init__(self, config: DataConfig, vocab: Vocab) -> None:
        self._config = config
        self.vocab = vocab

    @classmethod
    def train(cls, config: DataConfig, train: Sequence[Poem]) -> "PoemEncoder":
        """The encoder of the characters of training poems, and of titles if read."""
        texts = [
            p.title + COLON + p.content if config.titles else p.content for p in train
        ]
        return cls(config, Vocab("".join(texts), config.min_freq, SENTENCE_TOKENS))

    def opening(self, title: str) -> np.ndarray:
        """The tokens before a poem: bos, and the title if titles are read."""
        text = title + COLON if self._config.titles else ""
        return np.asarray([BOS, *self.vocab.encode(text)], np.int32)

    def sequences(self, split: Sequence[Poem]) -> list[PoemSequence]:
        """A PoemSequence for each poem."""
        sequences = []
        for title, content in split:
            before = self.opening(title)
            tokens = np.concatenate([before, self._encode(content)])
            sequences.append(PoemSequence(tokens.astype(np.int32), len(before)))
        return sequences

    def one_text(self, split: Sequence[Poem]) -> np.ndarray:
        """The poems of a part one after the other, bos before each: int32 [N]."""
        parts = [np.r_[BOS, self._encode(poem.content)] for poem in split]
        return np.concatenate(parts).astype(np.int32)

    def _encode(self, content: str) -> np.ndarray:
        """A poem and its end; a truncated poem has no end."""
        limit = self._config.max_length
        tokens = self.vocab.encode(content[:limit])
        return tokens if len(content) > limit else np.append(tokens, EOS)

    def known(self, text: str, flag: str) -> np.ndarray:
        """The tokens of a text that the user gave.

        Raises:
          UserError: if a character is not in the vocabulary.
        """
        unknown = sorted({c for c in text if c not in self.vocab})
        if unknown:
            raise UserError(
                f"--{flag}: the vocabulary does not hold {', '.join(unknown)}."
            )
        return self.vocab.encode(text)


def make_batch(sequences: Sequence[PoemSequence], bucket: Bucket) -> PoemBatch:
    """The PoemBatch of a Bucket."""
    rows = [sequences[i] for i in bucket.rows if i >= 0]
    tokens, lengths = buckets.pad([row.tokens for row in rows], bucket)
    starts = np.zeros_like(lengths)
    starts[: len(rows)] = [row.start for row in rows]
    return PoemBatch(tokens, starts, lengths)


def whole_part(
    sequences: Sequence[PoemSequence], batch_size: int
) -> Iterator[PoemBatch]:
    """The minibatches of a held-out part."""
    lengths = [len(s.tokens) for s in sequences]
    for bucket in buckets.plan_lengths(lengths, batch_size):
        yield make_batch(sequences, bucket)


def label_mask(batch: PoemBatch) -> Any:
    """Which labels count: the poem's characters and its end, bool [T, B]."""
    indices = np.arange(1, len(batch.tokens))[:, None]
    return (indices >= batch.starts) & (indices < batch.lengths)
