"""Spelling: plurals, agreement, and changes before the next word."""

import re

BEFORE_VOWEL = {"beau": "bel", "vieux": "vieil", "nouveau": "nouvel"}
BEFORE_VOWEL |= {"ce": "cet", "ma": "mon", "ta": "ton", "sa": "son"}
VOWELS = "aeiouhyâéèêôœAE"  # no h of these words is aspirated
_JOINED = re.compile(rf"\b(ce|ma|ta|sa) (?=[{VOWELS}])")
_ELIDED = re.compile(
    rf"(?<![\w'-])(?:(l)[ea]|([jmtsnd]|qu)e|(s)i(?= ils?\b)) (?=[{VOWELS}])"
)
_CONTRACTED = re.compile(r"\b(de|à) (les?) ")
_CONTRACTIONS = {"dele": "du ", "deles": "des ", "àle": "au ", "àles": "aux "}


def join(*parts: str) -> str:
    """The parts that are not empty, with spaces between."""
    return " ".join([part for part in parts if part])


def spell_english(text: str) -> str:
    """The text with "an" before a vowel."""
    return re.sub(r"\ba (?=[aeiouEI])", "an ", text)


def spell_french(text: str) -> str:
    """The text with the forms that depend on the next word: cet, mon, l', du."""
    text = _JOINED.sub(lambda match: f"{BEFORE_VOWEL[match[1]]} ", text)
    text = _ELIDED.sub(lambda match: match[match.lastindex or 0] + "'", text)
    return _CONTRACTED.sub(lambda match: _CONTRACTIONS[match[1] + match[2]], text)


def with_s(word: str) -> str:
    """An English plural, or the form of a verb after "he"."""
    if word == "have":
        return "has"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh", "go")) else "s")


def plural(word: str) -> str:
    """A French plural."""
    if word.endswith("al"):
        return f"{word[:-1]}ux"
    if word.endswith(("s", "x")):
        return word
    return word + ("x" if word.endswith("eau") else "s")


def agreeing(masculine: str, feminine: str = "") -> tuple[str, ...]:
    """The four forms of an adjective: singular before plural, masculine first."""
    feminine = feminine or masculine.removesuffix("e") + "e"
    return masculine, feminine, plural(masculine), plural(feminine)
