"""Short opinions from a grammar of our own: documents with labels, without a network.

A sentence has one clause or two, and is "positive" or "negative" by rule:

- a clause says something good or bad of something, plainly ("the soup seemed lovely",
  "i found the plot really dull"), or negated by one of many turns ("not bad at all",
  "far from good", "anything but boring"), which makes it the opposite;
- two clauses of one opinion are joined by "and";
- of two opposed ones the main clause decides: the second after "but" and "yet", and
  after a first one with "although"; the first before "although" and "even though".

Negation and contrast take order: "the soup was not bad but the tea was awful" and "the
tea was awful but the soup was not bad" are of the same words and opposite opinions. No
bag of words can tell such sentences apart.

    positive   the garden was not dull at all
    negative   i found the band brilliant but nobody would call the room charming
    positive   although the bread was awful , the coffee was anything but poor

Held-out text needs composition. Some pairs of a turn and an adjective, as "far from"
and "dull", stand in no training sentence; every sentence of the other parts has one at
least. Each half of such a pair stands in training many times.
"""

import itertools
import random as random_module

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
PLAIN = (  # N a noun, A an adjective, perhaps with an intensifier
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
ONE_CLAUSE, CONTRAST = 0.4, 0.45  # shares of the sentences; the others have an "and"
NEGATIONS = 0.35  # share of the clauses
HELD_OUT = 0.1  # of all pairs of a turn and an adjective


def documents(num_train=4000, num_valid=500, num_test=500, seed=0):
    """Training, validation and test opinions, all distinct; see the module.

    Args:
      seed: an integer; the opinions of a seed are the same on every Python.

    Returns:
      Three lists of (label, text).

    Example:
      >>> documents(2, 0, 0)[0][0]
    """
    random = random_module.Random(seed).random
    apart = {pair for pair in pairs() if random() < HELD_OUT}
    sentences, train, others = _sentences(random), [], []
    while len(train) < num_train:
        document, found = next(sentences)
        (train if apart.isdisjoint(found) else others).append(document)
    more = (document for document, found in sentences if not apart.isdisjoint(found))
    wanted = itertools.islice(itertools.chain(others, more), num_valid + num_test)
    kept = list(wanted)
    return train, kept[:num_valid], kept[num_valid:]


def pairs():
    """Every (turn, adjective)."""
    adjectives = [a for same in ADJECTIVES.values() for a in same]
    return list(itertools.product((*PLAIN, *NEGATED), adjectives))


def derive(random):
    """One opinion: (label, text) and the pairs of a turn and an adjective in it.

    Args:
      random: a function without arguments, uniform in [0, 1); it makes all choices.
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


def _clause(random, label):
    """A clause of an opinion, and its pair of a turn and an adjective."""
    negated = random() < NEGATIONS
    turn = _choose(random, NEGATED if negated else PLAIN)
    adjective = _choose(random, ADJECTIVES[_opposite(label) if negated else label])
    words = adjective
    if random() < 0.3:
        words = f"{_choose(random, INTENSIFIERS)} {adjective}"
    noun = _choose(random, NOUNS)
    filled = ({"N": noun, "A": words}.get(word, word) for word in turn.split())
    return " ".join(filled), (turn, adjective)


def _sentences(random):
    """Without end: opinions that are new, with their pairs."""
    seen = set()
    while True:
        (label, text), found = derive(random)
        if text not in seen:
            seen.add(text)
            yield (label, text), found


def _opposite(label):
    return NEGATIVE if label == POSITIVE else POSITIVE


def _choose(random, options):
    return options[int(random() * len(options))]
