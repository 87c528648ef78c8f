"""Poems: sources, cleaning, form, splits, and the novelty of written poems.

A poem is a line "title:content". Its lines end in punctuation, and its form is the
number of characters in each line.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from seqjax.data import formats
from seqjax.data.corpora import SOURCES
from seqjax.data.names import unknown_name
from seqjax.data.sources import fetch, sha256_of, split_by_hash
from seqjax.data.synthetic import verses
from seqjax.data.text import DataError, decode, read_bytes, shown_path, split_lines

NAMES = ("verses", "tang_poems")
BREAKS = "，。！？；、：,.!?;:"  # punctuation that ends a line
HELD_OUT = 5  # percentage of the poems to validate on, and to test on
_NOTES = re.compile(r"（[^（）]*）|〖[^〖〗]*〗|\([^()]*\)")
_QUOTES = re.compile(r"[《》〈〉「」『』“”‘’\[\]［］]")


class Poem(NamedTuple):
    """A poem."""

    title: str
    content: str


class PoemCorpus(NamedTuple):
    """Poems in three parts, with the sha256 of their bytes."""

    name: str
    train: list[Poem]
    valid: list[Poem]
    test: list[Poem]
    sha256: str

    @property
    def held_out(self) -> dict[str, list[Poem]]:
        """The poems of the held-out parts."""
        return {"valid": self.valid, "test": self.test}


def load(name: str, data_dir: str | Path | None = None) -> tuple[list[Poem], str]:
    """Load poems by name.

    - "verses": generated quatrains, see `data.synthetic.verses`; needs no file.
    - "tang_poems": 57,603 poems of the Tang dynasty, see `data.corpora`.

    Args:
      name: one of `NAMES`.
      data_dir: the folder of the data sets; None is `sources.default_data_dir()`.

    Returns:
      (poems, sha256 of their bytes).

    Raises:
      DataError: for an unknown name, a file that is not available, or a wrong checksum.
    """
    if name not in NAMES:
        raise DataError(unknown_name("dataset", name, NAMES))
    if name == "verses":
        poems = [Poem(*poem) for poem in verses.write()]
        text = "\n".join(f"{p.title}:{p.content}" for p in poems)
        return poems, sha256_of(text.encode())
    return read(fetch(name, SOURCES[name][0], data_dir))


def read(path: str | Path) -> tuple[list[Poem], str]:
    """(poems, sha256 of the file) from a UTF-8 file of lines "title:content".

    Empty lines are left out. A title may be empty, a content may not.

    Raises:
      DataError: if the file cannot be read or seems to be a chat log or another file
        or, with the line's number, a line has no colon or no content.
    """
    content, poems = read_bytes(path), []
    path = shown_path(path)
    written = decode(content, path)
    mistaken = (*formats.OTHER_FILES, formats.CHAT)
    formats.refuse_format(written, path, formats.POEMS, mistaken)
    for number, line in enumerate(split_lines(written), start=1):
        if not line.strip():
            continue
        title, colon, text = line.partition(":")
        if not (colon and text.strip()):
            raise DataError(
                f"{path}, line {number}: a title, a colon and the poem were expected, "
                f"got {line[:40]!r}{formats.format_hint(written, formats.POEMS)}."
            )
        poems.append(Poem(title.strip(), text.strip()))
    return poems, sha256_of(content)


def clean(poems: Iterable[Poem]) -> list[Poem]:
    """Poems without editors' additions, each text once.

    Notes in parentheses are removed; so are quotation marks and brackets, but not the
    text in them. A poem is left out if other characters than letters and line ends
    remain: gaps, numbers, descriptions of characters.
    """
    cleaned: dict[str, Poem] = {}
    for title, content in poems:
        before = None
        while content != before:  # notes may be nested
            before, content = content, _NOTES.sub("", content)
        content = _QUOTES.sub("", content).strip()
        if content and all(c.isalpha() or c in BREAKS for c in content):
            cleaned.setdefault(content, Poem(title, content))
    return list(cleaned.values())


def lines(content: str) -> list[str]:
    """The lines of a poem, without the punctuation that ends them.

    >>> lines("青山映白水，孤月照寒林。")
    ['青山映白水', '孤月照寒林']
    """
    parts = re.split(f"[{re.escape(BREAKS)}]", content)
    return [part.strip() for part in parts if part.strip()]


def form(content: str) -> tuple[int, int] | None:
    """(number of lines, characters in each), or None if the lines differ in length."""
    found = lines(content)
    lengths = {len(line) for line in found}
    return (len(found), lengths.pop()) if len(lengths) == 1 else None


def is_regulated(content: str, line_length: int = 0, num_lines: int = 0) -> bool:
    """Whether a poem has an even number of lines, of 5 or of 7 characters each.

    Args:
      content: of a poem, which must end in punctuation that ends a line.
      line_length: the required length of the lines; 0 allows 5 and 7.
      num_lines: the required number of lines; 0 allows any even number.
    """
    found = form(content)
    if found is None or content[-1] not in BREAKS:
        return False
    number, length = found
    right_length = length == line_length if line_length else length in (5, 7)
    return right_length and (number == num_lines if num_lines else number % 2 == 0)


def split(name: str, poems: Iterable[Poem], sha256: str) -> PoemCorpus:
    """Parts by a hash of the content: no poem is in two parts.

    Args:
      name: of the corpus.
      poems: each part keeps their order.
      sha256: of the bytes of the corpus.

    Raises:
      DataError: if a part is empty.
    """
    parts = split_by_hash(name, poems, lambda p: p.content, HELD_OUT, "poem")
    train, valid, test = parts.values()
    return PoemCorpus(name, train, valid, test, sha256)


def novelty(written: Sequence[str], known: Iterable[str], n: int = 7) -> float:
    """The share of the n-grams of written texts that occur in no known text.

    Args:
      written, known: texts.
      n: the length of the n-grams in characters.

    Returns:
      From 0 to 1, each occurrence counted; nan if every written text is shorter than n.
    """
    counted = [text[i : i + n] for text in written for i in range(len(text) - n + 1)]
    wanted, seen = set(counted), set[str]()
    for text in known:
        seen |= wanted.intersection(text[i : i + n] for i in range(len(text) - n + 1))
    new = sum(ngram not in seen for ngram in counted)
    return new / len(counted) if counted else float("nan")
