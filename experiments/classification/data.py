"""Documents with labels: the corpus, its encoder, the minibatches of an epoch."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import numpy as np

from experiments.classification.config import DataConfig
from experiments.common.console import note, note_unknown
from experiments.common.run_files import strings
from experiments.common.training_run import EpochPlan, epoch_plan
from experiments.common.workdir import Workdir
from seqjax.data import labeled
from seqjax.data.text import clean
from seqjax.data.tokenizers import WordTokenizer
from seqjax.data.vocab import UNK, Vocab

# The axis of the documents.
BATCH_AXES = labeled.LabeledBatch._make([1, 0, 0, 0])


class EncodedSplit(NamedTuple):
    """Documents and their labels as integers."""

    documents: list[np.ndarray]  # int32 [N], one array per document
    labels: np.ndarray  # int32 [documents]
    offsets: np.ndarray | None = None  # float32 [documents, C], of the logits


def load_corpus(config: DataConfig, data_dir: str | None) -> labeled.LabeledCorpus:
    """The documents of the settings.

    Raises:
      DataError: if they cannot be read, or a part or a label is missing.
    """
    folds = config.folds, config.fold, config.split_seed
    if config.corpus is not None:
        return labeled.load_files(config.corpus, *folds, config.columns)
    return labeled.load(config.dataset, data_dir, *folds)


class DocumentEncoder:
    """Texts and labels as integers.

    Args:
      tokenizer: the tokens of the training part.
      labels: the names of the labels, by index.
      config: whether texts are cleaned, and how many tokens are kept.
    """

    def __init__(
        self, tokenizer: WordTokenizer, labels: Sequence[str], config: DataConfig
    ) -> None:
        self.tokenizer = tokenizer
        self.labels = list(labels)
        self.config = config

    @classmethod
    def train(cls, corpus: labeled.LabeledCorpus, config: DataConfig) -> Self:
        """The encoder of the tokens and labels of a corpus's training part."""
        texts = (clean(t) if config.clean else t for t in corpus.train.texts)
        tokenizer = WordTokenizer.train(texts, config.level, config.min_freq)
        return cls(tokenizer, corpus.labels, config)

    @classmethod
    def read(cls, workdir: Workdir, config: DataConfig) -> Self:
        """The encoder that `write` stored.

        Raises:
          UserError: if it is missing or damaged.
        """
        (vocab, labels), _ = workdir.read_vocab(
            lambda found: (Vocab.from_list(found["tokens"]), strings(found["labels"]))
        )
        return cls(WordTokenizer(vocab, config.level), labels, config)

    def write(self, workdir: Workdir, sha256: str) -> None:
        """Store the encoder as vocab.json."""
        tokens = {"labels": self.labels, "tokens": self.tokenizer.vocab.tokens}
        workdir.write_vocab(tokens, sha256)

    def encode_whole(self, text: str) -> np.ndarray:
        """All tokens of a text, int32 [N]."""
        return self.tokenizer.encode(clean(text) if self.config.clean else text)

    def split(self, text: str) -> list[str]:
        """The text of each token of `encode_whole`."""
        return self.tokenizer.split(clean(text) if self.config.clean else text)

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The tokens of each text, int32 [N], N at most `config.max_length`."""
        return [self.encode_whole(text)[: self.config.max_length] for text in texts]

    def encode_split(self, split: labeled.LabeledSplit) -> EncodedSplit:
        """Documents and labels as integers."""
        index_of = {label: index for index, label in enumerate(self.labels)}
        labels = np.asarray([index_of[label] for label in split.labels], np.int32)
        return EncodedSplit(self.encode(split.texts), labels)


def make_plan(split: EncodedSplit, batch_size: int, seed: int) -> EpochPlan:
    """epoch -> functions that each make one minibatch of training documents."""

    def make(rng: np.random.Generator) -> list[Callable[[], labeled.LabeledBatch]]:
        return [
            functools.partial(
                labeled.make_batch, split.documents, split.labels, bucket, split.offsets
            )
            for bucket in labeled.plan(split.documents, batch_size, rng)
        ]

    return epoch_plan(seed, make)


def note_unread(
    encoder: DocumentEncoder, texts: Sequence[str], documents: Sequence[np.ndarray]
) -> None:
    """Tell the user which tokens are unknown and how many documents are cut.

    Args:
      encoder: what encoded the texts.
      texts: the documents.
      documents: `encoder.encode(texts)`.
    """
    # Splitting a text again is only worth it for its unknown tokens.
    note_unknown(
        (encoder.split(text) if (tokens == UNK).any() else [], tokens)
        for text, tokens in zip(texts, documents, strict=True)
    )
    # A document that fills max_length may or may not be cut: encode it again.
    limit = encoder.config.max_length
    pairs = zip(texts, documents, strict=True)
    full = [text for text, tokens in pairs if len(tokens) == limit]
    cut = sum(len(encoder.encode_whole(text)) > limit for text in full)
    if cut:
        note(f"{cut:,} documents are cut to --max_length={limit} tokens.")
