"""The vocabulary: tokens to indices and back."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np

from seqjax.data.text import DataError

UNKNOWN = "<unk>"
# The tokens after "<unk>" in a vocabulary of sentences, by index.
SENTENCE_TOKENS = ("<pad>", "<bos>", "<eos>")
UNK, PAD, BOS, EOS = range(4)


class Vocab:
    """Tokens by decreasing frequency; index 0 is the unknown token.

    Indices: 0 is "<unk>", then the reserved tokens in their order, then every token
    that occurs at least `min_freq` times, the most frequent first; ties in the order of
    first occurrence.

    Args:
      tokens: an iterable of strings, or a Counter of them.
      min_freq: tokens that are less frequent become unknown.
      reserved_tokens: tokens that are in the vocabulary at any frequency, such as
        "<pad>".

    Raises:
      ValueError: if two reserved tokens are equal.

    Example:
      >>> vocab = Vocab("the time machine by the time".split())
      >>> vocab["the"], vocab[["time", "traveller"]], len(vocab)
      (1, [2, 0], 5)
      >>> vocab.to_tokens(1), vocab.to_tokens([2, 0])
      ('the', ['time', '<unk>'])
    """

    def __init__(
        self,
        tokens: Iterable[str],
        min_freq: int = 0,
        reserved_tokens: Iterable[str] = (),
    ) -> None:
        self.counts = tokens if isinstance(tokens, Counter) else Counter(tokens)
        first = [UNKNOWN, *reserved_tokens]
        if len(set(first)) < len(first):
            raise ValueError(f"reserved tokens must differ, got {first}")
        frequent = [t for t, n in self.counts.most_common() if n >= min_freq]
        self.tokens = first + [t for t in frequent if t not in set(first)]
        self._indices = {token: index for index, token in enumerate(self.tokens)}

    @classmethod
    def from_list(cls, tokens: Sequence[str]) -> "Vocab":
        """The vocabulary of a list of tokens by index.

        Raises:
          DataError: if the first token is not "<unk>", two tokens are equal, or one is
            no string.
        """
        are_strings = all(isinstance(token, str) for token in tokens)
        if not (tokens and tokens[0] == UNKNOWN and are_strings):
            raise DataError(f"a vocabulary must begin with {UNKNOWN} and hold strings.")
        if len(set(tokens)) < len(tokens):
            raise DataError("a vocabulary must hold no token twice.")
        return cls([], reserved_tokens=tokens[1:])

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._indices

    # A str is an Iterable[str] too; the first overload decides.
    @overload
    def __getitem__(self, tokens: str) -> int: ...  # type: ignore[overload-overlap]

    @overload
    def __getitem__(self, tokens: Iterable[str]) -> list[int]: ...

    def __getitem__(self, tokens: str | Iterable[str]) -> int | list[int]:
        """The index of a token, or the indices of a list of tokens; 0 for unknown."""
        if isinstance(tokens, str):
            return self._indices.get(tokens, 0)
        return [self._indices.get(token, 0) for token in tokens]

    @overload
    def to_tokens(self, indices: int | np.integer) -> str: ...

    @overload
    def to_tokens(self, indices: Iterable[int] | np.ndarray) -> list[str]: ...

    def to_tokens(
        self, indices: int | np.integer | Iterable[int] | np.ndarray
    ) -> str | list[str]:
        """The token at an index, or the tokens at a list of indices."""
        if isinstance(indices, (int, np.integer)):
            return self.tokens[indices]
        return [self.tokens[index] for index in indices]

    def encode(self, tokens: Iterable[str]) -> np.ndarray:
        """The indices of many tokens, int32 [N]."""
        get = self._indices.get
        return np.fromiter((get(t, 0) for t in tokens), np.int32)
