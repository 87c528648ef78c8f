"""Short opinions from a grammar: labeled documents for classification.

A sentence has one or two clauses. It is "positive" or "negative" by rule:

- a clause says something good or bad about a thing, plainly ("the soup seemed lovely",
  "i found the plot really dull"), or with one of many negations ("not bad at all", "far
  from good", "anything but boring"), which reverse the opinion;
- "and" joins two clauses of one opinion;
- of two opposite clauses the main clause decides: the second one after "but" and "yet",
  and after a first clause with "although"; the first one before "although" and "even
  though".

Negation and contrast depend on order: "the soup was not bad but the tea was awful" and
"the tea was awful but the soup was not bad" have the same words and opposite opinions.
No bag of words can tell such sentences apart.

    positive   the garden was not dull at all
    negative   i found the band brilliant but nobody would call the room charming
    positive   although the bread was awful , the coffee was anything but poor

Held-out text needs composition. Some pairs of a pattern and an adjective, such as "far
from" and "dull", occur in no training sentence; every sentence of the other parts has
at least one of them. Each half of such a pair occurs in training many times.
"""

import itertools
import random as random_module
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Random = Callable[[], float]  # uniform in [0, 1)
Document = tuple[str, str]  # label, text
Pair = tuple[str, str]  # pattern, adjective

POSITIVE, NEGATIVE = "positive", "negative"
ADJECTIVES = {
    POSITIVE: (
        *("good", "great", "fine", "lovely", "brilliant", "charming", "superb"),
        *("pleasant", "clever", "fresh", "funny", "warm"),
    ),
    NEGATIVE: (
        *("bad", "awful", "poor", "dull", "boring", "tedious", "dreadful"),
        *("clumsy", "stale", "cold", "silly", "bland"),
    ),
}
NOUNS = (
    *("soup", "bread", "coffee", "tea", "cake", "menu", "room", "garden", "view"),
    *("film", "plot", "ending", "music", "band", "book", "story", "cast", "song"),
)
INTENSIFIERS = ("very", "really", "so", "quite", "truly", "rather")
PLAIN = (  # N is a noun, A an adjective with or without an intensifier
    "the N was A",
    "the N seemed A",
    "i found the N A",
    "we all thought the N was A",
    "they said that the N was A",
)
NEGATED = (
    "the N was not A",
    "the N was not A at all",
    "the N was never A",
    "the N was far from A",
    "the N was anything but A",
    "the N was hardly A",
    "i did not find the N A",
    "nobody would call the N A",
    "there was nothing A about the N",
)
FIRST_DECIDES = ("{} although {}", "{} even though {}")
SECOND_DECIDES = ("{} but {}", "{} , yet {}", "although {} , {}", "even though {} , {}")
ONE_CLAUSE, CONTRAST = 0.4, 0.45  # shares of the sentences; the rest have "and"
NEGATIONS = 0.35  # share of the clauses
HELD_OUT = 0.1  # share of the pairs of a pattern and an adjective


def documents(
    num_train: int = 4000, num_valid: int = 500, num_test: int = 500, seed: int = 0
) -> tuple[list[Document], list[Document], list[Document]]:
    """Training, validation and test opinions, all distinct; see the module.

    Args:
      num_train, num_valid, num_test: the number of opinions in each part.
      seed: an integer; every Python version gives the same opinions.

    Returns:
      Three lists of (label, text).

    Example:
      >>> documents(2, 0, 0)[0][0]
      ('positive', 'i found the song great')
    """
    random = random_module.Random(seed).random
    held_out = {pair for pair in pairs() if random() < HELD_OUT}
    sentences = _sentences(random)
    train: list[Document] = []
    others: list[Document] = []
    while len(train) < num_train:
        document, found = next(sentences)
        (train if held_out.isdisjoint(found) else others).append(document)
    more = (document for document, found in sentences if not held_out.isdisjoint(found))
    wanted = itertools.islice(itertools.chain(others, more), num_valid + num_test)
    kept = list(wanted)
    return train, kept[:num_valid], kept[num_valid:]


def pairs() -> list[Pair]:
    """Every (pattern, adjective)."""
    adjectives = [a for same in ADJECTIVES.values() for a in same]
    return list(itertools.product((*PLAIN, *NEGATED), adjectives))


def derive(random: Random) -> tuple[Document, list[Pair]]:
    """One opinion: (label, text), and its pairs of a pattern and an adjective.

    Args:
      random: a function without arguments, uniform in [0, 1); it decides all choices.
    """
    label = _choose(random, (POSITIVE, NEGATIVE))
    kind = random()
    if kind < ONE_CLAUSE:
        text, pair = _clause(random, label)
        return (label, text), [pair]
    joined, labels = "{} and {}", (label, label)
    if kind < ONE_CLAUSE + CONTRAST:
        joined = _choose(random, (*FIRST_DECIDES, *SECOND_DECIDES))
        labels = label, _opposite(label)
        if joined in SECOND_DECIDES:
            labels = labels[::-1]
    clauses, found = zip(*(_clause(random, each) for each in labels), strict=True)
    return (label, joined.format(*clauses)), list(found)


def _clause(random: Random, label: str) -> tuple[str, Pair]:
    """A clause of an opinion, and its pair of a pattern and an adjective."""
    negated = random() < NEGATIONS
    pattern = _choose(random, NEGATED if negated else PLAIN)
    adjective = _choose(random, ADJECTIVES[_opposite(label) if negated else label])
    words = adjective
    if random() < 0.3:
        words = f"{_choose(random, INTENSIFIERS)} {adjective}"
    noun = _choose(random, NOUNS)
    filled = ({"N": noun, "A": words}.get(word, word) for word in pattern.split())
    return " ".join(filled), (pattern, adjective)


def _sentences(random: Random) -> Iterator[tuple[Document, list[Pair]]]:
    """Distinct opinions with their pairs, without end."""
    seen: set[str] = set()
    while True:
        (label, text), found = derive(random)
        if text not in seen:
            seen.add(text)
            yield (label, text), found


def _opposite(label: str) -> str:
    return NEGATIVE if label == POSITIVE else POSITIVE


def _choose(random: Random, options: Sequence[Item]) -> Item:
    return options[int(random() * len(options))]
