"""Token files: written in pieces, read from the disk, refused when damaged."""

import re

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data.text import DataError, read_text
from seqjax.data.text_stream import text_pieces
from seqjax.data.text_tokenizer import TextSize, TextTokenizer
from seqjax.data.token_files import (
    is_token_file,
    open_corpus,
    open_token_file,
    write_token_file,
)
from seqjax.training import windows

TEXT = "to be or not to be\nthat is the question\n" * 30
WORDS = TextTokenizer.train(TEXT, "word")


def write(folder, part, tokenizer=WORDS, text=TEXT):
    path = folder / f"{part}.tokens"
    write_token_file(path, part, tokenizer, text.splitlines(keepends=True))
    return path


def corpus(folder):
    texts = {"train": TEXT, "valid": TEXT[1:], "test": TEXT[3:]}
    return [write(folder, part, text=text) for part, text in texts.items()]


def refused(function, *args):
    with pytest.raises(DataError) as error:
        function(*args)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("level", ["char", "word", "byte", "subword"])
def test_the_tokens_are_those_of_the_whole_text(tmp_path, level):
    tokenizer = TextTokenizer.train(TEXT, level, 1, 40)
    file = open_token_file(write(tmp_path, "train", tokenizer))
    expected = tokenizer.encode(TEXT)
    np.testing.assert_array_equal(file.read(), expected)
    np.testing.assert_array_equal(file.read(3, 9), expected[3:9])
    assert len(file) == len(expected)
    assert file.size == TextSize.of(TEXT)
    assert file.dtype == "<u2"


def test_wide_vocabularies_take_four_bytes(tmp_path):
    text = " ".join(map(str, range(70_000)))
    tokenizer = TextTokenizer.train(text, "word")
    file = open_token_file(write(tmp_path, "train", tokenizer, text))
    assert file.dtype == "<u4"
    np.testing.assert_array_equal(file.read(), tokenizer.encode(text))


def test_windows_are_those_of_a_text_in_memory(tmp_path):
    file = open_token_file(write(tmp_path, "train"))
    tokens = jnp.asarray(file.read())
    starts = np.array([[0, 7, 300], [1, len(tokens) - 3, len(tokens) - 1]])
    found = file.windows(starts, 5)
    for rows, begin in zip(found, starts, strict=True):
        np.testing.assert_array_equal(rows, windows(tokens, jnp.asarray(begin), 5))


def test_a_corpus_is_three_parts_of_one_vocabulary(tmp_path):
    train, valid, test = corpus(tmp_path)
    assert [file.part for file in open_corpus([train, valid, test])] == [
        "train",
        "valid",
        "test",
    ]
    assert "has the test part of a corpus, where the valid part" in refused(
        open_corpus, [train, test, valid]
    )
    assert "three were expected" in refused(open_corpus, [train])
    other = TextTokenizer.train(TEXT + "hamlet", "word")
    valid_as_test = write(tmp_path, "test", text=TEXT[1:])
    assert "hold the same tokens" in refused(open_corpus, [train, valid, valid_as_test])
    test = write(tmp_path, "test", other, TEXT[3:])
    assert f"{test} was made with another vocabulary than {train}" in refused(
        open_corpus, [train, valid, test]
    )


def test_damage_is_named(tmp_path):
    paths = corpus(tmp_path)
    content = paths[1].read_bytes()
    paths[1].write_bytes(content[:-4])
    assert "valid.tokens is truncated" in refused(open_corpus, paths)
    paths[1].write_bytes(content + b"ab")
    assert "valid.tokens is damaged" in refused(open_corpus, paths)
    paths[1].write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert "another checksum" in refused(open_corpus, paths)
    paths[1].write_bytes(content[:40])
    assert "truncated: its header has no end" in refused(open_corpus, paths)
    for name in ("part", "number", "size", "sha256", "dtype", "tokenizer"):
        changed = f'"{name[::-1]}"'.encode()
        paths[1].write_bytes(content.replace(f'"{name}"'.encode(), changed))
        assert "its header cannot be read" in refused(open_corpus, paths)
    paths[1].write_bytes(b"hello")
    assert "is no token file" in refused(open_corpus, paths)
    assert not is_token_file(paths[1])
    assert not is_token_file(tmp_path / "none")
    assert "cannot be read" in refused(open_token_file, tmp_path / "none")


def test_a_part_that_is_too_short_leaves_no_file(tmp_path):
    assert "the test part has 1 tokens" in refused(write, tmp_path, "test", WORDS, "to")
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------- texts in pieces


@settings(deadline=None, max_examples=60)
@given(
    text=st.text(st.sampled_from("ab é\n\r\u2028\ufeff"), min_size=1, max_size=60),
    size=st.integers(1, 7),
    whole_words=st.booleans(),
)
def test_pieces_are_the_text(tmp_path_factory, text, size, whole_words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seqjax.data.text_stream.PIECE", size)
        check_pieces(tmp_path_factory, text, whole_words)


def check_pieces(tmp_path_factory, text, whole_words):
    path = tmp_path_factory.getbasetemp() / "pieces.txt"
    path.write_bytes(text.encode())
    try:
        expected = read_text(path)
    except DataError as error:
        assert refused(list, text_pieces(path, whole_words)) == str(error)
        return
    pieces = list(text_pieces(path, whole_words))
    assert "".join(pieces) == expected
    for level in ("word", "char") if whole_words else ("char",):
        tokenizer = TextTokenizer.train(expected, level)
        parts = [tokenizer.encode(piece) for piece in pieces]
        np.testing.assert_array_equal(np.concatenate(parts), tokenizer.encode(expected))


def test_the_first_bad_byte_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("seqjax.data.text_stream.PIECE", 3)
    path = tmp_path / "bad.txt"
    for content in (b"abcd\xc3\xa9\xff", b"\xff", b"ab\xc3(abc", b"abc\xe2\x82"):
        path.write_bytes(content)
        offset = re.search(r"byte offset \d+", refused(read_text, path)).group()
        assert offset in refused(list, text_pieces(path))


def test_a_missing_or_damaged_file_is_named(tmp_path):
    assert "cannot be read" in refused(list, text_pieces(tmp_path / "none.txt"))
    (tmp_path / "bad.gz").write_bytes(b"\x1f\x8b\x08\x00abc")
    assert "cannot be decompressed" in refused(list, text_pieces(tmp_path / "bad.gz"))
