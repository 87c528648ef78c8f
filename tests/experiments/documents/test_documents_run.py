"""The code and the commands in README.md and docs/ run, with short settings.

All commands of one name run in one folder, in the order of the documents, because later
ones use the runs of earlier ones. A command whose data set is absent is only parsed.
"""

import importlib
import os
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.common.command_line import parse
from experiments.common.settings import entries
from experiments.speech import data as speech_data
from seqjax.data import buckets
from tests.commands import run
from tests.tones import write_tones

ROOT = Path(__file__).parents[3]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TINY = ("--hidden_size=8", "--epochs=1", "--optimizer=sgd")
PLAIN = ("--cell=rnn", "--nobidirectional", *TINY)  # the programs that compile soonest
EMBEDDED = ("--embed_size=8", *PLAIN)
SHORT = {  # flags of the first mode; commands of other names are only parsed
    "classification": EMBEDDED,
    "forecasting": (*PLAIN, "--epoch_updates=1", "--tau=4", "--mlp_size=4"),
    "gradients": (
        *(*TINY, "--num_steps=10", "--lengths=5", "--cells=rnn"),
        *("--radii=1", "--forget_biases=1"),
    ),
    "hidden_markov": (
        *("--max_tokens=2000", "--num_states=3", "--num_steps=32"),
        *("--iterations=2", "--length=10"),
    ),
    "language_model": (
        *(*PLAIN, "--max_tokens=3000", "--num_steps=10", "--batch_size=8"),
        *("--num_layers=1", "--length=20"),
    ),
    "markov": ("--max_tokens=3000",),
    "ngrams": ("--max_tokens=3000", "--length=20"),
    "poems": (*EMBEDDED, "--samples=4", "--ngram_order=2", "--length=20"),
    "speech": (
        *(*PLAIN, "--num_mels=12", "--beam_size=1", "--examples=0"),
        *("--wav_dir=recordings", "--transcripts=words.tsv"),
    ),
    "tagging": EMBEDDED,
    "tokens": (),
    "translation": (
        *(*EMBEDDED, "--max_pairs=200", "--vocab_size=60", "--beam_size=1"),
        *("--figures=0", "--valid_sentences=20"),
    ),
}
BEFORE = {"language_model": "tokens"}  # it reads the files of the other command
SHORT_CODE = {"hidden_size=512": "hidden_size=8, num_steps=10, batch_size=8, epochs=1"}
NO_FILES = {
    *("apple", "grammar", "opinions", "python_docs", "regimes", "sine", "syllables"),
    *("verses", None),
}
SMALL_FILES = {"airline", "time_machine"}
OWN_DATA = ("corpus", "csv", "source_file", "train_file", "wav_dir")


def blocks(language: str) -> list[str]:
    """The blocks of code in a language, from all documents."""
    pattern = rf"```{language}\n(.*?)```"
    texts = [path.read_text(encoding="utf-8") for path in DOCUMENTS]
    return [code for text in texts for code in re.findall(pattern, text, re.DOTALL)]


def commands() -> dict[str, list[list[str]]]:
    """{name: arguments of each command of this name}, without repetitions."""
    found: dict[str, list[list[str]]] = {}
    for line in "".join(blocks("sh")).splitlines():
        if match := re.search(r"python -m experiments\.([\w.]+)(.*)", line):
            known = found.setdefault(match[1], [])
            if (arguments := shlex.split(match[2])) not in known:
                known.append(arguments)
    return found


COMMANDS = commands()


@pytest.fixture(autouse=True)
def one_padded_length(monkeypatch):
    """Each model is compiled for one length."""
    monkeypatch.setattr(buckets, "LENGTHS", (32,))
    monkeypatch.setattr(speech_data, "MIN_FRAMES", 256)


@pytest.fixture(autouse=True)
def own_files(tmp_path, monkeypatch):
    """The files that the documents name, in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    rng = np.random.default_rng(0)
    words = ["the", "class", "cat", "sat", "on", "a", "mat", "and", "ran", "Émile"]
    lines = [" ".join(rng.choice(words, 6)) for _ in range(300)]
    pairs = [(line, " ".join(reversed(line.split()))) for line in lines]
    documents = [f"{'cats' if 'cat' in line else 'mats'}\t{line}" for line in lines]
    tokens = {word: f"{word} {'B-animal' if word == 'cat' else 'O'}" for word in words}
    sentences = ["".join(f"{tokens[w]}\n" for w in line.split()) for line in lines]
    for name, content in {
        "my.txt": lines,
        "pairs.tsv": ["\t".join(pair) for pair in pairs],
        "a.de": [source for source, _ in pairs],
        "a.en": [target for _, target in pairs],
        "b.de": lines[:3],
        "b.en": lines[:3],
        "mails.tsv": documents,
        "more.tsv": documents[:3],
        "new.txt": lines[:3],
        "glove.txt": [f"{word} 1 2 3 4 5 6 7 {i}" for i, word in enumerate(words)],
        "sentences.txt": lines[:3],
        "my.conll": sentences,
        "poems.txt": [f"river:{line}." for line in lines],
        "my.csv": series(rng, "2020-01-01", "2020-02-01"),
        "newer.csv": series(rng, "2020-01-10", "2020-02-10"),
    }.items():
        text = "".join(f"{line}\n" for line in content)
        (tmp_path / name).write_text(text, encoding="utf-8")
    write_tones(tmp_path / "recordings", number=60)
    parts = sorted((tmp_path / "recordings").glob("*.tsv"))
    text = "".join(part.read_text() for part in parts)
    (tmp_path / "words.tsv").write_text(text)


def series(rng: np.random.Generator, begin: str, end: str) -> list[str]:
    """The rows of a CSV file with one value per hour."""
    hours = np.arange(begin, end, dtype="M8[h]")
    load = 100 + 10 * np.sin(np.arange(len(hours)) / 24) + rng.normal(size=len(hours))
    rows = zip(hours, load, strict=True)
    return ["date,load", *(f"{hour}:00,{value:.3f}" for hour, value in rows)]


def is_run(name: str, mode: str, config: Any) -> bool:
    """Whether a command has its data here, or else is only parsed."""
    values = {entry.name: entry.value for entry in entries(config)}
    if name not in SHORT:
        return False
    if mode not in ("train", "run", "measure"):
        return (Path(values["workdir"]) / "flags.txt").exists()
    if any(values.get(key) for key in OWN_DATA):
        return True
    dataset = values.get("dataset")
    has_files = dataset in SMALL_FILES and "SEQJAX_DATA_DIR" in os.environ
    return dataset in NO_FILES or has_files


@pytest.mark.parametrize("name", COMMANDS)
def test_documented_commands_run(name, monkeypatch, tmp_path):
    if name in BEFORE:
        run_commands(BEFORE[name], monkeypatch)
    run_commands(name, monkeypatch)


def run_commands(name, monkeypatch):
    module = name if "." in name else f"{name}.__main__"
    entry_module = importlib.import_module(f"experiments.{module}")
    parsed: list[tuple[str, Any]] = []

    def only_parse(description, config_class, modes, argv, **_):
        parsed.append(parse(description, config_class, modes, argv))

    runs = 0
    for arguments in COMMANDS[name]:
        with monkeypatch.context() as patch:
            patch.setattr(entry_module, "launch", only_parse)
            entry_module.main(arguments)
        mode, config = parsed.pop()
        if is_run(name, mode, config):
            short = SHORT[name] if mode in ("train", "run", "measure") else ()
            result = run(entry_module.main, *arguments, *short, stdin=b"the cat\n")
            assert result.code == 0, (arguments, result.err)
            runs += 1
    assert runs or name not in SHORT


def test_every_command_is_documented():
    folders = [path.parent.name for path in ROOT.glob("experiments/*/__main__.py")]
    assert set(folders) - {"compare", "sweep"} == set(SHORT) <= set(COMMANDS)


def test_the_code_of_documents_runs(tmp_path):
    names: dict[str, Any] = {}
    for code in blocks("python"):
        for long, short in SHORT_CODE.items():
            code = code.replace(long, short)
        exec(code, names)
    found = names["found"]
    shapes = found.tokens.shape, found.scores.shape, found.lengths.shape
    assert shapes == ((3, 5, 20), (3, 5), (3, 5))
    assert names["ys"].shape == (35, 32, 256)
    assert names["summary"]["test_perplexity"] > 1
    assert (tmp_path / "runs" / "mine" / "summary.json").exists()


@pytest.mark.parametrize("long", SHORT_CODE)
def test_settings_that_are_shortened_occur(long):
    assert any(long in code for code in blocks("python"))
