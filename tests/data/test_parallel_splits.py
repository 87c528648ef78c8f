"""Sentence pairs by name: splits without leaks, published sizes and checksums."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data import parallel
from seqjax.data.parallel import (
    PairSplit,
    ParallelCorpus,
    load,
    load_tsv,
    split_by_source,
)
from seqjax.data.text import clean
from tests.parallel_corpora import (
    IN_TEST,
    IN_VALID,
    PAIRS,
    PARTS,
    as_tsv,
    pairs_of,
    refused,
    sha256,
    splits,
    write,
)

fuzz = settings(deadline=None, max_examples=50)


sources = st.text(alphabet="abé 漢", max_size=4)
some_pairs = st.lists(st.tuples(sources, st.sampled_from("xyz")), max_size=60)


def test_the_split_is_the_same_on_every_machine():
    corpus = split_by_source("own", PAIRS, "digest")
    assert (corpus.name, corpus.sha256) == ("own", "digest")
    assert pairs_of(corpus.valid) == [PAIRS[i] for i in IN_VALID]
    assert pairs_of(corpus.test) == [PAIRS[i] for i in IN_TEST]
    held_out = {*IN_VALID, *IN_TEST}
    assert pairs_of(corpus.train) == [
        pair for i, pair in enumerate(PAIRS) if i not in held_out
    ]


@fuzz
@given(more=some_pairs)
def test_no_source_is_in_two_parts_and_none_is_lost(more):
    pairs = more + PAIRS
    corpus = split_by_source("own", pairs, "")
    where = {source: part for part in PARTS for source in getattr(corpus, part).source}
    for part in PARTS:  # in order, with their repetitions
        assert pairs_of(getattr(corpus, part)) == [
            pair for pair in pairs if where[pair[0]] == part
        ]


@fuzz
@given(one=some_pairs, other=some_pairs)
def test_the_part_of_a_source_does_not_depend_on_the_others(one, other):
    def parts_of(pairs):
        corpus = split_by_source("own", pairs + PAIRS, "")
        return {s: part for part in PARTS for s in getattr(corpus, part).source}

    first, second = parts_of(one), parts_of(other[::-1])
    assert {s: first[s] for s in first if s in second} == {
        s: second[s] for s in second if s in first
    }


def test_two_percent_each_are_held_out():
    pairs = [(f"{i * i} times", "x") for i in range(20_000)]
    corpus = split_by_source("own", pairs, "")
    assert len(corpus.valid.source) == pytest.approx(400, abs=60)  # 3 deviations
    assert len(corpus.test.source) == pytest.approx(400, abs=60)


@pytest.mark.parametrize("part", PARTS)
def test_too_few_pairs_for_a_part_are_refused(tmp_path, part):
    corpus = split_by_source("", PAIRS, "")
    others = [getattr(corpus, other) for other in PARTS if other != part]
    pairs = [pair for split in others for pair in pairs_of(split)]
    sentence = f"has no pair in its {part} part; more are needed."
    assert refused(split_by_source, "own", pairs, "") == f"own {sentence}"
    path = write(tmp_path, "mine.tsv", as_tsv(pairs))
    assert refused(load_tsv, path) == f"mine.tsv {sentence}"


def test_the_other_direction_is_split_by_its_own_source(tmp_path):
    pairs = PAIRS + [(f"sentence {i} .", f"phrase {i + 1} .") for i in range(190)]
    turned = [(target, source) for source, target in pairs]
    corpus = load_tsv(write(tmp_path, "mine.tsv", as_tsv(pairs)), swap=True)
    assert splits(corpus) == splits(split_by_source("", turned, ""))
    held_out = {*corpus.valid.source, *corpus.test.source}
    assert held_out and held_out.isdisjoint(corpus.train.source)


def test_the_other_direction_of_official_splits():
    corpus, turned = load("grammar"), load("grammar", swap=True)
    for split, other in zip(splits(corpus), splits(turned), strict=True):
        assert (other.source, other.target) == (split.target, split.source)
    assert (turned.name, turned.sha256) == (corpus.name, corpus.sha256)


# Published corpora.

MULTI30K = ["train.en", "train.de", "val.en", "val.de"]
MULTI30K += ["test_2016_flickr.en", "test_2016_flickr.de"]


def publish_multi30k(monkeypatch, folder):
    """Files with their names as content, in place of the published ones."""
    for name in MULTI30K:
        write(folder / "multi30k", name, name)
    hashes = {name: sha256(name.encode()) for name in MULTI30K}
    assert list(parallel._MULTI30K) == MULTI30K
    monkeypatch.setattr(parallel, "_MULTI30K", hashes)


def test_the_official_parts_of_multi30k(monkeypatch, tmp_path):
    publish_multi30k(monkeypatch, tmp_path)
    monkeypatch.setenv("SEQJAX_DATA_DIR", str(tmp_path))
    assert load("multi30k") == ParallelCorpus(
        "multi30k",
        PairSplit(["train.en"], ["train.de"]),
        PairSplit(["val.en"], ["val.de"]),
        PairSplit(["test_2016_flickr.en"], ["test_2016_flickr.de"]),
        sha256("".join(MULTI30K).encode()),
    )


@pytest.mark.parametrize("name", MULTI30K)
def test_every_file_of_multi30k_is_checked(monkeypatch, tmp_path, name):
    publish_multi30k(monkeypatch, tmp_path)
    path = write(tmp_path / "multi30k", name, "error page")
    assert refused(load, "multi30k", tmp_path) == (
        f"{path} is not the published multi30k file: its sha256 is "
        f"{sha256(b'error page')}, expected {sha256(name.encode())}."
    )
    path.unlink()
    message = refused(load, "multi30k", tmp_path)
    assert f"{path} does not exist and multi30k has no download address" in message


def test_another_file_in_place_of_fra_eng_is_refused_and_not_changed(tmp_path):
    path = write(tmp_path / "fra_eng", "fra.txt", "go .\tva .\n")
    message = refused(load, "fra_eng", tmp_path)
    assert message.startswith(f"{path} is not the published fra_eng file: its sha256")
    assert parallel._FRA_ENG.sha256 in message
    assert path.read_bytes() == b"go .\tva .\n"


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("fra-eng", "did you mean fra_eng?"),
        ("multi", "did you mean multi30k?"),
        ("", "there are grammar, fra_eng and multi30k."),
    ],
)
def test_an_unknown_name_gives_the_nearest(name, near):
    assert refused(load, name) == f"there is no dataset {name!r}; {near}"


def test_fra_eng_has_its_published_sizes(real_pairs):
    corpus = real_pairs("fra_eng")
    assert isinstance(corpus, ParallelCorpus)
    assert [len(split.source) for split in splits(corpus)] == [160_709, 3_228, 3_193]
    assert [len(split.target) for split in splits(corpus)] == [160_709, 3_228, 3_193]
    assert sum(len(split.source) for split in splits(corpus)) == 167_130
    assert pairs_of(corpus.train)[0] == ("Go.", "Va !")
    assert corpus.sha256 == parallel._FRA_ENG.sha256


def test_no_english_sentence_of_fra_eng_leaks(real_pairs):
    distinct = [set(split.source) for split in splits(real_pairs("fra_eng"))]
    assert sum(map(len, distinct)) == len(set.union(*distinct)) == 116_830
    cleaned = [{clean(source) for source in part} for part in distinct]
    assert sum(map(len, cleaned)) == len(set.union(*cleaned))


def test_multi30k_has_its_published_sizes(real_pairs):
    corpus = real_pairs("multi30k")
    assert [len(split.source) for split in splits(corpus)] == [29_000, 1_014, 1_000]
    assert [len(split.target) for split in splits(corpus)] == [29_000, 1_014, 1_000]
    assert pairs_of(corpus.train)[0] == (
        "Two young, White males are outside near many bushes.",
        "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
    )
