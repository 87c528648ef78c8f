"""A running text to tokens and back: characters, words, bytes or subwords."""

import base64
import codecs
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from seqjax.data.text import DataError, detokenize, tokenize
from seqjax.data.tokenizers import SubwordTokenizer
from seqjax.data.vocab import EOS, UNKNOWN, Vocab

LEVELS = ("char", "word", "byte", "subword")
NUM_SUBWORDS = 8000


@dataclasses.dataclass(frozen=True)
class TextTokenizer:
    """How a text becomes tokens.

    "char": every character is a token. "word": white space separates the tokens.
    "byte": every byte of the UTF-8 text is a token, and all 256 are in the vocabulary.
    "subword": pieces of words by sentencepiece, which reads runs of spaces as one.

    Where `line_ends` is set, words and subwords have the token "<eos>" at the end of
    each line; otherwise the end of a line is white space.

    Args:
      level: one of `LEVELS`.
      vocab: the tokens by index.
      subwords: the sentencepiece model of level "subword".
      line_ends: whether the end of a line is a token.

    Example:
      >>> tokenizer = TextTokenizer.train("to be\\nor not to be\\n", "word")
      >>> tokens = tokenizer.encode("not to\\nbe")
      >>> tokenizer.split("not to\\nbe"), tokenizer.decode(tokens)
      (['not', 'to', '<eos>', 'be'], 'not to\\nbe')
    """

    level: str
    vocab: Vocab
    subwords: SubwordTokenizer | None = None
    line_ends: bool = True

    @classmethod
    def train(
        cls,
        text: str,
        level: str,
        min_freq: int = 1,
        num_subwords: int = NUM_SUBWORDS,
        line_ends: bool = True,
    ) -> "TextTokenizer":
        """The tokenizer of a training text.

        Args:
          text: the training text.
          level: one of `LEVELS`.
          min_freq: characters and words that are less frequent become unknown.
          num_subwords: the largest number of subwords.
          line_ends: see the class.

        Raises:
          DataError: if sentencepiece cannot learn so many subwords from the text.
        """
        if level == "subword":
            lines = (line for line in text.split("\n") if line.strip())
            model = SubwordTokenizer.train(lines, num_subwords)
            return cls.of_subwords(model, line_ends)
        if level == "byte":
            return cls("byte", _BYTES)
        tokens = _split(text, level, line_ends)
        return cls(level, Vocab(tokens, min_freq), None, line_ends)

    @classmethod
    def of_subwords(
        cls, model: SubwordTokenizer, line_ends: bool = True
    ) -> "TextTokenizer":
        """The tokenizer of a sentencepiece model."""
        pieces = model.pieces(range(len(model)))
        return cls("subword", Vocab.from_list(pieces), model, line_ends)

    def describe(self) -> Any:
        """JSON values from which `of_description` makes the tokenizer again."""
        described: dict[str, Any] = {"level": self.level, "line_ends": self.line_ends}
        if self.subwords is not None:
            described["model"] = base64.b64encode(self.subwords.model).decode()
        elif self.level != "byte":
            described["tokens"] = self.vocab.tokens
        return described

    @classmethod
    def of_description(cls, described: Any) -> "TextTokenizer":
        """The tokenizer that `describe` described.

        Raises:
          DataError: if it is damaged.
        """
        try:
            level, line_ends = described["level"], bool(described["line_ends"])
            if level == "byte":
                return cls("byte", _BYTES)
            if level == "subword":
                model = base64.b64decode(described["model"], validate=True)
                return cls.of_subwords(SubwordTokenizer(model), line_ends)
            return cls(level, Vocab.from_list(described["tokens"]), None, line_ends)
        except (KeyError, TypeError, ValueError, RuntimeError):
            raise DataError("the vocabulary is damaged.") from None

    def __len__(self) -> int:
        return len(self.vocab)

    def split(self, text: str) -> list[str]:
        """The tokens of a text as strings; a byte is the character of its number."""
        if self.level == "subword":
            return self.vocab.to_tokens(self.encode(text))
        return _split(text, self.level, self.line_ends)

    def encode(self, text: str) -> np.ndarray:
        """The tokens of a text, int32 [N]; unknown ones are 0."""
        if self.level == "byte":
            return np.frombuffer(_to_bytes(text), np.uint8).astype(np.int32) + 1
        if self.level == "subword":
            return self._subwords_of(text)
        return self.vocab.encode(_split(text, self.level, self.line_ends))

    def _subwords_of(self, text: str) -> np.ndarray:
        assert self.subwords is not None
        *lines, last = text.split("\n")
        end, found = np.array([EOS] * self.line_ends, np.int32), []
        for line in lines:
            found += [self.subwords.encode(line), end]
        return np.concatenate([*found, self.subwords.encode(last)]).astype(np.int32)

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens, with "<unk>" for the unknown one; white space may differ.

        Args:
          tokens: integers in [0, len(self)).
        """
        return "".join(self.stream(tokens))

    def stream(
        self, tokens: Iterable[int], before: Sequence[int] = ()
    ) -> Iterator[str]:
        """The text of each token after others, as the tokens come.

        Args:
          tokens: integers in [0, len(self)).
          before: the tokens before them, whose text is not yielded.
        """
        if self.level == "byte":
            yield from _stream_bytes(tokens)
        elif self.level == "subword":
            yield from self._stream_subwords(tokens, before)
        else:
            last = [self.vocab.to_tokens(int(t)) for t in before[-1:]]
            for index in tokens:
                token = self.vocab.to_tokens(int(index))
                joined = detokenize([*last, token], self.level)
                yield joined.removeprefix(detokenize(last, self.level))
                last = [token]

    def _stream_subwords(
        self, tokens: Iterable[int], before: Sequence[int]
    ) -> Iterator[str]:
        """Line by line, because sentencepiece drops the space before a line."""
        assert self.subwords is not None
        line = list(before)
        if EOS in line:
            line = line[len(line) - line[::-1].index(EOS) :]
        shown = self.subwords.decode(line)
        for token in tokens:
            if token == EOS:
                line, shown = [], ""
                yield "\n"
                continue
            line.append(int(token))
            text = self.subwords.decode(line)
            yield text.removeprefix(shown)
            shown = text


_BYTES = Vocab.from_list([UNKNOWN, *map(chr, range(256))])


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")  # a cut may divide a character


def _split(text: str, level: str, line_ends: bool) -> list[str]:
    if level == "byte":
        return list(_to_bytes(text).decode("latin-1"))
    tokens = tokenize(text, level)
    if level == "word" and not line_ends:
        return text.split()
    return tokens


def _stream_bytes(tokens: Iterable[int]) -> Iterator[str]:
    """Whole characters; a byte that is none becomes U+FFFD."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for token in tokens:
        content = bytes([int(token) - 1]) if token else UNKNOWN.encode()
        yield decoder.decode(content)
    yield decoder.decode(b"", final=True)


@dataclasses.dataclass(frozen=True)
class TextSize:
    """How long a text is, for measures that compare levels.

    Example:
      >>> TextSize.of("één\\n twee")
      TextSize(characters=9, bytes=11, words=3)
    """

    characters: int
    bytes: int
    words: int  # with the ends of lines

    @classmethod
    def of(cls, text: str) -> "TextSize":
        """The size of a text."""
        words = sum(1 for token in tokenize(text, "word") if token)
        return cls(len(text), len(_to_bytes(text)), words)
