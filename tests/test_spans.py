"""Spans and their scores: by hand, and against conlleval's rules written as a table."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.metrics import SpanScores, span_scores, spans

fuzz = settings(deadline=None, max_examples=200)
tag = st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y", "B-a-b", "I-a-b"])
sentence = st.lists(tag, max_size=6)


@pytest.mark.parametrize(
    ("tags", "want"),
    [
        ("", []),
        ("O O", []),
        ("B-x", [(0, 1, "x")]),
        ("B-x I-x O", [(0, 2, "x")]),
        ("B-x B-x I-x", [(0, 1, "x"), (1, 3, "x")]),  # they touch
        ("B-x B-y", [(0, 1, "x"), (1, 2, "y")]),
        ("B-x I-y", [(0, 1, "x"), (1, 2, "y")]),  # another type begins
        ("I-x I-x", [(0, 2, "x")]),  # I without B begins a span
        ("O I-x B-x I-x", [(1, 2, "x"), (2, 4, "x")]),
        ("I-x O I-x", [(0, 1, "x"), (2, 3, "x")]),
        ("B-x I-x I-y I-y O", [(0, 2, "x"), (2, 4, "y")]),
        ("B-a-b I-a-b", [(0, 2, "a-b")]),  # types may have hyphens
        ("B I B", [(0, 2, ""), (2, 3, "")]),  # or no name
        ("O I", [(1, 2, "")]),
    ],
)
def test_spans_by_hand(tags, want):
    assert spans(tags.split()) == want


def ends(before, after):
    """conlleval's endOfChunk, rule by rule."""
    (p, _, kind), (q, _, other) = before.partition("-"), after.partition("-")
    rules = (("B", "B"), ("B", "O"), ("I", "B"), ("I", "O"))
    return (p, q) in rules or (p not in "O" and kind != other)


def begins(before, after):
    """conlleval's startOfChunk, rule by rule."""
    (p, _, kind), (q, _, other) = before.partition("-"), after.partition("-")
    rules = (("B", "B"), ("I", "B"), ("O", "B"), ("O", "I"))
    return (p, q) in rules or (q not in "O" and kind != other)


@fuzz
@given(sentence)
def test_spans_are_conllevals(tags):
    padded, want, begin = ["O", *tags, "O"], [], None
    for i in range(1, len(padded)):
        if ends(padded[i - 1], padded[i]):
            want.append((begin - 1, i - 1, padded[begin].partition("-")[2]))
        if begins(padded[i - 1], padded[i]):
            begin = i
    assert spans(tags) == want


@pytest.mark.parametrize(
    ("gold", "predicted", "want"),
    [  # gold, predicted, correct
        ("B-x I-x O", "B-x I-x O", (1, 1, 1)),
        ("B-x I-x O", "B-x O O", (1, 1, 0)),  # half a span does not count
        ("B-x I-x O", "B-x I-x I-x", (1, 1, 0)),
        ("B-x O", "B-y O", (1, 1, 0)),  # the right position, the wrong type
        ("B-x I-x", "B-x B-x", (1, 2, 0)),  # one span, not two that touch
        ("B-x B-x", "B-x I-x", (2, 1, 0)),
        ("B-x B-y", "I-x I-y", (2, 2, 2)),
        ("O I-x I-x", "O B-x I-x", (1, 1, 1)),
        ("O O", "O O", (0, 0, 0)),
        ("B-x", "O", (1, 0, 0)),
    ],
)
def test_counts_by_hand(gold, predicted, want):
    found, _ = span_scores([gold.split()], [predicted.split()])
    assert found[3:] == want


def test_scores_by_hand():
    gold = ["B-x I-x O B-y", "B-x", "O B-y I-y", "O"]
    ours = ["B-x I-x O B-x", "B-x", "B-y B-y O", "B-z"]
    total, by_type = span_scores(*([s.split() for s in side] for side in (gold, ours)))
    assert by_type == {
        "x": SpanScores(2 / 3, 1.0, 0.8, 2, 3, 2),
        "y": SpanScores(0.0, 0.0, 0.0, 2, 2, 0),
        "z": SpanScores(0.0, 0.0, 0.0, 0, 1, 0),
    }
    assert total == pytest.approx((2 / 6, 2 / 4, 0.4, 4, 6, 2))


def test_a_span_ends_with_its_sentence():
    total, _ = span_scores([["B-x"], ["I-x"]], [["B-x"], ["I-x"]])
    assert total.correct == 2


def test_sentences_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="a sentence has 2 tags, but 1 predicted"):
        span_scores([["O", "O"]], [["O"]])
    with pytest.raises(ValueError, match="zip"):
        span_scores([["O"]], [])


@fuzz
@given(st.lists(st.tuples(sentence, st.integers(0, 99)), max_size=4))
def test_f1_is_symmetric_and_one_only_for_equal_spans(drawn):
    gold = [tags for tags, _ in drawn]
    ours = [
        tags[n % (len(tags) + 1) :] + tags[: n % (len(tags) + 1)] for tags, n in drawn
    ]
    there, back = span_scores(gold, ours)[0], span_scores(ours, gold)[0]
    assert there.f1 == back.f1 and there.precision == back.recall
    same = [*map(spans, gold)] == [*map(spans, ours)]
    assert (there.f1 == 1) == (same and there.gold > 0)
    p, r = there.precision, there.recall
    assert there.f1 == pytest.approx(2 * p * r / (p + r) if p + r else 0)
