"""The files of a run: what is declared, kept, compared and refused."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments.common.errors import UserError
from experiments.common.stored_settings import FORMAT
from experiments.common.workdir import Workdir
from experiments.language_model import Config
from tests.commands import files, metrics, summary

CONFIG = Config()


JSON_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(), st.text()
)
NUMPY = st.one_of(
    st.floats(width=32).map(np.float32),
    st.floats().map(np.float64),
    st.integers(-100, 100).map(np.int64),
    st.booleans().map(np.bool_),
    st.lists(st.floats(), max_size=3).map(np.array),
)
TREES = st.recursive(
    JSON_LEAVES | NUMPY,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(), inner, max_size=3),
    ),
)


def same(found, given):
    """Whether JSON holds a value: null for nan and infinity, lists for arrays."""
    if isinstance(given, dict):
        return found.keys() == given.keys() and all(
            same(found[k], v) for k, v in given.items()
        )
    if isinstance(given, list | tuple | np.ndarray):
        return len(found) == len(given) and all(map(same, found, given))
    if isinstance(given, float | np.floating) and not np.isfinite(given):
        return found is None
    return found == given


@settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(tree=TREES)
def test_json_is_strict_at_any_depth(tmp_path, tree):
    workdir = Workdir(tmp_path, Config())

    def refuse(name):
        raise AssertionError(name)

    workdir.write_summary({"a": tree})
    text = (tmp_path / "summary.json").read_text(encoding="utf-8")
    assert same(json.loads(text, parse_constant=refuse), {"a": tree})
    workdir.rewind_metrics(-1)
    workdir.log(step=1, a=tree)
    (line,) = (tmp_path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    assert same(json.loads(line, parse_constant=refuse), {"step": 1, "a": tree})


def test_json_holds_null_for_what_is_not_finite(tmp_path):
    workdir = Workdir(tmp_path, CONFIG)
    workdir.write_summary({"a": float("inf"), "b": float("nan"), "c": 1.5, "d": "x"})
    expected = {"a": None, "b": None, "c": 1.5, "d": "x"}
    assert summary(tmp_path) == expected
    workdir.log(**expected | {"a": float("inf")})
    assert metrics(tmp_path) == [expected]


def test_only_declared_files_have_a_path(tmp_path):
    workdir = Workdir(tmp_path, CONFIG, ("figure.png", "attention_*.png"))
    assert workdir.file("figure.png") == tmp_path / "figure.png"
    assert workdir.file("attention_3.png") == tmp_path / "attention_3.png"
    assert workdir.file("summary.json") == tmp_path / "summary.json"
    with pytest.raises(ValueError, match=r"other\.png is not among the declared"):
        workdir.file("other.png")


@pytest.mark.parametrize("name", ["summary.json", "attention_12.png", "checkpoints"])
def test_declared_files_without_a_run_are_left_alone(tmp_path, name):
    (tmp_path / name).write_text("precious")
    (tmp_path / "unrelated.txt").write_text("")
    with pytest.raises(UserError, match=r"holds .* but no flags.txt"):
        Workdir(tmp_path, CONFIG, ("attention_*.png",)).check()
    assert (tmp_path / name).read_text() == "precious"
    (tmp_path / name).unlink()
    Workdir(tmp_path, CONFIG, ("attention_*.png",)).check()


def finished(path, config=CONFIG, free=()):
    workdir = Workdir(path, config, free=free)
    with workdir.open_for_training():
        workdir.write_summary({})
    return workdir


def test_a_run_of_the_first_version_is_refused_by_name(tmp_path):
    finished(tmp_path)
    flags = tmp_path / "flags.txt"
    flags.write_text(flags.read_text().removeprefix(FORMAT + "\n"))
    before = files(tmp_path)
    with pytest.raises(UserError, match=r"holds a run of seqjax 0\.1"):
        Workdir(tmp_path, CONFIG).check()
    assert files(tmp_path) == before


def test_other_settings_are_refused_unless_they_are_free(tmp_path):
    finished(tmp_path)
    other = Config.of(hidden_size=12, dropout=0.25, bidirectional=False)
    with pytest.raises(UserError, match=r"--hidden_size \(448 there, 12 here\)"):
        Workdir(tmp_path, other).check()
    Workdir(tmp_path, other, free={"hidden_size", "dropout"}).check()
    Workdir(tmp_path, CONFIG).check()


def test_a_setting_that_the_run_did_not_know_had_its_default(tmp_path):
    finished(tmp_path)
    flags = tmp_path / "flags.txt"
    flags.write_text(flags.read_text().replace("--num_layers=1\n", ""))
    Workdir(tmp_path, CONFIG).check()
    with pytest.raises(UserError, match=r"--num_layers \(not set there, 2 here\)"):
        Workdir(tmp_path, Config.of(num_layers=2)).check()


def test_an_empty_workdir_is_refused():
    with pytest.raises(UserError, match="--workdir is empty; a folder was expected"):
        Config.of(workdir="")


def test_only_declared_files_are_written(tmp_path):
    workdir = Workdir(tmp_path, CONFIG, ("table.tsv",))
    workdir.write("table.tsv", "a")
    with pytest.raises(ValueError, match=r"other\.tsv is not among the declared"):
        workdir.write("other.tsv", "b")
    assert {p.name for p in tmp_path.iterdir()} == {"table.tsv"}


@pytest.mark.parametrize(
    "content", ["[1]", "5", '"ab"', "[" * 99_999, '{"a":' * 99_999, '{"a": 1', ""]
)
def test_damaged_json_is_one_sentence(tmp_path, content):
    """Also values of another type, and values that are nested too deeply."""
    workdir = Workdir(tmp_path, CONFIG)
    for name, read in (
        ("summary.json", workdir.read_summary),
        ("metrics.jsonl", workdir.read_metrics),
        ("vocab.json", workdir.read_vocab),
    ):
        (tmp_path / name).write_text(content)
        if name == "metrics.jsonl" and not content:
            continue
        with pytest.raises(UserError, match=f"{name} is damaged and cannot be parsed"):
            read()
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{content}')
    workdir.rewind_metrics(1)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\n'


@pytest.mark.parametrize("tokens", ["5", '["<unk>", 5]', '["<unk>", []]', "{}", "null"])
def test_a_vocabulary_that_holds_no_strings_is_damaged(tmp_path, tokens):
    (tmp_path / "vocab.json").write_text(f'["0", {tokens}]')
    with pytest.raises(UserError, match=r"vocab\.json is damaged"):
        Workdir(tmp_path, CONFIG).read_vocab()
