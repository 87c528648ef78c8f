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
import re
from collections import Counter
from typing import NamedTuple

NARROW_SPACE = "\u202f"  # what French puts before a question mark
HELD_OUT = 0.08  # of all combinations
MIN_COUNT = 5  # training occurrences of each word of held-out text
MAX_WORDS = 14  # of an English sentence

# Kind and gender; then "english french" or "singular/plural french", "-" for no plural.
_NOUNS = """
person m: man/men homme, king roi, doctor médecin, teacher professeur
person f: woman/women femme, queen reine, nurse infirmière, actress actrice
youth m: boy garçon, child/children enfant
youth f: girl fille
kin m: father/- père, brother frère, uncle oncle
kin f: mother/- mère, sister sœur, aunt tante
animal m: dog chien, cat chat, horse cheval, bird oiseau
animal f: cow vache, mouse/mice souris
fruit m: egg œuf, cake gâteau
fruit f: apple pomme, orange orange, tomato/tomatoes tomate, carrot carotte
dish m: bread/- pain, cheese/- fromage, fish/- poisson
dish f: meat/- viande, salad/- salade
drink m: milk/- lait, coffee/- café, tea/- thé
drink f: water/- eau, beer/- bière
text m: book livre, poem poème, article article
text f: letter lettre, story/stories histoire, song chanson
clothing m: hat chapeau, coat manteau
clothing f: shirt chemise, dress robe, shoe chaussure, scarf/scarves écharpe
thing m: knife/knives couteau, umbrella parapluie, computer ordinateur, glass verre
thing f: key clé, box boîte, plate assiette, bottle bouteille, lamp lampe
vehicle m: boat bateau, bicycle vélo
vehicle f: car voiture
furniture m: bed lit, piano piano
furniture f: table table, chair chaise
place m: market marché, hotel hôtel, hospital hôpital, museum musée, castle château
place m: garden jardin, park parc
place f: school école, church église, station gare, library/libraries bibliothèque
place f: house maison
"""
_GROUPS = {
    "human": "person youth kin",
    "goods": "clothing thing furniture vehicle",
    "portable": "fruit dish drink text clothing thing",
}
# English, French masculine, feminine where it is not regular: kinds of nouns. "<" is
# before the noun; the others are after, ">" also beside one before, and never "very".
_ADJECTIVES = """
<big grand: animal thing furniture vehicle place
<small petit: youth animal fruit goods place
<old vieux vieille: person animal goods place text
<young jeune: human animal
<new nouveau nouvelle: goods text place
<beautiful beau belle: animal goods place text
<good bon bonne: fruit dish drink text
<bad mauvais: fruit dish drink text
>red rouge: goods
>green vert: goods
>blue bleu: goods
>white blanc blanche: goods animal
>black noir: goods animal
>French français: person text dish
>English anglais: person text dish
>Italian italien italienne: person text dish
heavy lourd: thing furniture
expensive cher chère: goods
happy heureux heureuse: human
sad triste: human
tired fatigué: human animal
sick malade: human animal
kind gentil gentille: human animal
intelligent intelligent: human animal
strange étrange: animal thing text place
famous célèbre: person text place
interesting intéressant: text place
clean propre: goods place
dirty sale: goods place
>broken cassé: thing furniture
>delicious délicieux délicieuse: fruit dish drink
hot chaud: drink
cold froid: drink
"""
# Of these a sentence has one, so that no cold milk is hot; of the others each once.
_TOPICS = """
big small, old young new, good bad delicious, clean dirty, hot cold, happy sad,
red green blue white black, French English Italian
"""
# English base, past, French infinitive; where it is not regular the participle and the
# present of je tu il ils. "+" takes être, "-" is never past, "_" is a space.
_TRANSITIVE = """
see saw voir vu vois vois voit voient: human animal thing vehicle
look_at looked_at regarder: person youth animal thing clothing vehicle
love loved aimer: kin animal fruit dish drink text clothing place
look_for looked_for chercher: human animal clothing thing text place
find found trouver: animal clothing thing text place
have - avoir eu ai as a ont: animal goods text
buy bought acheter acheté achète achètes achète achètent: portable vehicle
sell sold vendre: fruit dish goods animal
lose lost perdre: clothing thing text
wear wore porter: clothing
eat ate manger: fruit dish
drink drank boire bu bois bois boit boivent: drink
read - lire lu lis lis lit lisent: text
write wrote écrire écrit écris écris écrit écrivent: text
know - connaître connu connais connais connaît connaissent: human place
visit visited visiter: place
help helped aider: human
wait_for waited_for attendre: person kin
choose chose choisir choisi choisis choisis choisit choisissent: fruit goods
take took prendre pris prends prends prend prennent: fruit clothing thing text
break broke casser: thing furniture
wash washed laver: clothing vehicle
"""
_GIVING = """
give gave donner: fruit clothing thing text
show showed montrer: clothing thing vehicle text animal place
"""
# After the colon: animals too.
_DOING = """
sleep slept dormir dormi dors dors dort dorment: animal
work worked travailler:
sing sang chanter:
dance danced danser:
run ran courir couru cours cours court courent: animal
fall fell +tomber: animal
rest rested se_reposer: animal
stop stopped se_arrêter: animal
"""
# After the colon the prepositions, "_" for none.
_GOING = """
go went +aller allé vais vas va vont: to à
come came +venir venu viens viens vient viennent: from de
arrive arrived +arriver: at à
enter entered +entrer: _ dans
"""
_CLAIMING = """
think - penser:
say - dire dit dis dis dit disent:
"""
_NAMES = "Paul m, Marc m, Antoine m, Simon m, Marie f, Julie f, Alice f, Emma f"
# English subject, object, possessive; French subject, object, dative, possessives.
_PRONOUNS = """
I me my je me me mon ma mes
you you your tu te te ton ta tes
he him his il le lui son sa ses
she her her elle la lui son sa ses
they them their ils les leur leur leur leurs
"""
# Masculine, feminine, their plurals; between bars one is picked.
_DETERMINERS = {
    "the": "the=le, the=la, the=les, the=les",
    "a": "a=un, a=une, some=des, some=des",
    "a before": "a=un, a=une, some=de, some=de",
    "no": "a=de, a=de, any=de, any=de",
    "mass": "some=de le, some=de la",
    "no mass": "any=de, any=de",
    "this": "this=ce, this=cette, these=ces, these=ces",
    "which": "which=quel, which=quelle, which=quels, which=quelles",
    "how many": "=, =, how many=combien de, how many=combien de",
    "many": "=, =, many=beaucoup de, many=beaucoup de",
    "all": "=, =, all the=tous les, all the=toutes les",
    "number": "=, =, two=deux, two=deux | =, =, three=trois, three=trois",
}
_TIMES = {
    "present": "every day=tous les jours, in the morning=le matin",
    "past": "yesterday=hier, last week=la semaine dernière, this morning=ce matin",
    "later": "tomorrow=demain, next week=la semaine prochaine, this evening=ce soir",
    "now": "today=aujourd'hui, now=maintenant",
}
# By person: I, you, he, they.
_BE = {"present": ("am", "are", "is", "are"), "past": ("was", "were", "was", "were")}
_FINITE = {
    "avoir": ("ai", "as", "a", "ont"),
    "être": ("suis", "es", "est", "sont"),
    "future": ("vais", "vas", "va", "vont"),
    "can": ("peux", "peux", "peut", "peuvent"),
    "must": ("dois", "dois", "doit", "doivent"),
}
_WAS = ("étais", "étais", "était", "étaient")
_SELF = ("me", "te", "se", "se")
_NEVER = {"": "", "pas": "not", "jamais": "never"}
_BEFORE_VOWEL = {"beau": "bel", "vieux": "vieil", "nouveau": "nouvel"}
_BEFORE_VOWEL |= {"ce": "cet", "ma": "mon", "ta": "ton", "sa": "son"}
_VOWELS = "aeiouhyâéèêôœAE"  # no h of these words is aspirated
_JOINED = re.compile(rf"\b(ce|ma|ta|sa) (?=[{_VOWELS}])")
_ELIDED = re.compile(
    rf"(?<![\w'-])(?:(l)[ea]|([jmtsnd]|qu)e|(s)i(?= ils?\b)) (?=[{_VOWELS}])"
)
_CONTRACTED = re.compile(r"\b(de|à) (les?) ")
_CONTRACTIONS = {"dele": "du ", "deles": "des ", "àle": "au ", "àles": "aux "}


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
    writer = _Writer(random)
    text, mark = writer.sentence()
    english = re.sub(r"\ba (?=[aeiouEI])", "an ", text.english)
    french = _JOINED.sub(lambda match: f"{_BEFORE_VOWEL[match[1]]} ", text.french)
    french = _ELIDED.sub(lambda match: match[match.lastindex] + "'", french)
    french = _CONTRACTED.sub(lambda match: _CONTRACTIONS[match[1] + match[2]], french)
    space = NARROW_SPACE if mark == "?" else ""
    return (
        english[0].upper() + english[1:] + mark,
        french[0].upper() + french[1:] + space + mark,
        writer.combinations,
    )


def combinations():
    """Every (adjective, noun) and (verb, object), in English, that can be combined."""
    found = [(a.english, noun) for a in _ADJECTIVES for noun in _nouns(a.kinds)]
    found += [(v.base, noun) for v in _TRANSITIVES + _DATIVES for noun in v.objects]
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


class _Text(NamedTuple):
    """Both sides of a part of a sentence, and what agrees with it."""

    english: str
    french: str
    person: int = 2  # 0 I, 1 you, 2 he, 3 they
    feminine: bool = False
    kind: str = "kin"
    noun: str = ""

    @property
    def agreement(self):
        """0 masculine, 1 feminine, 2 and 3 their plurals."""
        return self.feminine + 2 * (self.person == 3)

    def __add__(self, other):
        """What agreed with the first agrees with both."""
        return self.then(other.english, other.french)

    def then(self, english, french):
        return self.put(_join(self.english, english), _join(self.french, french))

    def put(self, english, french):
        return self._replace(english=english, french=french)


class _Adjective(NamedTuple):
    english: str
    french: tuple  # by agreement
    place: str  # "<" before the noun, ">" or "" after it
    topic: str
    kinds: list


class _Verb(NamedTuple):
    base: str
    third: str  # with "he"
    past: str | None
    infinitive: str
    participles: tuple  # by agreement
    present: list  # by person
    etre: bool
    reflexive: bool
    notes: list  # what stands after the colon
    objects: list  # the nouns of the kinds there


class _Turn(NamedTuple):
    """How a clause puts its verb."""

    tense: str
    question: bool = False
    negation: str = ""  # pas, jamais
    adverb: _Text = _Text("", "")


class _Writer:
    """Writes one sentence; every method makes both sides together.

    Args:
      random: as in `derive`.
    """

    def __init__(self, random):
        self.random = random
        self.combinations = []
        self.said = []  # names, some verbs, topics of adjectives: each once
        self.is_first = True  # no clause before: "they", "him" can only be new
        self.has_room = True  # for a relative clause or a place within a noun phrase

    def chance(self, probability):
        return self.random() < probability

    def pick(self, items):
        return items[int(self.random() * len(items))]

    def pick_new(self, items):
        """One that was not said before; there must be enough."""
        while (item := self.pick(items)) in self.said:
            pass
        self.said.append(item)
        return item

    # Sentences, before elision.

    def sentence(self):
        """A text and its end mark."""
        if self.chance(0.7):
            return getattr(self, self.pick(_STATEMENTS))(False), "."
        name = self.pick(_QUESTIONS)
        text = getattr(self, name)(True)
        return (_DOES + text if name in _STATEMENTS else text), "?"

    def simple(self, question):
        return self.clause(self.turn(question))

    def how(self, _):
        turn, frame = self.turn(True), self.pick(("transitive", "doing"))
        clause = self.clause(turn, frame=frame, extras=False)
        return self.pick(_ASKED) + _DOES + clause

    def who(self, _):
        return self.clause(self.turn(), _Text("who", "qui"))

    def what(self, _):
        turn = self.turn(True)
        verb = self.pick(_OF_THINGS[turn.tense == "past"])
        return _WHAT + _DOES + self.group(self.subject(True), verb, turn)

    def which(self, _):
        """The object comes first, and a participle agrees with it."""
        turn = self.turn(True)
        verb = self.pick(_OF_THINGS[turn.tense == "past"])
        noun = self.pick(verb.objects)
        thing = self.noun_phrase(
            noun, ("which", "which", "how many")[: 2 + bool(noun[1])]
        )
        self.note(verb.base, thing.noun)
        subject = self.subject(True)
        return thing + _DOES + self.group(subject, verb, turn, "", thing.agreement)

    def location(self, question):
        turn = self.turn(question, self.pick(("present", "past")))
        thing = self.noun_phrase(self.pick(_PLACED), ("the", "the", "this", "my"))
        return self.group(thing, _BEING, turn) + self.place(thing)

    def there_is(self, question):
        turn = self.turn(question, self.pick(("present", "past")))
        noun = self.pick(_PLACED)
        while noun[0].kind == "kin":
            noun = self.pick(_PLACED)
        names = ("a", "a", "number", "many")
        thing = self.noun_phrase(noun, names, negated=bool(turn.negation))
        text = self.group(_Text("there", "il", thing.person), _EXISTING, turn)
        return text + thing + self.place(thing)

    def joined(self, _):
        """Two clauses; a second one about the same subject has a pronoun for it."""
        tense, first, second = self.pick(_TENSES), self.pick(("copula", "doing")), ""
        joint = self.pick(_JOINTS[: 5 if tense == "present" else 3])
        if self.chance(0.2):
            first, second, joint = "copula", "copula", self.pick(_JOINTS[:2])
            subject = self.noun_phrase(self.pick(_THINGS), _DEFINITE)
            then = _stand_in(subject)
        elif self.chance(0.6):
            subject = self.subject()
            then, second = _stand_in(subject), self.pick(("doing", "transitive"))
        else:
            subject, then, first = self.subject(), None, ""
        text = self.clause(self.turn(tense=tense), subject, first, extras=False)
        self.is_first = False
        return text + joint + self.clause(self.turn(tense=tense), then, second)

    def resumed(self, _):
        """Two verbs with one object, with the second a pronoun that stands for it."""
        self.has_room = False
        turn = _Turn(self.pick(("present", "past", "future")))
        noun = self.pick(_RESUMED)
        subject, thing = self.subject(), self.noun_phrase(noun)
        verbs = _VERBS_OF[turn.tense == "past"][noun]
        first, second = self.pick_new(verbs), self.pick_new(verbs)
        self.note(first.base, thing.noun)
        self.note(second.base, thing.noun)
        text = self.group(subject, first, turn) + thing
        turn = turn._replace(negation=self.pick(("", "", "pas")))
        text += _JOINTS[1 if turn.negation else 0]
        clitic = ("le", "la", "les", "les")[thing.agreement]
        text += self.group(_stand_in(subject), second, turn, clitic, thing.agreement)
        return text.then(_OBJECT_FORM[_stand_in(thing).english], "")

    def claim(self, _):
        """Never negated: French would take the subjunctive."""
        text = self.group(self.subject(), self.pick(_CLAIMS), _Turn("present"))
        self.is_first = False
        return text + _THAT + self.clause(self.turn())

    # Clauses.

    def clause(self, turn, subject=None, frame="", extras=True):
        """A sentence, or part of one; the French of a question is that of a statement.

        Args:
          turn: a _Turn.
          subject: a _Text; None is any.
          frame: the name of one of the next methods; "" is any.
          extras: whether a place and a time may follow.
        """
        frame = frame or self.pick(_FRAMES)
        if subject is None:
            if frame == "copula" and self.chance(0.6):
                subject = self.noun_phrase(self.pick(_ALL_NOUNS), _DEFINITE)
            elif frame == "doing" and self.chance(0.3):
                subject = self.noun_phrase(self.pick(_BY_KIND["animal"]))
            else:
                subject = self.subject(turn.question)
        text = getattr(self, frame)(subject, turn)
        if extras and frame in ("transitive", "doing") and self.chance(0.2):
            text += self.place()
        is_timeless = turn.adverb.english or turn.negation == "jamais"
        if extras and not is_timeless and self.chance(0.2):
            times = turn.tense if turn.tense in _TIMES else "later"
            if frame == "copula":
                times = "past" if turn.tense == "past" else "now"
            text += self.pick(_TIMES[times])
        return text

    def transitive(self, subject, turn):
        verb = self.pick(_TRANSITIVES_IN[turn.tense == "past"])
        return self.group(subject, verb, turn) + self.object(verb, turn)

    def pronominal(self, subject, turn):
        verb = self.pick(_WITH_PEOPLE[turn.tense == "past"])
        whom, clitic, _, agreement = self.pronoun(subject)
        return self.group(subject, verb, turn, clitic, agreement).then(whom, "")

    def giving(self, subject, turn):
        verb = self.pick(_DATIVES)
        if self.chance(0.5):
            whom, _, dative, _ = self.pronoun(subject)
            text = self.group(subject, verb, turn, dative).then(whom, "")
            return text + self.object(verb, turn)
        text = self.group(subject, verb, turn) + self.object(verb, turn)
        if self.chance(0.3):
            return text + _TO + self.pick_new(_NAMES)
        return text + _TO + self.noun_phrase(self.pick(_HUMANS))

    def doing(self, subject, turn):
        verbs = _ANIMAL_DOINGS if subject.kind == "animal" else _DOINGS
        return self.group(subject, self.pick_new(verbs), turn)

    def going(self, subject, turn):
        verb = self.pick(_GOINGS)
        to, a = verb.notes
        text = self.group(subject, verb, turn).then(to.strip("_"), a)
        return text + self.noun_phrase(self.pick(_BY_KIND["place"]), _NEAR, True)

    def copula(self, subject, turn):
        if turn.tense != "past":
            turn = turn._replace(tense="present")
        if subject.kind not in _ANIMATE:
            turn = turn._replace(negation=turn.negation and "pas", adverb=_Text("", ""))
        text, adjectives = self.group(subject, _BEING, turn), _PREDICATES[subject.kind]
        fresh = [a for a in adjectives if a.topic not in self.said]
        adjective = self.pick(fresh or adjectives)
        self.describe(adjective, subject.noun)
        if adjective.place != ">" and self.chance(0.25):
            text = text.then("very", "très")
        return text.then(adjective.english, adjective.french[subject.agreement])

    # Verbs.

    def turn(self, question=False, tense=""):
        tense, negation, adverb = tense or self.pick(_TENSES), "", _Text("", "")
        if not question and self.chance(0.22):
            never = tense in _BE and self.chance(0.3)
            negation = "jamais" if never else "pas"
        elif tense == "present" and self.chance(0.15):
            adverb = self.pick(_OFTEN)
        return _Turn(tense, question, negation, adverb)

    def group(self, subject, verb, turn, clitic="", agreement=0):
        """A subject and its verb, up to an object.

        Args:
          subject: a _Text.
          verb: a _Verb.
          turn: a _Turn.
          clitic: a French object before the verb; the English is for the caller.
          agreement: of the direct object, if it comes before the verb.
        """
        return _Text(
            self.english_group(subject, verb, turn),
            self.french_group(subject, verb, turn, clitic, agreement),
        )

    def english_group(self, subject, verb, turn):
        tense, question, negation, often = *turn[:3], turn.adverb.english
        name, helper, form = subject.english, tense, verb.base
        if verb.base == "be":
            helper, form = _BE[tense][subject.person], ""
        elif tense == "future":
            helper, form = _BE["present"][subject.person], f"going to {form}"
        elif tense in _BE:
            is_third = subject.person == 2
            helper = "did" if tense == "past" else "does" if is_third else "do"
            if not question and negation != "pas":
                helper, form = "", verb.third if is_third else form
                form = verb.past if tense == "past" else form
            elif negation and self.chance(0.5):
                return _join(name, f"{helper}n't", form)
        if question:
            return _join(helper, name, often, form)
        if helper == "can" and negation:
            return _join(name, "cannot", form)
        return _join(name, helper, _NEVER[negation], often, form)

    def french_group(self, subject, verb, turn, clitic, agreement):
        tense, person, rest = turn.tense, subject.person, ""
        clitic = _SELF[person] if verb.reflexive else clitic
        if tense == "present":
            finite = verb.present[person]
        elif tense == "past" and verb.base == "be":
            finite = verb.participles[person]
        elif tense == "past":
            finite = _FINITE["être" if verb.etre else "avoir"][person]
            rest = verb.participles[subject.agreement if verb.etre else agreement]
        else:
            finite, rest = _FINITE[tense][person], _join(clitic, verb.infinitive)
            clitic = ""
        ne, often = turn.negation and "ne", turn.adverb.french
        return _join(subject.french, ne, clitic, finite, turn.negation, often, rest)

    # Subjects and objects.

    def subject(self, asked=False):
        """Who does something; not "I" if it is asked."""
        style = self.pick(_SUBJECTS)
        if style == "pronoun":
            return self.pick(_SUBJECT_PRONOUNS[asked : 5 if self.is_first else 4])
        if style == "name":
            return self.pick_new(_NAMES)
        if style == "names":
            one, two = self.pick_new(_NAMES), self.pick_new(_NAMES)
            is_feminine = one.feminine and two.feminine
            return (one + _JOINTS[0] + two)._replace(person=3, feminine=is_feminine)
        return self.noun_phrase(self.pick(_HUMANS))

    def pronoun(self, subject):
        """An object: English, French direct and dative, agreement of a participle."""
        own = subject.person if subject.person < 2 else None
        at = self.pick([n for n in range(5 if self.is_first else 2) if n != own])
        row = _PRONOUN_ROWS[at]
        return row[1], row[4], row[5], _SUBJECT_PRONOUNS[at].agreement

    def object(self, verb, turn):
        noun = self.pick(verb.objects)
        self.note(verb.base, noun[0].noun)
        return self.noun_phrase(noun, negated=bool(turn.negation))

    def place(self, thing=None):
        """Where a thing, or else a living being, may be."""
        places, kind = _PLACES, "place"
        if thing is not None and thing.kind in _PORTABLE:
            places, kind = _PLACES_OF_THINGS, "furniture"
        where = self.noun_phrase(self.pick(_BY_KIND[kind]), _NEAR, True)
        return self.pick(places) + where

    def noun_phrase(self, noun, names=(), is_short=False, negated=False):
        """A noun with what belongs to it.

        Args:
          noun: singular and plural.
          names: of determiners, one is picked; () is those for the kind.
          is_short: a singular without a clause.
          negated: it is the object of a negated verb.
        """
        if not names or noun[0].kind == "kin":
            names = _USUAL[noun[0].kind]
        name, is_mass = self.pick(names), noun[1] is None
        if name in ("many", "all", "number") and (negated or is_mass):
            name = "a"
        if name in ("my", "owner") and noun[0].kind in ("person", "youth"):
            name = "this"  # "sa femme" would be his wife
        is_many = name in ("many", "all", "number", "how many")
        is_many |= not is_mass and not is_short and self.chance(0.35)
        text, is_led = noun[is_many], False
        if _ATTRIBUTES[text.kind] and self.chance(0.45):
            adjective = self.pick(_ATTRIBUTES[text.kind])
            is_led = adjective.place == "<"
            inner = _INNER_ATTRIBUTES[text.kind]
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

    def attribute(self, adjective, text):
        """An adjective to a noun, which may have one after it."""
        self.describe(adjective, text.noun)
        english = f"{adjective.english} {text.english}"
        french = adjective.french[text.agreement]
        if adjective.place != "<":
            return text.put(english, f"{text.french} {french}")
        if text.agreement == 0 and text.french[0] in _VOWELS:
            french = _BEFORE_VOWEL.get(french, french)
        return text.put(english, f"{french} {text.french}")

    def determine(self, name, text):
        if name != "owner":
            the = self.pick(_DETERMINERS[name])[text.agreement]
            return text.put(
                f"{the.english} {text.english}", f"{the.french} {text.french}"
            )
        owner = self.pick_new(_OWNERS)
        the = _DETERMINERS["the"][0][text.agreement].french
        french = f"{the} {text.french} de {owner.french}"
        return text.put(f"{owner.english}'s {text.english}", french)

    def extend(self, text, noun):
        """A relative clause, or a place, after a noun."""
        was_first, self.is_first, self.has_room = self.is_first, False, False
        turn = self.turn(tense=self.pick(("present", "past")))
        verbs = _VERBS_OF[turn.tense == "past"][noun]
        if text.kind in ("person", "youth") and self.chance(0.6):
            frame = self.pick(("transitive", "pronominal", "doing", "copula"))
            clause = self.clause(turn, text.then("who", "qui"), frame, extras=False)
            text = text.put(*clause[:2])
        elif verbs and self.chance(0.7):
            verb = self.pick(verbs)
            self.note(verb.base, text.noun)
            subject = self.subject()
            text += _THAT + self.group(subject, verb, turn, "", text.agreement)
        elif text.kind in _PORTABLE + _ANIMATE:
            text += self.place(text)
        self.is_first = was_first
        return text

    def describe(self, adjective, noun):
        self.said.append(adjective.topic)
        self.note(adjective.english, noun)

    def note(self, word, noun):
        if noun:
            self.combinations.append((word, noun))


def _stand_in(text):
    """The subject pronoun for what was named before."""
    if text.person < 2:
        return text
    french = "elle" if text.feminine else "il"
    if text.person == 3:
        return text.put("they", f"{french}s")
    he = "she" if text.feminine else "he"
    return text.put(he if text.kind in _HUMAN else "it", french)


def _join(*parts):
    return " ".join([part for part in parts if part])


# The lexicon, read.


def _texts(pairs):
    """Texts from "english=french, english=french"."""
    return [_Text(*pair.split("=")) for pair in pairs.split(", ")]


def _lines(table):
    """What stands before and after the colon of each line."""
    for line in table.strip().splitlines():
        key, value = line.split(":")
        yield key.split(), value.strip()


def _kinds(names):
    return " ".join(_GROUPS.get(name, name) for name in names.split()).split()


def _nouns(kinds):
    return [noun for kind in kinds for noun in _BY_KIND.get(kind, ())]


def _with_s(word):
    """An English plural, or a verb with "he"."""
    if word == "have":
        return "has"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh", "go")) else "s")


def _plural(word):
    """A French plural."""
    if word.endswith("al"):
        return f"{word[:-1]}ux"
    if word.endswith(("s", "x")):
        return word
    return word + ("x" if word.endswith("eau") else "s")


def _agreeing(masculine, feminine=""):
    feminine = feminine or masculine.removesuffix("e") + "e"
    return masculine, feminine, _plural(masculine), _plural(feminine)


def _read_nouns():
    for (kind, gender), entries in _lines(_NOUNS):
        for entry in entries.split(", "):
            english, french = entry.split()
            one, _, many = english.partition("/")
            text = _Text(one, french, 2, gender == "f", kind, one)
            many = text.put(many or _with_s(one), _plural(french))._replace(person=3)
            yield text, None if "-" in english else many


def _read_adjectives():
    topics = {word: topic for topic in _TOPICS.split(",") for word in topic.split()}
    for (entry, *french), kinds in _lines(_ADJECTIVES):
        english = entry.lstrip("<>")
        place, topic = entry.removesuffix(english), topics.get(english, english)
        yield _Adjective(english, _agreeing(*french), place, topic, _kinds(kinds))


def _read_verbs(table):
    for (base, past, infinitive, *forms), notes in _lines(table):
        infinitive, *marks = re.findall(r"[^+_]+$|\+|se_", infinitive)[::-1]
        ends = "é e es e ent" if infinitive.endswith("er") else "u s s _ ent"
        regular = [infinitive[:-2] + end.strip("_") for end in ends.split()]
        participle, *present = forms or regular
        first, *others = base.split("_")
        yield _Verb(
            _join(first, *others),
            _join(_with_s(first), *others),
            None if past == "-" else past.replace("_", " "),
            infinitive,
            _agreeing(participle),
            present,
            bool(marks),
            "se_" in marks,
            _kinds(notes),
            _nouns(_kinds(notes)),
        )


def _deck(names):
    """Names, each as often as the number behind it says."""
    entries = [name.split("*") for name in names.split()]
    return [name for name, count in entries for _ in range(int(count))]


def _in_tenses(verbs):
    """Verbs that are not past, or that are."""
    return verbs, [verb for verb in verbs if verb.past]


_BY_KIND = {}
for _noun in _read_nouns():
    _BY_KIND.setdefault(_noun[0].kind, []).append(_noun)
_PORTABLE, _HUMAN = _kinds("portable"), _kinds("human")
_ANIMATE = [*_HUMAN, "animal"]
_ALL_NOUNS, _HUMANS = _nouns(_BY_KIND), _nouns(_HUMAN)
_THINGS = [noun for noun in _ALL_NOUNS if noun[0].kind not in _ANIMATE]
_PLACED = _nouns(_ANIMATE + _PORTABLE)
_ADJECTIVES = list(_read_adjectives())
_ATTRIBUTES = {
    kind: [a for a in _ADJECTIVES if kind in a.kinds and kind != "kin"]
    for kind in _BY_KIND
}
_INNER_ATTRIBUTES = {
    kind: [a for a in adjectives if a.place == ">"]
    for kind, adjectives in _ATTRIBUTES.items()
}
_PREDICATES = {
    kind: [a for a in _ADJECTIVES if kind in a.kinds and a.english != "new"]
    for kind in _BY_KIND
}
_TRANSITIVES, _DATIVES, _DOINGS, _GOINGS, _CLAIMS = (
    list(_read_verbs(table))
    for table in (_TRANSITIVE, _GIVING, _DOING, _GOING, _CLAIMING)
)
_TRANSITIVES_IN = _in_tenses(_TRANSITIVES)
_OF_THINGS = _in_tenses(
    [v for v in _TRANSITIVES if "kin" not in v.notes and v.base != "visit"]
)
_WITH_PEOPLE = _in_tenses([verb for verb in _TRANSITIVES if "kin" in verb.notes])
_VERBS_OF = [
    {
        noun: [verb for verb in verbs if noun[0].kind in verb.notes]
        for noun in _ALL_NOUNS
    }
    for verbs in _TRANSITIVES_IN
]
_RESUMED = [noun for noun in _ALL_NOUNS if len(_VERBS_OF[True][noun]) > 1]
_ANIMAL_DOINGS = [verb for verb in _DOINGS if verb.notes]
_BEING = _DOINGS[0]._replace(base="be", present=_FINITE["être"], participles=_WAS)
_EXISTING = _BEING._replace(present=["y a"] * 4, participles=["y avait"] * 4)
_NAMES = [
    _Text(name, name, 2, gender == "f")
    for name, gender in (name.split() for name in _NAMES.split(", "))
]
_OWNERS = _NAMES * 2 + [
    _Text(f"the {noun.english}", f"{'la' if noun.feminine else 'le'} {noun.french}")
    for noun, _ in _BY_KIND["person"]
]
_PRONOUN_ROWS = [row.split() for row in _PRONOUNS.strip().splitlines()]
_SUBJECT_PRONOUNS = [
    _Text(row[0], row[3], person, row[0] == "she")
    for row, person in zip(_PRONOUN_ROWS, (0, 1, 2, 2, 3), strict=True)
]
_OBJECT_FORM = {"it": "it"} | {row[0]: row[1] for row in _PRONOUN_ROWS}
_DETERMINERS = {
    name: [_texts(forms) for forms in table.split(" | ")]
    for name, table in _DETERMINERS.items()
}
_DETERMINERS["my"] = [
    [_Text(row[2], row[6 + n]) for n in (0, 1, 2, 2)] for row in _PRONOUN_ROWS
]
_TIMES = {name: _texts(times) for name, times in _TIMES.items()}
_PLACES = _texts("in=dans, near=près de, behind=derrière, in front of=devant")
_PLACES_OF_THINGS = _texts("on=sur, under=sous, near=près de")
_OFTEN = _texts("often=souvent, always=toujours, sometimes=parfois")
_JOINTS = _texts("and=et, but=mais, because=parce que, if=si, when=quand")
_ASKED = _texts("where=où, when=quand, why=pourquoi")
_THAT, _WHAT, _DOES, _TO = _texts("that=que, what=que, =est-ce que, to=à")

# What there is to choose from, by weight.
_STATEMENTS = _deck("simple*10 location*1 there_is*2 joined*4 resumed*2 claim*1")
_QUESTIONS = _deck("simple*4 location*1 there_is*1 how*2 who*2 what*1 which*3")
_FRAMES = _deck("transitive*5 pronominal*1 giving*1 doing*1 going*1 copula*3")
_SUBJECTS = _deck("pronoun*4 name*3 names*1 noun*4")
_TENSES = _deck("present*3 past*3 future*1 can*1 must*1")
_DEFINITE = ("the", "the", "this", "my", "owner")
_NEAR = ("the", "the", "a", "this", "my")
_USUAL = dict.fromkeys(_BY_KIND, (*_DEFINITE, "the", "a", "a", "many", "number", "all"))
_USUAL |= dict.fromkeys(_HUMAN, ("the", "the", "a", "this", "number", "many"))
_USUAL |= {"kin": ("my", "my", "my", "owner")}
