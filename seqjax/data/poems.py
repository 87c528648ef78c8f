"""Poems: where they come from, their cleaning, their form, what is new in one.

A poem is a line "title:content". Its lines end in punctuation, and its form is how many
characters they have.
"""

import hashlib
import re
from typing import NamedTuple

from seqjax.data.corpora import SOURCES, fetch, split_by_hash, unknown_name
from seqjax.data.synthetic import verses
from seqjax.data.text import DataError, decode, read_bytes

NAMES = ("verses", "tang_poems")
BREAKS = "，。！？；、：,.!?;:"  # the marks that end a line
HELD_OUT = 5  # percent of the poems to validate on, and as many to test on
_NOTES = re.compile(r"（[^（）]*）|〖[^〖〗]*〗|\([^()]*\)")
_QUOTES = re.compile(r"[《》〈〉「」『』“”‘’\[\]［］]")


class Poem(NamedTuple):
    title: str
    content: str


class PoemCorpus(NamedTuple):
    """Poems in three parts, with the sha256 of the bytes they come from."""

    name: str
    train: list
    valid: list
    test: list
    sha256: str


def load(name, data_dir=None):
    """(poems, sha256 of their bytes) by name.

    - "verses": quatrains of our own making, see `data.verses`; embedded.
    - "tang_poems": 57,603 poems of the Tang, see `data.corpora`.

    Args:
      name: one of `NAMES`.
      data_dir: where corpora lie; None is $SEQJAX_DATA_DIR, else the user's cache.

    Raises:
      DataError: for an unknown name, a file that cannot be had, or a wrong checksum.
    """
    if name not in NAMES:
        raise DataError(unknown_name("dataset", name, NAMES))
    if name == "verses":
        poems = [Poem(*poem) for poem in verses.write()]
        text = "\n".join(f"{p.title}:{p.content}" for p in poems)
        return poems, _sha256(text)
    return read(fetch(name, SOURCES[name][0], data_dir))


def read(path):
    """(poems, sha256 of the file) from a UTF-8 file of lines "title:content".

    Empty lines are left out; a title may be empty, a content may not.

    Raises:
      DataError: if it cannot be read, or a line has no colon or no content: with the
        line's number.
    """
    content, poems = read_bytes(path), []
    for number, line in enumerate(decode(content, path).split("\n"), start=1):
        if not line.strip():
            continue
        title, colon, text = line.partition(":")
        if not (colon and text.strip()):
            raise DataError(
                f"{path}, line {number}: a title, a colon and the poem were expected, "
                f"got {line[:40]!r}."
            )
        poems.append(Poem(title.strip(), text.strip()))
    return poems, hashlib.sha256(content).hexdigest()


def clean(poems):
    """Poems without what editors added, each text once.

    Notes in parentheses go, quotation marks and brackets go but not what they hold, and
    a poem that is left with anything but letters and the ends of lines (gaps, numbers,
    descriptions of characters) goes whole.
    """
    cleaned = {}
    for title, content in poems:
        before = None
        while content != before:  # notes within notes
            before, content = content, _NOTES.sub("", content)
        content = _QUOTES.sub("", content).strip()
        if content and all(c.isalpha() or c in BREAKS for c in content):
            cleaned.setdefault(content, Poem(title, content))
    return list(cleaned.values())


def lines(content):
    """The lines of a poem, without the marks that end them.

    >>> lines("青山映白水，孤月照寒林。")
    ['青山映白水', '孤月照寒林']
    """
    parts = re.split(f"[{re.escape(BREAKS)}]", content)
    return [part.strip() for part in parts if part.strip()]


def form(content):
    """(number of lines, characters of each), or None where lines differ in length."""
    found = lines(content)
    lengths = {len(line) for line in found}
    return (len(found), lengths.pop()) if len(lengths) == 1 else None


def is_regulated(content, line_length=0, num_lines=0):
    """Whether all lines have 5 or all 7 characters, and there are an even number.

    Args:
      content: of a poem, which must end in a mark that ends lines.
      line_length: 5, 7 or any other, the only one allowed; 0 allows 5 and 7.
      num_lines: how many there must be; 0 allows any even number.
    """
    found = form(content)
    if found is None or content[-1] not in BREAKS:
        return False
    number, length = found
    right_length = length == line_length if line_length else length in (5, 7)
    return right_length and (number == num_lines if num_lines else number % 2 == 0)


def split(name, poems, sha256):
    """Held-out parts by the hash of the content: no poem is in two of them.

    Raises:
      DataError: if a part would be empty.
    """
    parts = split_by_hash(name, poems, lambda p: p.content, HELD_OUT, "poem")
    return PoemCorpus(name, *parts.values(), sha256)


def novelty(written, known, n=7):
    """The share of the n-grams of written texts that no known text holds.

    Args:
      written, known: lists of strings.

    Returns:
      From 0 to 1, each occurrence counted; nan if no written text is n long.
    """
    counted = [text[i : i + n] for text in written for i in range(len(text) - n + 1)]
    wanted, seen = set(counted), set()
    for text in known:
        seen |= wanted.intersection(text[i : i + n] for i in range(len(text) - n + 1))
    new = sum(ngram not in seen for ngram in counted)
    return new / len(counted) if counted else float("nan")


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()
