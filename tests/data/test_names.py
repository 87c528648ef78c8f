"""Suggestions for names that do not exist."""

import pytest

from seqjax.data.names import nearest, unknown_name
from tests.typos import distance, typos

DATASETS = ("python_docs", "time_machine", "wikitext2", "tang_poems", "regimes")
COLUMNS = ("date", "Sales (EUR)", "store-id", "MixedCase", "温度")


@pytest.mark.parametrize("name", [*DATASETS, *COLUMNS[:4]])
def test_the_right_name_is_suggested(name):
    names = DATASETS if name in DATASETS else COLUMNS
    for typo in typos(name):
        if typo not in names:
            assert nearest(typo, names)[0] == name, typo


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ("regime", ["regimes"]),
        ("wiki", ["wikitext2"]),
        ("python", ["python_docs"]),
        ("poem", ["tang_poems"]),
        ("pythons", ["python_docs"]),
        ("PYTHON-DOCS", ["python_docs"]),
        ("docs", []),
        ("", []),
        ("x", []),
    ],
)
def test_what_is_suggested(given, near):
    assert nearest(given, DATASETS) == near


def test_names_that_are_as_near_are_all_suggested():
    assert nearest("rnm", ["rnn", "gru", "lstm"]) == ["rnn"]
    assert nearest("top", ["top_p", "top_k", "stop"]) == ["top_p", "top_k", "stop"]
    assert nearest("file", ["file_1", "file_2", "file_3", "file_4"]) == [
        *("file_1", "file_2", "file_3")
    ]
    assert nearest("a", []) == []


def test_the_sentence():
    assert unknown_name("cell", "lsmt", ["gru", "lstm"]) == (
        "there is no cell 'lsmt'; did you mean lstm?"
    )
    assert unknown_name("cell", "cnn2d", ["gru", "lstm", "mgu"]) == (
        "there is no cell 'cnn2d'; there are gru, lstm and mgu."
    )
    assert unknown_name("cell", "x", ["gru"]) == (
        "there is no cell 'x'; there is only gru."
    )
    many = [f"column {i}" for i in range(13)]
    assert unknown_name("column", "price", many) == "there is no column 'price'."


def test_the_distance_of_names():
    pairs = {("", "abc"): 3, ("abc", "abd"): 1, ("abc", "acb"): 2, ("ab", "b"): 1}
    assert {pair: distance(*pair) for pair in pairs} == pairs
