"""Naive Bayes, by hand."""

import numpy as np
import pytest

from seqjax.baselines import naive_bayes


def test_the_textbooks_example():
    """Manning et al. 2008, example 13.1: Chinese Beijing Shanghai Macao Tokyo Japan."""
    train = [[0, 1, 0], [0, 0, 2], [0, 3], [4, 5, 0]]
    documents = [np.array(words) for words in train]
    model = naive_bayes.fit(documents, [0, 0, 0, 1], 6, 2)
    np.testing.assert_allclose(np.exp(model.log_prior), [3 / 4, 1 / 4])
    chinese, japan = np.exp(model.log_likelihood[:, [0, 5]]).T
    np.testing.assert_allclose(chinese, [6 / 14, 2 / 9])
    np.testing.assert_allclose(japan, [1 / 14, 2 / 9])
    test = [np.array([0, 0, 0, 4, 5]), np.array([5], int), np.zeros(0, int)]
    scores = np.exp(model.scores(test))
    by_hand = [3 / 4 * (3 / 7) ** 3 / 14**2, 1 / 4 * (2 / 9) ** 5]
    np.testing.assert_allclose(scores[0], by_hand)
    np.testing.assert_allclose(scores[1:], [[3 / 56, 1 / 18], [3 / 4, 1 / 4]])
    assert model.predict(test).tolist() == [0, 1, 0]


def test_smoothing_adds_to_each_count():
    documents = [np.array([0]), np.array([1, 1])]
    model = naive_bayes.fit(documents, [0, 1], 3, 2, smoothing=0.5)
    wanted = [[1.5 / 2.5, 0.5 / 2.5, 0.5 / 2.5], [0.5 / 3.5, 2.5 / 3.5, 0.5 / 3.5]]
    np.testing.assert_allclose(np.exp(model.log_likelihood), wanted)


def test_no_documents_give_no_scores():
    model = naive_bayes.fit([np.array([0]), np.array([1])], [0, 1], 2, 2)
    assert model.scores([]).shape == (0, 2)


@pytest.mark.parametrize("smoothing", [1.0, 0.25])
def test_leaving_one_out_is_counting_anew_without_it(smoothing):
    rng = np.random.default_rng(0)
    documents = [rng.integers(0, 6, n) for n in (4, 0, 1, 7, 5)]
    labels = [0, 1, 2, 1, 0]  # the label 2 once
    found = naive_bayes.leave_one_out_scores(documents, labels, 6, 3, smoothing)
    prior = np.log([2 / 5, 2 / 5, 1 / 5])
    for i, words in enumerate(documents):
        counts = np.full((3, 6), smoothing)
        for j, other in enumerate(documents):
            for word in other[: len(other) * (j != i)]:
                counts[labels[j], word] += 1
        likelihood = np.log(counts / counts.sum(axis=1, keepdims=True))
        want = prior + sum(likelihood[:, word] for word in words)
        np.testing.assert_allclose(found[i], want)
