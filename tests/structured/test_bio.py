"""Schemes of spans: BIO as potentials, and the others converted to it and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.metrics import spans
from seqjax.structured.bio import (
    OUTSIDE,
    SCHEMES,
    bio_potentials,
    find_scheme,
    from_bio,
    to_bio,
)

fuzz = settings(deadline=None, max_examples=200)
TAGS = ("O", "B-x", "I-x", "I-y")


def test_bio_forbids_invalid_sequences():
    start, transition = bio_potentials(TAGS)
    assert start.tolist() == [0, 0, -np.inf, -np.inf]
    for i, j in np.ndindex(transition.shape):
        allowed = (TAGS[i], TAGS[j]) in (("B-x", "I-x"), ("I-x", "I-x"), ("I-y", "I-y"))
        assert (transition[i, j] == 0) == (allowed or TAGS[j] in ("O", "B-x"))
    assert not np.any(bio_potentials(("NOUN", "VERB", "X-I"))[1])


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        ("", None),
        ("O", None),
        ("O B-x I-x", "BIO"),
        ("O I-x", "BIO"),  # the older form of it
        ("B-x", "BIO"),
        ("B I O", "BIO"),
        ("B-x I O", "BIO"),
        ("B", "BIO"),
        ("O B-x I-x E-x S-y", "IOBES"),
        ("O S-a-b", "IOBES"),
        ("O B-x L-x", "BILOU"),
        ("O U-x", "BILOU"),
        ("B M E S", "BMES"),  # the words of a Chinese sentence
        ("O B-x M-x E-x", "BMES"),
        ("O B-x M-x E-x W-x", "BMEWO"),
        ("B I L U O", "BILOU"),
        # Other tags.
        ("NOUN VERB X", None),
        ("NOUN O", None),
        ("I O", None),
        ("S O", None),
        ("B S", None),
        ("B NOUN", None),
        ("IN O", None),
        ("V-PAST N-SG", None),
        ("NN-TL O", None),
        ("B-x NOUN", None),
    ],
)
def test_the_letters_tell_the_scheme(tags, scheme):
    assert find_scheme(tags.split()) == scheme


@pytest.mark.parametrize(
    ("tags", "sentence"),
    [
        ("O B-x E-x L-x", "the tags mix schemes of spans: no one of BIO, IOBES, BILOU"),
        ("O B-x I-x M-x", "has all of the letters B, I, M"),
        ("O S-x U-x", "letters S, U"),
        ("O B-x X-y", "the tag X-y, beside B-x is of no known scheme"),
        ("O X-y", "the tag X-y is of no known scheme of spans (BIO, IOBES, "),
        ("O B-x NOUN", "the tag NOUN, beside B-x is of no known scheme"),
    ],
)
def test_mixed_and_unknown_schemes_are_refused(tags, sentence):
    with pytest.raises(ValueError, match="scheme") as error:
        find_scheme(tags.split())
    assert sentence in str(error.value)


pieces = st.lists(
    st.tuples(st.sampled_from(["", "-x", "-y", "-a-b"]), st.integers(0, 4))
)


def write(drawn, scheme):
    """The tags of spans of these types and lengths; length 0 is a word outside."""
    first, inner, last, only = SCHEMES[scheme]
    tags = []
    for kind, length in drawn:
        letters = [first, *[inner] * (length - 2), last] if length > 1 else [only]
        tags += [f"{letter}{kind}" for letter in letters] if length else [OUTSIDE]
    return tags


@fuzz
@given(pieces, st.sampled_from(sorted(SCHEMES)))
def test_every_scheme_converts_to_bio_and_back(drawn, scheme):
    tags, bio = write(drawn, scheme), write(drawn, "BIO")
    assert to_bio(tags) == bio
    assert from_bio(bio, scheme) == tags


@fuzz
@given(
    st.lists(st.sampled_from(["O", *(f"{c}-{k}" for c in "BIESLUMW" for k in "xy")]))
)
def test_what_is_converted_is_valid_bio(tags):
    bio = to_bio(tags)
    start, transition = bio_potentials(sorted({*bio, "O"}))
    index = {tag: i for i, tag in enumerate(sorted({*bio, "O"}))}
    before = None
    for tag, found in zip(tags, bio, strict=True):
        assert (found == "O") == (tag == "O") and found[2:] == tag[2:]
        row = start if before is None else transition[before]
        before = index[found]
        assert row[before] == 0


@fuzz
@given(st.lists(st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y"])))
def test_bio_has_the_same_spans_after_conversion(tags):
    assert spans(to_bio(tags)) == spans(tags)
