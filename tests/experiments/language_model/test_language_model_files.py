"""Files of the user: three parts, standard input, other texts, very short texts."""

import pytest

from experiments.language_model import Config
from experiments.language_model.__main__ import main
from experiments.language_model.data import fitted
from seqjax.data import corpora
from tests.commands import files, refused, run, summary
from tests.small_language_model import SMALL, write_corpus

NAMES = ("train", "valid", "test")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(corpus, its parts as files, a run on it)."""
    folder = tmp_path_factory.mktemp("own")
    corpus = write_corpus(folder / "my.txt")
    parts = corpora.load_files([corpus])
    for name in NAMES:
        (folder / f"{name},1.txt").write_text(getattr(parts, name))
    workdir = folder / "run"
    result = run(main, f"--corpus={corpus}", f"--workdir={workdir}", *SMALL)
    assert result.code == 0, result.err
    return corpus, [folder / f"{name},1.txt" for name in NAMES], workdir


def table(result):
    """{name: value} of a printed table."""
    rows = [line.split("│")[1:3] for line in result.out.splitlines() if "│" in line]
    return {name.strip(): value.strip() for name, value in rows}


def test_three_files_are_the_three_parts(trained, tmp_path):
    """Cut as one file is split they give the same numbers; a comma is quoted."""
    _, parts, workdir = trained
    quoted = ",".join(f'"{path}"' for path in parts)
    own = tmp_path / "run"
    result = run(main, f"--corpus={quoted}", f"--workdir={own}", *SMALL)
    assert result.code == 0 and "train,1.txt, rnn" in result.out
    found, want = summary(own), summary(workdir)
    for name in ("train_perplexity", "valid_perplexity", "test_perplexity", "sample"):
        assert found[name] == want[name]
    assert found["dataset_sha256"] != want["dataset_sha256"]
    again = run(main, f"--workdir={own}", "--mode=evaluate")
    assert table(again)["test perplexity"] == f"{want['test_perplexity']:.4f}"
    parts[2].write_text(parts[2].read_text() + "a")
    try:
        sentence = f"holds a run on other data than --corpus={quoted}"[:60]
        refused(run(main, f"--workdir={own}", "--mode=evaluate"), sentence)
    finally:
        parts[2].write_text(parts[2].read_text()[:-1])


def test_evaluate_scores_another_file(trained):
    corpus, parts, workdir = trained
    evaluate = (f"--workdir={workdir}", "--mode=evaluate")
    before, want = files(workdir), summary(workdir)
    result = run(main, *evaluate, f"--input={parts[2]}")
    assert result.code == 0 and "best checkpoint, " in result.out
    rows = table(result)
    assert rows["test perplexity"] == f"{want['test_perplexity']:.4f}"
    assert rows["test bits per character"] == f"{want['bits_per_character']:.4f}"
    assert "valid perplexity" not in rows
    piped = run(main, *evaluate, "--input=-", stdin=parts[2].read_bytes())
    assert table(piped) == rows and "standard input" in piped.out
    corpus.rename(corpus.with_suffix(".gone"))
    try:  # the file of the training text is not needed
        assert table(run(main, *evaluate, f"--input={parts[2]}")) == rows
    finally:
        corpus.with_suffix(".gone").rename(corpus)
    assert files(workdir) == before


def test_unknown_tokens_of_another_file_are_listed(trained):
    evaluate = (f"--workdir={trained[2]}", "--mode=evaluate", "--input=-")
    result = run(main, *evaluate, stdin="the cat, the Ж: cat Ж\n".encode())
    assert result.err == (
        "4 of 22 tokens are unknown, read as <unk>: 'Ж' (2 times), ',' and ':'.\n"
    )
    assert table(result)["test tokens unknown"] == "18.18%"
    refused(run(main, *evaluate, stdin=b"a"), "standard input is too short: it has 1")
    refused(run(main, *evaluate, stdin=b""), "standard input is empty")
    refused(run(main, *evaluate[:-1], "--input=no.txt"), "no.txt does not exist")
    refused(
        run(main, "--input=a.txt"),
        "--input is read in --mode=evaluate or score, not in",
    )


def test_own_text_from_standard_input(trained, tmp_path):
    corpus, _, workdir = trained
    flags = ("--corpus=-", f"--workdir={tmp_path / 'run'}", *SMALL)
    result = run(main, *flags, stdin=corpus.read_bytes())
    assert result.code == 0 and "standard input, rnn" in result.out
    found, want = summary(tmp_path / "run"), summary(workdir)
    assert found["test_perplexity"] == want["test_perplexity"]
    assert found["dataset_sha256"] == want["dataset_sha256"]
    refused(run(main, *flags), "standard input is empty")


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("a,b", "--corpus takes one file, or three for training, validation and test"),
        (
            "a,b,c,d",
            "got 4: a, b, c, d; a name that holds a comma is written in double",
        ),
        ("-,a,-", "--corpus: standard input (-) can be read only once."),
        ("", "--corpus is empty; give it a value or leave it out."),
        ("a,,b", "--corpus is empty; give it a value or leave it out."),
    ],
)
def test_other_numbers_of_files_are_refused(tmp_path, value, sentence):
    workdir = tmp_path / "run"
    refused(run(main, f"--corpus={value}", f"--workdir={workdir}"), sentence)
    assert not workdir.exists()


QUICK = ("--hidden_size=4", "--embed_size=4", "--epochs=1", "--length=2")


def test_a_short_text_shrinks_the_sizes_that_are_not_given(tmp_path):
    path = tmp_path / "short.txt"
    path.write_text("to be or not to be\n" * 20)  # 342 training tokens
    flags = (f"--corpus={path}", *QUICK)
    workdir = tmp_path / "run"
    result = run(main, *flags, f"--workdir={workdir}")
    assert result.code == 0
    assert result.err.splitlines()[0] == (
        "the training text has 342 tokens, too few for --batch_size=16 and "
        "--num_steps=48: --batch_size=1 and --num_steps=48 are used."
    )
    stored = (workdir / "flags.txt").read_text().splitlines()
    assert {"--batch_size=1", "--num_steps=48"} <= set(stored)
    again = run(main, *flags, f"--workdir={workdir}")  # the same sizes: it continues
    assert again.code == 0 and "continuing from step 7" in again.err
    for mode in ("evaluate", "generate"):
        assert run(main, f"--workdir={workdir}", f"--mode={mode}").code == 0
    explicit = ("--batch_size=1", "--num_steps=48", f"--workdir={workdir}")
    assert run(main, *flags, *explicit).code == 0


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({}, (1, 48)),
        ({"batch_size": 8}, (8, 6)),
        ({"num_steps": 340}, (1, 340)),
        ({"num_steps": 10}, (16, 10)),
        ({"batch_size": 32, "num_steps": 64, "shrink": ("num_steps",)}, (32, 2)),
        ({"cell": "numpy_rnn"}, (1, 48)),
    ],
    ids=str,
)
def test_sizes_that_are_not_given_are_lowered(given, sizes):
    train = fitted(Config.of(**given), 342).train
    assert (train.batch_size, train.num_steps) == sizes
    assert fitted(Config.of(**given), 10**6) == Config.of(**given)


@pytest.mark.parametrize(
    "given",
    [
        ("--batch_size=32", "--num_steps=64"),
        ("--batch_size=400",),
        ("--num_steps=342",),
    ],
)
def test_sizes_that_are_given_are_refused(tmp_path, given):
    path = tmp_path / "short.txt"
    path.write_text("to be or not to be\n" * 20)
    workdir = tmp_path / "run"
    result = run(main, f"--corpus={path}", *QUICK, f"--workdir={workdir}", *given)
    refused(result, "the training text has 342 tokens, too few for --batch_size=")
    assert "lower them." in result.err and not workdir.exists()
