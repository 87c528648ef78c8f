"""Sentences to tokens and back: words, characters, or subwords by sentencepiece.

A tokenizer has `encode(sentence) -> int32 array`, `decode(tokens) -> sentence` and a
length. Tokens 0 to 3 are unknown, padding, begin and end in all.
"""

import bisect
import io

import numpy as np
import sentencepiece

from seqjax.data.text import DataError, read_bytes
from seqjax.data.vocab import BOS, EOS, PAD, SENTENCE_TOKENS, UNK, Vocab

SAMPLED = 64  # segmentations of a word that sampling chooses from


class Words:
    """Tokens by white space ("word") or one by one ("char").

    Args:
      vocab: a Vocab with `SENTENCE_TOKENS` reserved.
      level: "word" or "char".

    Example:
      >>> words = Words.train(["go .", "i go ."], level="word", min_freq=1)
      >>> words.decode(words.encode("go i"))
      'go i'
    """

    def __init__(self, vocab, level):
        self.vocab = vocab
        self.level = level

    @classmethod
    def train(cls, sentences, level, min_freq):
        """The tokens of some sentences, those counted at least `min_freq` times."""
        tokens = (token for s in sentences for token in _pieces(s, level))
        return cls(Vocab(tokens, min_freq, SENTENCE_TOKENS), level)

    def __len__(self):
        return len(self.vocab)

    def encode(self, sentence):
        """int32 [N]; a word of the text that looks like "<eos>" is unknown."""
        tokens = self.vocab.encode(_pieces(sentence, self.level))
        return np.where(tokens < 4, UNK, tokens).astype(np.int32)

    def decode(self, tokens):
        """The sentence; a token that is unknown shows as <unk>."""
        pieces = self.pieces(t for t in tokens if t not in (PAD, BOS, EOS))
        return (" " if self.level == "word" else "").join(pieces)

    def pieces(self, tokens):
        """The tokens as text, one by one."""
        return [self.vocab.to_tokens(int(t)) for t in tokens]


def _pieces(sentence, level):
    return sentence.split() if level == "word" else list(sentence)


class Subwords:
    """Pieces of words by sentencepiece's unigram model (Kudo 2018, arXiv:1804.10959).

    Args:
      model: the bytes of a sentencepiece model.
    """

    def __init__(self, model):
        self.model = model
        self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        self._words = {}

    @classmethod
    def train(cls, sentences, vocab_size):
        """A model of at most `vocab_size` pieces.

        Raises:
          DataError: if the text is too little, or has more letters than that.
        """
        sentences, model = list(sentences), io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
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
            letters = len(set().union(*sentences))
            raise DataError(
                f"no {vocab_size} subwords could be learned from {len(sentences)} "
                f"sentences of {letters} different characters; more subwords than "
                f"characters are needed, and text."
            ) from None
        return cls(model.getvalue())

    @classmethod
    def load(cls, path):
        """Read a model from a file.

        Raises:
          DataError: if it is missing or is none.
        """
        model = read_bytes(path)
        try:
            if model:  # of no bytes sentencepiece makes a processor without a model
                return cls(model)
        except RuntimeError:
            pass
        raise DataError(f"{path} is no sentencepiece model.")

    def __len__(self):
        return self._processor.get_piece_size()

    def encode(self, sentence):
        """The likeliest segmentation, int32 [N]."""
        return np.asarray(self._processor.encode(sentence), np.int32)

    def sample(self, sentence, alpha, rng):
        """A segmentation drawn word by word, int32 [N].

        P(segmentation) is proportional to its unigram probability to the power alpha,
        among the `SAMPLED` likeliest of a word.

        Args:
          alpha: 0 draws all alike; large ones the likeliest.
          rng: a numpy Generator.
        """
        words = self._processor.normalize(sentence).split("\u2581")
        drawn = []
        for word, u in zip(words, rng.random(len(words)), strict=True):
            if (word, alpha) not in self._words:
                self._words[word, alpha] = self._segmentations(word, alpha)
            choices, cumulative = self._words[word, alpha]
            place = bisect.bisect(cumulative, u * cumulative[-1], hi=len(choices) - 1)
            drawn += choices[place]
        return np.asarray(drawn, np.int32)

    def _segmentations(self, word, alpha):
        """The likeliest of a word, and their weights summed up."""
        if not word:  # before the first
            return [[]], [1.0]
        choices = self._processor.nbest_encode(word, nbest_size=SAMPLED)
        score = self._processor.get_score
        scores = np.asarray([sum(score(piece) for piece in c) for c in choices])
        weights = np.exp(alpha * (scores - scores[0]))
        return choices, weights.cumsum().tolist()

    def decode(self, tokens):
        """The sentence."""
        return self._processor.decode([int(t) for t in tokens])

    def pieces(self, tokens):
        """The tokens as text, one by one, "▁" where a word begins."""
        return [self._processor.id_to_piece(int(t)) for t in tokens]
