"""Parquet, JSON lines and data sets of Hugging Face: read whole, or refused."""

import gzip
import hashlib
import io
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from seqjax.data import corpora, labeled, parallel, tagged
from seqjax.data.csv_columns import columns_of, read_columns
from seqjax.data.tables import (
    Part,
    checksum,
    lists_of,
    names_of,
    read_part,
    read_parts,
    read_table,
)
from seqjax.data.text import DataError

SAVED = Path(__file__).parent / "saved_by_datasets"  # by version 5.2 of the library


def as_parquet(columns, schema=None):
    sink = io.BytesIO()
    parquet.write_table(pa.table(columns, schema), sink, row_group_size=2)
    return sink.getvalue()


def as_stream(columns, schema=None):
    sink = io.BytesIO()
    table = pa.table(columns, schema)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


def as_json_lines(columns, schema=None):
    rows = zip(*columns.values(), strict=True)
    objects = (json.dumps(dict(zip(columns, row, strict=True))) for row in rows)
    return "".join(f"{line}\n" for line in objects).encode()


FORMATS = {"parquet": as_parquet, "arrow": as_stream, "jsonl": as_json_lines}
every_format = pytest.mark.parametrize("name", FORMATS)


def part_of(name, columns, schema=None):
    return Part(f"my.{name}", FORMATS[name](columns, schema))


@every_format
@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(
        st.tuples(st.text(), st.lists(st.text()), st.integers(-99, 99)), min_size=1
    )
)
def test_every_value_comes_back(name, rows):
    texts, lists, numbers = map(list, zip(*rows, strict=True))
    schema = pa.schema(
        {"text": pa.string(), "list": pa.list_(pa.string()), "number": pa.int64()}
    )
    columns = {"text": texts, "list": lists, "number": numbers}
    table = read_table(part_of(name, columns, schema))
    assert table.columns == columns
    assert list(table.numbers) == list(range(1, len(rows) + 1))


def test_columns_of_few_values_and_classes_in_objects_have_their_texts():
    words = pa.array(["b", "a", "b"]).dictionary_encode()
    classes = {"names": ["no", "yes"], "_type": "ClassLabel"}
    features = {"m": {"label": classes, "text": {"_type": "Value"}}}
    stored = json.dumps({"info": {"features": features}})
    rows = pa.array([{"label": i, "text": "t"} for i in (1, 0, -1)])
    table = pa.table({"word": words, "m": rows})
    table = table.replace_schema_metadata({"huggingface": stored})
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    found = read_table(Part("my.parquet", sink.getvalue())).columns
    assert found["word"] == ["b", "a", "b"]
    assert found["m.label"] == ["yes", "no", None] and found["m.text"] == ["t"] * 3


def test_streams_one_after_the_other_are_one_table():
    content = as_stream({"text": ["a", "b"]}) + as_stream({"text": ["c"]})
    assert read_table(Part("x", content)).columns == {"text": ["a", "b", "c"]}


@pytest.mark.parametrize("name", ["parquet", "arrow"])
def test_a_file_cut_short_is_refused_at_every_byte(name):
    columns = {"text": [f"row {i}" for i in range(7)], "number": list(range(7))}
    whole = part_of(name, columns)
    for cut in range(4, len(whole.content)):
        with pytest.raises(DataError, match=rf"my\.{name} is damaged"):
            read_table(whole._replace(content=whole.content[:cut]))


@pytest.mark.parametrize("name", ["parquet", "arrow"])
@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_damaged_files_are_refused_or_read_as_a_table(name, data):
    whole = part_of(name, {"text": ["a", "bc", "d"], "n": [1, 2, 3]}).content
    at = data.draw(st.integers(4, len(whole) - 1))
    content = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    try:
        table = read_table(Part("x", content))
    except DataError as error:
        assert str(error).startswith("x") and "\n" not in str(error)
    else:
        assert {len(column) for column in table.columns.values()} == {
            len(table.numbers)
        }


BAD_LINES = {
    "[1, 2]": "it holds '[1, 2]'",
    '{"text": "a"': "delimiter at character 13",
    '{"text": "a", "text": "b"}': "a name occurs twice",
    '{"a.b": 1, "a": {"b": 2}}': "a name occurs twice",
    '{"text": "\\ud800"}': "surrogates not allowed",
    "[" * 10**5: "recursion",
    "text": "at character 1",
}


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_of_json_is_named(line):
    content = f'{{"text": "good"}}\n\n{line}\n'.encode()
    with pytest.raises(DataError, match=re.escape(BAD_LINES[line])) as error:
        read_table(Part("my.jsonl", content))
    assert str(error.value).startswith("my.jsonl, line 3 is not an object of JSON (")


def test_what_is_not_there_is_named_with_what_was_found(tmp_path):
    """For each reader: the column that a user names, and the usual one."""
    columns = {"title": ["a", "b"], "body": ["c", "d"]}
    path = tmp_path / "my.parquet"
    path.write_bytes(as_parquet(columns))
    there = "there are title and body"
    readers = {
        "texts": lambda names: corpora.load_files([path], names),
        "label": lambda names: labeled.load_files([path], columns=names),
        "tokens": lambda names: tagged.load_files([path], columns=names),
        "source": lambda names: parallel.load_tsv(path, columns=names),
    }
    for purpose, read in readers.items():
        with pytest.raises(DataError, match=f"no column 'x'; {there}"):
            read(["x", "body"][: 1 if purpose == "texts" else 2])
        with pytest.raises(DataError, match="none among title, body; name the columns"):
            read(None)
    with pytest.raises(DataError, match=f"no column 'x'; {there}"):
        read_columns(path, ["x"])


@every_format
def test_two_usual_columns_are_not_chosen_between(name):
    columns = {"tokens": [["a"]], "ner_tags": [["O"]], "pos_tags": [["X"]]}
    part = part_of(name, columns)
    with pytest.raises(DataError, match=r"several among .*--columns=tokens,tags"):
        tagged.sentences_of(part)
    assert tagged.sentences_of(part, columns=["tokens", "pos_tags"]) == [(["a"], ["X"])]


WRONG = {
    "text": [None, 3, ["a"]],
    "label": [None, " ", 1.5, True, ["a"]],
    "list": [None, "a", [None], [1.5], [""]],
}


@pytest.mark.parametrize(
    ("kind", "value"), [(k, value) for k, values in WRONG.items() for value in values]
)
def test_a_value_of_another_kind_is_named_with_its_line(kind, value):
    good = {"text": "a", "label": "a", "list": ["a"]}[kind]
    part = part_of("jsonl", {kind: [good, value]})
    with pytest.raises(DataError, match=rf"my\.jsonl, line 2: '{kind}' holds "):
        if kind == "text":
            corpora.text_of(part)
        else:
            (names_of if kind == "label" else lists_of)(read_table(part), kind)


@every_format
def test_a_text_is_the_rows_on_lines_of_their_own(name):
    rows = ["one", "two\n", "", "zwölf"]
    assert corpora.text_of(part_of(name, {"text": rows})) == "one\ntwo\n\nzwölf\n"
    with pytest.raises(DataError, match="is empty"):
        corpora.text_of(part_of(name, {"text": ["", " "]}))


@every_format
def test_documents_have_labels_and_texts(name):
    part = part_of(name, {"id": [1, 2], "Review": ["good", "bad"], "label": [1, 0]})
    assert labeled.documents_of(part) == [("1", "good"), ("0", "bad")]
    with pytest.raises(DataError, match="2: the label '0' does not occur in the"):
        labeled.documents_of(part, known={"1"})
    with pytest.raises(DataError, match="1: 'Review' holds no text"):
        labeled.documents_of(part_of(name, {"Review": [" "], "label": [1]}))


@every_format
def test_sentences_have_as_many_tags_as_tokens(name):
    part = part_of(name, {"tokens": [["a", "b"], ["c"]], "tags": [["O", "B-x"], []]})
    with pytest.raises(DataError, match="2 has 1 tokens and 0 tags"):
        tagged.sentences_of(part)
    part = part_of(name, {"tokens": [["a\tb"]], "tags": [["O"]]})
    with pytest.raises(DataError, match="1: 'a\\\\tb' has a tab or the end of a line"):
        tagged.sentences_of(part)


@every_format
def test_pairs_are_an_object_or_two_columns(name):
    nested = part_of(name, {"translation": [{"en": "Go.", "fr": " Va. "}]})
    assert parallel.pairs_of(nested) == [("Go.", "Va.")]
    assert parallel.pairs_of(nested, swap=True) == [("Va.", "Go.")]
    names = ["translation.fr", "translation.en"]
    assert parallel.pairs_of(nested, columns=names) == [("Va.", "Go.")]
    plain = part_of(name, {"target": ["b"], "source": ["a"]})
    assert parallel.pairs_of(plain) == [("a", "b")]
    with pytest.raises(DataError, match=r"1: 'source' holds 'a\\nb', where one"):
        parallel.pairs_of(part_of(name, {"source": ["a\nb"], "target": ["b"]}))


@every_format
def test_a_series_is_that_of_the_same_csv(name):
    numbers = [0.1, -2.0, 3e-7, 1e20]
    days = ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"]
    text = "day,x,n\n" + "".join(
        f"{day},{x!r},{i}\n"
        for i, (day, x) in enumerate(zip(days, numbers, strict=True))
    )
    expected = columns_of(Part("my.csv", text.encode()), time_column="day")
    columns = {"day": days, "x": numbers, "n": [0, 1, 2, 3]}
    found = columns_of(part_of(name, columns), time_column="day")
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.times.values, expected.times.values)
    assert found.columns == expected.columns
    columns["x"] = [0.1, None, 3.0, 4.0]
    unit = "line" if name == "jsonl" else "row"
    with pytest.raises(DataError, match=f"no number in 'x' on {unit} 2; fill them"):
        columns_of(part_of(name, columns), time_column="day")
    filled = columns_of(part_of(name, columns), ["x"], missing="last")
    assert filled.values[:, 0].tolist() == [0.1, 0.1, 3.0, 4.0]
    columns["day"] = days[::-1]
    with pytest.raises(DataError, match=f"{unit} 2: the time in 'day' does not"):
        columns_of(part_of(name, columns), ["n"], "day")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC"])
def test_times_of_parquet_are_read(unit, zone):
    times = pa.array(np.arange(3) * 1800, pa.timestamp("s")).cast(pa.timestamp(unit))
    times = times.cast(pa.timestamp(unit, zone))
    found = columns_of(
        Part("x", as_parquet({"t": times, "x": [1, 2, 3]})), time_column="t"
    )
    expected = np.arange(0, 5400, 1800).astype("M8[s]")
    np.testing.assert_array_equal(found.times.values, expected)
    dates = pa.array([18262, 18263], pa.date32())
    found = columns_of(Part("x", as_parquet({"t": dates, "x": [1, 2]})), None, "t")
    assert found.times.values.tolist() == np.array([18262, 18263], "M8[D]").tolist()


def test_a_data_set_of_hugging_face_has_its_parts_and_names():
    corpus = labeled.load_files([SAVED / "documents"])
    documents = [
        ("positive", "good film"),
        ("negative", "bad film"),
        ("positive", "fine work"),
        ("negative", "awful work"),
    ]
    parts = corpus.train, corpus.valid, corpus.test
    found = [list(zip(part.labels, part.texts, strict=True)) for part in parts]
    chosen = [0, 1, 2, 3], [3, 0], [2, 1]
    assert found == [[documents[i] for i in rows] for rows in chosen]
    (train,) = read_parts([SAVED / "documents" / "train"])
    assert labeled.documents_of(train) == documents
    assert corpora.load_files([SAVED / "documents"]).test == "fine work\nbad film\n"


def test_the_files_that_the_library_datasets_writes_are_read():
    tags = {"parquet": [["O", "B-x"], ["I-x"]], "jsonl": [["0", "1"], ["2"]]}
    for name, own in tags.items():
        (part,) = read_parts([SAVED / f"sentences.{name}"])
        sentences = tagged.sentences_of(part)
        assert [s.tags for s in sentences] == own
        assert [s.tokens for s in sentences] == [["a", "b"], ["c"]]
        assert parallel.pairs_of(part) == [("Go.", "Va."), ("Hi.", "Salut.")]


def test_a_damaged_folder_of_hugging_face_is_refused(tmp_path):
    folder = tmp_path / "documents"
    shutil.copytree(SAVED / "documents", folder)
    shard, state = folder / "train/data-00001-of-00002.arrow", folder / "train"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-8])
    with pytest.raises(DataError, match="arrow is damaged: its Arrow stream"):
        labeled.load_files([folder])
    shard.unlink()
    with pytest.raises(DataError, match=r"arrow does not exist; an? Arrow file"):
        labeled.load_files([folder])
    shard.write_bytes(whole)
    for content in ("[", "{}", '{"_data_files": [{"filename": "../x"}]}'):
        (state / "state.json").write_text(content)
        with pytest.raises(DataError, match=r"state.json is damaged"):
            labeled.load_files([folder])
    with pytest.raises(DataError, match="alone, or folders of single splits"):
        labeled.load_files([folder, folder, folder])
    (folder / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(DataError, match=r"has the splits train, test; .*/train\.$"):
        labeled.load_files([folder])


def test_json_lines_may_be_compressed_or_of_standard_input(tmp_path, monkeypatch):
    content = as_json_lines({"body": ["one", "two"]})
    path = tmp_path / "my.jsonl.gz"
    path.write_bytes(gzip.compress(content))
    (part,) = read_parts([path])
    assert corpora.text_of(part, ["body"]) == "one\ntwo\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    (part,) = read_parts(["-"])
    assert corpora.text_of(part, ["body"]) == "one\ntwo\n"
    text = tmp_path / "my.txt"
    text.write_bytes(b"plain text\n")
    assert corpora.text_of(read_part(text), ["body"]) == "plain text\n"
    with pytest.raises(DataError, match=r"my\.txt has no columns to name"):
        corpora.load_files([text], ["body"])


def test_the_checksum_is_that_of_what_is_read(tmp_path):
    """Other columns of the same bytes are other data; a text has that of its bytes."""
    part = part_of("jsonl", {"a": ["x"], "b": ["y"]})
    found = {checksum([part], columns) for columns in (("a",), ("b",), None)}
    found |= {checksum([part._replace(path="my.txt")])}
    assert len(found) == 4
    text = Part("my.txt", b"x")
    assert checksum([text]) == hashlib.sha256(b"x").hexdigest()


def test_pairs_have_the_directions_of_the_first_file(tmp_path):
    paths = []
    for number, names in enumerate((("en", "fr"), ("fr", "en"), ("fr", "en"))):
        texts = {"en": "Go.", "fr": "Va."}
        row = {"translation": {name: texts[name] for name in names}}
        paths.append(tmp_path / f"{number}.jsonl")
        paths[-1].write_text(json.dumps(row))
    corpus = parallel.load_tsv(*paths)
    assert corpus.train == corpus.valid == corpus.test == (["Go."], ["Va."])


def test_a_folder_of_several_splits_is_no_single_file():
    with pytest.raises(DataError, match=r"has several splits; .*/documents/test\.$"):
        labeled.read_file(SAVED / "documents")


def test_rows_that_old_folders_choose_by_indices_are_refused(tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(SAVED / "documents/test", folder)
    state = json.loads((folder / "state.json").read_text())
    for indices, refused in (([], False), (None, False), ([{"filename": "i"}], True)):
        state["_indices_data_files"] = indices
        (folder / "state.json").write_text(json.dumps(state))
        if refused:
            with pytest.raises(DataError, match="chooses rows by indices"):
                read_parts([folder])
        else:
            assert len(read_parts([folder])) == 1


def test_two_columns_of_one_name_matter_only_if_they_are_read():
    table = pa.table([["a"], ["b"], ["c"]], names=["x", "x", "text"])
    sink = io.BytesIO()
    parquet.write_table(table, sink)
    part = Part("my.parquet", sink.getvalue())
    assert corpora.text_of(part) == "c\n"
    with pytest.raises(DataError, match="two columns named 'x'"):
        corpora.text_of(part, ["x"])


def test_lines_of_json_are_no_sentences(tmp_path):
    path = tmp_path / "my.jsonl"
    path.write_bytes(as_json_lines({"text": ["a"]}))
    with pytest.raises(DataError, match="is JSON lines; a sentence a line was"):
        parallel.load_files([path], [path])


def test_a_series_of_standard_input_may_be_json(monkeypatch):
    content = as_json_lines({"t": [1, 2, 3], "x": [0.5, 1.5, 2.5]})
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert read_columns("-", ["x"], "t").values[:, 0].tolist() == [0.5, 1.5, 2.5]
    with pytest.raises(DataError, match="has no columns"):
        columns_of(Part("my.jsonl", b"{}\n{}\n"))


def test_times_over_a_change_of_the_clock_are_read():
    times = pa.array(np.arange(4) * 3600 + 1729988000, pa.timestamp("s"))
    times = times.cast(pa.timestamp("s", "Europe/Berlin"))
    part = Part("x", as_parquet({"t": times, "x": [1, 2, 3, 4]}))
    found = columns_of(part, time_column="t")
    assert np.diff(found.times.values).tolist() == [np.timedelta64(1, "h")] * 3


def test_a_label_is_one_line():
    part = part_of("jsonl", {"label": ["a\nb"], "text": ["c"]})
    with pytest.raises(
        DataError, match=r"line 1: the label 'a.*' has a tab or the end"
    ):
        labeled.documents_of(part)


def test_without_pyarrow_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match=r'my.parquet is Parquet .* "seqjax\[data\]"'):
        read_table(Part("my.parquet", as_parquet({"text": ["a"]})))
