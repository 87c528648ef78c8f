"""Sentence pairs: cleaned, read from files, split so that none leaks, published."""

import hashlib
import io
import re
import zipfile
from pathlib import Path

import pooch
import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data import parallel
from seqjax.data.corpora import Source, default_data_dir, fetch
from seqjax.data.parallel import (
    ParallelCorpus,
    Split,
    clean,
    load,
    load_files,
    load_split,
    load_tsv,
    split_by_source,
)
from seqjax.data.text import DataError

fuzz = settings(deadline=None, max_examples=50)
PARTS = ("train", "valid", "test")
# With these each part has pairs.
PAIRS = [(f"sentence {i} .", f"phrase {i} .") for i in range(200)]
IN_VALID = [50, 87, 144, 158, 162]
IN_TEST = [64]


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def refused(function, *args):
    """The one sentence with which data are refused."""
    with pytest.raises(DataError) as error:
        function(*args)
    assert "\n" not in str(error.value)
    return str(error.value)


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def splits(corpus):
    return [getattr(corpus, part) for part in PARTS]


def pairs_of(split):
    return list(zip(*split, strict=True))


def as_tsv(pairs, more=""):
    return "".join(f"{source}\t{target}{more}\n" for source, target in pairs)


# The textbook's cleaning.


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Go.", "go ."),
        ("I'm OK, you?", "i'm ok , you ?"),
        ("Ça alors\u202f!", "ça alors !"),
        ("Qui\xa0?\xa0Moi\u2009!", "qui ? moi !"),
        ("already , spaced . out !", "already , spaced . out !"),
        ("Run!!", "run ! !"),
        ("Wait... what?!", "wait . . . what ? !"),
        ("...so", ". . .so"),
        ("at 4:00 p.m., but", "at 4:00 p .m . , but"),
        ("a;b: (c) d'e-f", "a;b: (c) d'e-f"),
        ("  two   spaces \t", "two spaces"),
        ("ÉCOLE Ü", "école ü"),
        ("", ""),
        ("\u202f", ""),
    ],
)
def test_cleaning_by_hand(text, cleaned):
    assert clean(text) == cleaned


messy = st.text(alphabet=",.!?aZéÀ'- \t\xa0\u202f\u2009")


@fuzz
@given(text=messy)
def test_cleaning_twice_is_cleaning_once(text):
    assert clean(clean(text)) == clean(text)


@fuzz
@given(text=messy)
def test_cleaning_moves_nothing_but_white_space_and_case(text):
    assert "".join(clean(text).split()) == "".join(text.lower().split())


def textbook(text):
    """Dive into Deep Learning, section 10.5: MTFraEng._preprocess, to its tokens."""
    text = text.replace("\u202f", " ").replace("\xa0", " ")

    def no_space(char, before):
        return char in ",.!?" and before != " "

    spaced = [
        " " + char if i > 0 and no_space(char, text[i - 1]) else char
        for i, char in enumerate(text.lower())
    ]
    return [token for token in "".join(spaced).split(" ") if token]


@fuzz
@given(text=st.text(alphabet=",.!?abZéÀ'- \xa0\u202f"))
def test_cleaned_words_are_the_textbooks_tokens(text):
    assert clean(text).split(" ") == (textbook(text) or [""])


# Lines with a tab.


def test_pairs_of_a_tab_separated_file(tmp_path):
    content = as_tsv(PAIRS).encode()
    path = write(tmp_path, "mine.tsv", content)
    want = split_by_source("mine.tsv", PAIRS, sha256(content))
    assert load_tsv(path) == load_tsv(str(path)) == want


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.removesuffix("\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: "\n" + text.replace("\n", "\n  \n"),
        lambda text: text.replace("\n", "\tCC-BY 2.0 (France)\tby\tme\n"),
        lambda text: text.replace("\n", "\t\r\n"),
    ],
    ids=["no_end", "crlf", "bom", "blank_lines", "more_columns", "empty_column_crlf"],
)
def test_what_may_stand_around_the_pairs(tmp_path, change):
    content = change(as_tsv(PAIRS)).encode()
    corpus = load_tsv(write(tmp_path, "mine.tsv", content))
    assert corpus == split_by_source("mine.tsv", PAIRS, sha256(content))


def test_sentences_are_kept_as_they_are(tmp_path):
    odd = [(" Outer  space ", "\u202fÇa\x0cva\u2028? "), ("漢字\x85", "🎈")]
    corpus = load_tsv(write(tmp_path, "mine.tsv", as_tsv([*PAIRS, *odd])))
    together = [pair for split in splits(corpus) for pair in pairs_of(split)]
    assert sorted(together) == sorted([*PAIRS, *odd])


@pytest.mark.parametrize(
    "line",
    ["no tab", "x" * 99, "no target\t", "no target \t \tmore", "\tno source", " \t "],
)
@pytest.mark.parametrize("before", [0, 1, 7])
def test_a_line_that_is_no_pair_is_refused_by_its_number(tmp_path, line, before):
    text = "go .\tva .\r\n" * before + "\n" + line + "\ngo .\tva .\n"
    path = write(tmp_path, "mine.tsv", text)
    assert refused(load_tsv, path) == (
        f"{path}, line {before + 2}: a sentence, a tab and its translation were "
        f"expected, got {line[:40]!r}."
    )


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf\r\n"])
def test_an_empty_file_is_refused(tmp_path, content):
    path = write(tmp_path, "mine.tsv", content)
    other = write(tmp_path, "other.txt", "text\n")
    sentence = f"{path} is empty; text to learn from was expected."
    assert refused(load_tsv, path) == sentence
    assert refused(load_files, [path], [other]) == sentence
    assert refused(load_files, [other], [path]) == sentence


def test_what_is_not_utf8_is_refused(tmp_path):
    path = write(tmp_path, "mine.tsv", "go .\tça .\n".encode("cp1252"))
    other = write(tmp_path, "other.txt", "text\n")
    sentence = f"{path} is not UTF-8: byte 0xe7 at byte offset 5."
    assert refused(load_tsv, path) == sentence
    assert refused(load_files, [path], [other]) == sentence
    assert refused(load_files, [other], [path]) == sentence


def test_a_missing_file_is_refused(tmp_path):
    path = tmp_path / "none"
    assert f"{path} does not exist" in refused(load_tsv, path)
    assert f"{path} does not exist" in refused(load_files, [path], [path])
    assert f"{tmp_path} is a directory" in refused(load_tsv, tmp_path)


# Line-aligned files.


def sides(pairs, end="\n"):
    return [end.join(side) + end for side in zip(*pairs, strict=True)]


def test_one_file_a_side_is_split_by_its_sources(tmp_path):
    english, french = (text.encode() for text in sides(PAIRS))
    files = [write(tmp_path, "en", english)], [write(tmp_path, "fr", french)]
    assert load_files(*files) == split_by_source("en", PAIRS, sha256(english + french))
    assert load_files(*files, "own").name == "own"


def test_three_files_a_side_are_the_parts(tmp_path):
    contents = ["a\nb\nc\n", "x\r\ny\r\nz\r\n", "\ufeffd", "u", "e\nf", "v\nw\n"]
    paths = [write(tmp_path, str(i), text) for i, text in enumerate(contents)]
    assert load_files(paths[::2], [str(p) for p in paths[1::2]]) == ParallelCorpus(
        "0",
        Split(["a", "b", "c"], ["x", "y", "z"]),
        Split(["d"], ["u"]),
        Split(["e", "f"], ["v", "w"]),
        sha256("".join(contents).encode()),
    )


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize(
    ("source", "target", "counts"),
    [("a\nb\n", "x\n", (2, 1)), ("a\n", "x\n\n", (1, 2)), ("a", "\n\nx\ny", (1, 4))],
)
def test_files_of_different_lengths_are_refused(tmp_path, part, source, target, counts):
    source = write(tmp_path, "en", source)
    target = write(tmp_path, "fr", target)
    good = write(tmp_path, "good", "a\nb\n")
    sentence = (
        f"{source} has {counts[0]} lines and {target} {counts[1]}; line by line "
        f"translations were expected."
    )
    files = [[good] * part + [path] + [good] * (2 - part) for path in (source, target)]
    assert refused(load_files, *files) == sentence
    assert refused(load_files, [source], [target]) == sentence


@pytest.mark.parametrize("counts", [(0, 0), (1, 3), (3, 1), (2, 2), (4, 4), (1, 0)])
def test_files_are_one_or_three_a_side(tmp_path, counts):
    path = write(tmp_path, "en", "a\n")
    assert refused(load_files, *([path] * n for n in counts)) == (
        f"one file a side was expected, or three (train, valid, test), got "
        f"{counts[0]} and {counts[1]}."
    )


@pytest.mark.parametrize("empty", ["", " ", "\xa0"])
def test_a_line_that_is_empty_on_one_side_is_refused(tmp_path, empty):
    source = write(tmp_path, "en", f"a\n{empty}\nc\n")
    target = write(tmp_path, "fr", "u\nv\nx\n")
    assert refused(load_files, [source], [target]) == (
        f"{source}, line 2 is empty, but {target} has a sentence there."
    )
    assert refused(load_split, target, source) == (
        f"{source}, line 2 is empty, but {target} has a sentence there."
    )


def test_a_line_that_is_empty_on_both_sides_is_no_pair(tmp_path):
    source = write(tmp_path, "en", "a\n\n \ne\n")
    target = write(tmp_path, "fr", "u\n\xa0\n\ny\n")
    corpus = load_files([source] * 3, [target] * 3)
    assert splits(corpus) == [Split(["a", "e"], ["u", "y"])] * 3
    assert load_split(source, target) == Split(["a", "e"], ["u", "y"])
    english, french = sides([("", ""), *PAIRS, (" ", "")])
    paths = write(tmp_path, "en", english), write(tmp_path, "fr", french)
    corpus = load_files([paths[0]], [paths[1]])
    assert splits(corpus) == splits(split_by_source("", PAIRS, ""))


# Split by source.

sources = st.text(alphabet="abé 漢", max_size=4)
some_pairs = st.lists(st.tuples(sources, st.sampled_from("xyz")), max_size=60)


def test_where_sentences_go_is_the_same_everywhere_and_always():
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
    for part in PARTS:  # in order, each as often as it was there
        assert pairs_of(getattr(corpus, part)) == [
            pair for pair in pairs if where[pair[0]] == part
        ]


@fuzz
@given(one=some_pairs, other=some_pairs)
def test_where_a_source_goes_does_not_hang_on_the_others(one, other):
    def places(pairs):
        corpus = split_by_source("own", pairs + PAIRS, "")
        return {s: part for part in PARTS for s in getattr(corpus, part).source}

    first, second = places(one), places(other[::-1])
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


# Found, fetched and checked.

ZIPPED = as_tsv(PAIRS, more="\tmore").encode()


def archive(*members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for member, content in members:
            file.writestr(member, content)
    return buffer.getvalue()


@pytest.fixture
def internet(monkeypatch):
    """A list of answers, given to downloads in turn; an exception is raised.

    Only the transfer is replaced: pooch still checks and unpacks what it was given.
    """
    answers = []

    def download(url, output_file, _):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        Path(output_file).write_bytes(answer)

    monkeypatch.setattr(pooch.core, "choose_downloader", lambda *_, **__: download)
    return answers


@pytest.fixture
def zipped(monkeypatch, internet):
    """An archive as published; the internet has it."""
    content = archive(("fra-eng/_about.txt", "about"), ("fra-eng/fra.txt", ZIPPED))
    source = parallel._FRA_ENG._replace(
        sha256=sha256(ZIPPED),
        archive_hash="sha1:" + hashlib.sha1(content).hexdigest(),
    )
    monkeypatch.setattr(parallel, "_FRA_ENG", source)
    internet.append(content)
    return source


def test_a_file_in_an_archive_is_fetched_once(tmp_path, zipped, internet):
    corpus = load("fra_eng", tmp_path)
    assert corpus == split_by_source("fra_eng", PAIRS, sha256(ZIPPED))
    assert internet == []
    assert (tmp_path / "fra_eng" / "fra.txt").read_bytes() == ZIPPED
    kept = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(kept) == ["fra-eng.zip", "fra.txt"]
    assert load("fra_eng", tmp_path) == corpus  # no second answer is waiting


def test_a_file_lost_is_had_again_from_its_archive(tmp_path, zipped, internet):
    path = fetch("fra_eng", zipped, tmp_path)
    path.unlink()
    assert fetch("fra_eng", zipped, tmp_path) == path
    assert path.read_bytes() == ZIPPED
    assert internet == []


def test_an_archive_with_another_checksum_is_not_kept(tmp_path, zipped, internet):
    internet[:] = [archive(("fra-eng/fra.txt", ZIPPED))]  # the right file in it
    message = refused(load, "fra_eng", tmp_path)
    path = tmp_path / "fra_eng" / "fra.txt"
    assert message.startswith(
        f"{path} does not exist and could not be fetched from {zipped.url}: "
    )
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"member": "fra-eng/eng.txt"}, "could not be fetched"),
        ({"sha256": "0" * 64}, "is not the published fra_eng file"),
    ],
)
def test_an_archive_of_another_file_is_refused(tmp_path, zipped, change, told):
    assert told in refused(fetch, "fra_eng", zipped._replace(**change), tmp_path)


def test_a_failed_download_is_told_in_one_sentence(tmp_path, internet):
    internet.append(requests.exceptions.ConnectionError("no route to host\nand more"))
    message = refused(load, "fra_eng", tmp_path)
    assert "fra-eng.zip: no route to host" in message
    assert "and more" not in message


MULTI30K = ["train.en", "train.de", "val.en", "val.de"]
MULTI30K += ["test_2016_flickr.en", "test_2016_flickr.de"]


def publish_multi30k(monkeypatch, folder):
    """Files of one line, their names, as if those were the published ones."""
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
        Split(["train.en"], ["train.de"]),
        Split(["val.en"], ["val.de"]),
        Split(["test_2016_flickr.en"], ["test_2016_flickr.de"]),
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


def test_another_file_in_place_of_fra_eng_is_refused_and_left(tmp_path):
    path = write(tmp_path / "fra_eng", "fra.txt", "go .\tva .\n")
    message = refused(load, "fra_eng", tmp_path)
    assert message.startswith(f"{path} is not the published fra_eng file: its sha256")
    assert parallel._FRA_ENG.sha256 in message
    assert path.read_bytes() == b"go .\tva .\n"


@pytest.mark.parametrize(
    ("name", "near"),
    [("fra-eng", "fra_eng"), ("multi", "multi30k"), ("", " or ".join(parallel.NAMES))],
)
def test_an_unknown_name_gives_the_nearest(name, near):
    assert refused(load, name) == f"there is no dataset {name!r}; did you mean {near}?"


# Published figures.


@pytest.fixture(scope="module")
def real():
    """real(name): a corpus as published, read once."""
    corpora = {}

    def read(name):
        if not (default_data_dir() / name).is_dir():
            pytest.skip(f"needs {name} in SEQJAX_DATA_DIR")
        if name not in corpora:
            corpora[name] = load(name)
        return corpora[name]

    return read


def test_fra_eng_has_its_published_sizes(real):
    corpus = real("fra_eng")
    assert isinstance(corpus, ParallelCorpus)
    assert [len(split.source) for split in splits(corpus)] == [160_709, 3_228, 3_193]
    assert [len(split.target) for split in splits(corpus)] == [160_709, 3_228, 3_193]
    assert sum(len(split.source) for split in splits(corpus)) == 167_130
    assert pairs_of(corpus.train)[0] == ("Go.", "Va !")
    assert corpus.sha256 == parallel._FRA_ENG.sha256


def test_no_english_sentence_of_fra_eng_leaks(real):
    distinct = [set(split.source) for split in splits(real("fra_eng"))]
    assert sum(map(len, distinct)) == len(set.union(*distinct)) == 116_830
    cleaned = [{clean(source) for source in part} for part in distinct]
    assert sum(map(len, cleaned)) == len(set.union(*cleaned))


def test_fra_eng_is_cleaned_as_in_the_textbook(real):
    corpus = real("fra_eng")
    hard = re.compile(r"[,.!?]{2}|[,.!?]\S|^[,.!?]")  # what marks stand close to
    sentences = corpus.test.target + [
        s for side in corpus.train for s in side if hard.search(s)
    ]
    assert len(sentences) > 3_193
    for sentence in sentences:
        assert clean(sentence).split(" ") == textbook(sentence)


def test_multi30k_has_its_published_sizes(real):
    corpus = real("multi30k")
    assert [len(split.source) for split in splits(corpus)] == [29_000, 1_014, 1_000]
    assert [len(split.target) for split in splits(corpus)] == [29_000, 1_014, 1_000]
    assert pairs_of(corpus.train)[0] == (
        "Two young, White males are outside near many bushes.",
        "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
    )


def test_a_source_of_no_archive_is_fetched_as_it_is(tmp_path, internet):
    internet.append(b"text")
    source = Source("file.txt", sha256(b"text"), "https://example.org/other.txt")
    path = fetch("own", source, tmp_path)
    assert path == tmp_path / "own" / "file.txt"
    assert path.read_bytes() == b"text"
