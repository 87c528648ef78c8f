"""Tables that cut nothing and explain their words, and the note of unknown tokens."""

import io
import sys

import numpy as np
import pytest

from experiments.common.console import (
    ProgressBar,
    note_unknown,
    print_columns,
    print_table,
)
from experiments.common.terms import TERMS

SIGNATURE = (
    "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.5.1|and-more-than-it-has"
)
ROWS = [
    ("test BLEU", "31.41"),
    ("BLEU signature", SIGNATURE),
    ("files", "/a folder/" + "deep/" * 30 + "[bold]"),
]


class Terminal(io.StringIO):
    """Standard output of a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize("width", ["20", "40", "80", "300"])
@pytest.mark.parametrize("stream", [io.StringIO, Terminal], ids=["pipe", "terminal"])
def test_values_are_whole_at_any_width(monkeypatch, width, stream):
    monkeypatch.setenv("COLUMNS", width)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stdout", stream())
    print_table("pairs.tsv, " + "a long title " * 20, ROWS)
    lines = sys.stdout.getvalue().splitlines()
    for _, value in ROWS:
        assert sum(value in line for line in lines) == 1
    assert any("a long title " * 19 in line for line in lines)
    is_boxed = stream is io.StringIO or width == "300"
    assert any("│" in line for line in lines) == is_boxed


@pytest.mark.parametrize("name", ["FORCE_COLOR", "JPY_PARENT_PID"])
def test_a_pipe_is_no_terminal_whatever_the_environment_says(monkeypatch, name):
    """A notebook sets both for the commands that it starts."""
    monkeypatch.setenv(name, "1")
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, io.StringIO())
    print_table("numbers", ROWS)
    with ProgressBar(total=2) as bar:
        bar.line("epoch 1")
        bar.advance(1, "loss 1")
    assert "\x1b" not in sys.stdout.getvalue() and "epoch 1\n" in sys.stdout.getvalue()
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("width", ["20", "80", "300"])
def test_only_the_first_column_of_several_is_cut(monkeypatch, capsys, width):
    monkeypatch.setenv("COLUMNS", width)
    document, cells = "word " * 100, [f"cell_{i}" * 8 for i in range(6)]
    header = ("document", *(f"column_{i}" for i in range(6)))
    print_columns("errors", header, [(document, *cells), ("short", *cells)])
    out = capsys.readouterr().out
    assert "word word w" in out and "…" in out and document not in out
    lines = [line for line in out.splitlines() if "cell_0" in line]
    assert len(lines) == 2
    assert all(cell in line for cell in cells for line in lines)
    assert all(name in out for name in header)


def explained(out):
    """The terms that lines below a table explain."""
    lines = (line.strip().partition(": ") for line in out.splitlines())
    return [term for term, _, meaning in lines if TERMS.get(term) == meaning]


def test_tables_explain_their_words(capsys):
    print_table("pairs.tsv, lstm", ROWS)
    assert explained(capsys.readouterr().out) == ["BLEU", "signature"]
    print_table("my.txt", [("test perplexity", "3"), ("test bits per character", "1")])
    assert explained(capsys.readouterr().out) == ["perplexity", "bits per character"]
    print_columns("errors", ("model", "MSE", "MASE", "coverage"), [("naive", 1, 2, 3)])
    assert explained(capsys.readouterr().out) == ["MSE", "MASE", "coverage"]
    print_columns("%", ("%", "test"), [("f1 of person (3)", "9"), ("recall", "8")])
    assert explained(capsys.readouterr().out) == ["f1", "recall"]
    print_columns("errors", ("document", "label"), [("good accuracy, recall", "a")])
    assert explained(capsys.readouterr().out) == []


def test_every_explanation_is_one_short_line():
    for term, meaning in TERMS.items():
        assert len(f"{term}: {meaning}") < 110 and "\n" not in meaning
        assert not meaning.endswith(".") and meaning[0] != " "


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ([], ""),
        (["a b"], ""),
        (["a x b"], "1 of 3 tokens are unknown, read as <unk>: 'x'.\n"),
        (
            ["x y x", "a z y x"],
            "6 of 7 tokens are unknown, read as <unk>: 'x' (3 times), 'y' (2 times) "
            "and 'z'.\n",
        ),
        (
            ["c d e f g h i j k l"],
            "10 of 10 tokens are unknown, read as <unk>: 'c', 'd', 'e', 'f', 'g', 'h', "
            "'i', 'j' and 2 others.\n",
        ),
    ],
)
def test_unknown_tokens_are_listed_by_frequency(capsys, texts, sentence):
    pairs = [text.split() for text in texts]
    note_unknown((t, np.array(["ab".find(c) + 1 for c in t], np.int32)) for t in pairs)
    assert capsys.readouterr().err == sentence
