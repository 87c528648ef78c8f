"""Word vectors from files as GloVe, fastText and word2vec write them."""

import gzip

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from seqjax.data import vectors
from seqjax.data.text import DataError

GLOVE = "the 0.25 -1.5 3e-2\nof 1 2 3\n, 4 5 6\nof 7 8 9\n. . . 1 0 -1\nÉté 1 1 2\n"
WORDS = {
    "the": [0.25, -1.5, 0.03],
    "of": [1, 2, 3],  # the first of two
    ",": [4, 5, 6],
    ". . .": [1, 0, -1],  # the largest GloVe file has words with spaces
    "Été": [1, 1, 2],
}
FORMS = {
    "plain": GLOVE.encode(),
    "fastText": b"6 3\n" + GLOVE.replace("\n", " \n").encode(),
    "CRLF": GLOVE.replace("\n", "\r\n").encode(),
    "byte-order mark": b"\xef\xbb\xbf" + GLOVE.encode(),
    "tabs": GLOVE.replace(" ", "\t").replace(".\t.\t.", ". . .").encode(),
    "no last end": GLOVE.removesuffix("\n").encode(),
    "not UTF-8 in an unwanted word": b"\xe9t\xe9 1 2 3\n" + GLOVE.encode(),
}


WAYS = {"plain": bytes, "gzip": gzip.compress, "zstandard": zstandard.compress}


@pytest.mark.parametrize("compress", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("content", FORMS.values(), ids=FORMS)
def test_vectors_are_those_of_the_file(tmp_path, content, compress):
    path = tmp_path / "vectors.txt"  # the name does not decide
    path.write_bytes(compress(content))
    found = vectors.read(path, [*WORDS, "absent", "été", ""])
    assert found.keys() == WORDS.keys()
    for word, numbers in WORDS.items():
        assert found[word].dtype == np.float32
        np.testing.assert_array_equal(found[word], np.float32(numbers))
    assert vectors.vector_size(path) == 3


@given(
    st.dictionaries(
        st.text(
            st.characters(exclude_categories=("Cs", "Cc", "Cf", "Z"), min_codepoint=59)
        ),
        st.lists(
            st.floats(width=32, allow_nan=False, allow_infinity=False),
            min_size=2,
            max_size=2,
        ),
        min_size=1,
    )
)
def test_what_is_written_is_read(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("vectors") / "a.txt"
    lines = [f"{word} {a!r} {b!r}\n" for word, (a, b) in table.items()]
    path.write_bytes("".join(lines).encode())
    found = vectors.read(path, table)
    assert {word: row.tolist() for word, row in found.items()} == table


WRONG = {
    "nothing": (b"", "line 1: a word and its numbers"),
    "no numbers": (b"the\n", "line 1: a word and its numbers"),
    "text": (b"it was the best\nof times\n", "line 1: a word and its numbers"),
    "a number too few": (b"a 1 2\nb 1\n", "line 2: a word and 2 numbers .* 2 fields"),
    "a number too many": (b"a 1 2\nb 1 2 3\n", "line 2: .* got 4 fields"),
    "an empty line": (b"a 1 2\n\nb 1 2\n", "line 2: .* got 0 fields"),
    "a word for a number": (b"b 1 2\na 1 x\n", "line 2: a word and its numbers"),
    "not finite": (b"b 1 2\na 1 nan\n", "line 2: the numbers of a vector must be fin"),
    "too large": (b"b 1 2\na 1 1e39\n", "line 2: the numbers of a vector must be fin"),
    "less than promised": (b"3 2\na 1 2\nb 1 2\n", "2 vectors, .* promises 3"),
    "more than promised": (b"1 2\na 1 2\nb 1 2\n", "2 vectors, .* promises 1"),
    "other size than promised": (b"1 3\na 1 2\n", "line 2: a word and 3 numbers"),
    "no number in a vector of one": (b"a 1\nthe\n", "line 2: a word and 1 numbers"),
    "a size of many digits": (b"9" * 5000 + b" 2\na 1 2\n", "line 2: a word and 1 num"),
    "underscores": (b"b 1 2\na 1_0 2\n", "line 2: a word and its numbers"),
    "other white space": (b"b 1 2\na \x0b1 2\n", "line 2: a word and its numbers"),
    "binary": (b"1 2\na \x00\x00\x80\x3f\x00\x00\x00\x40\n", "line 2: a word and 2"),
    "cut gzip": (
        gzip.compress(GLOVE.encode() * 999, mtime=0)[:-9],
        "damaged: gzip cannot",
    ),
    "cut zstandard": (
        zstandard.compress(GLOVE.encode() * 999)[:-1],
        "damaged: zstandard cannot",
    ),
    "damaged gzip": (b"\x1f\x8b\x08\x00" + b"\xff" * 30, "damaged: gzip cannot"),
}


@pytest.mark.parametrize("content, message", WRONG.values(), ids=WRONG)
def test_wrong_files_are_refused(tmp_path, content, message):
    path = tmp_path / "wrong.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^\S*wrong\.txt,? .*{message}"):
        vectors.read(path, ["a", "the"])


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt does not exist; a file of word v"):
        vectors.read(tmp_path / "none.txt", ["a"])
    with pytest.raises(DataError, match="is a directory; a file of word vectors was"):
        vectors.vector_size(tmp_path)
