"""Series: readers, refused files, splits, standardization, windows."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data import series as data
from seqjax.data import series_windows
from seqjax.data.csv_columns import columns_of
from seqjax.data.tables import Part
from seqjax.data.text import DataError

fuzz = settings(deadline=None, max_examples=100)
needs_data = pytest.mark.skipif(
    "SEQJAX_DATA_DIR" not in os.environ, reason="needs real data in SEQJAX_DATA_DIR"
)


def write(folder, text):
    path = folder / "my.csv"
    path.write_bytes(text.encode())
    return path


def refused(function, *args, **kwargs):
    with pytest.raises(DataError) as error:
        function(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


# ---------------------------------------------------------------- readers


def test_the_sine_is_the_textbooks_with_noise_of_variance_0_04():
    noise = np.concatenate([data.sine(seed).values for seed in range(50)])
    noise -= np.tile(np.sin(0.01 * np.arange(1, 1001))[:, None], (50, 1))
    assert noise.var() == pytest.approx(0.04, rel=0.02)  # 3 deviations: 0.019
    assert abs(noise.mean()) < 0.003
    sine = data.sine()
    assert sine.values.shape == (1000, 1)
    assert (sine.train, sine.test) == ((0, 600), (604, 1000))
    assert np.array_equal(sine.values, data.load("sine").values)
    assert not np.array_equal(sine.values, data.sine(1).values)
    assert sine.sha256 != data.sine(1).sha256


def test_a_csv_with_quotes_crlf_and_no_newline_at_its_end(tmp_path):
    text = '"Month","a","b"\r\n"1949-01",1,-2\r\n"1949-02",3.5,4e1'
    path = write(tmp_path, text + '\r\n"1949-03",0,0\r\n"1949-04",0,0\r\n"1949-05",0,0')
    series = data.load_csv(path, time_column="Month", period=12)
    assert series.columns == ("a", "b")
    np.testing.assert_array_equal(series.values[:2], [[1, -2], [3.5, 40]])
    months = np.arange("1949-01", "1949-06", dtype="M8[M]")
    assert series.times.tolist() == months.tolist()
    assert (series.name, series.period) == ("my", 12)
    chosen = data.load_csv(path, target=["b"])
    np.testing.assert_array_equal(chosen.values[:2], [[-2], [40]])
    assert chosen.times is None


def test_the_last_third_tests_and_a_fifth_of_the_rest_validates(tmp_path):
    path = write(tmp_path, "a\n" + "".join(f"{i}\n" for i in range(90)))
    series = data.load_csv(path)
    assert (series.train, series.valid, series.test) == ((0, 48), (48, 60), (60, 90))


def table(values, times=None, name="a"):
    """A table of one column, from numbers."""
    rows = [
        f"{x}" if times is None else f"{t},{x}"
        for t, x in zip(times or values, values, strict=True)
    ]
    text = "\n".join([name if times is None else f"t,{name}", *rows])
    time_column = None if times is None else "t"
    return columns_of(Part("a.csv", text.encode()), time_column=time_column)


def test_validation_and_test_have_at_least_a_horizon_of_rows():
    series = data.of_columns("a", [table(range(30))], horizon=12)
    assert (series.train, series.valid, series.test) == ((0, 6), (6, 18), (18, 30))
    sentence = refused(data.of_columns, "a", [table(range(25))], horizon=12)
    assert (
        "a has 25 rows: too few to train, validate and test a forecast of 12"
        in sentence
    )


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_few_rows_are_too_few(tmp_path, number):
    path = write(tmp_path, "a\n" + "1\n" * number)
    assert f"my has {number} row" in refused(data.load_csv, path)


def test_three_tables_are_the_three_parts():
    days = [f"2020-01-{day:02}" for day in range(1, 13)]
    parts = [table(range(6), days[:6]), table([7], days[6:7]), table([8, 9], days[7:9])]
    series = data.of_columns("a", parts)
    assert (series.train, series.valid, series.test) == ((0, 6), (6, 7), (7, 9))
    assert series.values[:, 0].tolist() == [*range(6), 7, 8, 9]
    assert series.times.astype(str).tolist() == days[:9]
    assert series.sha256 != data.of_columns("a", [parts[0]]).sha256
    sentence = refused(data.of_columns, "a", [parts[0], parts[2], parts[1]])
    assert "file 3 begins at 2020-01-07, but the file before it ends at" in sentence
    zoned = table([1], ["2020-02-01T00:00Z"])
    assert "time zones" in refused(data.of_columns, "a", [*parts[:2], zoned])
    numbered = table([1], ["5"])
    assert "others numbers" in refused(data.of_columns, "a", [*parts[:2], numbered])
    other = table([1], ["2020-02-01"], name="b")
    assert "columns" in refused(data.of_columns, "a", [*parts[:2], other])
    with pytest.raises(ValueError, match="one table or three"):
        data.of_columns("a", parts[:2])


BAD = {
    "t,a\n1,2\n2,x\n3,\n4,5\n5,y\n6,inf\n7,-\n": (
        "has 'x' in 'a' on line 3, 'y' in 'a' on line 6, 'inf' in 'a' on line 7 "
        "and 1 more"
    ),
    "t,a\n1,2\n2\n": "line 3: 1 cell, but the first line names 2",
    "t,a\n1,2\n3,4\n3,5\n": "line 4: the time in 't' does not increase",
    "t,a\n2020-01-01,1\nyesterday,1\n": "line 3: 'yesterday' in 't' is neither a date",
    "t,a\n2020-01-01,1\n,1\n": "line 3: '' in 't' is neither a date",
    "t,a\n2020-01-01,1\nNaT,1\n": "line 3: 'NaT' in 't' is neither a date",
    "t,a\nyesterday,1\ntoday,1\n": "line 2: 'yesterday' in 't' is neither a date",
    "t,a\n2020-02-30,1\n": "line 2: '2020-02-30' in 't' is neither a date",
    "t,a\n2020-01-02,1\n2020-01-01,1\n": "line 3: the time in 't' does not increase",
    "time,a\n1,2\n": "there is no column 't'; there are time and a.",
    "\n": "is empty",
    "": "is empty",
}


@pytest.mark.parametrize(("text", "sentence"), BAD.items(), ids=range(len(BAD)))
def test_bad_files_are_refused_by_line(tmp_path, text, sentence):
    path = write(tmp_path, text)
    assert sentence in refused(data.load_csv, path, time_column="t")


def test_a_missing_file_and_an_absent_column_are_named(tmp_path):
    path = write(tmp_path, "a,b\n1,2\n")
    assert "no column 'c'" in refused(data.load_csv, path, ["a", "c"])
    assert "does not exist" in refused(data.load_csv, tmp_path / "no.csv")
    assert "did you mean etth1" in refused(data.load, "etth")


def test_gaps_in_time_are_found_by_row():
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-05", "2020-01-06"], "M8[D]")
    assert data.time_gaps(days).tolist() == [2]
    months = np.arange("1949-01", "1951-01", dtype="M8[M]")  # 28 to 31 days: no gap
    assert data.time_gaps(months).tolist() == []
    assert data.time_gaps(np.array([0.0, 0.5, 1.0, 2.0, 2.5])).tolist() == [3]
    assert data.time_gaps(None).tolist() == []


@needs_data
@pytest.mark.parametrize(
    ("name", "shape", "gaps"),
    [
        ("etth1", (17420, 7), 0),
        ("airline", (144, 1), 0),
        ("sunspots", (2820, 1), 0),
        ("temperatures", (3650, 1), 2),  # 31 December 1984 and 1988 are absent
    ],
)
def test_real_series(name, shape, gaps):
    series = data.load(name)
    assert series.values.shape == shape
    assert len(data.time_gaps(series.times)) == gaps
    assert series.sha256 == data.SOURCES[name][1].sha256
    if name == "etth1":
        assert series.columns[-1] == "OT"
        assert series.values[0, 0] == 5.827000141143799
        parts = (0, 8640), (8640, 11520), (11520, 14400)
        assert (series.train, series.valid, series.test) == parts


def test_a_wrong_checksum_is_refused(tmp_path):
    folder = tmp_path / "ett"
    folder.mkdir()
    (folder / "ETTh1.csv").write_text("date,OT\n2016-07-01,1\n")
    assert "is not the published ett file" in refused(data.load, "etth1", tmp_path)


# ---------------------------------------------------------------- standardization


def test_standardization_uses_only_the_training_rows():
    series = data.sine()
    series.values[604:] += 1000
    standardized, scaling = data.standardize(series)
    train = standardized.values[:600]
    assert train.mean() == pytest.approx(0, abs=1e-12)
    assert train.std() == pytest.approx(1)
    back = standardized.values * scaling.std + scaling.mean
    np.testing.assert_allclose(back, series.values, rtol=1e-12)


def test_a_constant_column_is_refused(tmp_path):
    rows = "".join(f"{i},0.1\n" for i in range(90))
    series = data.load_csv(write(tmp_path, "a,b\n" + rows))
    sentence = refused(data.standardize, series)
    assert "'b' is 0.1 on all 48 training rows" in sentence


# ---------------------------------------------------------------- windows


@fuzz
@given(
    begin=st.integers(0, 12),
    size=st.integers(0, 12),
    tau=st.integers(1, 6),
    horizon=st.integers(1, 6),
)
def test_origins_are_all_that_fit_and_no_others(begin, size, tau, horizon):
    part, number = (begin, begin + size), 30
    rows_of = {o: range(o - tau, o + horizon) for o in range(-5, number)}
    want = [
        o
        for o, rows in rows_of.items()
        if rows[0] >= 0 and all(begin <= r < begin + size for r in rows[tau:])
    ]
    assert series_windows.origins(part, tau, horizon).tolist() == want


@pytest.mark.parametrize("starts", [[2, 3, 4], [5, 0, 5], [3], []])
def test_windows_hold_the_rows_from_their_starts(starts):
    values = np.arange(20.0).reshape(10, 2)
    starts = np.array(starts, int)
    found = series_windows.windows(values, starts, 4)
    assert found.shape == (4, len(starts), 2)
    for b, start in enumerate(starts):
        np.testing.assert_array_equal(found[:, b], values[start : start + 4])


def test_windows_of_consecutive_starts_copy_nothing():
    values = np.zeros((1000, 7))
    found = series_windows.windows(values, np.arange(100, 900), 50)
    assert np.shares_memory(found, values)


@fuzz
@given(number=st.integers(1, 40), batch_size=st.integers(1, 12))
def test_a_plan_holds_each_start_at_most_once(number, batch_size):
    starts = np.arange(number) + 100
    plan = series_windows.shuffled(np.random.default_rng(0), starts, batch_size)
    size = min(batch_size, number)
    assert plan.shape == (number // size, size) and plan.dtype == np.int32
    assert len(np.unique(plan)) == plan.size and np.isin(plan, starts).all()


@pytest.mark.parametrize("fewest", [1, 3, 4, 10])
def test_short_series_are_passed_over_until_there_are_enough_minibatches(fewest):
    rng = np.random.default_rng(0)
    plan = series_windows.shuffled_passes(rng, np.arange(9), 3, fewest)
    assert plan.shape == (3 * -(-fewest // 3), 3)
    for one_pass in np.split(plan, len(plan) // 3):
        assert sorted(one_pass.ravel()) == list(range(9))
    first = series_windows.shuffled(np.random.default_rng(0), np.arange(9), 3)
    np.testing.assert_array_equal(plan[:3], first)


def test_a_series_that_is_too_short_is_refused_with_the_needed_rows(tmp_path):
    path = write(tmp_path, "a\n" + "".join(f"{i % 7}\n" for i in range(90)))
    series = data.load_csv(path)  # 48, 12 and 30 rows
    series_windows.check_length(series, tau=40, horizon=8)
    assert "train part there are 48 rows" in refused(
        series_windows.check_length, series, 41, 8
    )
    assert "valid part there are 12 rows" in refused(
        series_windows.check_length, series, 20, 13
    )
    assert Path(path).exists()


@pytest.mark.parametrize("batch_size", [4, 7, 30])
def test_every_window_is_drawn_in_some_epoch(batch_size):
    starts = np.arange(3, 20)
    drawn = set()
    for seed in range(60):
        plan = series_windows.shuffled(np.random.default_rng(seed), starts, batch_size)
        assert len(set(plan.ravel().tolist())) == plan.size
        drawn |= set(plan.ravel().tolist())
    assert drawn == set(starts.tolist())
