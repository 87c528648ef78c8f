"""Counting n-grams and making the model of relative frequencies, beside nltk.lm.

For `benchmarks.baselines`, which has the flags and the table. Both must have the same
counts and probabilities before anything is timed. nltk is needed (`pip install nltk`).
"""

import numpy as np

from experiments import run
from experiments.benchmarks import timing
from seqjax.baselines import ngram
from seqjax.data import corpora
from seqjax.data.ngrams import count_ngrams

SIZES = [(100_000, 3), (100_000, 5)]  # tokens, order
QUICK_SIZES = [(10_000, 3)]


def measure(num_tokens, order, rounds):
    """The record of one size: equality, then tokens a second.

    Args:
      num_tokens: characters of the embedded text, N; all of it if there are fewer.
      order: of the longest n-grams.
      rounds: timed calls of each arm.

    Returns:
      {"shape": "NxORDER", "arms": {name: {"seconds", "tokens_per_second"}}, "ratio"}.

    Raises:
      UserError: if the two differ, or nltk is not installed.
    """
    if not timing.installed("nltk"):
        raise run.UserError(
            "the peer is missing: pip install nltk, then run this again."
        )
    data = corpora.tokenize_corpus(corpora.load("python_docs"), "char")
    tokens = data.train[:num_tokens]
    words = data.vocab.to_tokens(tokens)
    ours, theirs = train(tokens, len(data.vocab), order), train_nltk(words, order)
    check_equal(ours, theirs, data.vocab)
    calls = {
        "seqjax": lambda: train(tokens, len(data.vocab), order),
        "nltk": lambda: train_nltk(words, order),
    }
    seconds = timing.take_turns(
        {name: timing.warmed(call) for name, call in calls.items()}, rounds
    )
    arms = {
        name: {
            "seconds": timing.spread(times),
            "tokens_per_second": timing.spread([len(tokens) / s for s in times]),
        }
        for name, times in seconds.items()
    }
    medians = [arms[name]["seconds"]["median"] for name in ("seqjax", "nltk")]
    shape = timing.joined((len(tokens), order))
    return {"shape": shape, "arms": arms, "ratio": medians[0] / medians[1]}


def train(tokens, vocab_size, order):
    """The model of relative frequencies: Laplace's, with epsilons of 0."""
    return ngram.laplace(count_ngrams(tokens, vocab_size, order), [0.0] * order)


def train_nltk(words, order):
    """The same by nltk.lm, from tokens as strings."""
    from nltk.lm import MLE
    from nltk.util import everygrams

    model = MLE(order)
    model.fit([everygrams(words, max_len=order)], vocabulary_text=words)
    return model


def check_equal(ours, theirs, vocab, contexts=100):
    """Refuse models of which a count of any n-gram, or a probability, differs.

    Args:
      contexts: how many contexts of each order have their probabilities compared.

    Raises:
      UserError: naming the n-gram.
    """
    rng = np.random.default_rng(0)
    total = sum(np.count_nonzero(number) for number in ours.counts.counts)
    if total != sum(1 for _ in nltk_ngrams(theirs)):
        raise run.UserError(f"nltk has not the {total} different n-grams of seqjax.")
    for n, number in enumerate(ours.counts.counts, 1):
        places = np.flatnonzero(number)
        ngrams = ours.counts.tokens_of(n, places)
        for row, count in zip(ngrams.tolist(), number[places], strict=True):
            *context, word = vocab.to_tokens(row)
            after = theirs.counts[context] if context else theirs.counts.unigrams
            if after[word] != count:
                raise differ([*context, word], count, after[word])
        for row in ngrams[rng.integers(len(ngrams), size=contexts)].tolist():
            *context, word = vocab.to_tokens(row)
            got = ours.distribution(row[:-1])[row[-1]]
            want = theirs.score(word, context)
            if abs(got - want) > 1e-12:
                raise differ([*context, word], got, want)


def nltk_ngrams(model):
    """Every n-gram that an nltk model holds, once."""
    for n in range(1, model.order + 1):
        tables = model.counts[n].values() if n > 1 else [model.counts.unigrams]
        for table in tables:
            yield from table


def differ(tokens, got, want):
    return run.UserError(f"{tokens}: {got} in seqjax and {want} in nltk.")
