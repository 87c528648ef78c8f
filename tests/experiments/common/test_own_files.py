"""No flag of any command that names files or columns falls back if it is empty."""

import importlib

import pytest

from experiments.common.settings import entries
from tests.commands import refused, run

COMMANDS = (
    *("language_model", "translation", "classification", "tagging", "poems", "speech"),
    *("forecasting", "ngrams", "markov", "hidden_markov", "gradients"),
)
FLAGS = [
    (command, entry)
    for command in COMMANDS
    for entry in entries(
        importlib.import_module(f"experiments.{command}.config").Config()
    )
    if entry.kind is str and entry.is_optional
]
OF_FILES = {
    *("corpus", "csv", "train_file", "valid_file", "test_file", "source_file"),
    *("target_file", "wav_dir", "transcripts", "input", "output", "references"),
    *("ensemble", "vectors", "attention_dir", "data_dir", "target", "time_column"),
}


def test_all_flags_of_files_may_be_left_out():
    """Then the law below holds for them."""
    assert {entry.name for _, entry in FLAGS} >= OF_FILES


@pytest.mark.parametrize(
    ("command", "entry"), FLAGS, ids=[f"{c} --{e.name}" for c, e in FLAGS]
)
def test_an_empty_flag_is_refused(tmp_path, command, entry):
    main = importlib.import_module(f"experiments.{command}.__main__").main
    for value in ("", "a,,b") if entry.is_tuple else ("",):
        argv = (f"--workdir={tmp_path / 'run'}", f"--{entry.name}={value}")
        refused(run(main, *argv), f"--{entry.name} is empty; give it a value or leave")
    assert not (tmp_path / "run").exists()
