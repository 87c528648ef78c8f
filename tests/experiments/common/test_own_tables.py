"""Tables as own files of the commands: the data are those of the same rows as text."""

import json

import numpy as np
import pytest

from experiments.classification import __main__ as classification
from experiments.classification.data import load_corpus as load_documents
from experiments.common.text import load_text
from experiments.forecasting import __main__ as forecasting
from experiments.forecasting.data import load_series
from experiments.language_model import __main__ as language_model
from experiments.tagging import __main__ as tagging
from experiments.tagging.data import load_corpus as load_sentences
from experiments.translation import __main__ as translation
from experiments.translation.data import load_pairs
from tests.commands import files, refused, run

NUMBER = 300
WORDS = ["the", "blue", "house", "of", "my", "old", "friend"]
TEXTS = [" ".join([*WORDS[: i % 7 + 1], str(i)]) for i in range(NUMBER)]
LABELS = ["odd" if i % 2 else "even" for i in range(NUMBER)]
TOKENS = [text.split() for text in TEXTS]
TAGS = [["B-x" if token.isdigit() else "O" for token in tokens] for tokens in TOKENS]


def conll(tokens, tags):
    return "".join(f"{t}\t{g}\n" for t, g in zip(tokens, tags, strict=True)) + "\n"


def as_text(*columns):
    return "".join("\t".join(map(str, r)) + "\n" for r in zip(*columns, strict=True))


def load_corpus(config):
    return load_text(config.data, None)[0]


def loaded_series(config):
    found = load_series(config.data, config.run, 4)
    return found._replace(values=found.values.tolist(), times=found.times.tolist())


# (command, flag of the files, columns, the same as text, other flags, loads the data)
CASES = {
    "language_model": (
        *(language_model, "corpus", {"my_text": TEXTS}, as_text(TEXTS)),
        *({"columns": ("my_text",)}, load_corpus),
    ),
    "classification": (
        *(classification, "corpus", {"y": LABELS, "x": TEXTS}, as_text(LABELS, TEXTS)),
        *({"columns": ("y", "x")}, lambda c: load_documents(c.data, None)),
    ),
    "tagging": (
        *(tagging, "train_file", {"tokens": TOKENS, "t": TAGS}),
        "".join(map(conll, TOKENS, TAGS)),
        *({"columns": ("tokens", "t")}, lambda c: load_sentences(c.data, None, False)),
    ),
    "translation": (
        *(translation, "corpus", {"a": TEXTS, "b": TEXTS[::-1]}),
        as_text(TEXTS, TEXTS[::-1]),
        *({"columns": ("a", "b")}, lambda c: load_pairs(c.data, None)),
    ),
    "forecasting": (
        *(forecasting, "csv", {"t": list(range(90)), "v": [i / 7 for i in range(90)]}),
        "t,v\n" + "".join(f"{i},{i / 7!r}\n" for i in range(90)),
        *({"time_column": "t"}, loaded_series),
    ),
}


@pytest.mark.parametrize("task", CASES)
def test_a_table_is_the_same_data_as_a_text(task, tmp_path):
    command, flag, columns, text, options, load = CASES[task]
    table, plain = tmp_path / "my.jsonl", tmp_path / "my.txt"
    rows = zip(*columns.values(), strict=True)
    table.write_text(
        "".join(json.dumps(dict(zip(columns, r, strict=True))) + "\n" for r in rows)
    )
    plain.write_text(text)
    kept = {k: v for k, v in options.items() if k != "columns"}
    found = load(command.Config.of(**{flag: (str(table),)}, **options))
    expected = load(command.Config.of(**{flag: (str(plain),)}, **kept))
    for name in expected._fields:
        if name not in ("name", "sha256"):
            np.testing.assert_equal(getattr(found, name), getattr(expected, name))


@pytest.mark.parametrize("task", CASES)
def test_a_column_that_is_not_there_ends_with_one_sentence(task, tmp_path):
    command, flag, columns, _, options, _ = CASES[task]
    path = tmp_path / "my.jsonl"
    path.write_text(json.dumps({name: values[0] for name, values in columns.items()}))
    chosen = {"time_column": "none"}
    if "columns" in options:
        chosen = {"columns": ",".join(("none", *options["columns"][1:]))}
    given = [f"--{name}={value}" for name, value in chosen.items()]
    workdir = tmp_path / "run"
    result = run(command.main, f"--{flag}={path}", f"--workdir={workdir}", *given)
    refused(result, f"{path}: there is no column 'none'; there ")
    assert all(name in result.err for name in columns)
    assert not workdir.exists() or not list(workdir.glob("*.json*"))


@pytest.mark.parametrize("task", [task for task in CASES if task != "forecasting"])
def test_columns_need_files_and_have_their_number(task, tmp_path):
    command, flag, _, _, options, _ = CASES[task]
    refused(run(command.main, "--columns=a"), f"--columns needs --{flag}.")
    names = ",".join("abc"[: len(options["columns"]) + 1])
    result = run(command.main, f"--{flag}=my.jsonl", f"--columns={names}")
    refused(result, f"got {', '.join(map(repr, names.split(',')))}.")


def test_other_columns_of_the_same_file_are_other_data(tmp_path):
    """A run is not continued with them, and nothing of it is changed."""
    path, workdir = tmp_path / "my.jsonl", tmp_path / "run"
    rows = (json.dumps({"a": text, "b": text[::-1]}) for text in TEXTS)
    path.write_text("".join(f"{row}\n" for row in rows))
    small = ("--hidden_size=4", "--embed_size=4", "--ngram_order=0", "--length=5")
    argv = (f"--corpus={path}", f"--workdir={workdir}", "--cell=rnn", *small)
    argv = (*argv, "--schedule=constant")
    assert run(language_model.main, *argv, "--columns=a", "--epochs=1").code == 0
    before = files(workdir)
    result = run(language_model.main, *argv, "--columns=b", "--epochs=2")
    refused(result, "holds a run on other data than")
    assert files(workdir) == before
