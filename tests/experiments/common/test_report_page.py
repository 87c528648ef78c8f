"""The report of a run: whole, escaped, in need of no other file."""

from hypothesis import given
from hypothesis import strategies as st

from experiments.common.console import (
    Printed,
    print_columns,
    print_table,
    print_text,
    recorded,
)
from experiments.common.report_page import report_page
from experiments.ngrams.__main__ import main as count_ngrams
from tests.commands import run
from tests.html_page import Page

texts = st.text(st.characters(exclude_categories=["C"], exclude_characters="\r"))


@given(st.lists(st.lists(texts, min_size=2, max_size=2), min_size=1), texts, texts)
def test_every_text_is_shown_as_it_is(rows, title, sample):
    items = [Printed(title, rows=tuple(map(tuple, rows))), Printed("", text=sample)]
    page = Page(report_page(title, items, {}, {"seed": sample}, ["seed"]))
    shown = "".join(page.text)
    for text in (title, sample, *(cell for row in rows for cell in row)):
        assert text.strip() in shown


def test_what_is_printed_is_recorded_in_its_order(capsys):
    with recorded() as outer, recorded() as inner:
        print_table("numbers", [("BLEU", 1.5)])
        print_columns("both", ["a", "b"], {"first": [[1, 2]], "second": [[3, 4]]})
        print_text("a sample", "some text")
    print_text("afterwards")
    assert outer == inner
    table, columns, text = inner
    assert table.rows == (("BLEU", "1.5"),) and "BLEU: " in table.terms[0]
    assert columns.header == ("a", "b")
    assert columns.rows == (("first",), ("1", "2"), ("second",), ("3", "4"))
    assert text == Printed("some text", text="a sample")
    assert "afterwards" in capsys.readouterr().out


def test_terms_headers_and_changed_settings_are_shown():
    table = Printed("T", ("a", "b"), (("1", "2"),), ("a: first", "b: second"))
    settings = {"seed": "3", "size": "8"}
    page = report_page("R", [table], {}, settings, ["seed"])
    assert Page(page).shown.startswith("R R T a b 1 2 a: first b: second")
    changed, everything = page.split("<h2>Settings</h2>")
    assert "Settings other than the defaults" in changed
    assert "<td>seed</td>" in changed and "<td>size</td>" not in changed
    assert "<td>seed</td>" in everything and "<td>size</td>" in everything


def test_a_run_has_a_report(tmp_path):
    workdir = tmp_path / "<run>"
    flags = (f"--workdir={workdir}", "--seed=3", "--max_tokens=2000", "--length=20")
    result = run(count_ngrams, *flags)
    assert result.code == 0, result.err
    page = Page((workdir / "report.html").read_text("utf-8"))
    words = "occur once", "a generated text", "rank frequency", str(workdir), "seed"
    assert all(word in page.shown for word in words)
    assert len(page.sources) == len(list(workdir.glob("*.png"))) > 0
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
