"""Settings: checked values, flat names, defaults that depend on what is given."""

import dataclasses

import numpy as np
import pytest

from experiments.common.command_line import parse
from experiments.common.errors import UserError
from experiments.common.settings import Settings, entries, flag_line, setting, shown


@dataclasses.dataclass(frozen=True)
class Part(Settings):
    size: int = setting(3, "Size.", minimum=1, maximum=10)
    rate: float = setting(0.5, "Rate.", minimum=0)
    kind: str = setting("a", "Kind.", choices=("a", "b"))
    lengths: tuple[int, ...] = setting((1, 2), "Lengths.", minimum=1)
    kinds: tuple[str, ...] = setting(("a",), "Kinds.", choices=("a", "b"))
    is_on: bool = setting(False, "Whether it is on.")
    path: str | None = setting(None, "Path.", resumable=True)

    def check(self):
        if self.is_on and self.kind == "b":
            raise UserError("--is_on needs --kind=a.")


@dataclasses.dataclass(frozen=True)
class Whole(Settings):
    part: Part = Part(size=4)
    number: int = setting(7, "Number.")

    @classmethod
    def defaults(cls, given):
        return cls().replace(rate=2.0) if given.get("kind") == "b" else cls()


def test_choices_may_be_joined_by_commas():
    for kinds in ("b,a", ["b", "a"]):
        assert Whole.of(kinds=kinds).part.kinds == ("b", "a")
    with pytest.raises(UserError, match="--kinds: there is no kind 'c'"):
        Whole.of(kinds="a,c")


def test_values_are_reached_by_flat_names():
    config = Whole.of(size=5, number=8, path="x")
    assert config == Whole(Part(size=5, path="x"), number=8)
    assert Whole.of() == Whole()
    assert Whole().part.size == 4  # the default of the config, not of the class
    assert config.replace(rate=1.0).part == Part(size=5, path="x", rate=1.0)


def test_defaults_may_depend_on_what_is_given():
    assert Whole.of(kind="b").part.rate == 2.0
    assert Whole.of(kind="b", rate=0.1).part.rate == 0.1
    assert Whole.of(kind="a").part.rate == 0.5


def test_numbers_take_the_declared_type():
    part = Part(size=np.int64(2), rate=1, lengths=[np.int32(4)])
    assert (part.size, part.rate, part.lengths) == (2, 1.0, (4,))
    assert [type(part.size), type(part.rate), type(part.lengths[0])] == [
        int,
        float,
        int,
    ]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"size": 0}, "--size must be at least 1, got 0."),
        ({"size": 11}, "--size must be at most 10, got 11."),
        ({"size": 2.0}, "--size must be of type int, got 2.0."),
        ({"size": True}, "--size must be of type int, got True."),
        ({"size": None}, "--size must be of type int, got None."),
        ({"rate": float("nan")}, "--rate must be finite, got nan."),
        ({"rate": "1"}, "--rate must be of type float, got '1'."),
        ({"kind": "c"}, "--kind: there is no kind 'c'; there are a and b."),
        ({"lengths": (2, 0)}, "--lengths must be at least 1, got 0."),
        ({"lengths": "12"}, "--lengths must be a sequence, got '12'."),
        ({"is_on": 1}, "--is_on must be of type bool, got 1."),
        ({"is_on": True, "kind": "b"}, "--is_on needs --kind=a."),
        ({"sizes": 3}, "there is no setting 'sizes'; did you mean size?"),
    ],
    ids=str,
)
def test_what_is_not_allowed_is_named(given, sentence):
    with pytest.raises(UserError) as error:
        Whole.of(**given)
    assert str(error.value) == sentence


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Whole().number = 3
    assert hash(Whole()) == hash(Whole.of())


def test_entries_list_every_setting_once():
    found = {entry.name: entry for entry in entries(Whole())}
    names = ("size", "rate", "kind", "lengths", "kinds", "is_on", "path", "number")
    assert tuple(found) == names
    assert found["size"].value == 4
    assert [found["size"].group, found["number"].group] == ["part", ""]
    assert (found["lengths"].kind, found["lengths"].is_tuple) == (int, True)
    assert (found["path"].kind, found["path"].is_optional) == (str, True)
    assert [e.name for e in found.values() if e.resumable] == ["path"]


def test_values_as_flags_and_as_text():
    assert flag_line("size", 3) == "--size=3"
    assert flag_line("is_on", True) == "--is_on"
    assert flag_line("is_on", False) == "--nois_on"
    assert flag_line("lengths", (1, 2)) == "--lengths=1,2"
    assert flag_line("path", None) is None
    assert flag_line("path", "a\nb") is None  # a flag file has one line a flag
    assert [shown(v) for v in (None, False, (), (1, 2), 0.1)] == [
        *("none", "false", "none", "1,2", "0.1")
    ]


def write_flags(folder, config):
    lines = [flag_line(e.name, e.value) for e in entries(config)]
    text = "\n".join(["# a comment", *(line for line in lines if line)])
    (folder / "flags.txt").write_text(text + "\n")


@dataclasses.dataclass(frozen=True)
class Run(Settings):
    workdir: str = setting("runs/x", "Folder.")
    names: tuple[str, ...] = setting((), "Names.")
    part: Part = Part()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"size": 5, "rate": 0.1, "kind": "b", "lengths": (7,), "path": "a b=c"},
        {"is_on": True, "lengths": ()},
        {"names": ("a,b", 'quo"te', "c")},
    ],
    ids=str,
)
def test_the_settings_of_a_run_are_read_back(tmp_path, given):
    """From Python, and by the command line as a flag file."""
    config = Run.of(workdir=str(tmp_path), **given)
    write_flags(tmp_path, config)
    assert Run.of_run(tmp_path) == config
    assert Run.of_run(tmp_path, size=9) == config.replace(size=9)
    modes = {"train": None, "use": None}
    argv = [f"--workdir={tmp_path}", "--mode=use", "--size=9"]
    assert parse("", Run, modes, argv) == ("use", config.replace(size=9))


def test_a_run_that_is_not_there_or_has_other_settings_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        Run.of_run(tmp_path)
    (tmp_path / "flags.txt").write_text("--size=2\n--sise=3\n")
    with pytest.raises(
        UserError, match=r"flags.txt, line 2: there is no setting 'sise'"
    ):
        Run.of_run(tmp_path)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("--size=two", "cannot be parsed."),
        ("--size", "cannot be parsed."),
        ("--nosize", "cannot be parsed."),
        ("--is_on=true", "cannot be parsed."),
        ("--nois_on=", "there is no setting 'nois_on'"),
        ("--names=a\rb", "cannot be parsed."),
    ],
)
def test_a_damaged_line_of_a_run_is_named(tmp_path, line, sentence):
    (tmp_path / "flags.txt").write_text(f"--size=2\n{line}\n", newline="")
    with pytest.raises(UserError) as error:
        Run.of_run(tmp_path)
    assert "flags.txt, line 2" in str(error.value) and sentence in str(error.value)


def test_a_value_of_a_run_that_is_not_allowed_names_its_file(tmp_path):
    (tmp_path / "flags.txt").write_text("--size=-7\n")
    with pytest.raises(UserError, match=r"flags.txt: --size must be at least"):
        Run.of_run(tmp_path)


def test_paths_are_accepted(tmp_path):
    assert Run.of(workdir=tmp_path).workdir == str(tmp_path)


@dataclasses.dataclass(frozen=True)
class Files(Settings):
    """Every declaration that names files."""

    one: str | None = setting(None, "A file.")
    several: tuple[str, ...] = setting((), "Files.")
    perhaps: tuple[str, ...] | None = setting(None, "Files.")


@pytest.mark.parametrize("name", ["one", "several", "perhaps"])
def test_paths_and_texts_are_the_same(tmp_path, name):
    path = tmp_path / "a.txt"
    for given in (path, str(path)):
        found = getattr(Files.of(**{name: given}), name)
        assert found == (str(path) if name == "one" else (str(path),))
        if name != "one":
            several = Files.of(**{name: [given, path]})
            assert getattr(several, name) == (str(path), str(path))
    if name != "several":
        with pytest.raises(UserError, match=f"--{name} is empty"):
            Files.of(**{name: ""})
    with pytest.raises(UserError, match=f"--{name} must be (a sequence|of type str)"):
        Files.of(**{name: 5})
