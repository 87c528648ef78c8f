"""Compressed files are read as they are, whole or not at all."""

import gzip
import io
import sys

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from seqjax.data.compression import decompress, decompressed
from seqjax.data.text import DataError, read_bytes, read_text

WAYS = {"gzip": lambda b: gzip.compress(b, mtime=0), "zstandard": zstandard.compress}


@pytest.mark.parametrize("way", WAYS)
@given(parts=st.lists(st.binary(), min_size=1, max_size=3))
def test_one_or_more_compressed_parts_are_read(way, parts):
    content = b"".join(map(WAYS[way], parts))
    assert decompress(content) == b"".join(parts)


@pytest.mark.parametrize("way", [*WAYS, "plain"])
@given(parts=st.lists(st.binary(max_size=99), min_size=1, max_size=3))
def test_a_stream_is_the_whole_content(way, parts):
    """Also of parts that are large when they are decompressed."""
    parts = [part * 3000 for part in parts]
    content = b"".join(map(WAYS.get(way, bytes), parts))
    stream = decompressed(io.BufferedReader(io.BytesIO(content)))
    whole = b"".join(parts)
    is_plain = content[:2] != b"\x1f\x8b" and content[:4] != b"\x28\xb5\x2f\xfd"
    if way != "plain" or is_plain:
        assert stream.read() == whole


@given(content=st.binary())
def test_other_contents_stay_as_they_are(content):
    if content[:2] != b"\x1f\x8b" and content[:4] != b"\x28\xb5\x2f\xfd":
        assert decompress(content) == content


@pytest.mark.parametrize("way", WAYS)
def test_what_is_cut_short_or_followed_by_something_is_refused(way):
    """At every byte: no part of a file is taken for the whole."""
    whole = WAYS[way](b"a text of some words\n" * 9) + WAYS[way](b"and more")
    first = len(WAYS[way](b"a text of some words\n" * 9))
    for cut in range(4, len(whole)):
        if cut != first:  # the first part is a whole file
            with pytest.raises(ValueError, match="cannot decompress it"):
                decompress(whole[:cut])
    with pytest.raises(ValueError, match="cannot decompress it"):
        decompress(whole + b"x")


@pytest.mark.parametrize("way", WAYS)
def test_a_compressed_text_is_a_text(way, tmp_path, monkeypatch):
    path = tmp_path / "text"
    path.write_bytes(WAYS[way]("ein Wörtchen\n".encode()))
    assert read_text(path) == "ein Wörtchen\n"
    stdin = io.TextIOWrapper(io.BytesIO(path.read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert read_bytes("-") == "ein Wörtchen\n".encode()
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match=f"text is damaged: {way} cannot decompress"):
        read_text(path)
    path.write_bytes(WAYS[way](WAYS[way](b"text")))
    with pytest.raises(DataError, match=f"is compressed by {way} twice"):
        read_text(path)


def test_without_the_package_the_error_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "text.zst"
    path.write_bytes(zstandard.compress(b"text"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(DataError, match=r'zst is compressed .* "seqjax\[data\]"'):
        read_text(path)
