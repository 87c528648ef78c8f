"""The textbook's cleaning: by hand, by laws, and against the textbook's own code."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data.text import clean

fuzz = settings(deadline=None, max_examples=50)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Go.", "go ."),
        ("I'm OK, you?", "i'm ok , you ?"),
        ("Ça alors\u202f!", "ça alors !"),
        ("Qui\xa0?\xa0Moi\u2009!", "qui ? moi !"),
        ("already , spaced . out !", "already , spaced . out !"),
        ("Run!!", "run ! !"),
        ("Wait... what?!", "wait . . . what ? !"),
        ("...so", ". . .so"),
        ("at 4:00 p.m., but", "at 4:00 p .m . , but"),
        ("a;b: (c) d'e-f", "a;b: (c) d'e-f"),
        ("  two   spaces \t", "two spaces"),
        ("ÉCOLE Ü", "école ü"),
        ("", ""),
        ("\u202f", ""),
    ],
)
def test_cleaning_by_hand(text, cleaned):
    assert clean(text) == cleaned


messy = st.text(alphabet=",.!?aZéÀ'- \t\xa0\u202f\u2009")


@fuzz
@given(text=messy)
def test_cleaning_twice_is_cleaning_once(text):
    assert clean(clean(text)) == clean(text)


@fuzz
@given(text=messy)
def test_cleaning_changes_only_white_space_and_case(text):
    assert "".join(clean(text).split()) == "".join(text.lower().split())


def textbook(text):
    """Dive into Deep Learning, section 10.5: MTFraEng._preprocess, to its tokens."""
    text = text.replace("\u202f", " ").replace("\xa0", " ")

    def no_space(char, before):
        return char in ",.!?" and before != " "

    spaced = [
        " " + char if i > 0 and no_space(char, text[i - 1]) else char
        for i, char in enumerate(text.lower())
    ]
    return [token for token in "".join(spaced).split(" ") if token]


@fuzz
@given(text=st.text(alphabet=",.!?abZéÀ'- \xa0\u202f"))
def test_cleaned_words_are_the_textbooks_tokens(text):
    assert clean(text).split(" ") == (textbook(text) or [""])


def test_fra_eng_is_cleaned_as_in_the_textbook(real_pairs):
    corpus = real_pairs("fra_eng")
    hard = re.compile(
        r"[,.!?]{2}|[,.!?]\S|^[,.!?]"
    )  # punctuation next to other characters
    sentences = corpus.test.target + [
        s for side in corpus.train for s in side if hard.search(s)
    ]
    assert len(sentences) > 3_193
    for sentence in sentences:
        assert clean(sentence).split(" ") == textbook(sentence)
