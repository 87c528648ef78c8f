"""The tokens command, and training from its files."""

import shutil

import numpy as np
import pytest

from experiments.tokens.__main__ import main
from seqjax.data.corpora import load_files, tokenize_corpus
from seqjax.data.token_files import open_corpus
from tests.commands import refused, run, summary
from tests.small_language_model import command, train, write_corpus

PARTS = ("train", "valid", "test")


def files(folder):
    return ",".join(f"{folder}/{part}.tokens" for part in PARTS)


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus.txt")


@pytest.mark.parametrize("level", ["char", "word", "byte", "subword"])
def test_the_files_have_the_tokens_of_the_corpus(corpus, tmp_path, level):
    more = ("--split=60,20,20", *("--subwords=40",) * (level == "subword"))
    argv = (f"--corpus={corpus}", f"--output={tmp_path / 'out'}", f"--level={level}")
    assert run(main, *argv, *more).code == 0
    opened = open_corpus(files(tmp_path / "out").split(","))
    text = load_files([corpus], None, (60, 20, 20), level == "byte")
    expected = tokenize_corpus(text, level, num_subwords=40)
    for file, part in zip(opened, PARTS, strict=True):
        np.testing.assert_array_equal(file.read(), getattr(expected, part))
    assert opened[0].tokenizer.describe() == expected.tokenizer.describe()


@pytest.mark.parametrize(
    "more",
    [(), ("--vary_steps",), ("--sampling=random",), ("--partial_shuffle",)],
    ids=str,
)
def test_training_from_files_is_training_from_memory(corpus, tmp_path, more):
    more += ("--train_tokens=1500", "--log_every=5")
    tokens = ("--level=char", f"--output={tmp_path / 'out'}", f"--corpus={corpus}")
    assert run(main, *tokens).code == 0
    assert train(corpus, tmp_path / "memory", *more) == 0
    assert train(files(tmp_path / "out"), tmp_path / "files", *more) == 0
    one, two = (summary(tmp_path / name) for name in ("memory", "files"))
    for key in ("train_perplexity", "valid_perplexity", "test_perplexity", "sample"):
        assert one[key] == two[key]


def test_a_run_on_files_is_evaluated_and_resumed(corpus, tmp_path, capsys):
    run(main, "--level=char", f"--output={tmp_path / 'out'}", f"--corpus={corpus}")
    workdir, flags = tmp_path / "run", ("--schedule=constant",)
    assert train(files(tmp_path / "out"), workdir, *flags) == 0
    assert train(files(tmp_path / "out"), workdir, *flags, "--epochs=3") == 0
    argv = (f"--workdir={workdir}", "--mode=evaluate")
    for more in ((), (f"--input={tmp_path}/out/valid.tokens",), ("--dynamic=rms",)):
        assert command(*argv, *more) == 0
    assert "test perplexity" in capsys.readouterr().out


def test_files_that_do_not_fit_are_named(corpus, tmp_path):
    from experiments.language_model.__main__ import main as language_model

    folder, words = tmp_path / "out", tmp_path / "words"
    run(main, "--level=char", f"--output={folder}", f"--corpus={corpus}")
    run(main, "--level=word", f"--output={words}", f"--corpus={corpus}")
    workdir = f"--workdir={tmp_path / 'run'}"

    def attempt(*parts, more=()):
        names = ",".join(map(str, parts))
        return run(language_model, f"--corpus={names}", workdir, *more)

    train_file, valid, test = (folder / f"{part}.tokens" for part in PARTS)
    refused(attempt(train_file), "three were expected")
    refused(attempt(train_file, test, valid), "has the test part of a corpus")
    refused(attempt(words / "train.tokens", valid, test), "another vocabulary than")
    refused(attempt(train_file, valid, test, more=("--level=word",)), "--level=char")
    more = ("--level=char",)
    refused(attempt(corpus, valid, test, more=more), "valid.tokens is a token file")
    refused(
        attempt(train_file, valid, test, more=("--min_freq=2",)), "--min_freq is for"
    )
    refused(attempt(train_file, valid, test, more=("--cell=numpy_rnn",)), "on texts")
    content = test.read_bytes()
    test.write_bytes(content[:-2])
    refused(attempt(train_file, valid, test), "test.tokens is truncated")
    test.write_bytes(content)
    assert (
        attempt(train_file, valid, test, more=("--epochs=1", "--hidden_size=4")).code
        == 0
    )
    shutil.rmtree(folder)
    of_words = (workdir, f"--input={words / 'test.tokens'}")
    refused(
        run(language_model, "--mode=evaluate", *of_words),
        "words/test.tokens was made with another vocabulary than the model",
    )
    refused(
        run(language_model, "--mode=score", *of_words),
        "is a token file; --mode=score takes a text",
    )


def test_the_ends_of_lines_are_those_of_the_files(corpus, tmp_path):
    from experiments.language_model.__main__ import main as language_model

    flags = ("--level=word", "--noeos_per_line")
    run(main, *flags, f"--output={tmp_path / 'out'}", f"--corpus={corpus}")
    argv = (f"--corpus={files(tmp_path / 'out')}", f"--workdir={tmp_path / 'run'}")
    result = run(language_model, *argv, "--level=word")
    refused(result, "was made with --noeos_per_line; give it here, too")
    small = ("--epochs=1", "--hidden_size=4", "--batch_size=2", "--num_steps=5")
    assert run(language_model, *argv, *flags, *small).code == 0
    test = tmp_path / "out" / "test.tokens"
    result = run(language_model, *argv[1:], "--mode=evaluate", f"--input={test}")
    assert result.code == 0, result.err


def test_mistakes_leave_nothing(corpus, tmp_path):
    output = f"--output={tmp_path / 'out'}"
    refused(run(main, output), "--corpus is needed")
    refused(run(main, output, "--corpus=none.txt"), "none.txt cannot be read")
    refused(run(main, output, "--corpus=-"), "read twice")
    refused(run(main, output, f"--corpus={corpus}", "--split=9,9,9999"), "adds up to")
    refused(run(main, output, "--corpus=a.jsonl"), "is JSON lines; a text was expected")
    refused(
        run(main, output, f"--corpus={tmp_path}"), "is no file; a text was expected"
    )
    tiny = tmp_path / "tiny.txt"
    tiny.write_text("a")
    other = write_corpus(tmp_path / "other.txt")
    other.write_text(other.read_text() + "more")
    three = f"--corpus={corpus},{other}"
    refused(run(main, output, f"{three},{tiny}"), "the test part has")
    refused(run(main, output, f"{three},{other}"), "hold the same tokens")
    assert not (tmp_path / "out").exists()
    refused(run(main, output, f"--corpus={corpus}", "--level=line"), "no level 'line'")
    assert run(main, output, f"--corpus={corpus}").code == 0
    before = (tmp_path / "out" / "train.tokens").read_bytes()
    refused(run(main, output, f"--corpus={corpus}"), "has a train.tokens already")
    assert (tmp_path / "out" / "train.tokens").read_bytes() == before
