"""Sentences and clauses."""

from seqjax.data.synthetic.grammar import lexicon
from seqjax.data.synthetic.grammar.lexicon import Text
from seqjax.data.synthetic.grammar.phrases import Phrases, Turn, stand_in


class Writer(Phrases):
    """Writes one sentence."""

    # Sentences, before elision.

    def sentence(self) -> tuple[Text, str]:
        """A text and its end mark."""
        if self.chance(0.7):
            return getattr(self, self.pick(lexicon.STATEMENTS))(False), "."
        name = self.pick(lexicon.QUESTIONS)
        text = getattr(self, name)(True)
        return (lexicon.DOES + text if name in lexicon.STATEMENTS else text), "?"

    def simple(self, question: bool) -> Text:
        """One clause."""
        return self.clause(self.turn(question))

    def how(self, _: bool) -> Text:
        """A question for where, when or why."""
        turn, frame = self.turn(True), self.pick(("transitive", "doing"))
        clause = self.clause(turn, frame=frame, extras=False)
        return self.pick(lexicon.ASKED) + lexicon.DOES + clause

    def who(self, _: bool) -> Text:
        """A question for the subject."""
        return self.clause(self.turn(), Text("who", "qui"))

    def what(self, _: bool) -> Text:
        """A question for the object."""
        turn = self.turn(True)
        verb = self.pick(lexicon.OF_THINGS[turn.tense == "past"])
        return lexicon.WHAT + lexicon.DOES + self.group(self.subject(True), verb, turn)

    def which(self, _: bool) -> Text:
        """A question with the object first; a participle agrees with it."""
        turn = self.turn(True)
        verb = self.pick(lexicon.OF_THINGS[turn.tense == "past"])
        noun = self.pick(verb.objects)
        thing = self.noun_phrase(
            noun, ("which", "which", "how many")[: 2 + bool(noun[1])]
        )
        self.note(verb.base, thing.noun)
        subject = self.subject(True)
        return (
            thing + lexicon.DOES + self.group(subject, verb, turn, "", thing.agreement)
        )

    def location(self, question: bool) -> Text:
        """The place of a thing."""
        turn = self.turn(question, self.pick(("present", "past")))
        thing = self.noun_phrase(
            self.pick(lexicon.PLACED), ("the", "the", "this", "my")
        )
        return self.group(thing, lexicon.BEING, turn) + self.place(thing)

    def there_is(self, question: bool) -> Text:
        """The existence of a thing."""
        turn = self.turn(question, self.pick(("present", "past")))
        noun = self.pick(lexicon.PLACED)
        while noun[0].kind == "kin":
            noun = self.pick(lexicon.PLACED)
        names = ("a", "a", "number", "many")
        thing = self.noun_phrase(noun, names, negated=bool(turn.negation))
        text = self.group(Text("there", "il", thing.person), lexicon.EXISTING, turn)
        return text + thing + self.place(thing)

    def joined(self, _: bool) -> Text:
        """Two clauses; a second one with the same subject has a pronoun for it."""
        tense, first, second = (
            self.pick(lexicon.TENSES),
            self.pick(("copula", "doing")),
            "",
        )
        joint = self.pick(lexicon.JOINTS[: 5 if tense == "present" else 3])
        if self.chance(0.2):
            first, second, joint = "copula", "copula", self.pick(lexicon.JOINTS[:2])
            subject = self.noun_phrase(self.pick(lexicon.THINGS), lexicon.DEFINITE)
            then: Text | None = stand_in(subject)
        elif self.chance(0.6):
            subject = self.subject()
            then, second = stand_in(subject), self.pick(("doing", "transitive"))
        else:
            subject, then, first = self.subject(), None, ""
        text = self.clause(self.turn(tense=tense), subject, first, extras=False)
        self.is_first = False
        return text + joint + self.clause(self.turn(tense=tense), then, second)

    def resumed(self, _: bool) -> Text:
        """Two verbs with one object, which is a pronoun after the second verb."""
        self.has_room = False
        turn = Turn(self.pick(("present", "past", "future")))
        noun = self.pick(lexicon.RESUMED)
        subject, thing = self.subject(), self.noun_phrase(noun)
        verbs = lexicon.VERBS_OF[turn.tense == "past"][noun]
        first, second = self.pick_new(verbs), self.pick_new(verbs)
        self.note(first.base, thing.noun)
        self.note(second.base, thing.noun)
        text = self.group(subject, first, turn) + thing
        turn = turn._replace(negation=self.pick(("", "", "pas")))
        text += lexicon.JOINTS[1 if turn.negation else 0]
        clitic = ("le", "la", "les", "les")[thing.agreement]
        text += self.group(stand_in(subject), second, turn, clitic, thing.agreement)
        return text.then(lexicon.OBJECT_FORM[stand_in(thing).english], "")

    def claim(self, _: bool) -> Text:
        """A clause after "think that"; never negated: that needs the subjunctive."""
        text = self.group(self.subject(), self.pick(lexicon.CLAIMS), Turn("present"))
        self.is_first = False
        return text + lexicon.THAT + self.clause(self.turn())

    # Clauses.

    def clause(
        self,
        turn: Turn,
        subject: Text | None = None,
        frame: str = "",
        extras: bool = True,
    ) -> Text:
        """A sentence, or part of one; the French of a question is that of a statement.

        Args:
          turn: the form of the verb.
          subject: the subject; None is any.
          frame: the name of one of the next methods; "" is any.
          extras: allow a place and a time at the end.
        """
        frame = frame or self.pick(lexicon.FRAMES)
        if subject is None:
            if frame == "copula" and self.chance(0.6):
                subject = self.noun_phrase(
                    self.pick(lexicon.ALL_NOUNS), lexicon.DEFINITE
                )
            elif frame == "doing" and self.chance(0.3):
                subject = self.noun_phrase(self.pick(lexicon.BY_KIND["animal"]))
            else:
                subject = self.subject(turn.question)
        text = getattr(self, frame)(subject, turn)
        if extras and frame in ("transitive", "doing") and self.chance(0.2):
            text += self.place()
        is_timeless = turn.adverb.english or turn.negation == "jamais"
        if extras and not is_timeless and self.chance(0.2):
            times = turn.tense if turn.tense in lexicon.TIMES else "later"
            if frame == "copula":
                times = "past" if turn.tense == "past" else "now"
            text += self.pick(lexicon.TIMES[times])
        return text

    def transitive(self, subject: Text, turn: Turn) -> Text:
        """A verb with an object."""
        verb = self.pick(lexicon.TRANSITIVES_IN[turn.tense == "past"])
        return self.group(subject, verb, turn) + self.object(verb, turn)

    def pronominal(self, subject: Text, turn: Turn) -> Text:
        """A verb with a pronoun as its object."""
        verb = self.pick(lexicon.WITH_PEOPLE[turn.tense == "past"])
        whom, clitic, _, agreement = self.pronoun(subject)
        return self.group(subject, verb, turn, clitic, agreement).then(whom, "")

    def giving(self, subject: Text, turn: Turn) -> Text:
        """A verb with a direct and an indirect object."""
        verb = self.pick(lexicon.DATIVES)
        if self.chance(0.5):
            whom, _, dative, _ = self.pronoun(subject)
            text = self.group(subject, verb, turn, dative).then(whom, "")
            return text + self.object(verb, turn)
        text = self.group(subject, verb, turn) + self.object(verb, turn)
        if self.chance(0.3):
            return text + lexicon.TO + self.pick_new(lexicon.NAMES)
        return text + lexicon.TO + self.noun_phrase(self.pick(lexicon.HUMANS))

    def doing(self, subject: Text, turn: Turn) -> Text:
        """A verb without an object."""
        verbs = lexicon.ANIMAL_DOINGS if subject.kind == "animal" else lexicon.DOINGS
        return self.group(subject, self.pick_new(verbs), turn)

    def going(self, subject: Text, turn: Turn) -> Text:
        """A verb of motion with a place."""
        verb = self.pick(lexicon.GOINGS)
        to, a = verb.notes
        text = self.group(subject, verb, turn).then(to.strip("_"), a)
        return text + self.noun_phrase(
            self.pick(lexicon.BY_KIND["place"]), lexicon.NEAR, True
        )

    def copula(self, subject: Text, turn: Turn) -> Text:
        """A form of "be" with an adjective."""
        if turn.tense != "past":
            turn = turn._replace(tense="present")
        if subject.kind not in lexicon.ANIMATE:
            turn = turn._replace(negation=turn.negation and "pas", adverb=Text("", ""))
        text, adjectives = (
            self.group(subject, lexicon.BEING, turn),
            lexicon.PREDICATES[subject.kind],
        )
        fresh = [a for a in adjectives if a.topic not in self.said]
        adjective = self.pick(fresh or adjectives)
        self.describe(adjective, subject.noun)
        if adjective.position != ">" and self.chance(0.25):
            text = text.then("very", "très")
        return text.then(adjective.english, adjective.french[subject.agreement])
