"""The textbook's BLEU of a sentence, by hand and against the textbook's own loop."""

import collections
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.metrics import bleu

fuzz = settings(deadline=None, max_examples=200)
tokens = st.lists(st.sampled_from("abc"), max_size=7)


@pytest.mark.parametrize(
    ("prediction", "reference", "max_n", "want"),
    [
        # The textbook's example: p_1 = 4/5, p_2 = 3/4, p_3 = 1/3, p_4 = 0; too short.
        ("A B B C D", "A B C D E F", 1, math.exp(-1 / 5) * (4 / 5) ** 0.5),
        (
            "A B B C D",
            "A B C D E F",
            2,
            math.exp(-1 / 5) * (4 / 5) ** 0.5 * (3 / 4) ** 0.25,
        ),
        (
            "A B B C D",
            "A B C D E F",
            3,
            math.exp(-1 / 5) * (4 / 5) ** 0.5 * (3 / 4) ** 0.25 * (1 / 3) ** 0.125,
        ),
        ("A B B C D", "A B C D E F", 4, 0.0),
        # Brevity: all that is there is right.
        ("A B", "A B C D E F", 2, math.exp(-2)),
        ("A", "A B", 1, math.exp(-1)),
        # A prediction too long is not punished but by its precision.
        ("A B C D", "A B", 1, (2 / 4) ** 0.5),
        ("A B C D", "A B", 2, (2 / 4) ** 0.5 * (1 / 3) ** 0.25),
        # Clipped: an n-gram counts as often as the reference has it.
        ("the the the the", "the cat the mat", 1, (2 / 4) ** 0.5),
        ("a b a b a b", "a b c a b c", 2, (4 / 6) ** 0.5 * (2 / 5) ** 0.25),
        # n goes no further than the prediction is long.
        ("go", "go .", 2, math.exp(-1)),
        ("go", "go", 4, 1.0),
        ("il est calme .", "il est calme .", 2, 1.0),
        # Order is in the pairs only.
        ("b a", "a b", 1, 1.0),
        ("b a", "a b", 2, 0.0),
        ("x y", "a b", 2, 0.0),
        ("aa b", "a ab b x aa", 2, 0.0),  # letters are no pair
        ("", "a b", 2, 0.0),
        ("", "", 2, 0.0),
        ("a", "", 2, 0.0),
        (
            "je suis las .",
            "je suis chez moi .",
            2,
            math.exp(-1 / 4) * 0.75**0.5 / 3**0.25,
        ),
        ("elle court .", "il court .", 2, (2 / 3) ** 0.5 * (1 / 2) ** 0.25),
    ],
)
def test_bleu_by_hand(prediction, reference, max_n, want):
    got = bleu(prediction.split(), reference.split(), max_n)
    assert isinstance(got, float)
    assert got == pytest.approx(want, rel=1e-12, abs=0)


def loop(prediction, reference, k):
    """The textbook's function, as published but for tokens given as such."""
    if not prediction:
        return 0.0
    score = math.exp(min(0, 1 - len(reference) / len(prediction)))
    for n in range(1, min(k, len(prediction)) + 1):
        matches, subs = 0, collections.defaultdict(int)
        for i in range(len(reference) - n + 1):
            subs[" ".join(reference[i : i + n])] += 1
        for i in range(len(prediction) - n + 1):
            if subs[" ".join(prediction[i : i + n])] > 0:
                matches += 1
                subs[" ".join(prediction[i : i + n])] -= 1
        score *= math.pow(matches / (len(prediction) - n + 1), math.pow(0.5, n))
    return score


@fuzz
@given(prediction=tokens, reference=tokens, max_n=st.integers(1, 5))
def test_bleu_is_the_textbooks_loop(prediction, reference, max_n):
    got = bleu(prediction, reference, max_n)
    assert got == pytest.approx(loop(prediction, reference, max_n), rel=1e-12, abs=0)
    assert 0 <= got <= 1


@fuzz
@given(prediction=tokens, reference=tokens)
def test_bleu_of_two_letters_is_one_for_equality_only(prediction, reference):
    perfect = bleu(prediction, reference, 7) == 1
    assert perfect == (prediction == reference != [])
