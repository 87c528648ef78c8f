"""Names that a user mistypes: the nearest of those that exist."""

import difflib
from collections.abc import Sequence

SIMILAR = 0.6  # the smallest similarity of a suggestion, from 0 to 1
SAME_LETTERS = 0.95  # the similarity of a name whose letters were transposed
TIED = 0.12  # suggestions are at most so much less similar than the best
MOST_LISTED = 12  # names in a message without a suggestion


def unknown_name(kind: str, name: str, names: Sequence[str]) -> str:
    """A sentence that `name` is unknown, with the nearest of `names`.

    Args:
      kind: the noun for what is named.
      name: what was given.
      names: what there is.

    Example:
      >>> unknown_name("dataset", "wiki", ["wikitext2", "python_docs"])
      "there is no dataset 'wiki'; did you mean wikitext2?"
      >>> unknown_name("mode", "fly", ["train", "evaluate"])
      "there is no mode 'fly'; there are train and evaluate."
    """
    sentence = f"there is no {kind} {name!r}"
    if near := nearest(name, names):
        return f"{sentence}; did you mean {_listed(near, 'or')}?"
    if 0 < len(names) <= MOST_LISTED:
        are = "is only" if len(names) == 1 else "are"
        return f"{sentence}; there {are} {_listed(names, 'and')}."
    return f"{sentence}."


def nearest(name: str, names: Sequence[str]) -> list[str]:
    """The names most similar to a mistyped one, the best first: at most three, or none.

    The similarity is that of `difflib` without regard to case, dashes and underscores.
    A name that begins with what was given is always similar.

    >>> nearest("regime", ["regimes", "time_machine", "python_docs"])
    ['regimes']
    """
    plain = _plain(name)
    scores = {other: _similarity(plain, _plain(other)) for other in names}
    best = max(scores.values(), default=0.0)
    if best < SIMILAR:
        return []
    near = [other for other in scores if scores[other] >= max(SIMILAR, best - TIED)]
    near.sort(key=lambda other: (-scores[other], -_ratio(name, other)))
    return near[:3]


def _plain(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "").replace(" ", "")


def _similarity(given: str, other: str) -> float:
    """From 0 to 1, for equal names."""
    if given != other and sorted(given) == sorted(other):
        return SAME_LETTERS
    ratio = _ratio(given, other)
    begun = given.removesuffix("s")  # perhaps a plural
    if len(begun) >= 3 and other.startswith(begun):
        ratio = max(ratio, SIMILAR + (1 - SIMILAR) * len(begun) / len(other))
    return ratio


def _ratio(a: str, b: str) -> float:
    return difflib.SequenceMatcher(None, a, b, autojunk=False).ratio()


def _listed(names: Sequence[str], conjunction: str) -> str:
    """Names joined by commas and a conjunction."""
    *first, last = names
    return f"{', '.join(first)} {conjunction} {last}" if first else last
