"""Sentences to tokens and back: words, characters, or subwords by sentencepiece.

A tokenizer has `encode(sentence) -> int32 array`, `decode(tokens) -> sentence`,
`pieces(tokens) -> list of strings`, and a length, the size of its vocabulary. Tokens 0
to 3 are unknown, padding, begin and end.
"""

import bisect
import io
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import numpy as np

from seqjax.data.text import DataError, read_bytes
from seqjax.data.vocab import BOS, EOS, PAD, SENTENCE_TOKENS, UNK, Vocab

NUM_SEGMENTATIONS = 64  # the most probable ones of a word, which sampling draws from


class WordTokenizer:
    """Tokens between white space (level "word") or single characters ("char").

    Args:
      vocab: a Vocab with `SENTENCE_TOKENS` reserved.
      level: "word" or "char".

    Example:
      >>> words = WordTokenizer.train(["go .", "i go ."], level="word", min_freq=1)
      >>> words.decode(words.encode("go i"))
      'go i'
    """

    def __init__(self, vocab: Vocab, level: str) -> None:
        self.vocab = vocab
        self.level = level

    @classmethod
    def train(
        cls, sentences: Iterable[str], level: str, min_freq: int
    ) -> "WordTokenizer":
        """A tokenizer of the tokens that occur at least `min_freq` times."""
        tokens = (token for s in sentences for token in _pieces(s, level))
        return cls(Vocab(tokens, min_freq, SENTENCE_TOKENS), level)

    def __len__(self) -> int:
        return len(self.vocab)

    def encode(self, sentence: str) -> np.ndarray:
        """The tokens of a sentence, int32 [N]; the word "<eos>" in it is unknown."""
        tokens = self.vocab.encode(_pieces(sentence, self.level))
        return np.where(tokens < 4, UNK, tokens).astype(np.int32)

    def decode(self, tokens: Iterable[int]) -> str:
        """The sentence of the tokens, with <unk> for the unknown token."""
        pieces = self.pieces(t for t in tokens if t not in (PAD, BOS, EOS))
        return (" " if self.level == "word" else "").join(pieces)

    def pieces(self, tokens: Iterable[int]) -> list[str]:
        """The text of each token."""
        return [self.vocab.to_tokens(int(t)) for t in tokens]


def _pieces(sentence: str, level: str) -> list[str]:
    return sentence.split() if level == "word" else list(sentence)


class SubwordTokenizer:
    """Pieces of words by sentencepiece's unigram model (Kudo 2018, arXiv:1804.10959).

    Args:
      model: the bytes of a sentencepiece model.

    Raises:
      DataError: if the package sentencepiece is missing.
    """

    def __init__(self, model: bytes) -> None:
        self.model = model
        self._processor = _sentencepiece().SentencePieceProcessor(model_proto=model)
        self._segmentations: dict[
            tuple[str, float], tuple[list[list[int]], list[float]]
        ] = {}

    @classmethod
    def train(cls, sentences: Iterable[str], vocab_size: int) -> "SubwordTokenizer":
        """A tokenizer of at most `vocab_size` pieces.

        Raises:
          DataError: if the text is too short, or has more characters than that.
        """
        trainer = _sentencepiece().SentencePieceTrainer
        sentences, model = list(sentences), io.BytesIO()
        try:
            trainer.train(
                sentence_iterator=iter(sentences),
                model_writer=model,
                model_type="unigram",
                vocab_size=vocab_size,
                hard_vocab_limit=False,
                character_coverage=1.0,
                max_sentence_length=1 << 16,
                num_threads=1,
                minloglevel=2,
                unk_id=UNK,
                pad_id=PAD,
                bos_id=BOS,
                eos_id=EOS,
            )
        except (RuntimeError, OSError):
            letters = len(set[str]().union(*sentences))
            raise DataError(
                f"sentencepiece cannot learn {vocab_size} subwords from "
                f"{len(sentences)} sentences with {letters} different characters; it "
                f"needs more subwords than characters, and enough text."
            ) from None
        return cls(model.getvalue())

    @classmethod
    def load(cls, path: str | Path) -> "SubwordTokenizer":
        """The tokenizer of a model file.

        Raises:
          DataError: if the file is missing or is not a sentencepiece model.
        """
        model = read_bytes(path)
        try:
            if model:  # sentencepiece accepts no bytes, as a processor without a model
                return cls(model)
        except RuntimeError:
            pass
        raise DataError(f"{path} is not a sentencepiece model.")

    def __len__(self) -> int:
        return self._processor.get_piece_size()

    def encode(self, sentence: str) -> np.ndarray:
        """The most probable segmentation, int32 [N]."""
        return np.asarray(self._processor.encode(sentence), np.int32)

    def sample(
        self, sentence: str, alpha: float, rng: np.random.Generator
    ) -> np.ndarray:
        """A random segmentation, int32 [N], drawn independently for each word.

        P(segmentation) is proportional to its unigram probability to the power alpha,
        among the `NUM_SEGMENTATIONS` most probable ones of the word.

        Args:
          sentence: the text.
          alpha: 0 is the uniform distribution; a large alpha prefers the most probable.
          rng: a NumPy Generator.
        """
        words = self._processor.normalize(sentence).split("\u2581")
        drawn: list[int] = []
        for word, u in zip(words, rng.random(len(words)), strict=True):
            if (word, alpha) not in self._segmentations:
                self._segmentations[word, alpha] = self._segment(word, alpha)
            choices, cumulative = self._segmentations[word, alpha]
            index = bisect.bisect(cumulative, u * cumulative[-1], hi=len(choices) - 1)
            drawn += choices[index]
        return np.asarray(drawn, np.int32)

    def _segment(self, word: str, alpha: float) -> tuple[list[list[int]], list[float]]:
        """The most probable segmentations of a word, and their cumulative weights."""
        if not word:  # before the first word
            return [[]], [1.0]
        choices = self._processor.nbest_encode(word, nbest_size=NUM_SEGMENTATIONS)
        score = self._processor.get_score
        scores = np.asarray([sum(score(piece) for piece in c) for c in choices])
        weights = np.exp(alpha * (scores - scores[0]))
        return choices, weights.cumsum().tolist()

    def decode(self, tokens: Iterable[int]) -> str:
        """The sentence of the tokens."""
        return self._processor.decode([int(t) for t in tokens])

    def pieces(self, tokens: Iterable[int]) -> list[str]:
        """The text of each token, with "▁" where a word begins."""
        return [self._processor.id_to_piece(int(t)) for t in tokens]


def _sentencepiece() -> ModuleType:
    try:
        import sentencepiece
    except ImportError:
        raise DataError(
            'subwords need sentencepiece: pip install "seqjax[experiments]".'
        ) from None
    return sentencepiece
