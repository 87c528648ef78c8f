"""Tagged sentences: the corpus, its vocabularies, minibatches."""

import functools
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np

from experiments.common.run_files import strings
from experiments.common.train_on_valid import merge_valid
from experiments.common.training_run import EpochPlan, epoch_plan
from experiments.common.workdir import Workdir
from experiments.tagging.config import DataConfig
from seqjax.data import buckets, tagged
from seqjax.data.tagged import Sentence, TaggedCorpus
from seqjax.data.text import DataError
from seqjax.data.vocab import Vocab
from seqjax.models.tagger import TaggerBatch, TaggerInputs
from seqjax.structured.bio import OUTSIDE, bio_potentials, find_scheme, from_bio, to_bio

MAX_CHARS = 24  # the first characters of a word that are read
LENGTH_STEP = 8  # lengths are rounded up to multiples: each compiles a program


def load_corpus(
    config: DataConfig, data_dir: str | None, train_on_valid: bool
) -> TaggedCorpus:
    """The tagged sentences of the settings, their spans in BIO; see `as_bio`.

    Raises:
      DataError: if they cannot be read, their tags mix schemes of spans, or a held-out
        tag is not a training tag.
    """
    if config.own_files:
        columns = config.token_column, config.tag_column, None, config.columns
        corpus = tagged.load_files(config.own_files, *columns)
    else:
        corpus = tagged.load(config.dataset, data_dir)
    parts = corpus.train, corpus.valid, corpus.test
    scheme = scheme_of(corpus.name, [sentence for part in parts for sentence in part])
    train, valid, test = (as_bio(part, scheme) for part in parts)
    corpus = TaggedCorpus(corpus.name, train, valid, test, corpus.sha256, scheme)
    corpus = merge_valid(corpus, train_on_valid)
    known = {tag for sentence in corpus.train for tag in sentence.tags}
    for part in ("valid", "test"):
        for number, sentence in enumerate(getattr(corpus, part), start=1):
            if unknown := set(sentence.tags) - known:
                raise DataError(
                    f"the {part} part has the tag {min(unknown)!r} in sentence "
                    f"{number}; no training sentence has it."
                )
    return corpus


def scheme_of(name: str, sentences: Iterable[Sentence]) -> str | None:
    """The scheme of the spans in sentences; see `seqjax.structured.bio.find_scheme`.

    Raises:
      DataError: if there are several, or an unknown one.
    """
    try:
        return find_scheme(tag for sentence in sentences for tag in sentence.tags)
    except ValueError as error:
        raise DataError(f"{name}: {error}.") from None


def as_bio(sentences: Iterable[Sentence], scheme: str | None) -> list[Sentence]:
    """Sentences whose spans are in BIO, from those in a scheme."""
    if scheme in (None, "BIO"):
        return list(sentences)
    return [Sentence(tokens, to_bio(tags)) for tokens, tags in sentences]


class TaggingVocabs(NamedTuple):
    """The vocabularies of a training part.

    Attributes:
      words: in lower case if `lowercase`.
      chars: the characters of the words, never in lower case.
      tags: the names of the tags, sorted.
      is_bio: whether every training sentence is a valid BIO sequence.
      lowercase: whether words are read in lower case.
      scheme: of the spans in the files; they are in BIO here. None if the tags are not
        of spans.
    """

    words: Vocab
    chars: Vocab
    tags: list[str]
    is_bio: bool
    lowercase: bool = False
    scheme: str | None = None

    @classmethod
    def train(
        cls,
        sentences: Sequence[Sentence],
        config: DataConfig,
        scheme: str | None = None,
    ) -> Self:
        """The vocabularies of training sentences in BIO."""
        tokens = [token for sentence in sentences for token in sentence.tokens]
        return cls(
            Vocab(_as_words(tokens, config.lowercase), config.min_freq),
            Vocab(char for token in tokens for char in token),
            sorted({tag for sentence in sentences for tag in sentence.tags}),
            are_bio(sentences),
            config.lowercase,
            scheme,
        )

    @classmethod
    def read(cls, workdir: Workdir) -> Self:
        """The vocabularies that `write` stored.

        Raises:
          UserError: if they are missing or damaged.
        """

        def make(found: dict[str, Any]) -> "TaggingVocabs":
            words, chars = (
                Vocab.from_list(found["words"]),
                Vocab.from_list(found["chars"]),
            )
            return cls(
                words,
                chars,
                strings(found["tags"]),
                found["is_bio"],
                found["lowercase"],
                found.get("scheme"),
            )

        return workdir.read_vocab(make)[0]

    def write(self, workdir: Workdir, sha256: str) -> None:
        """Store the vocabularies as vocab.json."""
        tokens = {"words": self.words.tokens, "chars": self.chars.tokens}
        workdir.write_vocab(self._asdict() | tokens, sha256)

    @property
    def have_spans(self) -> bool:
        """Whether tags are O, B or I, the latter perhaps with a type."""
        spans = [tag for tag in self.tags if tag != OUTSIDE]
        prefixes = {tag.partition("-")[0] for tag in spans}
        # I without any B or type may have another meaning.
        return prefixes <= {"B", "I"} and any(tag != "I" for tag in spans)

    def in_scheme(self, tags: Sequence[str]) -> list[str]:
        """Predicted tags in the scheme of the files."""
        if self.scheme in (None, "BIO"):
            return list(tags)
        return from_bio(to_bio(tags), self.scheme)

    def encode_words(self, tokens: Sequence[str]) -> np.ndarray:
        """The indices of words, int32 [N]."""
        return self.words.encode(_as_words(tokens, self.lowercase))


def _as_words(tokens: Sequence[str], lowercase: bool) -> list[str]:
    return [token.lower() for token in tokens] if lowercase else list(tokens)


def are_bio(sentences: Sequence[Sentence]) -> bool:
    """Whether each tag I follows B or I of its type in all sentences."""
    names = sorted({tag for sentence in sentences for tag in sentence.tags})
    start, transition = (array == 0 for array in bio_potentials(names))
    index_of = {tag: index for index, tag in enumerate(names)}
    return all(
        start[index_of[tags[0]]]
        and all(transition[index_of[a], index_of[b]] for a, b in pairwise(tags))
        for _, tags in sentences
    )


class EncodedSentences:
    """Sentences as a tagger reads them; each distinct word is encoded once.

    Args:
      sentences: the sentences and their tags.
      vocabs: the vocabularies.
      with_chars: whether the characters of words are read as well.

    Attributes:
      lengths: the number of words of each sentence.
    """

    def __init__(
        self, sentences: Sequence[Sentence], vocabs: TaggingVocabs, with_chars: bool
    ) -> None:
        distinct = Vocab(token for sentence in sentences for token in sentence.tokens)
        index_of = {tag: index for index, tag in enumerate(vocabs.tags)}
        self.lengths = [len(sentence.tokens) for sentence in sentences]
        self._distinct = [distinct.encode(s.tokens) for s in sentences]
        self._tags = [
            np.array([index_of[tag] for tag in s.tags], np.int32) for s in sentences
        ]
        self._words = vocabs.encode_words(distinct.tokens)  # [distinct]
        self._chars = None
        if with_chars:
            self._chars = _encode_chars(distinct.tokens, vocabs.chars)

    def plan(
        self, batch_size: int, rng: np.random.Generator | None = None
    ) -> list[buckets.Bucket]:
        """The rows of all minibatches, shuffled by `rng`, else sorted by length."""
        rounded = [-(-n // LENGTH_STEP) * LENGTH_STEP for n in self.lengths]
        return buckets.plan_lengths(rounded, batch_size, rng=rng)

    def batch(self, bucket: buckets.Bucket) -> TaggerBatch:
        """The minibatch of a bucket, in NumPy arrays."""
        rows = [i for i in bucket.rows if i >= 0]
        indices, lengths = buckets.pad([self._distinct[i] for i in rows], bucket)
        indices = np.minimum(indices, len(self._words) - 1)  # padding may be any word
        # A compiled program takes NumPy arrays faster than jnp.asarray converts them.
        arrays: list[Any] = [self._words[indices], lengths]
        if self._chars is not None:
            chars, char_lengths = self._chars
            arrays += [chars[:, indices], char_lengths[indices]]
        tags: Any = buckets.pad([self._tags[i] for i in rows], bucket)[0]
        return TaggerBatch(TaggerInputs(*arrays), tags)


def _encode_chars(tokens: Sequence[str], vocab: Vocab) -> tuple[np.ndarray, np.ndarray]:
    """(characters int32 [MAX_CHARS, N], lengths int32 [N])."""
    cut = [token[:MAX_CHARS] for token in tokens]
    chars = np.zeros((MAX_CHARS, len(cut)), np.int32)
    for i, token in enumerate(cut):
        chars[: len(token), i] = vocab.encode(token)
    return chars, np.array([len(token) for token in cut], np.int32)


def make_plan(sentences: EncodedSentences, batch_size: int, seed: int) -> EpochPlan:
    """epoch -> functions that each make one minibatch of training sentences."""

    def make(rng: np.random.Generator) -> list[Callable[[], TaggerBatch]]:
        return [
            functools.partial(sentences.batch, bucket)
            for bucket in sentences.plan(batch_size, rng)
        ]

    return epoch_plan(seed, make)
