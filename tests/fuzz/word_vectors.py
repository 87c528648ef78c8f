"""Files of word vectors: GloVe, fastText and word2vec, plain and by gzip."""

import gzip
import zlib

import numpy as np
from hypothesis import strategies as st

from tests.fuzz.contents import damaged, edited, mostly

WANTED = ("the", "a b", "é", "", "1", "你")
WORDS = (*WANTED, ". . .", "x", "\u2028", "3 4", "\xa0")
ODD = (
    *("nan", "inf", "-Infinity", "1e999", "1e39", "1_0", "0x1", "1,5", "", "one"),
    *("\x0b1", "1\r", "+1.", "-.5", "1E-9", "1e", "٣", "1" * 5000),
)
ordinary = st.one_of(
    st.floats(-1e3, 1e3, width=32).map(repr), st.integers(-9, 99).map(str)
)
sizes = st.sampled_from(("9" * 5000, "-1", "0", "+2", "2.0", "18446744073709551616"))


@st.composite
def tables(draw) -> bytes:
    """Lines of a word and numbers; in a quarter some rows, numbers or sizes are odd."""
    is_odd = draw(st.sampled_from((False, False, False, True)))
    size = draw(st.integers(1, 4))
    number = mostly(ordinary, st.sampled_from(ODD), 9) if is_odd else ordinary
    width = st.sampled_from((size,) * 9 + (size - 1, size + 1) * is_odd)
    separator = draw(st.sampled_from("   \t"))
    end = draw(st.sampled_from(("\n", "\n", "\r\n", " \n")))
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        count = draw(width)
        numbers = draw(st.lists(number, min_size=count, max_size=count))
        rows.append(separator.join((draw(st.sampled_from(WORDS)), *numbers)))
    if draw(st.booleans()):
        header = [str(len(rows)), str(size)]
        if is_odd:
            header[draw(st.integers(0, 1))] = draw(sizes)
        rows.insert(0, " ".join(header))
    return (end.join(rows) + draw(st.sampled_from((end, "")))).encode()


@st.composite
def word_vectors(draw) -> bytes:
    """Damaged tables; a third compressed, of which some are damaged afterwards."""
    content = draw(damaged(tables()))
    if draw(st.sampled_from((False, False, True))):
        content = gzip.compress(content, mtime=0)
        content = draw(edited(content, (0, 0, 0, 1, 2)))
    return content


def check_vectors(content: bytes, found: dict[str, np.ndarray]) -> None:
    """Each wanted word with its first vector, read here from the end of its line."""
    if content.startswith(b"\x1f\x8b"):
        content = _decompress(content)
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    lines = lines[:-1] if lines[-1] == b"" else lines
    rows = [line.removesuffix(b"\r").removesuffix(b" ") for line in lines]
    rows = [row.replace(b"\t", b" ") for row in rows]
    (size,) = {len(row) for row in found.values()} or {None}
    first = rows[0].split(b" ")
    if len(first) == 2 and all(n.isdigit() and len(n) < 19 for n in first):
        assert len(rows) - 1 == int(first[0])
        assert size in (None, int(first[1]))
        size, rows = int(first[1]), rows[1:]
    size = size or len(first) - 1
    expected: dict[bytes, list[float]] = {}
    for row in rows:
        word, *numbers = row.rsplit(b" ", size)
        assert len(numbers) == size
        expected.setdefault(word, numbers)
    wanted = {word: expected.get(word.encode()) for word in WANTED}
    assert found.keys() == {word for word, numbers in wanted.items() if numbers}
    for word, row in found.items():
        assert row.dtype == np.float32 and np.isfinite(row).all()
        assert row.tolist() == [float(np.float32(float(n))) for n in wanted[word]]
        assert not any(b"_" in n or n != n.strip() for n in wanted[word])


def _decompress(content: bytes) -> bytes:
    """All members of a gzip file; zeros may follow them."""
    found = b""
    while content.strip(b"\0"):
        member = zlib.decompressobj(31)
        found += member.decompress(content.lstrip(b"\0") if found else content)
        content = member.unused_data
    return found
