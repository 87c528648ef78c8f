"""Every reader of files: hostile contents, and what a result must account for.

A reader returns a result or raises `DataError` or `UserError` with one sentence that
names the file. The checks count rows independently of the library.
"""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from experiments.common.flag_files import expand
from experiments.common.workdir import RunConfig, Workdir
from seqjax.data import (
    corpora,
    csv_columns,
    document_files,
    parallel,
    poems,
    tagged,
    transcripts,
    vectors,
    vocab,
    wav,
)
from seqjax.data.text import decode
from tests.fuzz import recordings, runs, table_files, word_vectors
from tests.fuzz.contents import (
    cells,
    damaged,
    joined,
    lines,
    mostly,
    split_lines,
    words,
)


def write_file(folder: Path, content: bytes) -> Path:
    path = folder / "vocab.json"
    path.write_bytes(content)
    return path


class Reader(NamedTuple):
    """A reader and its fuzzing."""

    contents: st.SearchStrategy[Any]  # the bytes of a file, or the changes of a folder
    read: Callable[[Path], Any]
    check: Callable[[Any, Any], None]  # content, what was read
    write: Callable[[Path, Any], Path] = write_file  # (empty folder, content) -> path
    share: float = 1.0  # of the cases of other readers


def check_text(content: bytes, corpus: corpora.Corpus) -> None:
    text = content.decode().removeprefix("\ufeff").replace("\r\n", "\n")
    assert corpus.train + corpus.valid + corpus.test == text


# Rows with a number, repeated: enough for the three parts of a split by hash.
pairs = st.builds(
    lambda content, times: b"".join(
        content.replace(b"#", str(i).encode()) for i in range(times)
    ),
    lines(
        joined("\t", (cells.map("{} #.".format), cells.map("{} #".format))), max_size=4
    ),
    st.sampled_from((1,) + (200,) * 9),
)


def check_pairs(content: bytes, corpus: parallel.ParallelCorpus) -> None:
    rows = [line.split("\t")[:2] for line in split_lines(content) if line.strip()]
    found = [
        list(pair)
        for part in (corpus.train, corpus.valid, corpus.test)
        for pair in zip(*part, strict=True)
    ]
    assert sorted(found) == sorted(rows)


def read_documents(path: Path) -> list[tuple[str, str]]:
    return document_files.parse_documents(path.read_bytes(), path)


# Quoted or not, between commas or semicolons; seldom all of them in one file.
csv_lines = [
    joined(delimiter, (words, text))
    for delimiter in ",;"
    for text in (cells, cells.map('"{}"'.format))
]
csv_documents = st.one_of(*map(lines, csv_lines), lines(st.one_of(csv_lines)))


def check_documents(content: bytes, found: list[tuple[str, str]]) -> None:
    rows = [line for line in split_lines(content) if line.strip()]
    if "\t" in rows[0] or not {",", ";"} & set(rows[0]):
        letters = [c for line in rows for c in line if not c.isspace()]
        kept = [c for pair in found for text in pair for c in text if not c.isspace()]
        header = len(rows) - len(found)
        assert header in (0, 1)
        assert header or kept == letters
        return
    text = "\n".join(split_lines(content)).replace("\r", "?")
    delimiter = max(",;", key=rows[0].count)
    records = list(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True))
    records = [r for r in records if any(cell.strip() for cell in r)]
    assert len(records) - len(found) in (0, 1)


def check_tagged(content: bytes, sentences: list[tagged.Sentence]) -> None:
    rows = [line for line in split_lines(content) if line.strip()]
    rows = [line for line in rows if not line.startswith("-DOCSTART-")]
    number = sum(len(sentence.tokens) for sentence in sentences)
    assert all(len(s.tokens) == len(s.tags) > 0 for s in sentences)
    if any(len(line.split("\t")) == 10 for line in rows):  # CoNLL-U leaves lines out
        assert 0 < number <= len(rows)
    else:
        assert number == len(rows)


def check_poems(content: bytes, found: tuple[list[poems.Poem], str]) -> None:
    rows = [line for line in split_lines(content) if line.strip()]
    assert [p.title for p in found[0]] == [r.split(":")[0].strip() for r in rows]
    assert [p.content for p in found[0]] == [r.split(":", 1)[1].strip() for r in rows]


def read_transcripts(path: Path) -> transcripts.Transcripts:
    return transcripts.parse_transcripts(decode(path.read_bytes(), path), path)


def check_transcripts(content: bytes, found: transcripts.Transcripts) -> None:
    rows = [line for line in split_lines(content) if line.strip()]
    assert [t for _, t in found.values()] == [
        tuple(row.split("\t")[1].lower().split()) for row in rows
    ]


def check_flags(content: bytes, found: list[str]) -> None:
    rows = [line.strip(" \t") for line in split_lines(content)]
    assert found == [r for r in rows if r and not r.startswith(("#", "//"))]


def read_vocab(path: Path) -> tuple[vocab.Vocab, str]:
    return Workdir(path.parent, RunConfig()).read_vocab()


def check_vocab(content: bytes, found: tuple[vocab.Vocab, str]) -> None:
    sha256, tokens = json.loads(content.removeprefix(b"\xef\xbb\xbf"))
    assert found[0].tokens == tokens and found[1] == sha256


def check_series(content: bytes, found: csv_columns.Columns) -> None:
    rows = [line for line in split_lines(content) if line.strip()]
    if not any('"' in line for line in rows) and len(found.columns) > 1:
        assert len(found.values) == len(rows) - 1
    assert np.isfinite(found.values).all()
    assert found.values.shape == (len(found.values), len(found.columns))
    numbers = {d: {row.count(d) for row in rows} for d in "\t;,"}
    possible = [d for d, counts in numbers.items() if len(counts) == 1 and min(counts)]
    if possible == [","] and len(rows) > 1 and not any('"' in row for row in rows):
        first = [float(cell) for cell in rows[1].split(",")]
        assert first == found.values[0].tolist()


@st.composite
def tables(draw) -> bytes:
    """A CSV file of a few columns of numbers, some cells of them odd."""
    delimiter = draw(st.sampled_from((",", ",", ";", "\t")))
    numbers = st.one_of(
        st.floats(-1e9, 1e9).map(repr), st.integers(-99, 99).map(str), cells
    )
    plain = st.integers(-99, 99).map(str)
    number = draw(st.integers(1, 3))
    header = delimiter.join(draw(st.lists(words, min_size=number, max_size=number)))
    cell = draw(st.sampled_from((plain, plain, plain, numbers)))
    body = draw(lines(joined(delimiter, [cell] * number)))
    return f"{header}\n".encode() + body


# Times that increase, a number that may be missing, and a text that may be quoted.
numbers = mostly(
    st.one_of(st.floats(-1e6, 1e6).map(repr), st.integers(-9, 10**9).map(str)),
    st.sampled_from(
        ("", "NA", "nan", "inf", "1,5", "1e999", "1_0", "0x1", "12.", ".5")
    ),
    5,
)
row_times = st.sampled_from(
    ("{}", "{}.5", "{:04}-01-01", "20{:02}0131", "2020-01-{:02}Z", "2020W{:02}")
)


@st.composite
def dated_series(draw) -> bytes:
    """A CSV file of a series, whose rows have one form of times."""
    delimiter, time = draw(st.sampled_from(",,;\t")), draw(row_times)
    quoted = words.map('"{}"'.format)
    text = draw(st.sampled_from((words, quoted, cells, cells.map('"{}"'.format))))
    number = draw(st.sampled_from((st.integers(0, 99).map(str), numbers)))
    line = joined(delimiter, (st.just("#"), number, text))
    header = delimiter.join(draw(st.sampled_from((*["tan"] * 5, "taa"))))
    rows = draw(lines(line)).split(b"#")
    body = rows[0] + b"".join(
        time.format(i).encode() + row for i, row in enumerate(rows[1:], start=1)
    )
    return header.encode() + b"\n" + body


def read_dated_series(path: Path) -> csv_columns.Columns:
    return csv_columns.read_columns(path, ["a"], "t", missing="last")


def check_dated_series(content: bytes, found: csv_columns.Columns) -> None:
    # At the end of a line, carriage returns are white space.
    text = "\n".join(line.rstrip("\r") for line in split_lines(content))
    text = text.replace("\r", "?")
    assert found.times is not None
    assert len(found.values) == len(found.times.values) > 0
    assert np.isfinite(found.values).all()
    if '"' not in text:  # each line is a row
        rows = [line for line in text.split("\n") if line.strip(" \t")]
        assert len(found.values) == len(rows) - 1
    for delimiter in ",;\t":
        records = [r for r in csv.reader(io.StringIO(text), delimiter=delimiter) if r]
        records = [r for r in records if len(r) > 1 or r[0].strip(" \t")]
        if len(found.values) == len(records) - 1 and len(records[0]) > 1:
            return
    raise AssertionError(text)


tags = st.sampled_from(("O", "B-x", "I-x", "B-y", "E-x", "S-y", "PRON"))
conllu = joined("\t", (st.sampled_from(("1", "2", "3-4", "5.1")), *[words] * 9))
vocabs = st.one_of(st.lists(cells, max_size=6), st.sets(words).map(sorted)).map(
    lambda tokens: json.dumps(["0" * 64, ["<unk>", *tokens]]).encode()
)
flags = st.one_of(
    joined("", (st.just("--"), words, st.just("="), cells)),
    joined("", (st.sampled_from(("# ", "//", "  ")), cells)),
)

# The file's name decides nothing, but for vocab.json.
READERS = {
    "text": Reader(
        damaged(lines(cells)), lambda path: corpora.load_files([path]), check_text
    ),
    "pairs": Reader(damaged(pairs), parallel.load_tsv, check_pairs),
    "documents": Reader(
        damaged(lines(joined("\t", (words, cells)))), read_documents, check_documents
    ),
    "csv documents": Reader(damaged(csv_documents), read_documents, check_documents),
    "dated series": Reader(
        damaged(dated_series()), read_dated_series, check_dated_series
    ),
    "tagged": Reader(
        damaged(lines(st.one_of(joined("\t", (words, tags)), st.just("")))),
        lambda path: tagged.parse(decode(path.read_bytes(), path), path),
        check_tagged,
    ),
    "conllu": Reader(
        damaged(lines(st.one_of(conllu, conllu, st.sampled_from(("", "# x"))))),
        lambda path: tagged.parse(decode(path.read_bytes(), path), path),
        check_tagged,
    ),
    "poems": Reader(
        damaged(lines(joined(":", (cells, cells)))), poems.read, check_poems
    ),
    "transcripts": Reader(
        damaged(
            lines(
                joined("\t", (joined("", (words, words)).map("{}.wav".format), cells))
            )
        ),
        read_transcripts,
        check_transcripts,
    ),
    "series": Reader(damaged(tables()), csv_columns.read_columns, check_series),
    "json lines": Reader(
        damaged(table_files.json_lines), table_files.read, table_files.check_json_lines
    ),
    "parquet": Reader(
        damaged(table_files.parquet_files()),
        table_files.read,
        table_files.check_parquet,
    ),
    "wav": Reader(damaged(recordings.wavs()), wav.read, recordings.check_wav),
    "flags": Reader(
        damaged(lines(flags)),
        lambda path: list(expand([f"--flagfile={path}"])),
        check_flags,
    ),
    "vocab": Reader(damaged(vocabs), read_vocab, check_vocab),
    "vectors": Reader(
        word_vectors.word_vectors(),
        lambda path: vectors.read(path, word_vectors.WANTED),
        word_vectors.check_vectors,
    ),
    "run": Reader(runs.run_changes(), runs.read_run, runs.check_run, runs.write_run),
    "checkpoints": Reader(
        runs.checkpoint_changes(),
        runs.read_checkpoints,
        runs.check_checkpoints,
        runs.write_checkpoints,
    ),
}
