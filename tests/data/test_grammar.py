"""Generated sentence pairs: correct French and English, splits without leaks."""

import hashlib
import itertools
import random
import re
from collections import Counter

import pytest

from seqjax.data.synthetic import grammar
from seqjax.data.synthetic.grammar import Pairs, derive, held_out, lexicon, pairs, words

VOWELS = "aeiouyhâàéèêîôûœAEIOUÉ"
SHA256 = "01314dd5b06c508f91faf9511e8eb6a5f9cb10af5557b262bba426ffc89ef3f6"

# Translated by hand; the narrow space is written as an ordinary one.
TRANSLATIONS = """
He is not young. = Il n'est pas jeune.
Simon entered a beautiful hotel. = Simon est entré dans un bel hôtel.
She must show an old bird to Paul. = Elle doit montrer un vieil oiseau à Paul.
Marie does not read a new article. = Marie ne lit pas de nouvel article.
I arrived at this hotel yesterday. = Je suis arrivé à cet hôtel hier.
Alice came from the clean library. = Alice est venue de la bibliothèque propre.
Paul and Emma came from a station. = Paul et Emma sont venus d'une gare.
Alice and Julie are not kind today. = Alice et Julie ne sont pas gentilles aujourd'hui.
Alice didn't come from the market. = Alice n'est pas venue du marché.
I gave the egg to Marie's sisters. = J'ai donné l'œuf aux sœurs de Marie.
There is some water on this chair. = Il y a de l'eau sur cette chaise.
There is never any tea on a chair. = Il n'y a jamais de thé sur une chaise.
They never drink any hot water. = Ils ne boivent jamais d'eau chaude.
You ran and Julie drank his water. = Tu as couru et Julie a bu son eau.
Many old women do not read a book. = Beaucoup de vieilles femmes ne lisent pas de \
livre.
He takes all the expensive shirts. = Il prend toutes les chemises chères.
I give them this letter every day. = Je leur donne cette lettre tous les jours.
Marc's mother must look for them. = La mère de Marc doit les chercher.
I love you. = Je t'aime.
Simon's uncle saw the king's boat. = L'oncle de Simon a vu le bateau du roi.
Antoine's horses cannot fall next week. = Les chevaux d'Antoine ne peuvent pas tomber \
la semaine prochaine.
What does Julie's uncle wash? = Qu'est-ce que l'oncle de Julie lave ?
Which old lamps did Antoine break? = Quelles vieilles lampes est-ce qu'Antoine a \
cassées ?
How many old houses did they find? = Combien de vieilles maisons est-ce qu'ils ont \
trouvées ?
Who can eat two tomatoes tomorrow? = Qui peut manger deux tomates demain ?
Where is this queen going to stop? = Où est-ce que cette reine va s'arrêter ?
The kings sing if they don't fall. = Les rois chantent s'ils ne tombent pas.
My sisters fell and they rested. = Mes sœurs sont tombées et elles se sont reposées.
Emma and Marie slept because they ran. = Emma et Marie ont dormi parce qu'elles ont \
couru.
I sold the salad but I did not eat it. = J'ai vendu la salade mais je ne l'ai pas \
mangée.
Marc thinks that you never drink her milk. = Marc pense que tu ne bois jamais son lait.
"""

# Masculine, feminine and their plurals, by hand; then plural, French, gender of nouns.
ADJECTIVES_BEFORE = {
    "big": "grand grande grands grandes",
    "old": "vieux/vieil vieille vieux vieilles",
    "beautiful": "beau/bel belle beaux belles",
    "new": "nouveau/nouvel nouvelle nouveaux nouvelles",
    "good": "bon bonne bons bonnes",
}
ADJECTIVES_AFTER = {
    "white": "blanc blanche blancs blanches",
    "red": "rouge rouge rouges rouges",
    "expensive": "cher chère chers chères",
    "Italian": "italien italienne italiens italiennes",
    "happy": "heureux heureuse heureux heureuses",
    "kind": "gentil gentille gentils gentilles",
    "delicious": "délicieux délicieuse délicieux délicieuses",
}
NOUNS = {
    "hat": ("hats", "chapeau", "chapeaux", 0),
    "scarf": ("scarves", "écharpe", "écharpes", 1),
    "shoe": ("shoes", "chaussure", "chaussures", 1),
    "umbrella": ("umbrellas", "parapluie", "parapluies", 0),
    "hospital": ("hospitals", "hôpital", "hôpitaux", 0),
    "house": ("houses", "maison", "maisons", 1),
    "horse": ("horses", "cheval", "chevaux", 0),
    "mouse": ("mice", "souris", "souris", 1),
    "man": ("men", "homme", "hommes", 0),
    "actress": ("actresses", "actrice", "actrices", 1),
    "apple": ("apples", "pomme", "pommes", 1),
    "article": ("articles", "article", "articles", 0),
    "cheese": (None, "fromage", None, 0),
    "salad": (None, "salade", None, 1),
}
IRREGULAR = {"men": "man", "women": "woman", "children": "child", "mice": "mouse"}
IRREGULAR |= {"knives": "knife", "scarves": "scarf", "stories": "story"}
IRREGULAR |= {"libraries": "library", "has": "have"}
IRREGULAR |= dict(saw="see", found="find", bought="buy", sold="sell", lost="lose")
IRREGULAR |= dict(wore="wear", ate="eat", drank="drink", wrote="write", chose="choose")
IRREGULAR |= dict(took="take", broke="break", gave="give", showed="show")
IRREGULAR |= dict(loved="love", visited="visit", helped="help", washed="wash")
IRREGULAR |= dict(looked="look", waited="wait")
# The words that may stand between a verb and its object, without adjectives.
BETWEEN = words(
    "the a an some any this these my your his her their all many two three at for me "
    "you him them"
)
STEMS = {
    form: word
    for pair in grammar.combinations()
    for word in (pair[0].split()[0].lower(), pair[1])
    for form in (f"{word}es", f"{word}s", word)
}
NOUN_WORDS = {noun for _, noun in grammar.combinations()}
ADJECTIVE_WORDS = {adjective.english.lower() for adjective in lexicon.ADJECTIVES}


@pytest.fixture(scope="module")
def data():
    return pairs()


@pytest.fixture(scope="module")
def everything(data):
    return [pair for split in data for pair in split]


@pytest.fixture(scope="module")
def apart():
    return held_out(random.Random(0).random)


def lemmas(english):
    return [IRREGULAR.get(word) or STEMS.get(word, word) for word in words(english)]


def side_by_side(english):
    """The combinations in a sentence: adjective and noun, verb and object."""
    tokens, found = ["", *lemmas(english)], set()
    for at, noun in enumerate(tokens):
        if noun not in NOUN_WORDS:
            continue
        while tokens[at - 1] in ADJECTIVE_WORDS:
            at -= 1
            found.add((tokens[at], noun))
        while tokens[at - 1] in BETWEEN or "'" in tokens[at - 1]:
            at -= 1
        particle = f" {tokens[at]}" if tokens[at] in ("at", "for") else ""
        found.add((tokens[at - 1] + particle, noun))
    return found


def digest(split):
    return hashlib.sha256(repr(tuple(split)).encode()).hexdigest()


def test_sizes_and_kinds(data):
    assert [len(split) for split in data] == [40_000, 1_000, 1_000]
    assert all(type(text) is str for pair in data.test for text in pair)
    small = pairs(num_train=3_000, num_valid=20, num_test=30, seed=5)
    assert isinstance(small, Pairs) and [*map(len, small)] == [3_000, 20, 30]


def test_the_same_on_every_python(data):
    assert digest(data) == SHA256


def test_the_seed_decides_the_pairs():
    first, again, other = (pairs(500, 0, 0, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.train != other.train
    assert pairs(300, 0, 0, 1).train == first.train[:300]


def test_too_short_a_training_text_is_refused():
    with pytest.raises(ValueError, match="50 training sentences"):
        pairs(50, 5, 5)


def test_no_sentence_twice_and_one_translation_each(everything):
    assert len({english for english, _ in everything}) == len(everything)
    known = {}
    for seed in (1, 2):
        draw = random.Random(seed).random
        for _ in range(15_000):
            english, french, _ = derive(draw)
            assert known.setdefault(english, french) == french
    known |= {english: known.get(english, french) for english, french in everything}
    assert all(known[english] == french for english, french in everything)


def test_training_has_no_held_out_combination(data, apart):
    apart = {(word.lower(), noun) for word, noun in apart}
    assert len(apart) > 50
    for english, _ in data.train:
        assert apart.isdisjoint(side_by_side(english)), english


@pytest.mark.parametrize("split", ["valid", "test"])
def test_held_out_sentences_have_a_combination_never_trained(data, apart, split):
    apart = {(word.lower(), noun) for word, noun in apart}
    together = 0
    for english, _ in getattr(data, split):
        here = set(lemmas(english))
        assert any(w.split()[0] in here and n in here for w, n in apart), english
        together += not apart.isdisjoint(side_by_side(english))
    assert together > 600


def test_derivations_return_their_combinations():
    draw, known = random.Random(3).random, set(grammar.combinations())
    for _ in range(5_000):
        english, _, found = derive(draw)
        assert known.issuperset(found)
        found = {(word.lower(), noun) for word, noun in found}
        visible = side_by_side(english)
        verbs = {word.lower() for word, _ in known}
        assert {pair for pair in visible if pair[0] in verbs} <= found, english


@pytest.mark.parametrize("side", [0, 1], ids=["english", "french"])
def test_held_out_words_are_trained(data, side):
    def count(split, cut):
        return Counter(w for p in split for t in words(p[side]) for w in cut(t))

    for cut in (lambda t: [t], lambda t: re.findall(r"[^']+'?", t)):
        train, held = count(data.train, cut), count(data.valid + data.test, cut)
        assert min(train[word] for word in held) >= grammar.MIN_COUNT
    assert 300 <= len(train) <= 650


def test_lengths(everything):
    lengths = Counter(len(words(english)) for english, _ in everything)
    assert min(lengths) >= 2 and max(lengths) == grammar.MAX_WORDS
    assert all(lengths[n] > 500 for n in range(3, 15))


def test_capitals_and_end_marks(everything):
    for english, french in everything:
        assert re.fullmatch(r"[A-Z][A-Za-z' ]*[a-z'][.?]", english), english
        assert re.fullmatch(r"[A-ZÀÉŒ][\w' -]*\w(\.|\u202f\?)", french), french
        assert english.endswith("?") == french.endswith("\u202f?")
        assert "  " not in english + french


@pytest.mark.parametrize("line", TRANSLATIONS.strip().splitlines())
def test_translations_by_hand(everything, line):
    english, french = line.split(" = ")
    assert dict(everything)[english] == french.replace(" ?", "\u202f?")


@pytest.mark.parametrize(
    "law",
    [
        rf"(?<![\w'-])(le|la|ne|que|je|de|me|te|se|ce|ma|ta|sa) [{VOWELS}]",
        rf"(?<![\w'-])[ljdnmts]'[^{VOWELS}]|qu'[^{VOWELS}]",
        r"\b(de|à) les? ",
        r"\bsi ils?\b",
        rf"\b(le|un|ce|du|au|mon|ton|son|leur) (beau|vieux|nouveau) [{VOWELS}]",
        rf"\b(bel|vieil|nouvel|cet) [^{VOWELS}]",
        r"\bdes (grand|petit|vieu|vieil|jeune|nouve|beau|bel|bon|mauvais)",
        r"\b(de|d'|du|des) (de|du|des)\b",
        r"(?<!vien[st])(?<!viennent) (pas|jamais) (une?|des|du|de la|de l'\w+) ",
        r"\b(le|la|un|une|ce|cet|cette|mon|ma|son|sa|leur) \w+aux\b",
        r"\b(des|ces|mes|tes|ses|leurs|deux|trois) (?!\w*[sx]\b)\w+",
    ],
)
def test_no_french_sentence_breaks(everything, law):
    assert not [french for _, french in everything if re.search(law, french)][:3]


def test_negations_have_both_parts(everything):
    for english, french in everything:
        negations = len(re.findall(r"\b(not|cannot|never|\w+n't)(?= |\.|\?)", english))
        assert len(re.findall(r"(?<!\w)(ne |n')", french)) == negations
        assert len(re.findall(r"\b(pas|jamais)\b", french)) == negations
        assert len(re.findall(r"\bnever\b", english)) == french.count("jamais")


@pytest.mark.parametrize(
    "law",
    [
        r"\b[Aa] [aeiouAEIO]|\b[Aa]n [^aeiouEI]",
        r"^(He|She|It) (am|are|were|do|don't|have|see|eat|buy|go|work|sing|love)\b",
        r"^(I|You|They) (is|does|doesn't|has|sees|eats|buys|goes|works|sings|loves)\b",
        r"^(Does|Is|Was) (you|they|\w+ and)\b|^(Do|Are|Were) (he|she|it)\b",
        r"\b(does|did|do|can|must|to|\w+n't) (sees|saw|ate|eats|goes|went|was|is)\b",
        r"\b(these|many|two|three) (man|woman|child|mouse|knife|\w+[^aeo]ys)\b",
        r"\b(a|an|this) (\w+ )?(men|women|children|mice|knives)\b",
    ],
)
def test_no_english_sentence_breaks(everything, law):
    assert not [e for e, _ in everything if re.search(law, e)][:3]


def french_forms(nouns, adjectives, is_before):
    """(English, regular expression for the French) of adjective with noun."""
    for noun, (plural, one, many, feminine) in nouns.items():
        for adjective, row in adjectives.items():
            forms = row.split()
            for english, french, form in (
                (noun, one, forms[feminine]),
                (plural, many, forms[2 + feminine]),
            ):
                if english is not None:
                    usual, _, vowel = form.partition("/")
                    if vowel and french[0] in VOWELS:
                        usual = vowel
                    pair = (usual, french) if is_before else (french, usual)
                    yield (adjective, english), " ".join(pair)


def test_adjectives_agree(everything):
    expected = dict(french_forms(NOUNS, ADJECTIVES_BEFORE, True))
    expected |= dict(french_forms(NOUNS, ADJECTIVES_AFTER, False))
    met = Counter()
    for english, french in everything:
        tokens = english[:-1].split()
        for pair in itertools.pairwise(tokens):
            if pair in expected:
                assert re.search(rf"\b{expected[pair]}\b", french), (english, french)
                met[pair] += 1
    assert len(met) > 80


@pytest.mark.parametrize("name", ["Marie", "Julie", "Alice", "Emma", "Paul", "Marc"])
def test_participles_agree_with_the_subject_of_etre(everything, name):
    e = "" if name in ("Paul", "Marc") else "e"
    verbs = {"went": "allé", "came": "venu", "arrived": "arrivé", "fell": "tombé"}
    met = 0
    for english, french in everything:
        match = re.match(rf"{name} (\w+) ", english)
        if match and match[1] in verbs:
            met += 1
            assert french.startswith(f"{name} est {verbs[match[1]]}{e} "), french
    assert met > 5


def test_participles_agree_with_an_object_before(everything):
    """Other participles of avoir do not agree."""
    met = 0
    for english, french in everything:
        if re.match(
            r"(Which|How many) (shoes|keys|letters|apples|carrots) did", english
        ):
            met += 1
            assert re.search(r" (a|as|ont) \w+es\u202f\?$", french), french
        if re.fullmatch(r"(She|He|Paul|Marie) \w+ the (key|letter|apple)s?\.", english):
            assert not re.search(r" a \w+[éuist]es? ", french), french
    assert met > 20


def test_possessives_agree_with_the_noun(everything):
    own = {"my": "m", "your": "t", "his": "s", "her": "s"}
    mon = {"brother": "frère", "father": "père", "hat": "chapeau", "egg": "œuf"}
    mon |= {"school": "école", "plate": "assiette", "water": "eau", "uncle": "oncle"}
    ma = {"sister": "sœur", "mother": "mère", "house": "maison", "dress": "robe"}
    met = 0
    for english, french in everything:
        for noun, vowel in (*((n, "on") for n in mon), *((n, "a") for n in ma)):
            for owner in re.findall(rf"\b(my|your|his|her) {noun}\b", english.lower()):
                met += 1
                expected = f"{own[owner]}{vowel} {(mon | ma)[noun]}"
                assert expected in french.lower(), (english, french)
    assert met > 200
