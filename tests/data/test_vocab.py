"""The vocabulary: the index of each token."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data.text import DataError
from seqjax.data.vocab import Vocab

fuzz = settings(deadline=None, max_examples=50)
RESERVED = ["<pad>", "<bos>"]
texts = st.lists(st.sampled_from(["a", "b", "c", "漢", "", "<pad>", "<unk>"]))
TEXT = ["the", "time", "machine", "by", "the", "time", "the"]


def test_indices_by_hand():
    vocab = Vocab(TEXT, reserved_tokens=RESERVED)
    order = ["<unk>", "<pad>", "<bos>", "the", "time", "machine", "by"]
    assert vocab.tokens == order
    assert len(vocab) == 7
    assert [vocab[token] for token in order] == [0, 1, 2, 3, 4, 5, 6]
    assert vocab["traveller"] == 0
    assert vocab.counts["the"] == 3


@pytest.mark.parametrize(
    ("min_freq", "kept"),
    [
        (0, ["the", "time", "machine", "by"]),
        (1, ["the", "time", "machine", "by"]),
        (2, ["the", "time"]),
        (3, ["the"]),
        (4, []),
    ],
)
def test_rarer_than_min_freq_is_unknown(min_freq, kept):
    vocab = Vocab(TEXT, min_freq, ["<pad>"])  # reserved tokens need not occur
    assert vocab.tokens == ["<unk>", "<pad>", *kept]
    for token in TEXT:
        assert (token in vocab) == (token in kept)
        assert (vocab[token] > 0) == (token in kept)


@fuzz
@given(tokens=texts, min_freq=st.integers(0, 4))
def test_order_is_decreasing_frequency_then_first_occurrence(tokens, min_freq):
    vocab = Vocab(tokens, min_freq, RESERVED)
    assert vocab.tokens[:3] == ["<unk>", *RESERVED]
    rest = {t for t in tokens if tokens.count(t) >= min_freq} - set(vocab.tokens[:3])
    by_hand = sorted(rest, key=lambda t: (-tokens.count(t), tokens.index(t)))
    assert vocab.tokens[3:] == by_hand
    assert len(vocab) == 3 + len(by_hand)


@fuzz
@given(tokens=texts, new=st.lists(st.sampled_from("abcxyz")))
def test_tokens_come_back_unless_unknown(tokens, new):
    vocab = Vocab(tokens)
    seen = [token if token in tokens else "<unk>" for token in new]
    assert vocab.to_tokens(vocab[new]) == seen
    assert [vocab.to_tokens(vocab[token]) for token in new] == seen
    assert [token in vocab for token in new] == [token in tokens for token in new]


@fuzz
@given(tokens=texts, new=texts)
def test_encode_is_the_list_of_indices_as_int32(tokens, new):
    vocab = Vocab(tokens, min_freq=2)
    for indices in (vocab.encode(new), vocab.encode(iter(new))):
        assert indices.dtype == np.int32
        assert indices.shape == (len(new),)
        assert indices.tolist() == vocab[new]


@fuzz
@given(tokens=texts, min_freq=st.integers(0, 3))
def test_from_list_gives_the_same_indices_again(tokens, min_freq):
    vocab = Vocab(tokens, min_freq, RESERVED)
    again = Vocab.from_list(list(vocab.tokens))
    assert again.tokens == vocab.tokens
    assert again[tokens] == vocab[tokens]
    assert len(again) == len(vocab)


@pytest.mark.parametrize(
    "tokens", [[], ["the", "<unk>"], ["unk", "the"], ["<unk>", 5], "a"]
)
def test_from_list_must_begin_with_unk(tokens):
    with pytest.raises(DataError, match="a vocabulary must begin with <unk>"):
        Vocab.from_list(tokens)


@pytest.mark.parametrize(
    "reserved", [["<pad>", "<bos>", "<pad>"], ["<unk>"], ["<bos>", "<unk>"]]
)
def test_a_reserved_token_given_twice_is_refused(reserved):
    with pytest.raises(ValueError, match="reserved tokens must differ"):
        Vocab(TEXT, reserved_tokens=reserved)
    with pytest.raises(ValueError, match=r"must differ|token twice"):
        Vocab.from_list(["<unk>", *reserved])


@pytest.mark.parametrize("kind", [int, np.int32, np.int64, np.uint8])
def test_integers_of_every_kind_are_indices(kind):
    vocab = Vocab(TEXT)
    assert vocab.to_tokens(kind(2)) == "time"
    assert vocab.to_tokens([kind(1), kind(0)]) == ["the", "<unk>"]


def test_arrays_are_lists_of_indices():
    vocab = Vocab(TEXT)
    assert vocab.to_tokens(np.asarray([1, 3], np.int32)) == ["the", "machine"]
    assert vocab.to_tokens(vocab.encode(TEXT)) == TEXT
    assert vocab[np.asarray(["by", "the"])] == [4, 1]
    assert vocab[("by", "no", "the")] == [4, 0, 1]
    assert vocab[[]] == vocab.to_tokens([]) == []


def test_an_index_past_the_end_is_an_error():
    vocab = Vocab(TEXT)
    with pytest.raises(IndexError):
        vocab.to_tokens(len(vocab))
