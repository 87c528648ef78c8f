"""Sentences in which only the context tells a fruit from a company, for tagging.

    i like eating apple                         fruit
    the apple is a great company                organisation

All words are lower-case, so that spelling gives nothing away. Each clause has one
ambiguous word and one cue to its meaning, before or after the word. Up to eleven words
without information on the meaning stand between the two. A sentence has one or two
clauses whose meanings are drawn independently, so that a model must use the cue of the
same clause. Some of the words between name a person, "B-person I-person".

    she peeled , according to nora hill , the orange and shell , in the end , hired a
    hundred people

*A tagger without context is right in half of the cases*: in each of the three parts,
each ambiguous word is equally often an organization and a thing.

*Held-out text needs composition*: a word and a cue that occur together in one part
never do in another part. Each of them occurs in training, with others.
"""

import random as random_module
from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Tagged = tuple[list[str], list[str]]  # words and their tags, of one length

# The other meaning of each ambiguous word; the first one is an organization.
WORDS = {
    "apple": "fruit",
    "orange": "fruit",
    "blackberry": "fruit",
    "mango": "fruit",
    "jaguar": "animal",
    "puma": "animal",
    "caterpillar": "animal",
    "amazon": "river",
    "avon": "river",
    "shell": "thing",
    "nest": "thing",
}
# Cues before the word, a slash, and cues after the word.
CUES = {
    "fruit": "i like eating, she peeled, we washed, he bit into, they squeezed, tom ate"
    " / is ripe, tastes sweet, fell from the tree, is full of juice, was cut in two,"
    " was eaten",
    "animal": "the dog chased, we fed, she is afraid of, a hunter caught, he stroked,"
    " the vet examined"
    " / is asleep in the grass, climbed a tree, has soft hair, ate all the leaves,"
    " crawled away, is very tame",
    "river": "we swam across, they built a bridge over, a boat sank in, he fished in,"
    " the rain filled, she rowed down"
    " / flows into the sea, is deep here, froze in winter, flooded the fields,"
    " is full of fish, rises in the mountains",
    "thing": "she found on the beach, he broke with a stick, we painted, i hold in my"
    " hand, the sea washed away, they glued"
    " / is white inside, lies on the table, was broken by the wind, fits in a box,"
    " has a small hole, feels smooth",
    "organisation": "he works for, she bought shares of, they sued, i got a job at, a"
    " bank lent money to, we wrote to the boss of, the court fined, tom invests in"
    " / is a great company, hired a hundred people, reported a loss, opened an office"
    " in town, fired its boss, pays its workers well, made a profit, sells insurance",
}
BETWEEN = (  # * stands for a person
    *("as far as i know", "for once", "in the end", "to our surprise", "said *"),
    *("after a long day", "like every year", "at the end of the week", "if you ask *"),
    *("for the first time in years", "according to *"),
)
NAMES = ("anna", "paul", "nora", "james", "lucy", "peter")
SURNAMES = ("smith", "hill", "baker", "young", "wood", "stone")
JOINTS = ("and", "but", "while", "because", "so")
SHARE_BETWEEN = 0.6  # of the clauses: those with words between


def sentences(
    num_train: int = 120, num_held_out: int = 10, seed: int = 0
) -> tuple[list[Tagged], ...]:
    """Training, validation and test sentences; see the module.

    Args:
      num_train: training clauses for each ambiguous word in each of its two senses.
      num_held_out: the same for the validation part, and for the test part.
      seed: an integer; every Python version gives the same sentences.

    Returns:
      Three lists of (words, tags).

    Example:
      >>> words, tags = sentences()[2][0]
      >>> " ".join(words)
      'apple is ripe while they sued the nest'
    """
    writer = _Writer(random_module.Random(seed).random)
    numbers = {"train": num_train, "valid": num_held_out, "test": num_held_out}
    return tuple(writer.part(number, part) for part, number in numbers.items())


def cues(sense: str) -> list[tuple[str, bool]]:
    """(text, whether it precedes the word) for each cue to a sense."""
    before, after = (part.strip().split(", ") for part in CUES[sense].split(" / "))
    return [(cue, True) for cue in before] + [(cue, False) for cue in after]


def part_of(word: str, sense: str, cue: str) -> str:
    """The part in which a word and a cue occur together; a third is held out."""
    index = [text for text, _ in cues(sense)].index(cue)
    number = (list(WORDS).index(word) + index) % 6
    return {0: "test", 3: "valid"}.get(number, "train")


class _Writer:
    """Writes sentences; `random` is uniform in [0, 1) and decides all choices."""

    def __init__(self, random: Callable[[], float]) -> None:
        self.random = random

    def pick(self, items: Sequence[Item]) -> Item:
        return items[int(self.random() * len(items))]

    def part(self, number: int, part: str) -> list[Tagged]:
        """Sentences of a part, with each word `number` times in each of its senses."""
        wanted = [
            (word, sense)
            for word, thing in WORDS.items()
            for sense in (thing, "organisation")
            for _ in range(number)
        ]
        wanted.sort(key=lambda _: self.random())
        found: list[Tagged] = []
        while wanted:
            words, tags = self.clause(*wanted.pop(), part)
            if wanted and self.random() < 0.5:
                more = self.clause(*wanted.pop(), part)
                words = [*words, self.pick(JOINTS), *more[0]]
                tags = [*tags, "O", *more[1]]
            found.append((words, tags))
        return found

    def clause(self, word: str, sense: str, part: str) -> Tagged:
        """A clause with `word` in a sense."""
        allowed = [
            (cue, is_first)
            for cue, is_first in cues(sense)
            if part_of(word, sense, cue) == part
        ]
        cue, is_first = self.pick(allowed)
        named = ["the"] * (self.random() < 0.5) + [word]
        about = named, ["O"] * (len(named) - 1) + [f"B-{sense}"]
        hint = cue.split(), ["O"] * len(cue.split())
        pieces = [hint, self.between(), about]
        pieces = pieces if is_first else pieces[::-1]
        words = [word for piece in pieces for word in piece[0]]
        return words, [tag for piece in pieces for tag in piece[1]]

    def between(self) -> Tagged:
        """Words without information on the sense, or none."""
        if self.random() >= SHARE_BETWEEN:
            return [], []
        words: list[str] = []
        tags: list[str] = []
        for word in self.pick(BETWEEN).split():
            is_name = word == "*"
            words += [self.pick(NAMES), self.pick(SURNAMES)] if is_name else [word]
            tags += ["B-person", "I-person"] if is_name else ["O"]
        return [",", *words, ","], ["O", *tags, "O"]
