"""How words are spelled: plurals, agreement, and what a next word changes."""

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


def join(*parts):
    """Parts that are not empty, with spaces between."""
    return " ".join([part for part in parts if part])


def spell_english(text):
    """ "an" before a vowel."""
    return re.sub(r"\ba (?=[aeiouEI])", "an ", text)


def spell_french(text):
    """Words as their neighbors make them: cet, mon, l', du."""
    text = _JOINED.sub(lambda match: f"{BEFORE_VOWEL[match[1]]} ", text)
    text = _ELIDED.sub(lambda match: match[match.lastindex] + "'", text)
    return _CONTRACTED.sub(lambda match: _CONTRACTIONS[match[1] + match[2]], text)


def with_s(word):
    """An English plural, or a verb with "he"."""
    if word == "have":
        return "has"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh", "go")) else "s")


def plural(word):
    """A French plural."""
    if word.endswith("al"):
        return f"{word[:-1]}ux"
    if word.endswith(("s", "x")):
        return word
    return word + ("x" if word.endswith("eau") else "s")


def agreeing(masculine, feminine=""):
    """The four forms of an adjective, singular before plural, masculine first."""
    feminine = feminine or masculine.removesuffix("e") + "e"
    return masculine, feminine, plural(masculine), plural(feminine)
