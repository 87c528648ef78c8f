"""The words of the tables in both languages, and the lists to choose from."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from seqjax.data.synthetic.grammar import tables
from seqjax.data.synthetic.grammar.spelling import agreeing, join, plural, with_s
from seqjax.data.text import split_lines


class Text(NamedTuple):
    """A part of a sentence in both languages, with its features for agreement."""

    english: str
    french: str
    person: int = 2  # 0 I, 1 you, 2 he, 3 they
    feminine: bool = False
    kind: str = "kin"
    noun: str = ""

    @property
    def agreement(self) -> int:
        """0 masculine, 1 feminine, 2 and 3 their plurals."""
        return self.feminine + 2 * (self.person == 3)

    # Texts are joined in place of tuples.
    def __add__(self, other: "Text") -> "Text":  # type: ignore[override]
        """Both texts, with the features of the first."""
        return self.then(other.english, other.french)

    def then(self, english: str, french: str) -> "Text":
        """This text and more, with the same features."""
        return self.put(join(self.english, english), join(self.french, french))

    def put(self, english: str, french: str) -> "Text":
        """Another text with the same features."""
        return self._replace(english=english, french=french)


Noun = tuple[Text, Text | None]  # singular and plural; None for a mass noun


class Adjective(NamedTuple):
    """An adjective of the tables."""

    english: str
    french: tuple[str, ...]  # by agreement
    position: str  # "<" before the noun, ">" or "" after it
    topic: str
    kinds: list[str]


class Verb(NamedTuple):
    """A verb of the tables."""

    base: str
    third: str  # the form after "he"
    past: str | None
    infinitive: str
    participles: tuple[str, ...]  # by agreement
    present: tuple[str, ...]  # by person
    etre: bool
    reflexive: bool
    notes: list[str]  # the words after the colon
    objects: list[Noun]  # the nouns of the kinds in the notes


def _texts(pairs: str) -> list[Text]:
    """Texts from "english=french, english=french"."""
    texts = []
    for pair in pairs.split(", "):
        english, french = pair.split("=")
        texts.append(Text(english, french))
    return texts


def _lines(table: str) -> Iterator[tuple[list[str], str]]:
    """The words before the colon of each line, and the text after it."""
    for line in split_lines(table.strip()):
        key, value = line.split(":")
        yield key.split(), value.strip()


def _kinds(names: str) -> list[str]:
    return " ".join(tables.GROUPS.get(name, name) for name in names.split()).split()


def nouns(kinds: Iterable[str]) -> list[Noun]:
    """All nouns of some kinds."""
    return [noun for kind in kinds for noun in BY_KIND.get(kind, ())]


def _read_nouns() -> Iterator[Noun]:
    for (kind, gender), entries in _lines(tables.NOUNS):
        for entry in entries.split(", "):
            english, french = entry.split()
            one, _, many = english.partition("/")
            text = Text(one, french, 2, gender == "f", kind, one)
            plurals = text.put(many or with_s(one), plural(french))
            yield text, None if "-" in english else plurals._replace(person=3)


def _read_adjectives() -> Iterator[Adjective]:
    topics = {
        word: topic for topic in tables.TOPICS.split(",") for word in topic.split()
    }
    for (entry, *french), kinds in _lines(tables.ADJECTIVES):
        english = entry.lstrip("<>")
        position, topic = entry.removesuffix(english), topics.get(english, english)
        yield Adjective(english, agreeing(*french), position, topic, _kinds(kinds))


def _read_verbs(table: str) -> Iterator[Verb]:
    for (base, past, infinitive, *forms), notes in _lines(table):
        infinitive, *marks = re.findall(r"[^+_]+$|\+|se_", infinitive)[::-1]
        ends = "é e es e ent" if infinitive.endswith("er") else "u s s _ ent"
        regular = [infinitive[:-2] + end.strip("_") for end in ends.split()]
        participle, *present = forms or regular
        first, *others = base.split("_")
        yield Verb(
            join(first, *others),
            join(with_s(first), *others),
            None if past == "-" else past.replace("_", " "),
            infinitive,
            agreeing(participle),
            tuple(present),
            bool(marks),
            "se_" in marks,
            _kinds(notes),
            nouns(_kinds(notes)),
        )


def _in_tenses(verbs: list[Verb]) -> tuple[list[Verb], list[Verb]]:
    """The verbs for other tenses than the past, and the verbs for the past."""
    return verbs, [verb for verb in verbs if verb.past]


def _deck(names: str) -> list[str]:
    """Each name as often as its number says."""
    entries = [name.split("*") for name in names.split()]
    return [name for name, count in entries for _ in range(int(count))]


BY_KIND: dict[str, list[Noun]] = {}
for _noun in _read_nouns():
    BY_KIND.setdefault(_noun[0].kind, []).append(_noun)
PORTABLE, HUMAN = _kinds("portable"), _kinds("human")
ANIMATE = [*HUMAN, "animal"]
ALL_NOUNS, HUMANS = nouns(BY_KIND), nouns(HUMAN)
THINGS = [noun for noun in ALL_NOUNS if noun[0].kind not in ANIMATE]
PLACED = nouns(ANIMATE + PORTABLE)
ADJECTIVES = list(_read_adjectives())
ATTRIBUTES = {
    kind: [a for a in ADJECTIVES if kind in a.kinds and kind != "kin"]
    for kind in BY_KIND
}
INNER_ATTRIBUTES = {
    kind: [a for a in adjectives if a.position == ">"]
    for kind, adjectives in ATTRIBUTES.items()
}
PREDICATES = {
    kind: [a for a in ADJECTIVES if kind in a.kinds and a.english != "new"]
    for kind in BY_KIND
}
TRANSITIVES, DATIVES, DOINGS, GOINGS, CLAIMS = (
    list(_read_verbs(table))
    for table in (
        tables.TRANSITIVE,
        tables.GIVING,
        tables.DOING,
        tables.GOING,
        tables.CLAIMING,
    )
)
TRANSITIVES_IN = _in_tenses(TRANSITIVES)
OF_THINGS = _in_tenses(
    [v for v in TRANSITIVES if "kin" not in v.notes and v.base != "visit"]
)
WITH_PEOPLE = _in_tenses([verb for verb in TRANSITIVES if "kin" in verb.notes])
VERBS_OF = [
    {noun: [verb for verb in verbs if noun[0].kind in verb.notes] for noun in ALL_NOUNS}
    for verbs in TRANSITIVES_IN
]
RESUMED = [noun for noun in ALL_NOUNS if len(VERBS_OF[True][noun]) > 1]
ANIMAL_DOINGS = [verb for verb in DOINGS if verb.notes]
BEING = DOINGS[0]._replace(
    base="be", present=tables.FINITE["être"], participles=tables.WAS
)
EXISTING = BEING._replace(present=("y a",) * 4, participles=("y avait",) * 4)
NAMES = [
    Text(name, name, 2, gender == "f")
    for name, gender in (name.split() for name in tables.NAMES.split(", "))
]
OWNERS = NAMES * 2 + [
    Text(f"the {noun.english}", f"{'la' if noun.feminine else 'le'} {noun.french}")
    for noun, _ in BY_KIND["person"]
]
PRONOUN_ROWS = [row.split() for row in split_lines(tables.PRONOUNS.strip())]
SUBJECT_PRONOUNS = [
    Text(row[0], row[3], person, row[0] == "she")
    for row, person in zip(PRONOUN_ROWS, (0, 1, 2, 2, 3), strict=True)
]
OBJECT_FORM = {"it": "it"} | {row[0]: row[1] for row in PRONOUN_ROWS}
DETERMINERS = {
    name: [_texts(forms) for forms in table.split(" | ")]
    for name, table in tables.DETERMINERS.items()
}
DETERMINERS["my"] = [
    [Text(row[2], row[6 + n]) for n in (0, 1, 2, 2)] for row in PRONOUN_ROWS
]
TIMES = {name: _texts(times) for name, times in tables.TIMES.items()}
PLACES = _texts("in=dans, near=près de, behind=derrière, in front of=devant")
PLACES_OF_THINGS = _texts("on=sur, under=sous, near=près de")
OFTEN = _texts("often=souvent, always=toujours, sometimes=parfois")
JOINTS = _texts("and=et, but=mais, because=parce que, if=si, when=quand")
ASKED = _texts("where=où, when=quand, why=pourquoi")
THAT, WHAT, DOES, TO = _texts("that=que, what=que, =est-ce que, to=à")

# Choices by weight.
STATEMENTS = _deck("simple*10 location*1 there_is*2 joined*4 resumed*2 claim*1")
QUESTIONS = _deck("simple*4 location*1 there_is*1 how*2 who*2 what*1 which*3")
FRAMES = _deck("transitive*5 pronominal*1 giving*1 doing*1 going*1 copula*3")
SUBJECTS = _deck("pronoun*4 name*3 names*1 noun*4")
TENSES = _deck("present*3 past*3 future*1 can*1 must*1")
DEFINITE = ("the", "the", "this", "my", "owner")
NEAR = ("the", "the", "a", "this", "my")
USUAL: dict[str, tuple[str, ...]] = dict.fromkeys(
    BY_KIND, (*DEFINITE, "the", "a", "a", "many", "number", "all")
)
USUAL |= dict.fromkeys(HUMAN, ("the", "the", "a", "this", "number", "many"))
USUAL |= {"kin": ("my", "my", "my", "owner")}
