"""Sentence pairs from settings: corpora, tokenizers, minibatches."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from experiments.common.console import note
from experiments.common.workdir import Workdir
from experiments.translation.config import DataConfig, TrainConfig
from seqjax.data import buckets, parallel
from seqjax.data.text import DataError, clean
from seqjax.data.tokenizers import SubwordTokenizer, WordTokenizer
from seqjax.data.vocab import Vocab

SUBWORD_FILES = ("source.model", "target.model")
Tokenizer = WordTokenizer | SubwordTokenizer


class Tokenizers(NamedTuple):
    """The tokenizers of both languages; one object if the vocabulary is joint."""

    source: Tokenizer
    target: Tokenizer


class TokenPair(NamedTuple):
    """A sentence and its translation as tokens."""

    source: np.ndarray  # int32 [S]
    target: np.ndarray  # int32 [T], without eos


def load_pairs(config: DataConfig, data_dir: str | None) -> parallel.ParallelCorpus:
    """The corpus of the settings, its sentences as training reads them.

    Raises:
      DataError: if it cannot be read.
    """
    if config.source_file is not None and config.target_file is not None:
        files = list(config.source_file), list(config.target_file)
        corpus = parallel.load_files(*(files[::-1] if config.swap else files))
    elif config.corpus is not None:
        corpus = parallel.load_tsv(
            *config.corpus, swap=config.swap, columns=config.columns
        )
    else:
        corpus = parallel.load(config.dataset, data_dir, config.swap)
    number = config.max_pairs or None
    train = parallel.PairSplit(
        corpus.train.source[:number], corpus.train.target[:number]
    )
    return corpus._replace(
        train=prepare_split(config, train),
        valid=prepare_split(config, corpus.valid),
        test=prepare_split(config, corpus.test),
    )


def prepare(config: DataConfig, sentence: str) -> str:
    """A sentence as training reads it."""
    if config.normalization == "nfc":
        sentence = unicodedata.normalize("NFC", sentence)
    if config.normalization == "nfkc":
        sentence = unicodedata.normalize("NFKC", sentence)
    return clean(sentence) if config.clean else sentence


def describe_preparation(config: DataConfig) -> str:
    """What `prepare` does to a sentence, for the table of scores."""
    done = [] if config.normalization == "none" else [config.normalization.upper()]
    done += ["cleaned: lower-case, spaced"] if config.clean else []
    return ", ".join(done) or "as they are"


def prepare_split(config: DataConfig, split: parallel.PairSplit) -> parallel.PairSplit:
    """Both sides as training reads them."""
    return parallel.PairSplit(*([prepare(config, s) for s in side] for side in split))


def train_tokenizers(config: DataConfig, train: parallel.PairSplit) -> Tokenizers:
    """Tokenizers whose vocabularies come from the training part.

    Raises:
      DataError: if the text is too short for as many subwords.
    """

    def learn(sentences: Sequence[str]) -> Tokenizer:
        if config.level == "subword":
            return SubwordTokenizer.train(sentences, config.vocab_size)
        return WordTokenizer.train(sentences, config.level, config.min_freq)

    if config.joint_vocab:
        joint = learn([*train.source, *train.target])
        return Tokenizers(joint, joint)
    return Tokenizers(learn(train.source), learn(train.target))


def tokens_of(
    tokenizer: Tokenizer, sentences: Iterable[str]
) -> Iterator[tuple[list[str], np.ndarray]]:
    """The tokens of each sentence as text and as indices."""
    return ((tokenizer.split(s), tokenizer.encode(s)) for s in sentences)


def write_tokenizers(workdir: Workdir, tokenizers: Tokenizers, sha256: str) -> None:
    """Write vocab.json, and `SUBWORD_FILES` where the tokens are subwords."""
    for name, tokenizer in zip(SUBWORD_FILES, tokenizers, strict=True):
        if isinstance(tokenizer, SubwordTokenizer):
            workdir.write_bytes(workdir.file(name).name, tokenizer.model)
    tokens = {side: vocabulary(t) for side, t in tokenizers._asdict().items()}
    workdir.write_vocab(tokens, sha256)


def vocabulary(tokenizer: Tokenizer) -> list[str]:
    """All tokens, by index."""
    return list(tokenizer.pieces(range(len(tokenizer))))


def read_tokenizers(config: DataConfig, workdir: Workdir) -> Tokenizers:
    """The tokenizers that `write_tokenizers` wrote.

    Raises:
      UserError, DataError: if a file is missing or damaged.
    """

    def make(tokens: Any) -> list[Tokenizer]:
        if config.level == "subword":  # the model files decide
            return []
        vocabs = [Vocab.from_list(tokens[side]) for side in Tokenizers._fields]
        return [WordTokenizer(vocab, config.level) for vocab in vocabs]

    source, target = workdir.read_vocab(make)[0] or [
        SubwordTokenizer.load(workdir.file(name)) for name in SUBWORD_FILES
    ]
    return Tokenizers(source, source if config.joint_vocab else target)


class TrainingPairs(NamedTuple):
    """The pairs to train on, as text and as tokens."""

    sentences: list[tuple[str, str]]
    tokens: list[TokenPair]


def encode_pairs(
    config: DataConfig, train: parallel.PairSplit, tokenizers: Tokenizers
) -> TrainingPairs:
    """The pairs within --max_length, with a note about those that are left out.

    Raises:
      DataError: if no pair is left.
    """
    limit = config.max_length
    sentences = list(zip(train.source, train.target, strict=True))
    tokens = [
        TokenPair(tokenizers.source.encode(source), tokenizers.target.encode(target))
        for source, target in sentences
    ]
    if config.truncate:
        tokens = [
            TokenPair(pair.source[:limit], pair.target[:limit]) for pair in tokens
        ]
    kept = [i for i, pair in enumerate(tokens) if _fits(pair, limit)]
    if not kept:
        raise DataError("no pair to train on is left; see --max_length.")
    if len(kept) < len(tokens):
        note(
            f"{len(tokens) - len(kept):,} of {len(tokens):,} pairs are left out: "
            f"empty, or longer than --max_length={limit} tokens."
        )
    return TrainingPairs([sentences[i] for i in kept], [tokens[i] for i in kept])


def _fits(pair: TokenPair, limit: int) -> bool:
    return all(0 < len(side) <= limit for side in pair)


def draw_segmentations(
    config: DataConfig,
    pairs: TrainingPairs,
    tokenizers: Tokenizers,
    rng: np.random.Generator,
) -> list[TokenPair]:
    """The tokens of an epoch: sampled subwords, with --subword_sampling above 0."""
    if not config.subword_sampling:
        return pairs.tokens

    def draw(tokenizer: Any, sentence: str, tokens: np.ndarray) -> np.ndarray:
        drawn = tokenizer.sample(sentence, config.subword_sampling, rng)
        if config.truncate:
            return drawn[: config.max_length]
        return drawn if len(drawn) <= config.max_length else tokens

    return [
        TokenPair(*map(draw, tokenizers, sentences, tokens))
        for sentences, tokens in zip(pairs.sentences, pairs.tokens, strict=True)
    ]


def plan_minibatches(
    config: TrainConfig, pairs: Sequence[TokenPair], rng: np.random.Generator
) -> list[Callable[[], buckets.PairBatch]]:
    """A function for each minibatch of an epoch, which makes it."""
    sources, targets = zip(*pairs, strict=True)
    size = 0 if config.batch_tokens else config.batch_size
    plan = buckets.plan(sources, targets, size, config.batch_tokens, rng)
    return [partial(buckets.make_batch, sources, targets, bucket) for bucket in plan]


def held_out_minibatches(
    split: parallel.PairSplit, tokenizers: Tokenizers, batch_size: int
) -> list[buckets.PairBatch]:
    """The minibatches of a whole held-out part."""
    sources = [tokenizers.source.encode(sentence) for sentence in split.source]
    targets = [tokenizers.target.encode(sentence) for sentence in split.target]
    plan = buckets.plan(sources, targets, batch_size)
    return [buckets.make_batch(sources, targets, bucket) for bucket in plan]
