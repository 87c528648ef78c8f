"""Sentences to tokens and back; subwords drawn with their probabilities."""

import re
from collections import Counter

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data import tokenizers
from seqjax.data.text import DataError
from seqjax.data.tokenizers import SubwordTokenizer, WordTokenizer
from seqjax.data.vocab import BOS, EOS, PAD, UNK, Vocab

fuzz = settings(deadline=None, max_examples=60)
SPECIALS = ["<unk>", "<pad>", "<bos>", "<eos>"]


def test_tokens_0_to_3_have_names():
    assert (UNK, PAD, BOS, EOS) == (0, 1, 2, 3)


# Words and characters.

LINES = ["go .", "i go .", "we run !", "i  run\t."]


@pytest.mark.parametrize(
    ("level", "min_freq", "tokens"),
    [
        ("word", 1, [".", "go", "i", "run", "we", "!"]),
        ("word", 2, [".", "go", "i", "run"]),
        ("word", 3, ["."]),
        ("word", 9, []),
        ("char", 3, [" ", "."]),
        ("char", 2, [" ", ".", "g", "o", "i", "r", "u", "n"]),
    ],
)
def test_the_vocabulary_is_specials_then_frequent_tokens(level, min_freq, tokens):
    words = WordTokenizer.train(iter(LINES), level, min_freq)
    assert words.vocab.tokens == SPECIALS + tokens
    assert len(words) == 4 + len(tokens)
    assert words.level == level
    assert words.pieces(range(4)) == SPECIALS
    assert words.pieces(np.arange(len(words))) == SPECIALS + tokens


def test_words_by_hand():
    words = WordTokenizer.train(LINES, "word", min_freq=1)
    tokens = words.encode(" i run\u3000home !\n")
    assert tokens.tolist() == [6, 7, UNK, 9]
    assert tokens.dtype == np.int32
    assert words.decode(tokens) == words.decode(tokens.tolist()) == "i run <unk> !"
    assert words.decode([BOS, 6, 5, PAD, 4, PAD, PAD]) == "i go ."
    assert words.pieces([BOS, 6, PAD]) == ["<bos>", "i", "<pad>"]


def test_characters_by_hand():
    chars = WordTokenizer.train(["abab c"], "char", min_freq=1)
    tokens = chars.encode("c b?")
    assert tokens.tolist() == [7, 6, 5, UNK]
    assert tokens.dtype == np.int32
    assert chars.decode([BOS, *tokens, PAD]) == "c b<unk>"


@pytest.mark.parametrize("level", ["word", "char"])
def test_an_empty_sentence_has_no_tokens(level):
    words = WordTokenizer.train(LINES, level, min_freq=1)
    tokens = words.encode("")
    assert (tokens.shape, tokens.dtype) == ((0,), np.int32)
    assert words.decode(tokens) == words.decode([BOS, PAD]) == ""


lines = st.lists(st.text(alphabet="ab漢é .!\t\xa0\u202f"), min_size=1, max_size=5)


@fuzz
@given(lines=lines)
def test_words_come_back_with_single_spaces_and_characters_unchanged(lines):
    words = WordTokenizer.train(lines, "word", min_freq=1)
    chars = WordTokenizer.train(lines, "char", min_freq=1)
    for line in lines:
        assert words.decode(words.encode(line)) == " ".join(line.split())
        assert chars.decode(chars.encode(line)) == line
        assert min([4, *words.encode(line), *chars.encode(line)]) == 4


def test_a_tokenizer_is_restored_from_its_tokens():
    words = WordTokenizer.train(LINES, "word", min_freq=2)
    again = WordTokenizer(Vocab.from_list(words.vocab.tokens), "word")
    assert len(again) == len(words)
    for line in LINES:
        assert again.encode(line).tolist() == words.encode(line).tolist()


# Subwords.


def some_text(stems, seed):
    rng = np.random.default_rng(seed)
    ends = ["er", "est", "ly", "ness", "", ""]
    return [
        " ".join(rng.choice(stems) + rng.choice(ends) for _ in range(6)) + " ."
        for _ in range(300)
    ]


ENGLISH = some_text(["low", "new", "wid", "slow", "warm", "soft"], seed=0)
FRENCH = some_text(["été", "garçon", "nouveau", "forêt"], seed=1)
LETTERS = "adefilmnorstwy."
known = st.text(alphabet=LETTERS + "  \t\xa0\u3000")
anything = st.text(alphabet=LETTERS + "  \xa0\u3000\u200bxZé漢²ﬁ½▁<>")


@pytest.fixture(scope="module")
def subwords():
    return SubwordTokenizer.train(ENGLISH, 40)


def log_probabilities(subwords):
    """Piece to score, read from the model by sentencepiece itself."""
    model = sentencepiece.SentencePieceProcessor(model_proto=subwords.model)
    return {model.id_to_piece(i): model.get_score(i) for i in range(4, len(subwords))}


def segmentations(text, scores):
    """Every way to write a text in pieces: (pieces, log-probability), best first."""
    found = []

    def write(rest, pieces):
        if not rest:
            found.append((tuple(pieces), sum(scores[piece] for piece in pieces)))
        for n in range(1, len(rest) + 1):
            if rest[:n] in scores:
                write(rest[n:], [*pieces, rest[:n]])

    write(text, [])
    return sorted(found, key=lambda way: -way[1])


def draws(subwords, text, alpha, number, seed=0):
    """The counts of the segmentations drawn."""
    rng = np.random.default_rng(seed)
    return Counter(
        tuple(subwords.pieces(subwords.sample(text, alpha, rng))) for _ in range(number)
    )


def test_subwords_have_the_specials_too(subwords):
    assert 20 < len(subwords) <= 40
    assert subwords.pieces(range(4)) == ["<unk>", "<pad>", "<s>", "</s>"]
    pieces = subwords.pieces(np.arange(len(subwords)))
    assert len(set(pieces)) == len(subwords)
    assert {"▁low", "▁slow"} <= set(pieces)  # the words of the text
    assert set(LETTERS) <= set("".join(pieces[4:]))


def test_specials_are_hidden_and_unknown_is_shown(subwords):
    tokens = subwords.encode("slower .")
    mixed = [BOS, *tokens, EOS, PAD, PAD]
    assert subwords.decode(mixed) == subwords.decode(np.asarray(mixed)) == "slower ."
    tokens = subwords.encode("low 漢 low")
    assert list(tokens).count(UNK) == 1
    first, unknown, last = subwords.decode(tokens).split()
    assert (first, last) == ("low", "low")
    assert unknown not in ("low", "漢")


@pytest.mark.parametrize("special", ["<unk>", "<pad>", "<s>", "</s>"])
def test_no_text_writes_a_special_token(subwords, special):
    tokens = subwords.encode(f"low {special} low")
    assert not {PAD, BOS, EOS} & set(tokens.tolist())
    assert UNK in tokens  # there is no angle bracket in the text


@fuzz
@given(text=known)
def test_known_text_comes_back(subwords, text):
    tokens = subwords.encode(text)
    assert tokens.dtype == np.int32
    assert min([4, *tokens]) == 4
    assert subwords.decode(tokens) == " ".join(text.split())


LETTERS_THAT_NFKC_CHANGES = [
    "Combien\u202f?",
    "Wait…",
    "½ pain, nº 5 et № 7",
    "你好，世界！真的吗？",
    "کتاب\u200cها",
    "ﬁ ² Å e\u0301 Ⅷ ｶﾀｶﾅ ㎏ \u00ad\u2060",
    "🏳\ufe0f\u200d🌈 👩🏽\u200d🚀",
    "▁ ▅ ▁▂▃▄▅ \x00 \x1f ⁇ \ufffd",
    "<unk> <s> </s> <pad>",
    "a\tb\u3000c\x85d\re\u2028f",
]
unicode = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


def single_spaces(text):
    """The documented normalization."""
    return re.sub(" +", " ", text).strip(" ")


@pytest.mark.parametrize("text", LETTERS_THAT_NFKC_CHANGES)
def test_letters_come_back_as_they_were(text):
    subwords = SubwordTokenizer.train([*ENGLISH, text], 200)
    for line in (text, f"  low{text}  new "):
        tokens = subwords.encode(line)
        assert UNK not in tokens
        assert subwords.decode(tokens) == single_spaces(line)
        pieces = "".join(subwords.pieces(tokens)).replace("▁", " ")
        assert pieces == " " + single_spaces(line).replace("▁", " ")


@settings(fuzz, max_examples=150)
@given(texts=st.lists(unicode, min_size=1, max_size=4), seed=st.integers(0, 99))
def test_any_text_comes_back(texts, seed):
    subwords = SubwordTokenizer.train([*ENGLISH, *texts], 1000)
    for text in texts:
        drawn = subwords.sample(text, 0.2, np.random.default_rng(seed))
        for tokens in (subwords.encode(text), drawn):
            assert subwords.decode(tokens) == single_spaces(text)


def test_every_character_comes_back():
    """One of each, without most of the ideographs, and all that are white space."""
    stand_ins = range(0xFDD0, 0xFDD4)  # noncharacters
    codes = [*range(0xD800), *range(0xE000, 0x11000), *range(0x1F000, 0x1FB00)]
    characters = [
        chr(i) for i in codes if not (i > 0x3400 and i % 8) and i not in stand_ins
    ] + list(tokenizers.WHITE_SPACE)
    lines = ["a".join(characters[i : i + 40]) for i in range(0, len(characters), 40)]
    subwords = SubwordTokenizer.train([f"a{line}b" for line in lines], 100_000)
    for character in characters:
        text = f"a{character}b"
        assert subwords.decode(subwords.encode(text)) == text, ascii(character)


def test_white_space_is_all_of_pythons_but_the_space():
    found = {c for c in map(chr, range(0x110000)) if c.isspace()}
    assert {*tokenizers.WHITE_SPACE, " "} == found


@fuzz
@given(text=known)
def test_a_sentence_is_encoded_word_by_word(subwords, text):
    words = [token for word in text.split() for token in subwords.encode(word)]
    assert subwords.encode(text).tolist() == words


@pytest.mark.parametrize("word", ["lowest", "slowness", "warm", "newlyest", "ness"])
def test_encode_is_the_most_probable_segmentation(subwords, word):
    best, *others = segmentations("▁" + word, log_probabilities(subwords))
    assert others
    assert tuple(subwords.pieces(subwords.encode(word))) == best[0]


def test_training_and_encoding_are_deterministic(subwords):
    again = SubwordTokenizer.train(iter(ENGLISH), 40)
    assert again.model == subwords.model
    fresh = SubwordTokenizer(subwords.model)
    for line in ENGLISH[:20]:
        tokens = subwords.encode(line).tolist()
        assert fresh.encode(line).tolist() == subwords.encode(line).tolist() == tokens


def test_more_pieces_make_sentences_shorter(subwords):
    few = SubwordTokenizer.train(ENGLISH, 25)
    assert len(few) <= 25
    tokens = [sum(len(s.encode(line)) for line in ENGLISH) for s in (few, subwords)]
    assert tokens[1] < 0.9 * tokens[0]


@pytest.mark.parametrize("size", [1000, 100_000])
def test_a_short_text_gives_fewer_pieces(size):
    few = SubwordTokenizer.train(["go .", "go home ."], size)
    assert 4 < len(few) < 100
    assert few.decode(few.encode("home go")) == "home go"


# Sampling.


@fuzz
@given(text=known, alpha=st.floats(0, 3), seed=st.integers(0, 2**32))
def test_what_is_drawn_is_the_same_text(subwords, text, alpha, seed):
    tokens = subwords.sample(text, alpha, np.random.default_rng(seed))
    assert tokens.dtype == np.int32
    assert min([4, *tokens]) == 4
    assert subwords.decode(tokens) == " ".join(text.split())


@fuzz
@given(text=anything, seed=st.integers(0, 2**32))
def test_a_large_alpha_draws_the_most_probable(subwords, text, seed):
    tokens = subwords.sample(text, 1e5, np.random.default_rng(seed))
    assert tokens.tolist() == subwords.encode(text).tolist()


@fuzz
@given(text=known, seed=st.integers(0, 2**32))
def test_a_draw_does_not_depend_on_the_kind_of_white_space(subwords, text, seed):
    drawn, plain = (
        subwords.sample(line, 0.1, np.random.default_rng(seed)).tolist()
        for line in (text, " ".join(text.split()))
    )
    assert drawn == plain


def test_the_generator_decides_the_draws(subwords):
    def drawn(subwords, seed):
        rng = np.random.default_rng(seed)
        return [subwords.sample(line, 0.1, rng).tolist() for line in ENGLISH[:20]]

    first = drawn(subwords, 0)
    assert drawn(subwords, 0) == first
    assert (
        drawn(SubwordTokenizer(subwords.model), 0) == first
    )  # without cached segmentations
    assert drawn(subwords, 1) != first


def test_draws_differ_from_one_another_and_from_word_to_word(subwords):
    rng = np.random.default_rng(0)
    line = " ".join(["lowest"] * 50)
    tokens = subwords.pieces(subwords.sample(line, 0.0, rng))
    words = "|".join(tokens).replace("|▁", "\n▁").split("\n")
    assert len(words) == 50
    assert set(words) == {
        "|".join(pieces)
        for pieces, _ in segmentations("▁lowest", log_probabilities(subwords))
    }
    encoded = subwords.encode(line).tolist()
    assert subwords.sample(line, 0.0, rng).tolist() != encoded


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("word", ["lowest", "slowness"])
def test_draws_have_the_probabilities_of_the_scores(subwords, word, alpha):
    """P is proportional to exp(alpha * log-probability)."""
    ways = segmentations("▁" + word, log_probabilities(subwords))
    assert 3 < len(ways) < tokenizers.NUM_SEGMENTATIONS
    weights = np.exp(alpha * np.asarray([score for _, score in ways]))
    shares = weights / weights.sum()
    number = 3000
    counts = draws(subwords, word, alpha, number)
    assert set(counts) <= {pieces for pieces, _ in ways}
    for (pieces, _), share in zip(ways, shares, strict=True):
        deviation = np.sqrt(share * (1 - share) / number)
        assert abs(counts[pieces] / number - share) <= 4 * deviation + 1e-3


def test_only_the_most_probable_of_a_word_are_drawn(monkeypatch, subwords):
    monkeypatch.setattr(tokenizers, "NUM_SEGMENTATIONS", 3)
    ways = segmentations("▁slowness", log_probabilities(subwords))
    assert ways[2][1] > ways[3][1] + 0.1
    counts = draws(SubwordTokenizer(subwords.model), "slowness", 0.0, 900)
    assert set(counts) == {pieces for pieces, _ in ways[:3]}
    assert min(counts.values()) > 240  # a third each, within 4 deviations


@pytest.mark.parametrize("text", ["", " ", "\u3000 \t"])
def test_an_empty_text_has_no_subwords(subwords, text):
    for tokens in (
        subwords.encode(text),
        subwords.sample(text, 0.1, np.random.default_rng(0)),
    ):
        assert (tokens.shape, tokens.dtype) == ((0,), np.int32)
    assert subwords.decode([]) == ""


# Saved to files, refused, shared.


def test_a_model_comes_back_from_its_file(tmp_path, subwords):
    path = tmp_path / "source.model"
    path.write_bytes(subwords.model)
    for again in (SubwordTokenizer.load(path), SubwordTokenizer.load(str(path))):
        assert again.model == subwords.model
        assert len(again) == len(subwords)
        line = ENGLISH[0]
        assert again.encode(line).tolist() == subwords.encode(line).tolist()


@pytest.mark.parametrize(
    "damage",
    [
        lambda model: b"",
        lambda model: b"\n",
        lambda model: b"<?xml version='1.0'?><Error/>",
        lambda model: model[:-1],
        lambda model: model[: len(model) // 2],
        lambda model: model[1:],
        lambda model: bytes(len(model)),
    ],
    ids=["empty", "line", "page", "cut", "half", "late", "zeros"],
)
def test_a_damaged_model_is_refused(tmp_path, subwords, damage):
    path = tmp_path / "source.model"
    path.write_bytes(damage(subwords.model))
    with pytest.raises(DataError) as error:
        SubwordTokenizer.load(path)
    assert str(error.value) == f"{path} is not a sentencepiece model."


def test_a_missing_model_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none\.model does not exist"):
        SubwordTokenizer.load(tmp_path / "none.model")
    with pytest.raises(DataError, match="is a directory"):
        SubwordTokenizer.load(tmp_path)


@pytest.mark.parametrize(
    ("sentences", "size"),
    [([], 50), (["", "  "], 50), (ENGLISH, 10), (ENGLISH, 3)],
    ids=["none", "blank", "fewer_than_letters", "fewer_than_specials"],
)
def test_text_with_too_few_subwords_is_refused(sentences, size):
    with pytest.raises(DataError) as error:
        SubwordTokenizer.train(sentences, size)
    letters = len(set("".join(sentences)))
    assert str(error.value).startswith(f"sentencepiece cannot learn {size} subwords")
    assert f"{len(sentences)} sentences with {letters} different" in str(error.value)


@pytest.mark.parametrize("token", SPECIALS)
def test_words_that_look_like_special_tokens_are_unknown(token):
    words = WordTokenizer.train(["go .", "i go ."], "word", 1)
    assert words.encode(f"go {token}").tolist() == [words.vocab["go"], UNK]


def test_one_tokenizer_for_both_languages():
    joint = SubwordTokenizer.train([*ENGLISH, *FRENCH], 70)
    alone = SubwordTokenizer.train(ENGLISH, 70)
    for line in (*ENGLISH[:20], *FRENCH[:20]):
        assert UNK not in joint.encode(line)
        assert joint.decode(joint.encode(line)) == line
        drawn = joint.sample(line, 0.1, np.random.default_rng(0))
        assert joint.decode(drawn) == line
    assert all(UNK in alone.encode(line) for line in FRENCH[:20])
    both = WordTokenizer.train([*ENGLISH, *FRENCH], "word", min_freq=1)
    assert both.decode(both.encode("lowest garçonness")) == "lowest garçonness"
