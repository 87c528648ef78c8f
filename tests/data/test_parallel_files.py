"""Sentence pairs from the user's own files, and the files that are refused."""

import pytest

from seqjax.data.parallel import (
    PairSplit,
    ParallelCorpus,
    load_files,
    load_split,
    load_tsv,
    split_by_source,
)
from tests.parallel_corpora import (
    PAIRS,
    as_tsv,
    pairs_of,
    refused,
    sha256,
    splits,
    write,
)

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
def test_line_ends_blank_lines_and_more_columns_change_nothing(tmp_path, change):
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
        PairSplit(["a", "b", "c"], ["x", "y", "z"]),
        PairSplit(["d"], ["u"]),
        PairSplit(["e", "f"], ["v", "w"]),
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
        f"one file per language was expected, or three (train, valid, test), got "
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
    assert splits(corpus) == [PairSplit(["a", "e"], ["u", "y"])] * 3
    assert load_split(source, target) == PairSplit(["a", "e"], ["u", "y"])
    english, french = sides([("", ""), *PAIRS, (" ", "")])
    paths = write(tmp_path, "en", english), write(tmp_path, "fr", french)
    corpus = load_files([paths[0]], [paths[1]])
    assert splits(corpus) == splits(split_by_source("", PAIRS, ""))


def test_three_files_are_the_parts(tmp_path):
    paths = [
        write(tmp_path, f"{name}.tsv", as_tsv(PAIRS[i:]))
        for i, name in enumerate(("train", "valid", "test"))
    ]
    corpus = load_tsv(*paths)
    assert corpus.name == "train.tsv"
    assert [pairs_of(part) for part in splits(corpus)] == [
        list(PAIRS[i:]) for i in range(3)
    ]
    swapped = load_tsv(*paths, swap=True)
    assert swapped.test == PairSplit(corpus.test.target, corpus.test.source)
