"""Defaults that depend on others, and mistakes: one sentence and exit code 2."""

from pathlib import Path

import pytest

from experiments.translation import Config
from experiments.translation.__main__ import main
from tests import commands
from tests.commands import files, refused
from tests.small_translation import WELL, train, use, write_pairs

ROOT = Path(__file__).parents[3]

BAD_FLAGS = {
    "--attention=general2": "there is no attention 'general2'",
    "--length_penalty=long": "there is no length_penalty 'long'",
    "--n_best=9": "--n_best=9 needs a --beam_size of at least 9",
    "--bidirectional --hidden_size=25": "--bidirectional halves --hidden_size",
    "--bidirectional --bridge=copy": 'bridge="copy" needs an encoder',
    "--bridge=mean": "there is no bridge 'mean'",
    "--embed_size=0": "--embed_size must be at least 1, got 0",
    "--subword_sampling=0.1": "--subword_sampling needs --level=subword",
    "--source_file=a.txt": "--source_file and --target_file belong together",
    "--max_length=1": "no pair to train on is left",
    "--attention=none --coverage=0.2": "--coverage needs a model with attention",
    "--dataset=fra": "did you mean fra_eng",
}


@pytest.mark.parametrize(("flag", "sentence"), BAD_FLAGS.items(), ids=BAD_FLAGS)
def test_bad_flags_are_named(corpus, tmp_path, flag, sentence):
    refused(train(corpus, tmp_path / "run", *flag.split()), sentence)
    assert not (tmp_path / "run").exists()


def test_bad_pairs_are_named_and_nothing_is_written(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_text("go .\tva !\nno tab here\n")
    refused(train(path, tmp_path / "run"), "pairs.tsv, line 2")
    path.write_text("go .\tva !\n")
    refused(train(path, tmp_path / "run"), "has no pair in its")
    refused(train(tmp_path / "no", tmp_path / "run"), "does not exist")
    assert not (tmp_path / "run").exists()


def test_another_run_in_the_workdir_is_refused_and_left_alone(
    trained, corpus, tmp_path
):
    before = files(trained)
    result = train(corpus, trained, *WELL, "--attention=dot")
    refused(result, "--attention (general there, dot here)")
    other = write_pairs(tmp_path / "other.tsv", number=310)
    result = train(other, trained, *WELL)
    refused(result, "holds a run on other data")
    assert files(trained) == before


@pytest.mark.parametrize("mode", ["evaluate", "translate", "interactive"])
def test_a_workdir_without_a_run_is_refused(tmp_path, mode):
    refused(use(tmp_path / "none", mode), "holds no run")


@pytest.mark.parametrize("name", ["multi30k", "fra_eng", "fra_eng_textbook"])
def test_recipes_are_accepted(tmp_path, name):
    recipe = ROOT / "experiments" / "recipes" / f"{name}.flags"
    result = use(tmp_path / "none", "evaluate", f"--flagfile={recipe}")
    refused(result, "holds no run")


def test_bad_input_and_ensembles_are_named(trained, tmp_path):
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"red \xff cat\n")
    refused(use(trained, "translate", f"--input={bad}"), "byte offset 4")
    refused_line = use(trained, "interactive", stdin=b"red \xff cat\n")
    assert (refused_line.code, refused_line.out) == (2, "")
    assert "standard input is not UTF-8" in refused_line.err
    missing = f"--input={tmp_path / 'missing.txt'}"
    refused(use(trained, "translate", missing), "does not exist")
    none = f"--ensemble={tmp_path / 'none'}"
    refused(use(trained, "translate", none, stdin=b"dog\n"), "holds no run")
    full = "--output=/proc/none/out.txt"
    refused(use(trained, "translate", full, stdin=b"dog\n"), "/proc/none")


def test_only_words_are_cleaned_by_default():
    assert Config().data.clean
    assert not Config.of(level="char").data.clean
    assert not Config.of(level="subword").data.clean
    assert Config.of(level="subword", clean=True).data.clean
    assert not Config.of(clean=False).data.clean
    for flags, default in ((), "true"), (("--level=char",), "false"):
        shown = commands.run(main, *flags, "--help").out.partition("--[no]clean")[2]
        assert shown.partition("(default: ")[2].startswith(f"{default})")
