"""Tagging schemes of spans: BIO as potentials of a linear chain, others converted.

A tag is "O", outside of all spans, or a letter with or without a type, such as
"B-person". The letters of a span of three words, and of a span of one word:

    BIO      B I I    B
    IOBES    B I E    S
    BILOU    B I L    U
    BMES     B M E    S
    BMEWO    B M E    W
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np

OUTSIDE = "O"  # the tag of a word outside all spans
# The letters of the first, an inner, the last and the only word of a span.
SCHEMES = {
    "BIO": ("B", "I", "I", "B"),
    "IOBES": ("B", "I", "E", "S"),
    "BILOU": ("B", "I", "L", "U"),
    "BMES": ("B", "M", "E", "S"),
    "BMEWO": ("B", "M", "E", "W"),
}
_LETTERS = {letter for letters in SCHEMES.values() for letter in letters}


def bio_potentials(tags: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Potentials that forbid invalid BIO sequences.

    I of a type follows only B or I of that type. Tags of other forms are free.

    Args:
      tags: names of the K tags.

    Returns:
      (start [K], transition [K, K]): float64, 0 where BIO allows the first tag or the
      pair of tags, else -inf.

    Example:
      >>> bio_potentials(("O", "B-x", "I-x"))[0]
      array([  0.,   0., -inf])

    Source: Ramshaw and Marcus 1995, arXiv:cmp-lg/9505040.
    """
    parts = [tag.partition("-")[::2] for tag in tags]

    def potential(previous: tuple[str, str], tag: tuple[str, str]) -> float:
        continues = previous[0] in ("B", "I") and previous[1] == tag[1]
        return 0.0 if tag[0] != "I" or continues else -np.inf

    start = np.array([potential((OUTSIDE, ""), tag) for tag in parts])
    return start, np.array([[potential(a, b) for b in parts] for a in parts])


def find_scheme(tags: Iterable[str]) -> str | None:
    """The scheme of all tags of a corpus; None if they are not tags of spans.

    Tags of spans have a type, apart from O. Tags without a type are of spans if a span
    can begin and end with them: B, with E or L in the schemes that have these. Tags
    such as NOUN, or V-PAST in a corpus without O, are not of spans.

    Args:
      tags: all tags; repetitions change nothing.

    Raises:
      ValueError: if there are tags of several schemes, or of spans in an unknown one.

    Example:
      >>> find_scheme(["O", "B-person", "E-person"]), find_scheme(["NOUN", "O"])
      ('IOBES', None)
    """
    found = set(tags)
    spans = found - {OUTSIDE}
    letters = {tag[0] for tag in spans}
    fitting = [name for name, of_span in SCHEMES.items() if letters <= {*of_span}]
    typed = {tag for tag in spans if re.match("[A-Z]-.", tag)}
    if typed and fitting and all(tag[1:2] in ("", "-") for tag in spans):
        return fitting[0]
    if not typed:
        untyped = spans <= _LETTERS and "B" in spans
        ends = {"E", "L"} & spans or fitting[:1] == ["BIO"]
        return fitting[0] if untyped and fitting and ends else None
    if OUTSIDE not in found:
        return None
    known = {tag for tag in typed if tag[0] in _LETTERS}
    if strange := sorted(spans - known):
        beside = f", beside {min(known)}" if known else ""
        raise ValueError(
            f"the tag {strange[0]}{beside} is of no known scheme of spans "
            f"({', '.join(SCHEMES)})"
        )
    raise ValueError(
        f"the tags mix schemes of spans: no one of {', '.join(SCHEMES)} has all of the "
        f"letters {', '.join(sorted(letters))}"
    )


def to_bio(tags: Sequence[str]) -> list[str]:
    """The tags of a sentence in BIO, from any of `SCHEMES`.

    An inner or last tag that continues no span of its type begins one.

    Example:
      >>> to_bio(["S-x", "B-x", "E-x", "O", "I-y"])
      ['B-x', 'B-x', 'I-x', 'O', 'B-y']
    """
    converted: list[str] = []
    unfinished: str | None = None  # the type of the span that may go on
    for tag in tags:
        letter, dash, kind = tag.partition("-")
        if tag == OUTSIDE:
            converted.append(tag)
            unfinished = None
            continue
        inside = letter in ("I", "M", "E", "L") and unfinished == kind
        converted.append(f"{'I' if inside else 'B'}{dash}{kind}")
        unfinished = kind if letter in ("B", "I", "M") else None
    return converted


def from_bio(tags: Sequence[str], scheme: str) -> list[str]:
    """The tags of a sentence in one of `SCHEMES`, from valid BIO.

    Example:
      >>> from_bio(["B-x", "B-x", "I-x", "O"], "BILOU")
      ['U-x', 'B-x', 'L-x', 'O']
    """
    first, inner, last, only = SCHEMES[scheme]
    converted = []
    for tag, after in zip(tags, [*tags[1:], OUTSIDE], strict=False):
        letter, dash, kind = tag.partition("-")
        goes_on = after == f"I{dash}{kind}"
        if tag != OUTSIDE:
            begins = (first, only) if letter == "B" else (inner, last)
            tag = f"{begins[0 if goes_on else 1]}{dash}{kind}"
        converted.append(tag)
    return converted
