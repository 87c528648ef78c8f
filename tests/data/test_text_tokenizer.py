"""Running texts to tokens and back, at every level."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data.corpora import Corpus, split_by_position, tokenize_corpus
from seqjax.data.text import DataError
from seqjax.data.text_tokenizer import LEVELS, TextSize, TextTokenizer
from seqjax.data.vocab import EOS

fuzz = settings(deadline=None, max_examples=50)
TEXT = "The cat sat on the mat.\nA dog, Émile, ran\n\noff — far.\n" * 20
TOKENIZERS = {level: TextTokenizer.train(TEXT, level, 1, 60) for level in LEVELS}
every_level = pytest.mark.parametrize("level", LEVELS)


@every_level
def test_a_text_comes_back(level):
    tokenizer = TOKENIZERS[level]
    tokens = tokenizer.encode(TEXT)
    assert tokens.dtype == np.int32
    assert tokens.min() > 0 and tokens.max() < len(tokenizer)
    assert tokenizer.decode(tokens) == TEXT
    assert len(tokenizer.split(TEXT)) == len(tokens)


@every_level
def test_a_description_makes_the_same_tokenizer(level):
    tokenizer = TOKENIZERS[level]
    again = TextTokenizer.of_description(json.loads(json.dumps(tokenizer.describe())))
    np.testing.assert_array_equal(again.encode(TEXT), tokenizer.encode(TEXT))
    assert again.describe() == tokenizer.describe()


@fuzz
@given(text=st.text(max_size=30))
def test_every_text_is_bytes(text):
    tokenizer = TOKENIZERS["byte"]
    tokens = tokenizer.encode(text)
    np.testing.assert_array_equal(tokens - 1, list(text.encode()))
    assert tokenizer.decode(tokens) == text


def test_bytes_that_are_no_character_are_replaced():
    assert TOKENIZERS["byte"].decode([1 + 0xC3, 1 + ord("a")]) == "\ufffda"


@pytest.mark.parametrize("level", ["char", "word", "subword"])
@fuzz
@given(cut=st.integers(1, 100), size=st.integers(0, 40))
def test_a_stream_continues_what_was_before(level, cut, size):
    tokenizer = TOKENIZERS[level]
    tokens = tokenizer.encode(TEXT).tolist()
    before, after = tokens[:cut], tokens[cut : cut + size]
    shown = tokenizer.decode(before) + "".join(tokenizer.stream(after, before))
    assert shown == tokenizer.decode(tokens[: cut + size])


def test_lines_end_where_they_are_asked_to():
    for level in ("word", "subword"):
        without = TextTokenizer.train(TEXT, level, 1, 60, line_ends=False)
        ends = [t for t in without.split(TEXT) if t in ("<eos>", "</s>")]
        assert ends == []
        with_ends = TOKENIZERS[level].encode(TEXT)
        end = EOS if level == "subword" else TOKENIZERS[level].vocab["<eos>"]
        assert (with_ends == end).sum() == TEXT.count("\n")
        assert len(without.encode(TEXT)) == len(with_ends) - TEXT.count("\n")


def test_a_size_counts_characters_bytes_and_words_with_line_ends():
    assert TextSize.of("één twee\n\nx") == TextSize(11, 13, 5)


def test_a_damaged_description_is_refused():
    for described in ({}, [], {"level": "subword", "line_ends": True, "model": "??"}):
        with pytest.raises(DataError, match="vocabulary is damaged"):
            TextTokenizer.of_description(described)


# ---------------------------------------------------------------- splits


@pytest.mark.parametrize(
    ("split", "by_bytes", "expected"),
    [
        ((90, 5, 5), False, ("é" * 18, "é", "é")),
        ((50, 30, 20), False, ("é" * 10, "é" * 6, "é" * 4)),
        ((10, 6, 4), False, ("é" * 10, "é" * 6, "é" * 4)),
        ((20, 12, 8), True, ("é" * 10, "é" * 6, "é" * 4)),
    ],
)
def test_a_text_is_split_by_percent_or_by_sizes(split, by_bytes, expected):
    corpus = split_by_position("x", "é" * 20, "", split, by_bytes)
    assert (corpus.train, corpus.valid, corpus.test) == expected


def test_bytes_of_a_divided_character_stay():
    corpus = split_by_position("x", "aé" * 10, "", (2, 5, 23), by_bytes=True)
    tokens = tokenize_corpus(corpus, "byte")
    whole = ("aé" * 10).encode()
    parts = [tokens.train, tokens.valid, tokens.test]
    assert [len(part) for part in parts] == [2, 5, 23]
    np.testing.assert_array_equal(np.concatenate(parts) - 1, list(whole))


@pytest.mark.parametrize(
    ("split", "named"),
    [
        ((90, 10, 0), "90,10,0 leaves a part empty"),
        ((900, 50, 51), "adds up to 1,001; 100 percent or the 1,000 characters"),
        ((80, 10, 5), "adds up to 95; 100 percent"),
    ],
)
def test_a_split_that_does_not_fit_is_refused(split, named):
    with pytest.raises(DataError, match=named):
        split_by_position("x.txt", "a" * 1000, "", split)


def test_levels_are_compared_by_hand():
    """The loss of a uniform guess, spread over words and bytes."""
    from experiments.language_model.measures import measures

    text = "ab é\nab\n" * 20  # 3 words and 2 ends of lines, 8 characters, 9 bytes
    size = TextSize.of(text)
    assert (size.characters, size.bytes, size.words) == (160, 180, 100)
    corpus = Corpus("x", text, text, text, "")
    for level, number in {"char": 160, "word": 100, "byte": 180, "subword": 0}.items():
        tokens = tokenize_corpus(corpus, level, num_subwords=20).test
        number = number or len(tokens)
        assert len(tokens) == number
        total = np.log(10) * (number - 1)
        found = measures("test", level, size, total, number - 1)
        assert found["test_perplexity"] == pytest.approx(10)
        per_word = np.exp(total / 99)  # all words but the first
        assert found["test_perplexity_per_word"] == pytest.approx(per_word)
        bits = total / np.log(2)
        by_bytes = bits / (179 if level == "byte" else 180)
        by_characters = bits / (159 if level == "char" else 160)
        assert found["test_bits_per_byte"] == pytest.approx(by_bytes)
        assert found["test_bits_per_character"] == pytest.approx(by_characters)
