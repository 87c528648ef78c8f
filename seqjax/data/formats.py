"""What format a text seems to have, to name it where another one was expected.

The first lines decide. A text that is ambiguous has no name: readers then say what they
expected on which line.
"""

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from seqjax.data.text import DataError, split_lines

JSON = "JSON"
MARKUP = "XML or HTML"
SUBTITLES = "subtitles"
LOG = "a chat log or another log (a time at the beginning of each line)"
CHAT = "a chat log (a speaker and a message on each line)"
CONLL = "CoNLL (a word and its tags on each line)"
TRANSCRIPTS = "transcripts (a wav file, a tab and its words on each line)"
LABELED = "labeled documents (a label, a tab and a text on each line)"
LABELED_LAST = "documents before their labels (a text, a tab and a label on each line)"
FASTTEXT = "documents of fastText (__label__ at the beginning of each line)"
PAIRS = "sentence pairs (a sentence, a tab and its translation on each line)"
NUMBERS = "a table of numbers"
CSV = "CSV (values between commas on each line)"
POEMS = "poems (a title, a colon and the poem on each line)"
SENTENCES = "sentences (one on each line)"

_SAMPLE = 400  # lines
_TIME = re.compile(
    r"[\u200e\[(<\s]*(\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}[T,;\s\])>,]|\d{1,2}:\d\d\b)"
)
_TAG = re.compile(r"(O|[BIESLUMW]-\S+)$")
_NUMBER = re.compile(r"[-+]?[\d.,]+([eE][-+]?\d+)?$")


def describe_format(text: str) -> str | None:
    """The format of a text, one of the constants of this module; None if it is unclear.

    Example:
      >>> describe_format("Go.\\tVa !\\nHi.\\tSalut.\\nRun!\\tCours !\\n") == PAIRS
      True
    """
    beginning = split_lines(text[: 500 * _SAMPLE])
    lines = [line for line in beginning if line.strip()][:_SAMPLE]
    if not lines:
        return None
    for name, fits in _WHOLE.items():
        if fits(lines):
            return name
    if _share(lines, lambda line: "\t" in line) >= 0.9:
        rows = [line.split("\t") for line in lines if "\t" in line]
        return describe_rows(rows, has_gaps=len(lines) < len(beginning))
    if _is_conll([line.split() for line in lines], len(lines) < len(beginning)):
        return CONLL
    if _is_csv(lines):
        return CSV
    if _is_chat(lines):
        return CHAT
    return POEMS if _share(lines, lambda line: ":" in line[1:]) >= 0.9 else None


def describe_rows(rows: Sequence[Sequence[str]], has_gaps: bool = False) -> str | None:
    """The format of rows of at least two cells; None if it is unclear.

    Args:
      rows: the cells of each row.
      has_gaps: whether there are blank lines between the rows.
    """
    first = [row[0].strip() for row in rows]
    second = [row[1].strip() for row in rows if len(row) > 1]
    if _share(first, lambda cell: cell.lower().endswith(".wav")) >= 0.5:
        return TRANSCRIPTS
    cells = [cell.strip() for row in rows for cell in row]
    fractions = _share(cells, re.compile(r".*\d[.,]\d").match) >= 0.3
    if fractions and _share(cells, _NUMBER.match) >= 0.9:
        return NUMBERS
    if _is_conll(rows, has_gaps):
        return CONLL
    if _are_labels(first):
        return LABELED
    sentences = _share(first, _is_sentence) >= 0.5
    if _are_labels(second) and sentences:
        return LABELED_LAST
    unique = 2 * len(set(first)) > len(rows) > 1
    if _share(first, _ends_a_sentence) >= 0.5 and len(rows) > 1:
        return PAIRS
    return PAIRS if unique and (sentences or len(rows) >= 20) else None


def refuse_format(
    text: str, path: str | Path, expected: str, mistaken: Sequence[str | None]
) -> None:
    """Refuse a text that seems to have another format than expected.

    Args:
      text: the content of the file.
      path: its name.
      expected: the format that was expected, as in this module.
      mistaken: the formats to refuse.

    Raises:
      DataError: if the text has one of them.
    """
    if (found := describe_format(text)) in mistaken:
        raise DataError(f"{path} looks like {found}, where {expected} was expected.")


def format_hint(text: str, expected: str) -> str:
    """The end of an error message: the format that a text has, if it is another."""
    found = describe_format(text)
    return f"; the file looks like {found}" if found not in (None, expected) else ""


def _share(items: Iterable[str], fits: Callable[[str], object]) -> float:
    found = [bool(fits(item)) for item in items]
    return sum(found) / max(len(found), 1)


def _is_json(lines: Sequence[str]) -> bool:
    first = lines[0].strip()
    if first in ("{", "["):
        return len(lines) > 1
    try:
        return isinstance(json.loads(first), dict | list)
    except (ValueError, RecursionError):
        return first.startswith(('{"', '[{"'))


def _is_markup(lines: Sequence[str]) -> bool:
    first = lines[0].strip().lower()
    if first.startswith(("<?xml", "<!doctype")):
        return True
    is_tag = first.startswith("<") and first.endswith(">")
    return is_tag and any("</" in line for line in lines)


def _is_chat(lines: Sequence[str]) -> bool:
    """Whether a few speakers take turns, mostly with messages that are no verses."""
    if _share(lines, re.compile(r"<[^>]+> ").match) >= 0.9:
        return True
    parts = [line.partition(":")[::2] for line in lines if ":" in line]
    speakers = [speaker.strip() for speaker, _ in parts if speaker.strip()]
    several = 2 <= len(set(speakers)) <= len(speakers) / 4
    single = _share((message for _, message in parts), lambda m: not _has_verses(m))
    return several and len(parts) >= 0.9 * len(lines) and single >= 0.3


def _has_verses(content: str) -> bool:
    verses = re.split("[，。！？；、：,.!?;:]", content)
    return sum(bool(verse.strip()) for verse in verses) > 1


def _is_conll(rows: Sequence[Sequence[str]], has_gaps: bool) -> bool:
    """Whether rows have a word and its tags: with gaps, or with tags of spans."""
    widths = {len(row) for row in rows if not row[0].startswith(("#", "-DOCSTART-"))}
    if len(widths) != 1 or widths == {1} or len(rows) < 4:
        return False
    last = [row[-1].strip() for row in rows]
    if _share(last, _TAG.match) >= 0.9:
        return True
    if any(" " in cell.strip() for row in rows for cell in (row[0], row[-1])):
        return False
    if widths == {10} and _share((row[0] for row in rows), str.isdecimal) > 0.5:
        return True
    return has_gaps and _are_labels(last)


def _are_labels(cells: Sequence[str]) -> bool:
    """Whether cells repeat as labels do, and are no sentences."""
    number, distinct = len(cells), len(set(cells))
    few = 5 * distinct <= number if number >= 20 else distinct <= min(3, number / 2)
    return few and not any(len(cell) > 40 or _ends_a_sentence(cell) for cell in cells)


def _is_sentence(cell: str) -> bool:
    return " " in cell or _ends_a_sentence(cell)


def _ends_a_sentence(cell: str) -> bool:
    return cell.endswith((".", "!", "?", "。", "！", "？", "…"))


def _is_csv(lines: Sequence[str]) -> bool:
    for delimiter in (",", ";"):
        try:
            rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
        except csv.Error:
            continue
        if len(rows) > 2 and len({len(row) for row in rows}) == 1 < len(rows[0]):
            return True
    return False


_WHOLE: dict[str, Callable[[Sequence[str]], bool]] = {  # those that lines begin with
    JSON: _is_json,
    MARKUP: _is_markup,
    SUBTITLES: lambda lines: any(
        re.match(r"\d+:\d\d(:\d\d)?[.,]\d{3} --> ", line) for line in lines[:9]
    ),
    FASTTEXT: lambda lines: _share(lines, lambda t: t.startswith("__label__")) >= 0.9,
    LOG: lambda lines: (
        len(lines) > 1
        and _share(lines, _TIME.match) >= 0.5
        and _share(lines, re.compile(r".*[^\W\d_]{2}").match) >= 0.5
        and not any("\t" in line for line in lines)
    ),
}
OTHER_FILES = (JSON, MARKUP, SUBTITLES, LOG, FASTTEXT)  # that no reader takes
WITH_TABS = (PAIRS, LABELED, LABELED_LAST, TRANSCRIPTS)
