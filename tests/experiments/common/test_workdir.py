"""The files of a run: what is declared, kept, compared and refused."""

import pytest

from experiments.common.errors import UserError
from experiments.common.workdir import FORMAT, Workdir
from experiments.language_model import Config
from tests.commands import files, metrics, summary

CONFIG = Config()


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
    with pytest.raises(UserError, match=r"--hidden_size \(256 there, 12 here\)"):
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
