"""English-French sentence pairs from a synchronous grammar.

One derivation writes both sentences, so that an English sentence has one French
translation. Where English is ambiguous, the grammar has one reading: "you" is "tu";
"they" and "them" are masculine, and so are "I", "you" and "who", unless the sentence
says whom they mean: in "the girls sing because they ..." it is "elles".

The difficulties for a translator:

- agreement in gender and number: articles, adjectives, possessives (with the noun
  possessed), participles after être and after a direct object that comes first;
- order: most adjectives after the noun, object pronouns and adverbs around the verb,
  "Paul's house" as "la maison de Paul";
- elision (l', d', j', n', qu', s'); du, des, au, aux; bel, vieil, nouvel, cet, and mon
  instead of ma, before a vowel; "pas de" for "not a";
- verbs, regular and irregular, in the present, the past (passé composé; imparfait of
  être) and the near future, after "can" and "must", reflexive, with negation;
- questions, relative clauses, two joined clauses, pronouns for an earlier noun.

    The old man does not have this car.    Le vieil homme n'a pas cette voiture.
    Which dresses did Alice buy?           Quelles robes est-ce qu'Alice a achetées ?
    The girls are tired because they work. Les filles sont fatiguées parce qu'elles
                                           travaillent.
    I took an apple but I did not eat it.  J'ai pris une pomme mais je ne l'ai pas
                                           mangée.

Held-out text needs composition. Some combinations of an adjective with a noun ("red",
"key") or of a verb with its object ("lose", "key"), in any number, tense or position,
occur in no training sentence; every sentence of the other parts has at least one of
them. Each of its words, as spelled in either language, occurs in training several
times.
"""

import itertools
import random as random_module
from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from seqjax.data.synthetic.grammar import lexicon
from seqjax.data.synthetic.grammar.spelling import spell_english, spell_french
from seqjax.data.synthetic.grammar.writer import Writer

NARROW_SPACE = "\u202f"  # before a question mark in French
HELD_OUT = 0.08  # share of the combinations
MIN_COUNT = 5  # training occurrences of each word of held-out text
MAX_WORDS = 14  # words of an English sentence
Random = Callable[[], float]  # uniform in [0, 1)
Pair = tuple[str, str]  # English, French
Combination = tuple[str, str]  # (adjective, noun) or (verb, object), in English


class Pairs(NamedTuple):
    """Three lists of (English, French); no sentence is in two of them."""

    train: list[Pair]
    valid: list[Pair]
    test: list[Pair]


def pairs(
    num_train: int = 40_000,
    num_valid: int = 1_000,
    num_test: int = 1_000,
    seed: int = 0,
) -> Pairs:
    """Training, validation and test sentences, all distinct; see the module.

    Args:
      num_train, num_valid, num_test: the number of sentences in each part.
      seed: an integer; every Python version gives the same pairs.

    Raises:
      ValueError: if the training text is so short that most of the held-out sentences
        have a word that is rare in it.

    Example:
      >>> pairs(2, 0, 0).train[1]
      ('He is not young.', "Il n'est pas jeune.")
    """
    random = random_module.Random(seed).random
    apart = held_out(random)
    sentences = _sentences(random)
    train: list[Pair] = []
    others: list[Pair] = []
    while len(train) < num_train:
        pair, found = next(sentences)
        (train if apart.isdisjoint(found) else others).append(pair)
    counts = Counter(word for pair in train for text in pair for word in words(text))
    wanted = num_valid + num_test
    following = itertools.islice(sentences, 100 * wanted)
    more = (pair for pair, found in following if not apart.isdisjoint(found))
    covered = (
        pair
        for pair in itertools.chain(others, more)
        if all(counts[word] >= MIN_COUNT for text in pair for word in words(text))
    )
    kept = list(itertools.islice(covered, wanted))
    if len(kept) < wanted:
        raise ValueError(
            f"{num_train} training sentences have too few words {MIN_COUNT} times for "
            f"{wanted} held-out sentences"
        )
    return Pairs(train, kept[:num_valid], kept[num_valid:])


def _sentences(random: Random) -> Iterator[tuple[Pair, list[Combination]]]:
    """Distinct pairs that are not too long, with their combinations, without end."""
    seen: set[str] = set()
    while True:
        english, french, found = derive(random)
        if english not in seen and english.count(" ") < MAX_WORDS:
            seen.add(english)
            yield (english, french), found


def derive(random: Random) -> tuple[str, str, list[Combination]]:
    """One sentence pair and the combinations it contains.

    Args:
      random: a function without arguments, uniform in [0, 1); it decides all choices.

    Returns:
      (english, french, combinations); the last is a list of some of `combinations()`.
    """
    writer = Writer(random)
    text, mark = writer.sentence()
    english, french = spell_english(text.english), spell_french(text.french)
    space = NARROW_SPACE if mark == "?" else ""
    return (
        english[0].upper() + english[1:] + mark,
        french[0].upper() + french[1:] + space + mark,
        writer.combinations,
    )


def combinations() -> list[Combination]:
    """Every possible (adjective, noun) and (verb, object), in English."""
    found = [
        (a.english, noun) for a in lexicon.ADJECTIVES for noun in lexicon.nouns(a.kinds)
    ]
    found += [
        (v.base, noun)
        for v in lexicon.TRANSITIVES + lexicon.DATIVES
        for noun in v.objects
    ]
    return [(word, noun[0].english) for word, noun in found]


def held_out(random: Random) -> set[Combination]:
    """The combinations that occur in no training sentence; `random` as in `derive`."""
    return {pair for pair in combinations() if random() < HELD_OUT}


def words(text: str) -> list[str]:
    """The words of a sentence, lower-case, without its end mark; "l'eau" is one word.

    >>> words("Is the water cold?")
    ['is', 'the', 'water', 'cold']
    """
    return text.lower().rstrip(".?").split()
