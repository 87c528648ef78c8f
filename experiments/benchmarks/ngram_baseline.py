"""N-gram counts and relative frequencies in seqjax and nltk.lm.

Used by `benchmarks.baselines`. Needs nltk.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from experiments.benchmarks import environment, timing
from experiments.benchmarks.config import format_shape
from experiments.common.errors import UserError
from seqjax.baselines import ngram
from seqjax.baselines.ngram import NgramModel
from seqjax.data import corpora
from seqjax.data.ngrams import count_ngrams
from seqjax.data.vocab import Vocab

SIZES = [(100_000, 3), (100_000, 5)]  # tokens, order
QUICK_SIZES = [(10_000, 3)]


def measure(num_tokens: int, order: int, rounds: int) -> dict[str, Any]:
    """The record of one size: tokens per second of both arms.

    Args:
      num_tokens: N, characters of the embedded text; the whole text if it is shorter.
      order: the length of the longest n-grams.
      rounds: timed calls of each arm.

    Returns:
      {"shape": "NxORDER", "arms": {name: {"seconds", "tokens_per_second"}}, "ratio"}.

    Raises:
      UserError: if the models differ, or nltk is not installed.
    """
    environment.require("nltk")
    data = corpora.tokenize_corpus(corpora.load("python_docs"), "char")
    tokens = data.train[:num_tokens]
    words = data.vocab.to_tokens(tokens)
    ours, theirs = train(tokens, len(data.vocab), order), train_nltk(words, order)
    check_equal(ours, theirs, data.vocab)
    calls: dict[str, timing.Call] = {
        "seqjax": lambda: train(tokens, len(data.vocab), order),
        "nltk": lambda: train_nltk(words, order),
    }
    seconds = timing.time_calls(calls, rounds)
    arms = {
        name: {
            "seconds": timing.spread(times),
            "tokens_per_second": timing.spread([len(tokens) / s for s in times]),
        }
        for name, times in seconds.items()
    }
    ours_median, theirs_median = (
        arms[name]["seconds"]["median"] for name in ("seqjax", "nltk")
    )
    shape = format_shape((len(tokens), order))
    return {"shape": shape, "arms": arms, "ratio": ours_median / theirs_median}


def train(tokens: np.ndarray, vocab_size: int, order: int) -> NgramModel:
    """The model of relative frequencies: Laplace smoothing with epsilons of 0."""
    return ngram.laplace(count_ngrams(tokens, vocab_size, order), [0.0] * order)


def train_nltk(words: Sequence[str], order: int) -> Any:
    """The same model by nltk.lm, from tokens as strings."""
    from nltk.lm import MLE
    from nltk.util import everygrams

    model = MLE(order)
    model.fit([everygrams(words, max_len=order)], vocabulary_text=words)
    return model


def check_equal(
    ours: NgramModel, theirs: Any, vocab: Vocab, num_checked: int = 100
) -> None:
    """Refuse models that differ in a count or in a probability.

    Args:
      ours: the model of seqjax.
      theirs: the model of nltk.
      vocab: the tokens of `ours` as strings.
      num_checked: number of n-grams of each order whose probabilities are compared.

    Raises:
      UserError: naming the n-gram.
    """
    rng = np.random.default_rng(0)
    total = sum(np.count_nonzero(counts) for counts in ours.counts.counts)
    num_nltk = sum(1 for _ in nltk_ngrams(theirs))
    if total != num_nltk:
        raise UserError(f"seqjax has {total} different n-grams, nltk has {num_nltk}.")
    for n, counts in enumerate(ours.counts.counts, 1):
        indices = np.flatnonzero(counts)
        ngrams = ours.counts.tokens_of(n, indices)
        for row, count in zip(ngrams.tolist(), counts[indices], strict=True):
            *context, word = vocab.to_tokens(row)
            after = theirs.counts[context] if context else theirs.counts.unigrams
            if after[word] != count:
                raise _difference("count", [*context, word], count, after[word])
        for row in ngrams[rng.integers(len(ngrams), size=num_checked)].tolist():
            *context, word = vocab.to_tokens(row)
            got = ours.distribution(row[:-1])[row[-1]]
            want = theirs.score(word, context)
            if abs(got - want) > 1e-12:
                raise _difference("probability", [*context, word], got, want)


def nltk_ngrams(model: Any) -> Iterator[str]:
    """The last token of every n-gram of an nltk model."""
    for n in range(1, model.order + 1):
        tables = model.counts[n].values() if n > 1 else [model.counts.unigrams]
        for table in tables:
            yield from table


def _difference(name: str, tokens: Sequence[str], got: Any, want: Any) -> UserError:
    return UserError(f"the {name} of {tokens} is {got} in seqjax and {want} in nltk.")
