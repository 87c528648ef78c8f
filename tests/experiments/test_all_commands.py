"""Laws over all commands: their help, defaults, names of settings and workdirs."""

import importlib
import io
import re
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from experiments.common.settings import entries, shown
from seqjax.data.names import nearest
from tests.commands import refused, run
from tests.typos import distance, typos

COMMANDS = (
    *("language_model", "translation", "classification", "tagging", "poems", "speech"),
    *("forecasting", "ngrams", "markov", "hidden_markov", "gradients"),
)
BENCHMARKS = ("baselines", "decoding", "recurrence", "training")
MODULES = [
    *(f"experiments.{name}.__main__" for name in COMMANDS),
    *(f"experiments.benchmarks.{name}" for name in BENCHMARKS),
]
RECIPES = sorted((Path(__file__).parents[2] / "experiments/recipes").glob("*.flags"))


def config_class(name):
    """The Config that a module launches with."""
    return importlib.import_module(name).Config


def parsed_help(name, *argv):
    """{flag: (help, default)} as --help prints them."""
    out = io.StringIO()
    with pytest.raises(SystemExit) as stop, redirect_stdout(out):
        importlib.import_module(name).main(["--help", *argv])
    assert stop.value.code == 0
    pattern = (
        r"^  --(?:\[no\])?(\w+)\n"
        r"((?:      (?!\(default).*\n)+)"
        r"      \(default: (.*)\)$"
    )
    found = re.findall(pattern, out.getvalue(), re.MULTILINE)
    return {flag: (" ".join(text.split()), default) for flag, text, default in found}


@pytest.mark.parametrize("name", MODULES)
def test_help_shows_the_defaults_that_are_used(name):
    found = parsed_help(name)
    config = config_class(name).of()
    defaults = {entry.name: shown(entry.value) for entry in entries(config)}
    assert {k: v for k, (_, v) in found.items() if k != "mode"} == defaults


def test_help_shows_the_defaults_of_what_is_given():
    """Defaults that depend on another setting are those of that setting."""
    name = "experiments.forecasting.__main__"
    found = parsed_help(name, "--dataset=airline")
    config = config_class(name).defaults({"dataset": "airline"})
    defaults = {entry.name: shown(entry.value) for entry in entries(config)}
    assert {k: v for k, (_, v) in found.items() if k != "mode"} == defaults
    assert found["horizon"][1] == "12" != parsed_help(name)["horizon"][1]


@pytest.mark.parametrize("name", MODULES)
def test_every_help_is_a_whole_sentence(name):
    for entry in entries(config_class(name)()):
        assert re.match(r"[A-Z]", entry.help), entry.name
        assert entry.help.endswith("."), entry.name
        assert len(entry.help.split()) > 1, entry.name


@pytest.mark.parametrize("name", MODULES)
def test_a_name_belongs_to_one_setting(name):
    names = [entry.name for entry in entries(config_class(name)())]
    assert len(names) == len(set(names))
    assert "mode" not in names


def test_a_name_has_one_type_in_every_command():
    kinds = {}
    for name in MODULES:
        for entry in entries(config_class(name)()):
            of_name = kinds.setdefault(entry.name, {})
            of_name.setdefault(entry.kind, []).append(name)
    differ = {name: of_kind for name, of_kind in kinds.items() if len(of_kind) > 1}
    assert differ == {}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_default_workdir_has_the_name_of_the_command(name):
    config = config_class(f"experiments.{name}.__main__")()
    assert config.run.workdir == f"runs/{name}"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_package_exports_its_modes(name):
    package = importlib.import_module(f"experiments.{name}")
    main = importlib.import_module(f"experiments.{name}.__main__")
    modes = getattr(main, "MODES", {"run": getattr(package, "run", None)})
    for mode in modes.values():
        assert getattr(package, mode.__name__) is mode
    assert package.Config is main.Config
    assert package.__doc__ and main.__doc__


@pytest.mark.parametrize("name", MODULES)
def test_mistakes_are_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main = importlib.import_module(name).main
    seed = "--seed must be at least 0, got -1."
    refused(run(main, "--seed=-1"), seed)
    refused(run(main, "--sed=1"), "there is no flag '--sed'; did you mean --seed")
    refused(run(main, "--seed=one"), "one")
    refused(run(main, "extra"), "unexpected argument 'extra'")
    refused(run(main, "--flagfile=nowhere.flags"), "nowhere.flags")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("--hidden_size=x", "--hidden_size=x: a whole number was expected."),
        ("--learning_rate=x", "--learning_rate=x: a number was expected."),
        ("--bfloat16=2", "--bfloat16=2: true or false was expected."),
    ],
)
def test_values_of_another_type_are_refused_in_plain_words(given, sentence):
    main = importlib.import_module("experiments.language_model.__main__").main
    refused(run(main, given), sentence)


def test_mistyped_names_of_settings_and_choices_are_found():
    """The right name is suggested, and only one as near comes before it."""
    checked = set()
    for command in COMMANDS:
        config = config_class(f"experiments.{command}.__main__")()
        kinds = {entry.name: list(entry.choices or ()) for entry in entries(config)}
        kinds["flag"] = [*kinds, "mode"]
        for kind, names in kinds.items():
            pairs = [(typo, right) for right in names for typo in typos(right)]
            for typo, right in pairs[::7]:  # all would take a minute
                if typo in names or len(typo) < 3 or (kind, typo) in checked:
                    continue
                checked.add((kind, typo))
                near = nearest(typo, names)
                assert right in near, (kind, typo)
                assert distance(typo, near[0]) <= 2 or near[0] == right, (typo, near)
    assert len(checked) > 1000


@pytest.mark.parametrize("name", COMMANDS)
def test_a_mistyped_flag_mode_or_choice_is_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"experiments.{name}.__main__")
    for given, meant in (("--work-dir=x", "workdir"), ("--workdirs=x", "workdir")):
        sentence = f"there is no flag '{given[:-2]}'; did you mean --{meant}?"
        refused(run(module.main, given), sentence)
    refused(run(module.main, "--xyzzy"), "there is no flag '--xyzzy'. --help lists")
    refused(run(module.main, "seeds=1"), "did you mean --seed?")
    refused(run(module.main, "--flagfil=x"), "did you mean --flagfile?")
    for entry in entries(module.Config()):
        if entry.choices:
            right = entry.choices[-1]
            wrong = right.upper()
            refused(
                run(module.main, f"--{entry.name}={wrong}"), f"did you mean {right}"
            )
            refused(run(module.main, f"--{entry.name}=xyzzy"), "there is no")
    for mode in getattr(module, "MODES", ()):
        refused(run(module.main, f"--mode={mode}s"), f"did you mean {mode}?")
        refused(run(module.main, mode), f"did you mean --mode={mode}?")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_name_settings_that_exist(path):
    text = path.read_text(encoding="utf-8")
    (command,) = set(re.findall(r"python -m experiments\.(\w+)", text))
    names = {e.name for e in entries(config_class(f"experiments.{command}.__main__")())}
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines
    for line in lines:
        name = line.removeprefix("--").partition("=")[0]
        assert name in names or name.removeprefix("no") in names, line
