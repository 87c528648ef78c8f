"""The vocabulary: tokens to indices and back."""

from collections import Counter

import numpy as np

from seqjax.data.text import DataError

UNKNOWN = "<unk>"
# The first tokens of a vocabulary of sentences, by index.
SENTENCE_TOKENS = ("<pad>", "<bos>", "<eos>")
UNK, PAD, BOS, EOS = range(4)


class Vocab:
    """Tokens by falling frequency; index 0 is the unknown token.

    Indices: 0 is "<unk>", then the reserved tokens in the order given, then every token
    counted at least `min_freq` times, the most frequent first; ties in order of first
    occurrence.

    Args:
      tokens: an iterable of strings.
      min_freq: rarer tokens become unknown.
      reserved_tokens: tokens that are in whether counted or not, such as "<pad>".

    Raises:
      ValueError: for a reserved token given twice.

    Example:
      >>> vocab = Vocab("the time machine by the time".split())
      >>> vocab["the"], vocab[["time", "traveller"]], len(vocab)
      (1, [2, 0], 5)
      >>> vocab.to_tokens(1), vocab.to_tokens([2, 0])
      ('the', ['time', '<unk>'])
    """

    def __init__(self, tokens, min_freq=0, reserved_tokens=()):
        self.counts = Counter(tokens)
        first = [UNKNOWN, *reserved_tokens]
        if len(set(first)) < len(first):
            raise ValueError(f"reserved tokens must differ, got {first}")
        frequent = [t for t, n in self.counts.most_common() if n >= min_freq]
        self.tokens = first + [t for t in frequent if t not in set(first)]
        self._indices = {token: index for index, token in enumerate(self.tokens)}

    @classmethod
    def from_list(cls, tokens):
        """The vocabulary whose tokens by index are `tokens`, the first "<unk>".

        Raises:
          DataError: if it is not, or a token stands twice.
        """
        if not tokens or tokens[0] != UNKNOWN or len(set(tokens)) < len(tokens):
            raise DataError(
                f"a vocabulary must begin with {UNKNOWN} and hold no token twice."
            )
        return cls([], reserved_tokens=tokens[1:])

    def __len__(self):
        return len(self.tokens)

    def __contains__(self, token):
        return token in self._indices

    def __getitem__(self, tokens):
        """The index of a token, or the list of indices of a list; 0 for unknown."""
        if isinstance(tokens, str):
            return self._indices.get(tokens, 0)
        return [self._indices.get(token, 0) for token in tokens]

    def to_tokens(self, indices):
        """The token at an index, or the list of tokens at a list of indices."""
        if isinstance(indices, (int, np.integer)):
            return self.tokens[indices]
        return [self.tokens[index] for index in indices]

    def encode(self, tokens):
        """The indices of many tokens as an int32 array."""
        get = self._indices.get
        return np.fromiter((get(t, 0) for t in tokens), np.int32)
