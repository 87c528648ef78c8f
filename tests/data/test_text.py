"""Text read, reduced to letters, and split into characters and words."""

import bz2
import errno
import lzma
import os

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seqjax.data.text import DataError, detokenize, keep_letters, read_text, tokenize

fuzz = settings(deadline=None, max_examples=50)
# White space of every kind, letters of one to four bytes; no "<eos>".
messy = st.text(alphabet=" \t\n\r\v\f\x1c\x85\xa0\u2028\u3000aZé漢🎈<>,'")
words = st.text(alphabet="aZé漢🎈<>,'", min_size=1)


def write(folder, content):
    path = folder / "book.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"\xef\xbb\xbfto be\n", "to be\n"),
        (b"one\r\ntwo\rthree\n\rfour\r\n", "one\ntwo\rthree\n\rfour\n"),
        ("naïve café 漢字 🎈".encode(), "naïve café 漢字 🎈"),
        (b" \n x", " \n x"),
        (b"a\0b", "a\0b"),
    ],
    ids=["bom_dropped", "line_ends", "utf8", "outer_space_kept", "nul_kept"],
)
def test_read_text(tmp_path, content, text):
    assert read_text(write(tmp_path, content)) == text
    assert read_text(str(tmp_path / "book.txt")) == text


@fuzz
@given(text=messy.filter(str.strip))
def test_only_crlf_changes(tmp_path_factory, text):
    path = write(tmp_path_factory.getbasetemp(), text.encode())
    assert read_text(path) == "\n".join(text.split("\r\n"))


@pytest.mark.parametrize(
    "content", [b"", b" \n\t\r\n", b"\xef\xbb\xbf", "\u3000\n".encode()]
)
def test_a_text_without_a_word_is_refused(tmp_path, content):
    path = write(tmp_path, content)
    with pytest.raises(DataError) as error:
        read_text(path)
    assert str(error.value) == f"{path} is empty; text to learn from was expected."


@pytest.mark.parametrize(
    ("content", "bad", "offset"),
    [
        (b"plain \xff", "ff", 6),
        ("é漢".encode() + b"\x80 more", "80", 5),  # 2 + 3 bytes before it
        (b"cut short \xe6\xbc", "e6", 10),
        ("caf\xe9 au lait".encode("latin-1"), "e9", 3),
        (b"\xef\xbb\xbf\x85", "85", 3),  # a byte-order mark has bytes too
        (b"line\r\nline\r\n\xed\xa0\x80", "ed", 12),  # so have line ends; a surrogate
    ],
)
def test_the_error_gives_the_offset_of_the_first_bad_byte(
    tmp_path, content, bad, offset
):
    path = write(tmp_path, content)
    with pytest.raises(DataError) as error:
        read_text(path)
    place = f"byte 0x{bad} at byte offset {offset}"
    assert str(error.value) == f"{path} is not UTF-8: {place}."


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (bz2.compress(b"text"), "compressed by bzip2"),
        (lzma.compress(b"text"), "compressed by xz"),
        (b"PK\x03\x04\x14\x00\x08\x08\xff", "a zip archive"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF"),
        (b"RIFF\xff\xff\xff\xffWAVEfmt ", "a wav recording"),
        ("wide".encode("utf-16"), "UTF-16"),
        ("wide".encode("utf-16-be").join([b"\xfe\xff", b""]), "UTF-16"),
    ],
)
def test_other_kinds_of_files_are_named(tmp_path, content, kind):
    path = write(tmp_path, content)
    with pytest.raises(DataError) as error:
        read_text(path)
    assert str(error.value).startswith(f"{path} is {kind}")
    assert str(error.value).endswith("; UTF-8 text was expected.")


@fuzz
@given(before=messy, after=st.binary())
def test_the_offset_counts_bytes_not_characters(tmp_path_factory, before, after):
    assume(before or after[:1] not in (b"\xfe", b"\xd8"))  # UTF-16, or an image
    start = before.encode()
    path = write(tmp_path_factory.getbasetemp(), start + b"\xff" + after)
    with pytest.raises(DataError, match=rf"byte 0xff at byte offset {len(start)}\.$"):
        read_text(path)


@pytest.mark.parametrize(
    ("place", "complaint"),
    [
        ("absent.txt", "does not exist; a text file was expected."),
        (".", "is a directory; a text file was expected."),
        ("book.txt/chapter", f"cannot be read: {os.strerror(errno.ENOTDIR)}."),
        ("x" * 300, f"cannot be read: {os.strerror(errno.ENAMETOOLONG)}."),
    ],
    ids=["missing", "directory", "in_a_file", "name_too_long"],
)
def test_paths_that_are_not_files_are_refused(tmp_path, place, complaint):
    write(tmp_path, b"a book")
    path = tmp_path / place
    with pytest.raises(DataError) as error:
        read_text(path)
    assert str(error.value) == f"{path} {complaint}"


def test_keep_letters_as_the_textbook_prints_it():
    raw = "The Time Machine, by H. G. Wells [1898]\n\n\n\n\nI\n\n\nThe Time Tra"
    assert keep_letters(raw) == "the time machine by h g wells i the time tra"


@pytest.mark.parametrize(
    ("text", "letters"),
    [("", ""), ("1898!", ""), ("don't", "don t"), ("Ünï-Code9x", "n code x")],
)
def test_keep_letters_by_hand(text, letters):
    assert keep_letters(text) == letters


@fuzz
@given(text=st.text())
def test_keep_letters_makes_other_characters_a_single_space(text):
    spaced = "".join(c if "a" <= c <= "z" else " " for c in text.lower())
    assert keep_letters(text) == " ".join(spaced.split())


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", []),
        ("to be", ["to", "be"]),
        ("to be\n", ["to", "be", "<eos>"]),
        ("to be\nor not", ["to", "be", "<eos>", "or", "not"]),
        ("\n\n x \n", ["<eos>", "<eos>", "x", "<eos>"]),
        (
            "a\tb\xa0c\u2028d",
            ["a", "b", "c", "d"],
        ),  # white space that is not the end of a line
    ],
)
def test_words_are_split_at_white_space_and_lines_end_in_eos(text, tokens):
    assert tokenize(text, "word") == tokens


@fuzz
@given(text=messy)
def test_there_is_an_eos_for_each_line_end_and_no_white_space_in_a_word(text):
    tokens = tokenize(text, "word")
    assert tokens.count("<eos>") == text.count("\n")
    assert all(token.split() == [token] for token in tokens)


@fuzz
@given(text=st.text())
def test_characters_join_to_the_text(text):
    tokens = tokenize(text, "char")
    assert len(tokens) == len(text)
    assert detokenize(tokens, "char") == text


@fuzz
@given(text=messy)
def test_words_join_to_the_text_with_single_spaces(text):
    tidy = "\n".join(" ".join(line.split()) for line in text.split("\n"))
    assert detokenize(tokenize(text, "word"), "word") == tidy


@fuzz
@given(tokens=st.lists(words | st.just("<eos>")))
def test_joined_words_are_split_to_the_same_words(tokens):
    assert tokenize(detokenize(tokens, "word"), "word") == tokens


@pytest.mark.parametrize("level", ["line", "", "Char", None])
def test_an_unknown_level_is_refused(level):
    with pytest.raises(ValueError, match='level must be "char" or "word", got'):
        tokenize("to be", level)
