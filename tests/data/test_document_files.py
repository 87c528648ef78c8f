"""Labeled documents as CSV: quotes, columns, and nothing lost between the rows."""

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data.document_files import parse_documents
from seqjax.data.labeled import load_files
from seqjax.data.text import DataError

fuzz = settings(deadline=None, max_examples=150)


def parse(text, known=None):
    return parse_documents(text.encode(), "f.csv", known)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ('a,"x, y"\nb,"he said ""no"""\n', [("a", "x, y"), ("b", 'he said "no"')]),
        ('a,"two\nlines"\r\n\r\nb,z\r\n', [("a", "two\nlines"), ("b", "z")]),
        ('"a","x"\n"b" , y \n', None),  # text after a closing quote
        ("a; x\nb;y, z", [("a", "x"), ("b", "y, z")]),
        ("\ufeffa,x\n,\nb,y\n", [("a", "x"), ("b", "y")]),
        ("text,label\nx,a\ny,b\n", [("a", "x"), ("b", "y")]),
        ("id;Label ; TEXT\n1;a;x\n2;b;y\n", [("a", "x"), ("b", "y")]),
        ('review,sentiment\n"a <br /> b, c",pos\n', [("pos", "a <br /> b, c")]),
        ("a,x\u2028y\x85\rz\nb,\x0cy\n", [("a", "x\u2028y\x85\rz"), ("b", "y")]),
        ("sentence\tlabel\nx\ta\ny\tb\n", [("a", "x"), ("b", "y")]),
        ("label\ttext\na\tx\n", [("a", "x")]),
        ('a\t"x\nb\ty"\n', [("a", '"x'), ("b", 'y"')]),  # no quotes between tabs
        ("a\tx, y\tz\n", [("a", "x, y\tz")]),
    ],
)
def test_documents_by_hand(text, want):
    if want is None:
        with pytest.raises(DataError, match="line 2: text follows a closing quote"):
            parse(text)
    else:
        assert parse(text) == want


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('a,x\nb,"never closed\na,y\n', 'line 2: a quote (") opens in this row and'),
        ('a,x\nb,"y\na,z"\nb,z\n', 'line 2: a quote (") that opens in this row'),
        ('x,label,text\n1,a,"y\n2,b,z"\n3,b,w\n', "closed on line 3 only, and line 3"),
        ("a,x\nb,y,z\n", "line 2 has 3 cells between commas, but the first line has 2"),
        ("a;x\nb;y;z\n", "line 2 has 3 cells between semicolons"),
        ("a,x,y\nb,z,w\n", "line 1 has 3 columns; a first line that names two of them"),
        ("a,x\n\nb,\n", "line 3: a label and a text were expected, got 'b,'"),
        ("a,x\n,y\n", "line 2: a label and a text were expected"),
        ("text,label\n", "names its columns, but holds no document"),
        (",\n", "holds no document"),
        (
            "".join(f"It is {i}.,{'ab'[i % 2]}\n" for i in range(9)),
            "looks like documents before their labels; put the labels first",
        ),
        (
            "".join(f"It is {i}.\t{'ab'[i % 2]}\n" for i in range(9)),
            "looks like documents before their labels; put the labels first",
        ),
        (
            "kind,body\n" + "".join(f"{'ab'[i % 2]},It is {i}.\n" for i in range(9)),
            "line 1: no other document has the label 'kind'; if this line names the",
        ),
        (
            "".join(f"{i},It is {i}.\n" for i in range(30)),
            "has 30 different labels in 30 documents",
        ),
    ],
)
def test_bad_rows_are_named(text, sentence):
    with pytest.raises(DataError) as error:
        parse(text)
    assert sentence in str(error.value)
    assert str(error.value).startswith("f.csv") and "\n" not in str(error.value)


def test_unknown_labels_are_named_by_line():
    assert parse("a,x\nb,y\n", ["a", "b"]) == [("a", "x"), ("b", "y")]
    with pytest.raises(DataError, match=r"line 4: the label 'c' does not occur in the"):
        parse('a,"x\nz"\n\nc,y\n', ["a", "b"])


def test_a_document_may_be_long():
    text = "word " * 100_000
    assert parse(f'a,"{text}"\nb,y\n')[0] == ("a", text.strip())
    assert csv.field_size_limit() == 131_072


def test_csv_files_are_split_as_others(tmp_path):
    rows = [("ab"[i % 2], f"text {i}, and more") for i in range(200)]
    (tmp_path / "a.tsv").write_text("".join(f"{a}\t{b}\n" for a, b in rows))
    with open(tmp_path / "a.csv", "w", newline="") as file:
        csv.writer(file).writerows([("label", "text"), *rows])
    tabs, commas = (load_files([tmp_path / name]) for name in ("a.tsv", "a.csv"))
    assert tabs[1:5] == commas[1:5]


texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).map(
    lambda text: text.replace("\r\n", "\n").replace("\ufdd0", "").strip()
)
labels = st.sampled_from(["a", "b c", 'd"', "e,f", "g;h"])


@fuzz
@given(
    st.lists(st.tuples(labels, texts.filter(bool)), min_size=1, max_size=6),
    st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_python_writes_is_read(rows, quoting, end):
    """Every row, unless a text has lines that read like rows of their own."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, quoting=quoting, lineterminator=end)
    writer.writerows([("label", "text"), *rows])
    try:
        found = parse(out.getvalue())
    except DataError as error:
        assert "reads like a row" in str(error) and "," in str(rows)
        return
    assert found == [(a, b.replace("\r\n", "\n")) for a, b in rows]


@fuzz
@given(st.text('a,;"\n\r\t x', max_size=40), st.booleans())
def test_any_text_is_read_or_refused_in_one_sentence(text, known):
    try:
        found = parse(text, ["a", "x"] if known else None)
    except DataError as error:
        assert "f.csv" in str(error) and "\n" not in str(error)
    else:
        assert found and all(label and document for label, document in found)
