"""CSV files: every row is accounted for, and every fault is named by its line."""

import csv
import datetime
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data.csv_columns import columns_of
from seqjax.data.csv_rows import read_table
from seqjax.data.tables import Part
from seqjax.data.text import DataError
from seqjax.data.timestamps import look_like_dates, written

fuzz = settings(deadline=None, max_examples=100)


def read(text, **options):
    return columns_of(Part("my.csv", text.encode()), **options)


def refused(text, **options):
    with pytest.raises(DataError) as error:
        read(text, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def lines(number, quoted=None):
    """A header and rows `t,load,note`, one of them with a quote that opens."""
    rows = [f"{i},{i % 7},{chr(34) if i == quoted else ''}no" for i in range(number)]
    return "\n".join(["t,load,note", *rows, ""])


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize("number", [30, 20_000])  # below and above csv's field limit
@pytest.mark.parametrize("target", [None, ["load"]])
def test_an_unclosed_quote_is_named_by_its_line(number, target):
    sentence = refused(lines(number, quoted=10), target=target)
    assert sentence.startswith("my.csv, line 12: ")
    assert "quote" in sentence


SWALLOWED = {
    't,a,n\n0,1,x\n1,2,"x\n2,3,x\n3,4,x"\n4,5,x\n': 3,  # closed by a later row's
    't,a,n\n0,1,x\n1,2,"x\n2,3,x"\n': 3,
    't,a,n\n0,1,x\n1,2,"x\n2,3,"x"\n3,4,x\n': 3,
    'n,a\n"x,1\ny,2\nz",3\nw,4\n': 2,
    't,a\n0,"1"2\n1,2\n': 2,
    't,a\n0,1\n1,"2\r\n2,3"\r\n': 3,
}


@pytest.mark.parametrize(("text", "line"), SWALLOWED.items(), ids=range(len(SWALLOWED)))
def test_quotes_that_swallow_rows_are_refused(text, line):
    for target in (None, ["a"]):
        sentence = refused(text, target=target)
        assert sentence.startswith(f"my.csv, line {line}: ") and "quote" in sentence


def test_quoted_cells_may_hold_delimiters_quotes_and_line_breaks():
    text = 't,a,note\n0,1.5,"one, ""two"""\n1,2.5,"three\nfour, five"\n2,3.5,\n'
    found = read(text, target=["a"], time_column="t")
    np.testing.assert_array_equal(found.values, [[1.5], [2.5], [3.5]])
    with pytest.raises(DataError, match="'x' in 'a' on line 5"):
        read(text.replace("3.5", "x"), target=["a"])  # the line of the file


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("t,a\n0,1\n1\n2,3\n", "line 3: 1 cell, but the first line names 2"),
        ("t,a\n0,1\n1,2,3\n", "line 3: 3 cells, but the first line names 2"),
        ("t,a\n0,1\n\n1,2\n2\n", "line 5: 1 cell"),
        ("a\n1\n\n3\n", "no number in 'a' on line 3"),
        ("1,2\n3,4\n", "line 1: '1,2' names no columns"),
        ("2020-01-01,2\n2020-01-02,4\n", "line 1: '2020-01-01,2' names no columns"),
        ("t,a\n", "but no rows below it"),
        ("t,a", "but no rows below it"),
        ("t,,a\n1,2,3\n", "column 2 has no name"),
        ("t,a\n0,1_000\n", "'1_000' in 'a' on line 2"),
        ("t,a\n0,1e999\n", "'1e999' in 'a' on line 2"),
        ("t,a\n0,1\n1,-inf\n", "'-inf' in 'a' on line 3"),
        ('t,a\n0,"1,5"\n', "'1,5' in 'a' on line 2"),
    ],
)
def test_other_faults_are_named_by_their_line(text, sentence):
    assert sentence in refused(text)


def test_a_carriage_return_ends_no_line():
    with pytest.raises(DataError, match=r"my\.csv, line 3: a carriage return within"):
        read_table("t,a\n0,1\n1,2\r3,4\n", "my.csv")


def test_blank_lines_hold_no_row():
    found = read("t,a\n\n0,1\n \n1,2\n\n\n", time_column="t")
    np.testing.assert_array_equal(found.values, [[1], [2]])
    assert found.times.values.tolist() == [0, 1]


CELL = st.text(st.sampled_from('ab1 ,;"\n\t.-'), max_size=6)


@fuzz
@given(
    st.integers(2, 4).flatmap(
        lambda width: st.lists(
            st.lists(CELL, min_size=width, max_size=width), min_size=1, max_size=6
        )
    ),
    st.sampled_from(",;\t"),
)
def test_what_the_csv_module_writes_is_read_or_refused_whole(rows, delimiter):
    header = [f"name {i}" for i in range(len(rows[0]))]
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
    writer.writerows([header, *rows])
    try:
        table = read_table(text.getvalue(), "my.csv")
    except DataError as error:
        assert "line" in str(error)
        return
    assert table.header == header and table.delimiter == delimiter
    assert [row.cells for row in table.rows] == rows


@fuzz
@given(st.text(st.sampled_from('ab12 ,;"\n\t.-'), max_size=60))
def test_any_text_is_read_with_all_its_rows_or_refused(text):
    try:
        found = read(text)
    except DataError as error:
        assert "\n" not in str(error)
        return
    full = [line for line in text.split("\n") if line.strip()]
    assert len(found.values) == len(full) - 1
    assert np.isfinite(found.values).all()


# ---------------------------------------------------------------- columns


@pytest.mark.parametrize("target", [None, ["a"], ["a", "a"]])
def test_columns_of_the_same_name_are_refused(target):
    sentence = refused("t,a,a\n0,1,2\n", target=target)
    assert "columns 2 and 3 are both named 'a'" in sentence


def test_the_same_column_twice_and_no_column_are_refused():
    assert "'a' of my.csv is chosen twice" in refused("t,a\n0,1\n", target=["a", "a"])
    assert "no column but the time" in refused("t\n0\n1\n", time_column="t")
    assert "'t' of my.csv is chosen twice" in refused(
        "t,a\n0,1\n", target=["t"], time_column="t"
    )
    found = read("t,b,b,a\n0,1,2,3\n", target=["a"])  # others may share a name
    np.testing.assert_array_equal(found.values, [[3]])


DATES = {
    "2020-01-01 2020-01-02": True,
    "2020-01 2020-02": True,
    "20200101 20200102": True,
    "2020-01-01T00:00Z 2020-01-01T01:00Z": True,
    "20000000 20123457": False,  # 8 digits, but no dates
    "2020 2021": False,
    "3 4": False,
}


@pytest.mark.parametrize(("cells", "is_date"), DATES.items(), ids=DATES)
def test_a_column_of_dates_needs_time_column(cells, is_date):
    first, second = cells.split()
    text = f"date,a\n{first},1\n{second},2\n"
    if is_date:
        assert "--time_column=date" in refused(text)
    else:
        assert read(text).columns == ("date", "a")
    assert read(text, time_column="date").columns == ("a",)


def test_a_column_of_words_needs_target():
    assert "column 'note' holds no numbers (line 2: 'no')" in refused(lines(5))
    assert "--target" in refused(lines(5))


# ---------------------------------------------------------------- numbers


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_decimal_commas_between_other_delimiters(delimiter):
    text = "t;Last, MW;b\n0;1,5;-2\n1;2,25;3e2\n".replace(";", delimiter)
    found = read(text, time_column="t")
    assert found.columns == ("Last, MW", "b")
    np.testing.assert_array_equal(found.values, [[1.5, -2], [2.25, 300]])
    assert "decimal commas" in found.notes[0]
    points = read("t;a\n0;1.5\n1;2.5\n".replace(";", delimiter), time_column="t")
    np.testing.assert_array_equal(points.values, [[1.5], [2.5]])
    assert points.notes == ()


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        ("1,5 2.5", "a decimal point on line 3 and a decimal comma on line 2"),
        ("1.234,5 1", "'1.234,5' in 'a' on line 2"),
        ("1,234,567 1", "'1,234,567' in 'a' on line 2"),
    ],
)
def test_ambiguous_marks_are_refused(cells, sentence):
    first, second = cells.split()
    assert sentence in refused(f"t;a\n0;{first}\n1;{second}\n")


@fuzz
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_are_read_exactly(numbers):
    text = "a,b\n" + "".join(f"{x!r},{x:.3f}\n" for x in numbers)
    found = read(text).values
    assert found[:, 0].tolist() == numbers
    assert found[:, 1].tolist() == [float(f"{x:.3f}") for x in numbers]


# ---------------------------------------------------------------- missing numbers

HOLES = "t,a,b\n0,1,5\n1,,6\n2,NA,7\n3,4,null\n4,5,9\n"


def test_missing_numbers_are_refused_with_their_lines():
    sentence = refused(HOLES, time_column="t")
    assert "no number in 'a' on lines 3, 4; 'b' on line 5" in sentence
    assert "--missing=interpolate" in sentence
    many = "t,a\n" + "".join(f"{i},{'' if i else 1}\n" for i in range(20))
    assert "lines 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 9 more" in refused(many)


@pytest.mark.parametrize(
    ("missing", "want"),
    [
        ("interpolate", [[1, 5], [2, 6], [3, 7], [4, 8], [5, 9]]),
        ("last", [[1, 5], [1, 6], [1, 7], [4, 7], [5, 9]]),
    ],
)
def test_missing_numbers_are_filled_and_noted(missing, want):
    found = read(HOLES, time_column="t", missing=missing)
    np.testing.assert_array_equal(found.values, want)
    assert f"--missing={missing} filled 3 cells" in found.notes[0]


@pytest.mark.parametrize(
    ("text", "missing", "sentence"),
    [
        ("a\nNA\n1\n2\n", "last", "line 2: 'a' has no number there and none before"),
        ("a\nNA\n1\n2\n", "interpolate", "line 2: 'a' has no number there"),
        ("a\n1\n2\nNA\n", "interpolate", "line 4: 'a' has no number there and none af"),
        ("a,b\n1,\n2,\n", "last", "line 2: 'b' has no number there"),
        ("a,b\n1,x\n2,\n3,3", "last", "'x' in 'b' on line 2"),
    ],
)
def test_what_cannot_be_filled_is_refused(text, missing, sentence):
    assert sentence in refused(text, missing=missing)


def test_a_missing_number_at_the_end_repeats_the_last():
    np.testing.assert_array_equal(read("a\n1\n2\nNA\n", missing="last").values[-1], 2)
    with pytest.raises(ValueError, match="missing must be one of"):
        read("a\nNA\n", missing="zero")


# ---------------------------------------------------------------- times


def times(cells, **options):
    text = "t,a\n" + "".join(f"{cell},{i}\n" for i, cell in enumerate(cells))
    return read(text, time_column="t", **options).times


FORMS = {
    "2020-03-01 2020-03-02": "2020-03-01 2020-03-02",
    "20200301 20200302": "2020-03-01 2020-03-02",
    "20200301T0930 20200301T1000": "2020-03-01T09:30 2020-03-01T10:00",
    "202003010930 202003011000": "2020-03-01T09:30 2020-03-01T10:00",
    "20200301093000 20200301093001": "2020-03-01T09:30:00 2020-03-01T09:30:01",
    "2020-03 2020-04": "2020-03 2020-04",
    "202012 202101": "2020-12 2021-01",
    "2020-03-01T09 2020-03-01T10": "2020-03-01T09:00 2020-03-01T10:00",
    "2020-03-01T00:00:00.5 2020-03-01T00:00:01.5": (
        "2020-03-01T00:00:00.5 2020-03-01T00:00:01.5"
    ),
}


@pytest.mark.parametrize(("cells", "want"), FORMS.items(), ids=FORMS)
def test_iso_dates_with_and_without_hyphens(cells, want):
    found = times(cells.split())
    np.testing.assert_array_equal(found.values, np.array(want.split(), "M8[ms]"))
    assert found.form == "{time}"


@pytest.mark.parametrize(
    "cells",
    [
        ["20000000", "20123457"],  # months 00 and 12, but day 34 ... no dates
        ["1", "2"],
        ["202001", "202013", "202077"],
        [str(i) for i in range(20201201, 20201330)],  # a count; most are no dates
        ["1577836800", "1577836801"],
    ],
    ids=str,
)
def test_other_digits_are_whole_numbers(cells):
    found = times(cells)
    assert found.values.dtype == np.int64
    assert found.values.tolist() == list(map(int, cells))


days = st.dates(datetime.date(1600, 1, 8), datetime.date(9998, 1, 1))


@fuzz
@given(days, st.sampled_from(["%G-W%V", "%GW%V", "%G-W%V-%u", "%GW%V%u"]))
def test_weeks_are_those_of_the_standard_library(day, pattern):
    following = day + datetime.timedelta(7)
    cells = [date.strftime(pattern) for date in (day, following)]
    found = times(cells)
    begin = day if "%u" in pattern else day - datetime.timedelta(day.weekday())
    assert found.values[0] == np.datetime64(begin)
    assert [written(time, found.form) for time in found.values] == cells
    assert look_like_dates(cells)


@fuzz
@given(days, st.sampled_from(["-", "", " "]))
def test_quarters_begin_with_their_first_month(day, mark):
    quarter = (day.month + 2) // 3
    found = times([f"{day.year:04}{mark}Q{quarter}", f"{day.year + 1:04}{mark}Q1"])
    assert found.values[0] == np.datetime64(f"{day.year:04}-{3 * quarter - 2:02}")
    assert written(np.datetime64(day), found.form) == f"{day.year:04}{mark}Q{quarter}"


@pytest.mark.parametrize("zone", ["Z", "+05:30", "-0800", "+01"])
@pytest.mark.parametrize("space", ["", " "])
def test_a_time_zone_is_kept(zone, space):
    found = times([f"2020-01-01 {hour:02}:00{space}{zone}" for hour in range(5)])
    assert found.form == "{time}" + zone
    want = np.arange("2020-01-01T00", "2020-01-01T05", dtype="M8[h]")
    np.testing.assert_array_equal(found.values, want)


@pytest.mark.parametrize(
    ("cells", "sentence"),
    [
        (
            ["2020-03-29T01:00+01:00", "2020-03-29T03:00+02:00"],
            "line 3: the time zone in 't' changes from +01:00 to +02:00",
        ),
        (
            ["2020-03-29T01:00", "2020-03-29T03:00Z"],
            "line 3: the time zone in 't' changes from none to Z",
        ),
        (["20200228", "20200229", "20200230"], "line 4: '20200230' in 't' is neither"),
        (["2020-01-01", "5"], "line 3: '5' in 't' is neither"),
        (["2020-01-01T25:00", "2020-01-02T00:00"], "line 2: '2020-01-01T25:00'"),
        (["01/02/2020", "01/03/2020"], "line 2: '01/02/2020' in 't' is neither"),
        (["20200102", "20200101"], "line 3: the time in 't' does not increase"),
        (["1", "1"], "line 3: the time in 't' does not increase"),
        (["2021-W53"], "line 2: '2021-W53' in 't' is neither a date such as"),
        (["2021-Q5"], "line 2: '2021-Q5' in 't' is neither a date such as"),
        (
            ["2021-W00", "2021-W01"],
            "line 2: '2021-W00' in 't' is neither a date such as",
        ),
        (["2021-W01", "2021W02"], "line 3: the notation in 't' changes from that of"),
        (["2021-Q1", "2021-05-01"], "of 2016-Q3 to that of 2016-07-01; one was expec"),
        (["2021-W02", "2021-W01"], "line 3: the time in 't' does not increase"),
    ],
    ids=str,
)
def test_other_times_are_refused_by_line(cells, sentence):
    with pytest.raises(DataError) as error:
        times(cells)
    assert sentence in str(error.value)
