"""Sentences to tokens and back: words, characters, or subwords by sentencepiece.

A tokenizer has `encode(sentence) -> int32 array`, `decode(tokens) -> sentence`,
`split(sentence)` and `pieces(tokens)`, which return lists of strings, and a length, the
size of its vocabulary. Tokens 0 to 3 are unknown, padding, begin and end.
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
WHITE_SPACE = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005"
    "\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
)
# sentencepiece reserves these four. Noncharacters, which no text contains (Unicode
# Standard, section 23.7), stand for them in a model.
_RESERVED = {0x00: 0xFDD0, 0x1F: 0xFDD1, 0x2581: 0xFDD2, 0x2585: 0xFDD3}
_RESTORED = {stand_in: code for code, stand_in in _RESERVED.items()}


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

    def split(self, sentence: str) -> list[str]:
        """The text of each token of `encode`."""
        return _pieces(sentence, self.level)

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

    Letters, signs and spaces of every kind come back as they went in, so that
    `decode(encode(text))` is the text, with these exceptions:

    - spaces (U+0020) at the ends are dropped, and several are read as one;
    - other white space that is not in the vocabulary is read as a space;
    - any other character that is not in the vocabulary is the unknown token.

    Args:
      model: the bytes of a sentencepiece model.

    Raises:
      DataError: if the package sentencepiece is missing.
    """

    def __init__(self, model: bytes) -> None:
        self.model = model
        self._processor = _sentencepiece().SentencePieceProcessor(model_proto=model)
        known = set("".join(self.pieces(range(len(self)))))
        unknown_space = {ord(c): " " for c in WHITE_SPACE if c not in known}
        self._written: dict[int, int | str] = {**_RESERVED, **unknown_space}
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
        sentences = [sentence.translate(_RESERVED) for sentence in sentences]
        letters, model = set[str]().union(*sentences), io.BytesIO()
        try:
            trainer.train(
                sentence_iterator=iter(sentences),
                model_writer=model,
                model_type="unigram",
                vocab_size=vocab_size,
                hard_vocab_limit=False,
                normalization_rule_name="identity",
                character_coverage=1.0,
                # A text may hold letters only in words such as "<s>", which are left
                # out of the training.
                required_chars="".join(sorted(letters - {" "})),
                max_sentence_length=1 << 16,
                num_threads=1,
                minloglevel=2,
                unk_id=UNK,
                pad_id=PAD,
                bos_id=BOS,
                eos_id=EOS,
            )
        except (RuntimeError, OSError):
            raise DataError(
                f"sentencepiece cannot learn {vocab_size} subwords from "
                f"{len(sentences)} sentences with {len(letters)} different characters; "
                f"it needs more subwords than characters, and enough text."
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
        written = sentence.translate(self._written)
        return np.asarray(self._processor.encode(written), np.int32)

    def split(self, sentence: str) -> list[str]:
        """The text of each token of `encode`, with "▁" where a word begins."""
        return self._processor.encode(sentence, out_type=str)

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
        written = sentence.translate(self._written)
        words = self._processor.normalize(written).split("\u2581")
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
        return self._processor.decode([int(t) for t in tokens]).translate(_RESTORED)

    def pieces(self, tokens: Iterable[int]) -> list[str]:
        """The text of each token, with "▁" where a word begins."""
        pieces = (self._processor.id_to_piece(int(t)) for t in tokens)
        return [piece.translate(_RESTORED) for piece in pieces]


def _sentencepiece() -> ModuleType:
    try:
        import sentencepiece
    except ImportError:
        raise DataError(
            'subwords need sentencepiece: pip install "seqjax[experiments]".'
        ) from None
    return sentencepiece
