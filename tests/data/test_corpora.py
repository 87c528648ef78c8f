"""Corpora: fetched, checked, split and tokenized; their published sizes."""

import hashlib
import os
from collections import Counter
from pydoc_data.topics import topics

import numpy as np
import pooch
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data import corpora
from seqjax.data.corpora import Corpus, load, load_files, tokenize_corpus
from seqjax.data.sources import default_data_dir
from seqjax.data.text import DataError, tokenize

fuzz = settings(deadline=None, max_examples=50)
ERROR_PAGE = b'<?xml version="1.0"?><Error><Code>NoSuchBucket</Code></Error>'


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def refused(*args, **kwargs):
    """The sentence of the DataError of a call."""
    with pytest.raises(DataError) as error:
        load(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def publish(monkeypatch):
    """publish(name, content, ...): make these the published files of a corpus."""

    def publish(name, *contents):
        sources = [
            source._replace(sha256=sha256(content))
            for source, content in zip(corpora.SOURCES[name], contents, strict=True)
        ]
        monkeypatch.setitem(corpora.SOURCES, name, tuple(sources))

    return publish


def put(data_dir, name, content, index=0):
    path = data_dir / name / corpora.SOURCES[name][index].file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


# Fetched and checked.


def test_python_docs_are_the_topics_of_pydoc():
    corpus = load("python_docs")
    text = corpus.train + corpus.valid + corpus.test
    assert text == "\n".join(topics.values())
    assert corpus.sha256 == sha256(text.encode())
    assert corpus.name == "python_docs"


@fuzz
@given(text=st.text(max_size=300))
def test_a_split_is_90_5_5_of_the_characters_in_order(text):
    corpus = corpora.split_by_position("own", text, "digest")
    train, valid, test = corpus.train, corpus.valid, corpus.test
    assert train + valid + test == text
    assert abs(len(train) - 0.9 * len(text)) < 1
    assert abs(len(train + valid) - 0.95 * len(text)) < 1
    assert (corpus.name, corpus.sha256) == ("own", "digest")


def test_the_users_own_file(tmp_path):
    content = b"\xef\xbb\xbf" + b"0123456789\r\n" * 20 + "é".encode() * 20
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    text = "0123456789\n" * 20 + "é" * 20  # 240 characters
    for corpus in (load_files([path]), load_files([str(path)])):
        assert corpus == Corpus(
            "mine.txt", text[:216], text[216:228], text[228:], sha256(content)
        )
    with pytest.raises(DataError, match="does not exist"):
        load_files([tmp_path / "other.txt"])


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("wikitext", "did you mean wikitext2?"),
        ("python-docs", "did you mean python_docs?"),
        ("timemachine", "did you mean time_machine?"),
        ("tang", "did you mean tang_poems?"),
        ("", "there are python_docs, time_machine, wikitext2 and tang_poems."),
        ("regime", "there are python_docs, time_machine, wikitext2 and tang_poems."),
    ],
)
def test_an_unknown_name_gives_the_nearest(name, near):
    assert refused(name) == f"there is no dataset {name!r}; {near}"


def test_letters_only_of_the_time_machine(tmp_path, publish):
    content = b"The Time-Machine!\r\n" * 10
    publish("time_machine", content)
    put(tmp_path, "time_machine", content)
    corpus = load("time_machine", tmp_path)
    text = " ".join(["the time machine"] * 10)  # 169 characters
    assert corpus.train + corpus.valid + corpus.test == text
    assert len(corpus.train) == 152
    assert corpus.sha256 == sha256(content)


def test_the_official_splits_of_wikitext2(tmp_path, publish):
    contents = [b" = One = \n the train\n", b" the valid\n", b" the <unk> test\n"]
    publish("wikitext2", *contents)
    for index, content in enumerate(contents):
        put(tmp_path, "wikitext2", content, index)
    train, valid, test = (content.decode() for content in contents)
    digest = sha256(b"".join(contents))
    assert load("wikitext2", tmp_path) == Corpus(
        "wikitext2", train, valid, test, digest
    )


@pytest.mark.parametrize("name", corpora.SOURCES)
def test_a_file_with_another_checksum_is_refused_and_not_changed(tmp_path, name):
    path = put(tmp_path, name, ERROR_PAGE)
    published = corpora.SOURCES[name][0].sha256
    assert refused(name, tmp_path) == (
        f"{path} is not the published {name} file: its sha256 is "
        f"{sha256(ERROR_PAGE)}, expected {published}."
    )
    assert path.read_bytes() == ERROR_PAGE


@pytest.mark.parametrize("index", [1, 2])
def test_every_file_of_wikitext2_is_checked(tmp_path, publish, index):
    contents = [b"train", b"valid", b"test"]
    publish("wikitext2", *contents)
    for i, content in enumerate(contents):
        put(tmp_path, "wikitext2", content + b"!" * (i == index), i)
    assert corpora.SOURCES["wikitext2"][index].file in refused("wikitext2", tmp_path)


@pytest.mark.parametrize(
    "error",
    [
        OSError("no route to host\nand more"),
        requests.exceptions.ConnectionError("no route to host"),
        requests.exceptions.Timeout("no route to host\n"),
        ValueError("no route to host"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("name", ["time_machine", "wikitext2"])
def test_a_failed_download_is_an_error_of_one_sentence(
    monkeypatch, tmp_path, name, error
):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(pooch, "retrieve", fail)
    source = corpora.SOURCES[name][0]
    path = tmp_path / name / source.file
    message = refused(name, tmp_path)
    assert message.startswith(
        f"{path} does not exist and could not be fetched from {source.url}: "
        "no route to host"
    )
    assert "and more" not in message


def test_an_error_page_in_place_of_a_corpus_is_not_kept(tmp_path, internet):
    internet.append(ERROR_PAGE)
    message = refused("time_machine", tmp_path)
    assert "could not be fetched" in message
    assert sha256(ERROR_PAGE) in message
    assert internet == []  # the page was downloaded
    assert files(tmp_path) == []


def test_an_interrupted_download_leaves_no_file(tmp_path, internet):
    internet.append(requests.exceptions.ChunkedEncodingError("cut short"))
    assert "cut short" in refused("time_machine", tmp_path)
    assert files(tmp_path) == []


def test_a_download_is_kept_and_made_once(tmp_path, publish, internet):
    content = b"for so it will be convenient to speak of him"
    publish("time_machine", content)
    internet.append(content)
    first = load("time_machine", tmp_path)
    assert first.train.startswith("for so it")
    assert load("time_machine", tmp_path) == first  # there is no second download
    assert files(tmp_path) == [tmp_path / "time_machine" / "timemachine.txt"]


def test_tang_poems_have_no_address(tmp_path, internet):
    path = tmp_path / "tang_poems" / "poems.txt"
    message = refused("tang_poems", tmp_path)
    assert message.startswith(f"{path} does not exist and tang_poems has no download")
    assert corpora.SOURCES["tang_poems"][0].sha256 in message
    assert files(tmp_path) == []


def test_the_data_folder_is_the_environments_or_the_users_cache(
    monkeypatch, tmp_path, publish
):
    publish("tang_poems", "静夜思:床前明月光".encode())
    put(tmp_path, "tang_poems", "静夜思:床前明月光".encode())
    monkeypatch.setenv("SEQJAX_DATA_DIR", str(tmp_path))
    assert load("tang_poems").train == "静夜思:床前明月"
    assert str(tmp_path / "other") in refused("tang_poems", tmp_path / "other")
    monkeypatch.setenv("SEQJAX_DATA_DIR", "")
    assert default_data_dir() == pooch.os_cache("seqjax")
    monkeypatch.delenv("SEQJAX_DATA_DIR")
    assert default_data_dir() == pooch.os_cache("seqjax")


# Tokenized.

OWN = Corpus("own", "b a a c a b\n", "a d c", "e b", "")


@pytest.mark.parametrize(
    ("how", "tokens", "train", "valid", "test"),
    [
        ({}, ["a", "b", "c", "<eos>"], [2, 1, 1, 3, 1, 2, 4], [1, 0, 3], [0, 2]),
        ({"min_freq": 2}, ["a", "b"], [2, 1, 1, 0, 1, 2, 0], [1, 0, 0], [0, 2]),
        ({"min_freq": 9}, [], [0] * 7, [0, 0, 0], [0, 0]),
        # The vocabulary is that of the whole text; the tokens are the first two.
        ({"max_tokens": 2}, ["a", "b", "c", "<eos>"], [2, 1], [1, 0, 3], [0, 2]),
        (
            {"max_tokens": 99},
            ["a", "b", "c", "<eos>"],
            [2, 1, 1, 3, 1, 2, 4],
            [1, 0, 3],
            [0, 2],
        ),
        ({"min_freq": 2, "max_tokens": 4}, ["a", "b"], [2, 1, 1, 0], [1, 0, 0], [0, 2]),
    ],
    ids=str,
)
def test_the_vocabulary_is_of_the_training_text(how, tokens, train, valid, test):
    data = tokenize_corpus(OWN, "word", **how)
    assert data.vocab.tokens == ["<unk>", *tokens]
    assert [split.tolist() for split in data[1:]] == [train, valid, test]
    assert {split.dtype for split in data[1:]} == {np.dtype(np.int32)}


def test_known_characters_come_back_and_others_are_unknown():
    data = tokenize_corpus(OWN, "char")
    assert len(data.vocab) == 1 + len(set(OWN.train))
    assert "".join(data.vocab.to_tokens(data.train)) == OWN.train
    assert data.vocab.to_tokens(data.valid) == ["a", " ", "<unk>", " ", "c"]


@pytest.mark.parametrize("split", ["valid", "test"])
@pytest.mark.parametrize(
    ("level", "text", "count"),
    [("char", "", 0), ("char", "b", 1), ("word", " abab ", 1), ("word", "   ", 0)],
)
def test_a_held_out_split_with_nothing_to_predict_is_refused(split, level, text, count):
    with pytest.raises(DataError) as error:
        tokenize_corpus(OWN._replace(**{split: text}), level)
    assert str(error.value) == (
        f"own is too short: its {split} part has {count} tokens, at least 2 are needed."
    )


# Published sizes.


@pytest.fixture
def real():
    """real(name): a corpus as published."""
    if not os.environ.get("SEQJAX_DATA_DIR"):
        pytest.skip("needs real data in SEQJAX_DATA_DIR")
    return load


def test_the_time_machine_is_the_textbooks(real):
    """Dive into Deep Learning: sha1, vocabulary, length, ten most frequent words."""
    corpus = real("time_machine")
    path = default_data_dir() / "time_machine" / "timemachine.txt"
    digest = hashlib.sha1(path.read_bytes()).hexdigest()
    assert digest == "090b5e7e70c295757f55df93cb0a180b9691891a"
    assert len(tokenize_corpus(corpus, "char").vocab) == 28

    text = corpus.train + corpus.valid + corpus.test
    assert len(text) == 173_428 - 1  # the textbook keeps a space at the end
    words = tokenize(text, "word")
    assert len(words) == 32_775
    top = "the:2261 i:1267 and:1245 of:1155 a:816 to:695 was:552 in:541 that:443 my:440"
    counts = Counter(words).most_common(10)
    assert " ".join(f"{word}:{count}" for word, count in counts) == top


def test_wikitext2_has_its_published_sizes(real):
    """Merity et al. 2016, table 1: tokens, vocabulary with <eos>, share of <unk>."""
    data = tokenize_corpus(real("wikitext2"), "word")
    assert [len(split) for split in data[1:]] == [2_088_628, 217_646, 245_569]
    assert len(data.vocab) == 33_278
    assert "<eos>" in data.vocab
    assert round(100 * np.mean(data.train == 0), 1) == 2.6  # <unk>, per cent


def test_tang_poems_load(real):
    corpus = real("tang_poems")
    text = corpus.train + corpus.valid + corpus.test
    lines = text.splitlines()
    assert len(lines) == 57_603
    assert all(":" in line for line in lines)
    data = tokenize_corpus(corpus, "char")
    assert "".join(data.vocab.to_tokens(data.train)) == corpus.train
