"""Documents with labels: readers, splits, minibatches, and the generated opinions."""

import os
import random
import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.baselines import naive_bayes
from seqjax.data import labeled
from seqjax.data.synthetic import opinions
from seqjax.data.text import DataError
from seqjax.data.tokenizers import WordTokenizer

needs_data = pytest.mark.skipif(
    "SEQJAX_DATA_DIR" not in os.environ, reason="needs real data in SEQJAX_DATA_DIR"
)
PARTS = ("train", "valid", "test")
GOOD, BAD = opinions.ADJECTIVES["positive"], opinions.ADJECTIVES["negative"]

DEGREES = "|".join(f"{word} " for word in opinions.INTENSIFIERS)
WORDS = {"N": r"\w+", "A": rf"(?:{DEGREES})?(\w+)"}
TURNS = {
    turn: "(?:^|(?:but|and|yet|though|,) )"  # a whole clause
    + " ".join(WORDS.get(word, word) for word in turn.split())
    + "(?= but | and | ,| although| even|$)"
    for turn in (*opinions.PLAIN, *opinions.NEGATED)
}


@pytest.fixture(scope="module")
def embedded():
    return opinions.documents()


# ---------------------------------------------------------------- opinions


def pairs(text):
    """(pattern, adjective) of each clause."""
    for turn, pattern in TURNS.items():
        for adjective in re.findall(pattern, text):
            yield turn, adjective


def clause_is_good(clause):
    """A second rule: the adjective, and a word that reverses it."""
    words = set(clause.split())
    good = bool(words & set(GOOD))
    assert good != bool(words & set(BAD)), clause
    turned = words & {"not", "never", "far", "anything", "hardly", "nobody", "nothing"}
    return good != bool(turned)


def is_positive(text):
    """The opinion of the main clause."""
    text = re.sub("anything but", "anything except", text).replace("even though", "THO")
    text = text.replace("although", "THO")
    if text.startswith("THO"):
        return clause_is_good(text.split(" , ")[1])
    if "THO" in text:
        return clause_is_good(text.split("THO")[0])
    if " but " in text or " , yet " in text:
        return clause_is_good(re.split(" but | , yet ", text)[1])
    first, *others = text.split(" and ")
    assert all(clause_is_good(other) == clause_is_good(first) for other in others)
    return clause_is_good(first)


def test_labels_agree_with_the_sentences(embedded):
    for part in embedded:
        for label, text in part:
            assert (label == "positive") == is_positive(text), text


def test_every_kind_of_sentence_is_written(embedded):
    train = " | ".join(text for _, text in embedded[0])
    assert {turn for _, text in embedded[0] for turn, _ in pairs(text)} == set(TURNS)
    for word in (" but ", ", yet ", "although", "even though", " and "):
        assert word in train
    counts = Counter(label for label, _ in embedded[0])
    assert 0.47 < counts["positive"] / counts.total() < 0.53
    lengths = [len(text.split()) for _, text in embedded[0]]
    assert min(lengths) == 4 and max(lengths) < 25


def test_held_out_opinions_need_composition(embedded):
    train, *held_out = ([text for _, text in part] for part in embedded)
    counts = Counter(word for text in train for word in text.split())

    known = {pair for text in train for pair in pairs(text)}
    for part in held_out:
        assert len(part) == 500 and not set(part) & set(train)
        for text in part:
            assert set(pairs(text)) - known, text
            assert all(counts[word] >= 50 for word in text.split())


def test_opinions_are_distinct_and_the_seed_decides_them(embedded):
    texts = [text for part in embedded for _, text in part]
    assert len(set(texts)) == len(texts) == 5000
    assert opinions.documents(50, 5, 5) == opinions.documents(50, 5, 5)
    assert opinions.documents(50, 5, 5) != opinions.documents(50, 5, 5, seed=1)
    first = ("positive", "i found the song great")
    assert opinions.documents(1, 0, 0) == ([first], [], [])  # on every Python


def test_a_bag_of_words_does_not_solve_the_opinions(embedded):
    """Naive Bayes is right on two thirds of its training data, on half of the test."""
    words = WordTokenizer.train([text for _, text in embedded[0]], "word", 1)

    def coded(part):
        labels = np.array([label == "positive" for label, _ in part], int)
        return [words.encode(text) for _, text in part], labels

    train, test = coded(embedded[0]), coded(embedded[2])
    bayes = naive_bayes.fit(*train, len(words), 2)
    assert 0.5 < (bayes.predict(train[0]) == train[1]).mean() < 0.67
    assert 0.4 < (bayes.predict(test[0]) == test[1]).mean() < 0.6


def test_load_has_a_checksum_of_the_text():
    corpus = labeled.load("opinions")
    assert corpus.labels == ["negative", "positive"]
    assert [len(getattr(corpus, part).texts) for part in PARTS] == [4000, 500, 500]
    assert re.fullmatch("[0-9a-f]{64}", corpus.sha256)


# ---------------------------------------------------------------- splits


def rows(number=400):
    rng = random.Random(0)
    words = [rng.choice("abcdefghij") * rng.randint(1, 9) for _ in range(number)]
    return [("xy"[i % 2], f"{word} {i}") for i, word in enumerate(words)]


def texts(corpus):
    return [getattr(corpus, part).texts for part in PARTS]


def test_the_shares_of_a_split():
    corpus = labeled.split_by_text("n", rows(2000), "0")
    sizes = [len(part) / 2000 for part in texts(corpus)]
    np.testing.assert_allclose(sizes, [0.8, 0.1, 0.1], atol=0.02)
    assert corpus.labels == ["x", "y"]
    train = list(zip(corpus.train.labels, corpus.train.texts, strict=True))
    assert train == [row for row in rows(2000) if row in set(train)]  # in their order


def test_folds_test_every_text_once():
    folds = [labeled.split_by_text("n", rows(), "0", 5, fold) for fold in range(5)]
    tests = [text for corpus in folds for text in corpus.test.texts]
    assert sorted(tests) == sorted(text for _, text in rows())
    for fold, corpus in enumerate(folds):
        assert corpus.valid == folds[(fold + 1) % 5].test
        assert sorted(t for part in texts(corpus) for t in part) == sorted(tests)
    assert labeled.split_by_text("n", rows(), "0", 5, 1, seed=1) != folds[1]


def test_no_text_is_in_two_parts_in_any_spacing():
    twins = [(label, text.upper().replace(" ", "  ")) for label, text in rows()]
    corpus = labeled.split_by_text("n", [*rows(), *twins, *rows()], "0", 4, 2)
    plain = [{" ".join(t.lower().split()) for t in part} for part in texts(corpus)]
    assert len(set.union(*plain)) == sum(map(len, plain)) == len(set(rows()))
    assert sum(map(len, texts(corpus))) == 3 * len(rows())


def test_parts_and_labels_that_are_missing_are_named():
    with pytest.raises(DataError, match="n has nothing in its valid part"):
        labeled.split_by_text("n", rows(4), "0", 50)
    with pytest.raises(DataError, match="n has only the label 'x'; at least two"):
        labeled.split_by_text("n", [("x", text) for _, text in rows()], "0")
    tested = labeled.split_by_text("n", rows(), "0").test.texts[0]
    rare = [("odd" if text == tested else label, text) for label, text in rows()]
    with pytest.raises(DataError, match="n has the label 'odd' in its test part, but"):
        labeled.split_by_text("n", rare, "0")


# ---------------------------------------------------------------- the user's own files


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_file_is_read_line_by_line(tmp_path):
    content = "\ufeffpos\tgut\u0085 \U0001f600 !\r\n\n  neg \t nicht\tgut  \npos\tja"
    split = labeled.read_file(write(tmp_path / "a.tsv", content))
    assert split.labels == ["pos", "neg", "pos"]
    assert split.texts == ["gut\u0085 \U0001f600 !", "nicht\tgut", "ja"]


@pytest.mark.parametrize("line", ["pos", "pos\t", "pos\t \t", "\ttext", "\t", "no tab"])
def test_a_bad_line_is_named(tmp_path, line):
    path = write(tmp_path / "a.tsv", f"pos\tok\n\n{line}\npos\tok\n")
    with pytest.raises(DataError) as caught:
        labeled.read_file(path)
    start = f"{path}, line 3: a label, a tab and a text were expected, got {line!r}."
    assert str(caught.value) == start


@settings(deadline=None, max_examples=100)
@given(content=st.binary(max_size=60))
def test_hostile_files_are_read_or_refused_in_one_sentence(tmp_path_factory, content):
    path = write(tmp_path_factory.getbasetemp() / "hostile.tsv", content)
    try:
        split = labeled.read_file(path)
    except DataError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    else:
        assert len(split.texts) == len(split.labels)
        assert all(text.strip() for side in split for text in side)


def test_three_files_are_the_parts(tmp_path):
    contents = "a\tx\nb\ty\n", "b\tz\n", "a\tx\n"
    paths = [write(tmp_path / f"{i}.tsv", c) for i, c in enumerate(contents)]
    corpus = labeled.load_files(paths)
    assert texts(corpus) == [["x", "y"], ["z"], ["x"]]
    assert corpus.labels == ["a", "b"] and corpus.name == "0.tsv"
    other = labeled.load_files([paths[0], paths[2], paths[1]])
    assert other.sha256 != corpus.sha256
    cuts = [["a\tx\nb\ty\n", "b\tz\na\tx\n"], ["a\tx\nb\ty\nb\tz\n", "a\tx\n"]]
    digests = []
    for train, valid in cuts:  # a document moves to another part, the text is the same
        write(paths[0], train)
        write(paths[1], valid)
        digests.append(labeled.load_files(paths).sha256)
    assert digests[0] != digests[1]
    write(paths[0], contents[0])
    write(paths[1], "b\tz\n\nc\tz\n")
    with pytest.raises(
        DataError, match=r"1\.tsv, line 3: the label 'c' does not occur"
    ):
        labeled.load_files(paths)
    with pytest.raises(DataError, match="one file was expected, or three"):
        labeled.load_files(paths[:2])


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        labeled.load_files([tmp_path / "no.tsv"])
    with pytest.raises(DataError, match="not UTF-8: byte 0xff at byte offset 2"):
        labeled.load_files([write(tmp_path / "a.tsv", b"a\t\xff\n")])
    with pytest.raises(DataError, match="is empty"):
        labeled.load_files([write(tmp_path / "a.tsv", "\n \n")])


# ---------------------------------------------------------------- movie_review


def test_movie_reviews_have_no_address(tmp_path):
    with pytest.raises(DataError, match="movie_review has no download address"):
        labeled.load("movie_review", tmp_path)
    with pytest.raises(DataError, match="did you mean movie_review"):
        labeled.load("movies")


@needs_data
def test_movie_reviews_are_complete():
    corpus = labeled.load("movie_review")
    parts = [getattr(corpus, part) for part in PARTS]
    counts = Counter(label for part in parts for label in part.labels)
    assert counts == {"negative": 5331, "positive": 5331}
    assert [len(part.texts) for part in parts] == [8561, 1098, 1003]
    assert "simplistic , silly and tedious ." in parts[0].texts
    apart = [set(part.texts) for part in parts]
    assert not (apart[0] & apart[1] or apart[0] & apart[2] or apart[1] & apart[2])


# ---------------------------------------------------------------- minibatches


def test_minibatches_hold_each_document_once_with_its_label():
    rng = np.random.default_rng(0)
    documents = [rng.integers(4, 99, rng.integers(0, 30)) for _ in range(50)]
    labels = rng.integers(0, 3, 50)
    found = []
    for bucket in labeled.plan(documents, 8, rng):
        batch = labeled.make_batch(documents, labels, bucket)
        assert batch.tokens.shape == (bucket.length, 8)
        assert batch.labels.dtype == batch.lengths.dtype == np.int32
        for row in range(8):
            tokens = batch.tokens[: batch.lengths[row], row]
            if bucket.rows[row] >= 0:
                found.append((tuple(tokens), batch.labels[row]))
            else:
                assert (batch.lengths[row], batch.labels[row]) == (0, -1)
    wanted = zip(map(tuple, documents), labels, strict=True)
    assert sorted(found) == sorted(wanted)
