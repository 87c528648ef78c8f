"""Strategies for the bytes of files: well-formed rows, then damage."""

from collections.abc import Sequence

from hypothesis import strategies as st

# Characters that readers treat specially, or that other readers end a line at.
SPECIAL = "\t,;:|\"' #-+.0\r\x00\x0b\x0c\x1c\x85\u2028\u2029\ufeff\u200b\u0301é你😀"
ENDS = ("\n", "\r\n", "\r", "\n\n", "\u2028", "")
PIECES = (
    *(b"\xff", b"\xc3", b"\xed\xa0\x80", b"\x00", b"\xef\xbb\xbf", b"\n", b"\r\n"),
    *(b"\r", b"\t", b'"', b'""', b",", b";", b":", b"nan", b"inf", b"1e999", b"--"),
)


def mostly(
    usual: st.SearchStrategy, rare: st.SearchStrategy, of: int
) -> st.SearchStrategy:
    """One in so many values is a rare one; `st.one_of` counts equal strategies once."""
    return st.integers(1, of).flatmap(lambda n: rare if n == of // 2 + 1 else usual)


words = st.text(alphabet="abcOBI-019.é你", min_size=1, max_size=5)
hostile = st.text(alphabet=SPECIAL + "ab1", max_size=6)
cells = mostly(words, hostile, 24)


@st.composite
def lines(draw, line: st.SearchStrategy[str], max_size: int = 12) -> bytes:
    """Lines of one kind; in a quarter of the files some are hostile or end oddly."""
    end = odd = draw(st.sampled_from(ENDS[:2]))
    if draw(st.sampled_from((False, False, False, True))):
        line, odd = mostly(line, hostile, 4), draw(st.sampled_from(ENDS))
    rows = draw(st.lists(line, min_size=1, max_size=max_size))
    text = "".join(row + (odd if i % 5 == 4 else end) for i, row in enumerate(rows))
    if draw(st.booleans()):
        text = text.removesuffix(end)
    return text.encode("utf-8", "surrogatepass")


@st.composite
def damaged(draw, content: st.SearchStrategy[bytes]) -> bytes:
    """Content, in a third of the cases with edits."""
    return draw(edited(draw(content), (0, 0, 0, 0, 0, 0, 1, 2, 3)))


@st.composite
def edited(draw, data: bytes, counts: Sequence[int] = (1, 1, 2, 3)) -> bytes:
    """Bytes after one of these numbers of edits."""
    for _ in range(draw(st.sampled_from(counts))):
        begin = draw(st.integers(0, len(data)))
        end = min(len(data), begin + draw(st.integers(0, 8)))
        how = draw(st.sampled_from(("insert", "delete", "repeat", "truncate")))
        if how == "insert":
            piece = draw(st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)))
            data = data[:begin] + piece + data[begin:]
        elif how == "delete":
            data = data[:begin] + data[end:]
        elif how == "repeat":
            data = data[:end] + data[begin:end] * 3 + data[end:]
        else:
            data = data[:begin]
    return data


def joined(
    separator: str, parts: Sequence[st.SearchStrategy[str]]
) -> st.SearchStrategy:
    """Strings of one part after the other with a separator between them."""
    return st.tuples(*parts).map(separator.join)


def split_lines(content: bytes) -> list[str]:
    """The lines of a file, written here without the library: LF or CRLF ends a line."""
    text = content.removeprefix(b"\xef\xbb\xbf").decode()
    found = [line.removesuffix("\r") for line in text.split("\n")[:-1]]
    return [*found, last] if (last := text.rpartition("\n")[2]) else found
