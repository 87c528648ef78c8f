"""The n-gram benchmark: records, and the check of counts and probabilities."""

import pytest

from experiments.benchmarks import environment, ngram_baseline
from experiments.common.errors import UserError
from seqjax.data.vocab import Vocab

WORDS = ["a", "b", "a", "b", "c", "a", "a", "b", "c", "c", "a"]


def test_both_arms_are_measured():
    pytest.importorskip("nltk", reason="the peer is nltk")
    record = ngram_baseline.measure(500, 3, rounds=1)
    assert record["shape"] == "500x3"
    medians = [record["arms"][n]["seconds"]["median"] for n in ("seqjax", "nltk")]
    assert record["ratio"] == pytest.approx(medians[0] / medians[1])


def test_models_that_differ_are_refused():
    pytest.importorskip("nltk", reason="the peer is nltk")
    vocab = Vocab(WORDS)
    ours = ngram_baseline.train(vocab.encode(WORDS), len(vocab), 2)
    same = ngram_baseline.train_nltk(WORDS, 2)
    ngram_baseline.check_equal(ours, same, vocab)
    for other in (
        ngram_baseline.train_nltk(WORDS[::-1], 2),
        ngram_baseline.train_nltk([*WORDS, "b"], 2),
        ngram_baseline.train_nltk(WORDS, 3),
    ):
        with pytest.raises(UserError, match="nltk"):
            ngram_baseline.check_equal(ours, other, vocab)


def test_missing_nltk_is_an_error(monkeypatch):
    monkeypatch.setattr(environment, "installed", lambda package: False)
    with pytest.raises(UserError, match="pip install nltk"):
        ngram_baseline.measure(500, 3, rounds=1)
