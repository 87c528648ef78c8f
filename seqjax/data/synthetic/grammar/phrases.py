"""Parts of a sentence: the verb with its subject, and noun phrases."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from seqjax.data.synthetic.grammar import lexicon, spelling, tables
from seqjax.data.synthetic.grammar.lexicon import Adjective, Noun, Text, Verb
from seqjax.data.synthetic.grammar.spelling import join

Item = TypeVar("Item")


class Turn(NamedTuple):
    """The form of the verb of a clause."""

    tense: str
    question: bool = False
    negation: str = ""  # pas, jamais
    adverb: Text = Text("", "")


class Phrases:
    """Writes parts of one sentence; every method writes both languages.

    A noun phrase can contain a relative clause, which `Writer.clause` writes.

    Args:
      random: a function without arguments, uniform in [0, 1); it decides all choices.
    """

    clause: Callable[..., Text]

    def __init__(self, random: Callable[[], float]) -> None:
        self.random = random
        self.combinations: list[tuple[str, str]] = []
        # Names, some verbs and topics of adjectives: each occurs once.
        self.said: list[Any] = []
        self.is_first = True  # no clause before: "they", "him" refer to nothing earlier
        self.has_room = True  # for a relative clause or a place within a noun phrase

    def chance(self, probability: float) -> bool:
        """True with a probability."""
        return self.random() < probability

    def pick(self, items: Sequence[Item]) -> Item:
        """A random item."""
        return items[int(self.random() * len(items))]

    def pick_new(self, items: Sequence[Item]) -> Item:
        """A random item that did not occur before; there must be one."""
        while (item := self.pick(items)) in self.said:
            pass
        self.said.append(item)
        return item

    # Verbs.

    def turn(self, question: bool = False, tense: str = "") -> Turn:
        """A random form of the verb; tense "" is any."""
        tense, negation, adverb = tense or self.pick(lexicon.TENSES), "", Text("", "")
        if not question and self.chance(0.22):
            never = tense in tables.BE and self.chance(0.3)
            negation = "jamais" if never else "pas"
        elif tense == "present" and self.chance(0.15):
            adverb = self.pick(lexicon.OFTEN)
        return Turn(tense, question, negation, adverb)

    def group(
        self,
        subject: Text,
        verb: Verb,
        turn: Turn,
        clitic: str = "",
        agreement: int = 0,
    ) -> Text:
        """A subject and its verb, without an object after it.

        Args:
          subject: the subject.
          verb: the verb.
          turn: the form of the verb.
          clitic: a French object before the verb; the caller adds the English object.
          agreement: that of the direct object, if it precedes the verb.
        """
        return Text(
            self.english_group(subject, verb, turn),
            self.french_group(subject, verb, turn, clitic, agreement),
        )

    def english_group(self, subject: Text, verb: Verb, turn: Turn) -> str:
        """The English subject and verb."""
        tense, question, negation = turn.tense, turn.question, turn.negation
        often = turn.adverb.english
        name, helper, form = subject.english, tense, verb.base
        if verb.base == "be":
            helper, form = tables.BE[tense][subject.person], ""
        elif tense == "future":
            helper, form = tables.BE["present"][subject.person], f"going to {form}"
        elif tense in tables.BE:
            is_third = subject.person == 2
            helper = "did" if tense == "past" else "does" if is_third else "do"
            if not question and negation != "pas":
                helper, form = "", verb.third if is_third else form
                form = verb.past or "" if tense == "past" else form
            elif negation and self.chance(0.5):
                return join(name, f"{helper}n't", form)
        if question:
            return join(helper, name, often, form)
        if helper == "can" and negation:
            return join(name, "cannot", form)
        return join(name, helper, tables.NEVER[negation], often, form)

    def french_group(
        self, subject: Text, verb: Verb, turn: Turn, clitic: str, agreement: int
    ) -> str:
        """The French subject and verb."""
        tense, person, rest = turn.tense, subject.person, ""
        clitic = tables.SELF[person] if verb.reflexive else clitic
        if tense == "present":
            finite = verb.present[person]
        elif tense == "past" and verb.base == "be":
            finite = verb.participles[person]
        elif tense == "past":
            finite = tables.FINITE["être" if verb.etre else "avoir"][person]
            rest = verb.participles[subject.agreement if verb.etre else agreement]
        else:
            finite, rest = tables.FINITE[tense][person], join(clitic, verb.infinitive)
            clitic = ""
        ne, often = turn.negation and "ne", turn.adverb.french
        return join(subject.french, ne, clitic, finite, turn.negation, often, rest)

    # Subjects and objects.

    def subject(self, is_question: bool = False) -> Text:
        """A subject; not "I" in a question."""
        style = self.pick(lexicon.SUBJECTS)
        if style == "pronoun":
            return self.pick(
                lexicon.SUBJECT_PRONOUNS[is_question : 5 if self.is_first else 4]
            )
        if style == "name":
            return self.pick_new(lexicon.NAMES)
        if style == "names":
            one, two = self.pick_new(lexicon.NAMES), self.pick_new(lexicon.NAMES)
            is_feminine = one.feminine and two.feminine
            return (one + lexicon.JOINTS[0] + two)._replace(
                person=3, feminine=is_feminine
            )
        return self.noun_phrase(self.pick(lexicon.HUMANS))

    def pronoun(self, subject: Text) -> tuple[str, str, str, int]:
        """An object: English, French direct and dative, agreement of a participle."""
        own = subject.person if subject.person < 2 else None
        at = self.pick([n for n in range(5 if self.is_first else 2) if n != own])
        row = lexicon.PRONOUN_ROWS[at]
        return row[1], row[4], row[5], lexicon.SUBJECT_PRONOUNS[at].agreement

    def object(self, verb: Verb, turn: Turn) -> Text:
        """A direct object of a verb."""
        noun = self.pick(verb.objects)
        self.note(verb.base, noun[0].noun)
        return self.noun_phrase(noun, negated=bool(turn.negation))

    def place(self, thing: Text | None = None) -> Text:
        """A place where a thing may be; None is a living being."""
        places, kind = lexicon.PLACES, "place"
        if thing is not None and thing.kind in lexicon.PORTABLE:
            places, kind = lexicon.PLACES_OF_THINGS, "furniture"
        where = self.noun_phrase(self.pick(lexicon.BY_KIND[kind]), lexicon.NEAR, True)
        return self.pick(places) + where

    def noun_phrase(
        self,
        noun: Noun,
        names: Sequence[str] = (),
        is_short: bool = False,
        negated: bool = False,
    ) -> Text:
        """A noun with its determiner, adjectives and clause.

        Args:
          noun: singular and plural.
          names: of determiners, one is chosen; () is those for the kind of noun.
          is_short: write a singular without a clause.
          negated: the noun is the object of a negated verb.
        """
        if not names or noun[0].kind == "kin":
            names = lexicon.USUAL[noun[0].kind]
        singular, plural = noun
        name, is_mass = self.pick(names), plural is None
        if name in ("many", "all", "number") and (negated or is_mass):
            name = "a"
        if name in ("my", "owner") and noun[0].kind in ("person", "youth"):
            name = "this"  # "sa femme" would be his wife
        is_many = name in ("many", "all", "number", "how many")
        is_many |= not is_mass and not is_short and self.chance(0.35)
        text, is_led = plural if is_many and plural else singular, False
        if lexicon.ATTRIBUTES[text.kind] and self.chance(0.45):
            adjective = self.pick(lexicon.ATTRIBUTES[text.kind])
            is_led = adjective.position == "<"
            inner = lexicon.INNER_ATTRIBUTES[text.kind]
            inner = [a for a in inner if is_led and a.topic != adjective.topic]
            if inner and self.chance(0.3):
                text = self.attribute(self.pick(inner), text)
            text = self.attribute(adjective, text)
        if name == "a":
            name = "mass" if is_mass else "a before" if is_led else "a"
            if negated:
                name = "no mass" if is_mass else "no"
        text = self.determine(name, text)
        if is_short or name != "the" or not self.has_room or not self.chance(0.2):
            return text
        return self.extend(text, noun)

    def attribute(self, adjective: Adjective, text: Text) -> Text:
        """A noun with an adjective; the noun may have one after it."""
        self.describe(adjective, text.noun)
        english = f"{adjective.english} {text.english}"
        french = adjective.french[text.agreement]
        if adjective.position != "<":
            return text.put(english, f"{text.french} {french}")
        if text.agreement == 0 and text.french[0] in spelling.VOWELS:
            french = spelling.BEFORE_VOWEL.get(french, french)
        return text.put(english, f"{french} {text.french}")

    def determine(self, name: str, text: Text) -> Text:
        """A noun with a determiner."""
        if name != "owner":
            the = self.pick(lexicon.DETERMINERS[name])[text.agreement]
            return text.put(
                f"{the.english} {text.english}", f"{the.french} {text.french}"
            )
        owner = self.pick_new(lexicon.OWNERS)
        article = lexicon.DETERMINERS["the"][0][text.agreement].french
        french = f"{article} {text.french} de {owner.french}"
        return text.put(f"{owner.english}'s {text.english}", french)

    def extend(self, text: Text, noun: Noun) -> Text:
        """A noun with a relative clause, a place, or nothing after it."""
        was_first, self.is_first, self.has_room = self.is_first, False, False
        turn = self.turn(tense=self.pick(("present", "past")))
        verbs = lexicon.VERBS_OF[turn.tense == "past"][noun]
        if text.kind in ("person", "youth") and self.chance(0.6):
            frame = self.pick(("transitive", "pronominal", "doing", "copula"))
            clause = self.clause(turn, text.then("who", "qui"), frame, extras=False)
            text = text.put(clause.english, clause.french)
        elif verbs and self.chance(0.7):
            verb = self.pick(verbs)
            self.note(verb.base, text.noun)
            subject = self.subject()
            text += lexicon.THAT + self.group(subject, verb, turn, "", text.agreement)
        elif text.kind in lexicon.PORTABLE + lexicon.ANIMATE:
            text += self.place(text)
        self.is_first = was_first
        return text

    def describe(self, adjective: Adjective, noun: str) -> None:
        """Record an adjective and its combination with a noun."""
        self.said.append(adjective.topic)
        self.note(adjective.english, noun)

    def note(self, word: str, noun: str) -> None:
        """Record the combination of a word with a noun, if there is a noun."""
        if noun:
            self.combinations.append((word, noun))


def stand_in(text: Text) -> Text:
    """The subject pronoun for an earlier noun phrase."""
    if text.person < 2:
        return text
    french = "elle" if text.feminine else "il"
    if text.person == 3:
        return text.put("they", f"{french}s")
    he = "she" if text.feminine else "he"
    return text.put(he if text.kind in lexicon.HUMAN else "it", french)
