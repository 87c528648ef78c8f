"""Tagged sentences: CoNLL files read and written, refused files, generated ones."""

import hashlib
import itertools
import os
from collections import Counter, defaultdict

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seqjax.data import formats, tagged
from seqjax.data.synthetic import apples
from seqjax.data.tagged import Sentence, conll_lines, load_files, parse
from seqjax.data.text import DataError, decode

fuzz = settings(deadline=None, max_examples=200)
needs_data = pytest.mark.skipif(
    "SEQJAX_DATA_DIR" not in os.environ, reason="needs real data in SEQJAX_DATA_DIR"
)
CONLLU = """# sent_id = 1
# text = I haven't\t
1\tI\tI\tPRON\tPRP\t_\t2\tnsubj\t_\t_
2-3\thaven't\t_\t_\t_\t_\t_\t_\t_\t_
2\thave\thave\tVERB\tVBP\t_\t0\troot\t_\t_
3\tnot\tnot\tPART\tRB\t_\t2\tadvmod\t_\t_
3.1\tmoney\tmoney\tNOUN\tNN\t_\t_\t_\t_\t_

# text = 10 000 #
1\t10 000\t10 000\tNUM\tCD\t_\t2\tnummod\t_\t_
2\t#\t#\tSYM\tNN\t_\t0\troot\t_\t_
"""


# ---------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("text", "columns", "want"),
    [
        ("a O\nb B-x\n\nc O\n", (None, None), "a/O b/B-x|c/O"),
        ("a O\nb B-x\n\nc O", (0, 1), "a/O b/B-x|c/O"),
        ("\n \n\t\na\tO\n \t \nb\tO\n\n\n", (None, None), "a/O|b/O"),
        ("1 a DT O\n2 b NN B-x\n", (1, 2), "a/DT b/NN"),
        ("1 a DT O\n2 b NN B-x\n", (-3, -1), "a/O b/B-x"),
        ("a   O\nb \t B-x\n", (None, None), "a/O b/B-x"),
        ("New York\tB-x\n", (None, None), "New York/B-x"),
        (
            "#tag\tO\n# O\n",
            (None, None),
            "#tag/O #/O",
        ),  # comments exist in CoNLL-U only
        (
            "-DOCSTART- -X- O\n\na b O\n-DOCSTART- -X- O\nc d O\n",
            (None, None),
            "a/O|c/O",
        ),
        ("a\u2028b\x85c\tO\n", (None, None), "a\u2028b\x85c/O"),  # not ends of lines
        (CONLLU, (None, None), "I/PRON have/VERB not/PART|10 000/NUM #/SYM"),
        (CONLLU, (2, 4), "I/PRP have/VBP not/RB|10 000/CD #/NN"),
        ("1 O\n2 O\n", (None, None), "1/O 2/O"),  # a number is not enough for CoNLL-U
    ],
)
def test_columns_are_read(text, columns, want):
    found = parse(text, "f", *columns)
    lines = [" ".join(map("/".join, zip(*s, strict=True))) for s in found]
    assert "|".join(lines) == want


@pytest.mark.parametrize(
    ("text", "columns", "sentence"),
    [
        ("a O\nb\n", (None, None), "f, line 2 has 1 columns, the lines before have 2"),
        ("a O\n\nb x O\n", (None, None), "f, line 3 has 3 columns"),
        ("a\tO\n\tO\n", (None, None), "f, line 2: column 0 is empty"),
        ("a\t\tO\n", (0, 1), "f, line 1: column 1 is empty"),
        ("a O\n", (0, 2), "f, line 1 has 2 columns; there is no column 2"),
        ("a O\n", (-3, -1), "f, line 1 has 2 columns; there is no column -3"),
        ("a\nb\n", (None, None), "f, line 1 has 1 column: token and tag would be the"),
        ("a O\n", (1, -1), "f, line 1 has 2 columns: token and tag would be the same"),
        (" \n\t\n", (None, None), "f holds no sentence"),
        ("-DOCSTART- O\n", (None, None), "f holds no sentence"),
        (CONLLU + "x\ta" + "\t_" * 8, (None, None), "line 12: 'x' is not the number"),
        (CONLLU + "\n# alone\n\n", (None, None), "line 14: a sentence without a word"),
        (CONLLU + "\n1\ta b\n", (None, None), "f, line 13 has 2 columns"),
        (CONLLU.replace("have\tVERB", "have\t"), (None, None), "f, line 5"),
    ],
)
def test_errors_name_the_line(text, columns, sentence):
    with pytest.raises(DataError) as error:
        parse(text, "f", *columns)
    assert sentence in str(error.value) and "\n" not in str(error.value)


words = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=5)
written = st.lists(
    st.lists(st.tuples(words, words), min_size=1, max_size=4), min_size=1, max_size=4
)


@fuzz
@given(written)
def test_what_is_written_is_read(sentences):
    sentences = [Sentence(*map(list, zip(*s, strict=True))) for s in sentences]
    text = "\n".join(conll_lines(sentences))
    assume(formats.describe_format(text) in (None, formats.CONLL))  # words as {"
    assert parse(text, "f") == sentences


@fuzz
@given(
    st.one_of(
        st.binary(max_size=60),
        st.text("aO#1-.\t\n \r\x0b", max_size=60).map(str.encode),
        st.text("a_1-.#\n", max_size=30).map(
            lambda t: "\n".join(line + "\t_" * 9 for line in t.split("\n")).encode()
        ),
    ),
    *[st.integers(-3, 3)] * 2,
)
def test_any_bytes_are_sentences_or_one_sentence_of_error(content, token, tag):
    try:
        found = parse(decode(content, "f"), "f", token, tag)
    except DataError as error:
        assert "\n" not in str(error).replace("\\n", "")
        return
    assert found
    for tokens, tags in found:
        assert len(tokens) == len(tags) > 0
        assert all(t and t == t.strip() for t in (*tokens, *tags))


def test_one_file_is_split_by_its_sentences(tmp_path):
    sentences = [
        Sentence([w], ["O"]) for w in map("".join, itertools.product("abcd", repeat=4))
    ]
    path = tmp_path / "one.conll"
    path.write_text("\n".join(conll_lines(sentences + sentences)))
    corpus = load_files([path])
    parts = corpus.train, corpus.valid, corpus.test
    assert sorted(itertools.chain(*parts)) == sorted(sentences + sentences)
    assert all(
        not set(map(str, a)) & set(map(str, b))
        for a, b in itertools.combinations(parts, 2)
    )
    assert all(20 <= len(part) <= 90 for part in parts[1:])
    path.write_text("a O\n")
    with pytest.raises(DataError, match=r"one\.conll has no sentence in its"):
        load_files([path])


def test_three_files_are_the_parts_and_the_checksum_is_of_all(tmp_path):
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.write_bytes(f"\ufeff{path.name} O\r\n".encode())
    corpus = load_files(paths)
    assert [part[0].tokens for part in corpus[1:4]] == [["a"], ["b"], ["c"]]
    paths[2].write_text("d O\n")
    assert load_files(paths).sha256 != corpus.sha256
    digests = []
    for train, valid in (("a O\n", "\nb O\n\nc O\n"), ("a O\n\nb O\n\n", "c O\n")):
        paths[0].write_text(
            train
        )  # a sentence moves to another part, the text is the same
        paths[1].write_text(valid)
        digests.append([load_files(paths, name=n).sha256 for n in (None, "known")])
    assert digests[0][0] != digests[1][0]
    text = b"a O\n\nb O\n\nc O\nd O\n"  # of published files
    assert digests[0][1] == digests[1][1] == hashlib.sha256(text).hexdigest()
    one = load_files([write_many(tmp_path / "one")])
    assert one.sha256 == hashlib.sha256((tmp_path / "one").read_bytes()).hexdigest()


def write_many(path):
    path.write_text("".join(f"w{i} O\n\n" for i in range(99)))
    return path


def test_files_that_cannot_be_read_are_named(tmp_path):
    bad = tmp_path / "bad"
    bad.write_bytes(b"a\tO\nb\xff\tO\n")
    with pytest.raises(DataError, match="bad is not UTF-8: byte 0xff at byte offset 5"):
        load_files([bad])
    bad.write_text("")
    with pytest.raises(DataError, match="bad is empty"):
        load_files([bad])
    with pytest.raises(DataError, match="did you mean apple"):
        tagged.load("aple")


@needs_data
def test_wnut17_is_as_published():
    corpus = tagged.load("wnut17")
    assert [len(part) for part in corpus[1:4]] == [3394, 1009, 1287]
    tags = {tag for part in corpus[1:4] for s in part for tag in s.tags}
    assert len(tags) == 13
    assert sum(len(s.tokens) for s in corpus.train) == 62730
    assert corpus.test[0].tags.count("B-location") == 1


# ---------------------------------------------------------------- apples

PARTS = dict(zip(("train", "valid", "test"), apples.sentences(), strict=True))


def meanings(part):
    """The counts of the tags of each ambiguous word."""
    found = defaultdict(Counter)
    for tokens, tags in part:
        for token, tag in zip(tokens, tags, strict=True):
            if token in apples.WORDS:
                found[token][tag] += 1
    return found


@pytest.mark.parametrize("part", PARTS)
def test_one_tag_for_a_word_is_right_in_at_most_half(part):
    found = meanings(PARTS[part])
    assert set(found) == set(apples.WORDS)
    for word, tags in found.items():
        assert set(tags) == {f"B-{apples.WORDS[word]}", "B-organisation"}
        assert len(set(tags.values())) == 1


def clauses(sentence):
    """(tokens, index of the ambiguous word) of each clause."""
    tokens = sentence[0]
    joints = [i for i, t in enumerate(tokens) if t in apples.JOINTS and i]
    begins = [0, *(i + 1 for i in joints)]
    for begin, end in zip(begins, [*joints, len(tokens)], strict=True):
        clause = tokens[begin:end]
        (index,) = (i for i, t in enumerate(clause) if t in apples.WORDS)
        yield clause, index, sentence[1][begin + index][2:]


def pairs(part):
    """Every (word, sense, cue, distance of the cue, negative before the word)."""
    texts = {(sense, text) for sense in apples.CUES for text, _ in apples.cues(sense)}
    for sentence in PARTS[part]:
        for clause, index, sense in clauses(sentence):
            before, after = (" ".join(t) for t in (clause[:index], clause[index + 1 :]))
            ((cue, distance),) = [
                (text, -before.removeprefix(text).count(" "))
                for of, text in texts
                if of == sense and before.startswith(text)
            ] + [
                (text, after.removesuffix(text).count(" "))
                for of, text in texts
                if of == sense and after.endswith(text)
            ]
            yield clause[index], sense, cue, distance


def test_a_word_and_a_cue_occur_together_in_one_part_only():
    met = {part: {p[:3] for p in pairs(part)} for part in PARTS}
    for one, other in itertools.combinations(met.values(), 2):
        assert not one & other
    for _, sense, cue in met["test"] | met["valid"]:
        assert any(p[1:] == (sense, cue) for p in met["train"])
    known = {t for tokens, _ in PARTS["train"] for t in tokens}
    held_out = PARTS["valid"] + PARTS["test"]
    assert {t for tokens, _ in held_out for t in tokens} <= known
    assert not [s for s in held_out if s in PARTS["train"]]


def test_cues_occur_on_both_sides_at_a_distance():
    distances = Counter(p[3] for p in pairs("train"))
    assert sum(n for d, n in distances.items() if d < -4) > 100
    assert sum(n for d, n in distances.items() if d > 4) > 100


def test_sentences_mix_meanings_are_lower_case_and_tagged_bio():
    mixed = 0
    for tokens, tags in itertools.chain(*PARTS.values()):
        assert len(tokens) == len(tags) and tokens == [t.lower() for t in tokens]
        for before, tag in zip(["O", *tags], tags, strict=False):
            assert tag[0] != "I" or before in (tag, f"B{tag[1:]}")
        found = [
            t == "B-organisation"
            for w, t in zip(tokens, tags, strict=True)
            if w in apples.WORDS
        ]
        mixed += len(set(found)) == 2
    assert mixed > 100


def test_the_seed_decides_the_sentences():
    assert apples.sentences(3, 1, seed=1) == apples.sentences(3, 1, seed=1)
    assert apples.sentences(3, 1, seed=1) != apples.sentences(3, 1, seed=2)
    assert tagged.load("apple").sha256.startswith("ab91e3e10fd87953")
