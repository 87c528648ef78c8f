"""English-French sentence pairs from a synchronous grammar: data without a network.

One derivation writes both sides, so an English sentence has one French translation.
Where English alone would leave a choice the grammar holds to one reading: "you" is
"tu"; "they" and "them" are masculine, and so are "I", "you" and "who", unless the
sentence itself says whom they mean: in "the girls sing because they ..." it is "elles".

What a translator must do:

- agreement in gender and number: articles, adjectives, possessives (with the noun
  possessed), participles after être and after a direct object that comes first;
- order: adjectives after the noun but for a few, object pronouns and adverbs around
  the verb, "Paul's house" as "la maison de Paul";
- elision (l', d', j', n', qu', s'); du, des, au, aux; bel, vieil, nouvel, cet, and mon
  for ma, before a vowel; "pas de" for "not a";
- verbs, regular or not, in the present, the past (passé composé; imparfait of être)
  and the near future, after "can" and "must", reflexive, never or not;
- questions, relative clauses, two clauses joined, a pronoun for a noun before it.

    The old man does not have this car.    Le vieil homme n'a pas cette voiture.
    Which dresses did Alice buy?           Quelles robes est-ce qu'Alice a achetées ?
    The girls are tired because they work. Les filles sont fatiguées parce qu'elles
                                           travaillent.
    I took an apple but I did not eat it.  J'ai pris une pomme mais je ne l'ai pas
                                           mangée.

Held-out text needs composition. Some combinations, adjective with noun ("red", "key")
or verb with its object ("lose", "key"), whatever the number, tense or place of the two,
stand in no training sentence; every sentence of the other splits has at least one. Yet
each of its words, as spelled on either side, stands in training several times.
"""

import itertools
import random as random_module
from collections import Counter
from typing import NamedTuple

from seqjax.data.synthetic.grammar import lexicon
from seqjax.data.synthetic.grammar.spelling import spell_english, spell_french
from seqjax.data.synthetic.grammar.writer import Writer

NARROW_SPACE = "\u202f"  # what French puts before a question mark
HELD_OUT = 0.08  # of all combinations
MIN_COUNT = 5  # training occurrences of each word of held-out text
MAX_WORDS = 14  # of an English sentence


class Pairs(NamedTuple):
    """Three lists of (English, French), no sentence in two of them."""

    train: list
    valid: list
    test: list


def pairs(num_train=40_000, num_valid=1_000, num_test=1_000, seed=0):
    """Training, validation and test sentences, all distinct; see the module.

    Args:
      num_train: how many sentences to learn from.
      num_valid: how many of the held-out sentences to validate on.
      num_test: how many of the held-out sentences to test on.
      seed: an integer; the pairs of a seed are the same on every Python.

    Raises:
      ValueError: if the training text is so short that most of the held-out sentences
        have a word that is rare in it.

    Example:
      >>> pairs(2, 0, 0).train[1]
      ('He is not young.', "Il n'est pas jeune.")
    """
    random = random_module.Random(seed).random
    apart = held_out(random)
    sentences, train, others = _sentences(random), [], []
    while len(train) < num_train:
        pair, found = next(sentences)
        (train if apart.isdisjoint(found) else others).append(pair)
    counts = Counter(word for pair in train for text in pair for word in words(text))
    wanted = num_valid + num_test
    more = itertools.islice(sentences, 100 * wanted)
    more = (pair for pair, found in more if not apart.isdisjoint(found))
    covered = (
        pair
        for pair in itertools.chain(others, more)
        if all(counts[word] >= MIN_COUNT for text in pair for word in words(text))
    )
    kept = list(itertools.islice(covered, wanted))
    if len(kept) < wanted:
        raise ValueError(
            f"{num_train} training sentences hold too few words {MIN_COUNT} times to "
            f"make {wanted} held-out sentences of them"
        )
    return Pairs(train, kept[:num_valid], kept[num_valid:])


def _sentences(random):
    """Without end: pairs that are new and not too long, with their combinations."""
    seen = set()
    while True:
        english, french, found = derive(random)
        if english not in seen and english.count(" ") < MAX_WORDS:
            seen.add(english)
            yield (english, french), found


def derive(random):
    """One sentence pair and the combinations it contains.

    Args:
      random: a function without arguments, uniform in [0, 1); it makes all choices.

    Returns:
      english, french, combinations; the last a list of some of `combinations()`.
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


def combinations():
    """Every (adjective, noun) and (verb, object), in English, that can be combined."""
    found = [
        (a.english, noun) for a in lexicon.ADJECTIVES for noun in lexicon.nouns(a.kinds)
    ]
    found += [
        (v.base, noun)
        for v in lexicon.TRANSITIVES + lexicon.DATIVES
        for noun in v.objects
    ]
    return [(word, noun[0].english) for word, noun in found]


def held_out(random):
    """The set of combinations to keep out of training; `random` as in `derive`."""
    return {pair for pair in combinations() if random() < HELD_OUT}


def words(text):
    """The words of a sentence, lower-case, without its end mark; "l'eau" is one.

    >>> words("Is the water cold?")
    ['is', 'the', 'water', 'cold']
    """
    return text.lower().rstrip(".?").split()
