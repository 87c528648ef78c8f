"""The classification command end to end, in small."""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from seqjax.data.labeled import Split
from seqjax.data.tokenizers import Words
from tests.commands import Command, files, metrics, refused, returned, summary

ROOT = Path(__file__).parent.parent
SUMMARY_KEYS = {
    *("test_accuracy", "test_macro_f1", "test_perplexity"),
    *("valid_accuracy", "valid_macro_f1", "valid_perplexity"),
    *("naive_bayes_test_accuracy", "majority_test_accuracy"),
    *("parameters", "seconds", "documents_per_second", "dataset_sha256"),
}
SMALL = (
    *("--hidden_size=8", "--embed_size=8", "--batch_size=25", "--epochs=2"),
    *("--log_every=4", "--checkpoint_every=4", "--nobidirectional", "--dropout=0"),
    "--schedule=constant",
)
LEARN = ("--epochs=30", "--learning_rate=0.03", "--patience=0")


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    command = Command("experiments.classification", tmp_path_factory.mktemp("xla"))
    yield command
    command.close()


def write_documents(path, number=250):
    """Three letters, labelled by the first of them: order is all."""
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(number):
        letters = rng.permutation(list("abcde"))[:3]
        label = "vowel" if letters[0] in "ae" else "other"
        lines.append(f"{label}\t{' '.join(letters)} {rng.integers(10)}\n")
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_documents(tmp_path_factory.mktemp("data") / "own.tsv")


@pytest.fixture(scope="module")
def trained(command, corpus, tmp_path_factory):
    """(workdir, what training printed); not to be changed."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    result = train(command, corpus, workdir, *LEARN)
    assert result.code == 0, result.err
    return workdir, result.out


def train(command, corpus, workdir, *more):
    return command(f"--corpus={corpus}", f"--workdir={workdir}", *SMALL, *more)


def use(command, trained, mode, *more, stdin=b""):
    return command(f"--mode={mode}", f"--workdir={trained[0]}", *more, stdin=stdin)


def labels_of(texts):
    return ["vowel" if text[0] in "ae" else "other" for text in texts]


def test_train_writes_everything_it_promises_and_has_learnt(trained):
    workdir, out = trained
    numbers = summary(workdir)
    assert set(numbers) == SUMMARY_KEYS
    assert {p.name for p in workdir.iterdir()} == {
        *("flags.txt", "metrics.jsonl", "summary.json", "checkpoints", "vocab.json"),
        *("learning_curve.png", "confusion.png", "attention.png"),
    }
    assert numbers["test_accuracy"] > 0.9 > numbers["naive_bayes_test_accuracy"]
    for name in ("confusion", "attention"):
        assert (workdir / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for words in ("test macro F1", "accuracy of naive Bayes", "is vowel", "a["):
        assert words in out


def test_classify_answers_line_by_line(command, trained, tmp_path):
    texts = ["a d c 1", "", "d e a b 3", "c a e", "   ", "unheard of", "e b d 2"]
    stdin = "".join(f"{text}\n" for text in texts).encode()
    result = use(command, trained, "classify", stdin=stdin)
    assert result.code == 0, result.err
    rows = [line.split("\t") for line in result.out.splitlines()]
    assert len(rows) == len(texts)
    labels, probabilities = zip(*rows, strict=True)
    known = [i for i, text in enumerate(texts) if text.strip() and "un" not in text]
    assert [labels[i] for i in known] == labels_of(texts[i] for i in known)
    assert all(0.5 <= float(p) <= 1 for p in probabilities)
    assert rows[1] == rows[4]  # nothing to read: the bias alone
    assert "2 of 18 tokens are unknown" in result.err
    alone = use(command, trained, "classify", stdin=b"d e a b 3\n").out
    assert alone == "\t".join(rows[2]) + "\n"  # company changes nothing
    path, found = tmp_path / "in.txt", tmp_path / "out.txt"
    path.write_bytes(stdin)
    result = use(command, trained, "classify", f"--input={path}", f"--output={found}")
    assert result.out == "" and found.read_text().splitlines() == [
        "\t".join(row) for row in rows
    ]
    assert use(command, trained, "classify").out == ""


def write_lines(found):
    from experiments import lines

    lines.check_flags()
    lines.write(found)


def test_output_goes_where_it_says(command, tmp_path):
    """To a file, through a link or into a pipe, which all stay what they are."""

    def write(output, *found):
        return command(f"--output={output}", call=partial(write_lines, found))

    file, link, pipe = (tmp_path / name for name in ("file", "link", "pipe"))
    link.symlink_to(file)
    returned(write(link, "春", "b"))
    assert link.is_symlink() and file.read_text() == "春\nb\n"
    assert write(link, "\ud800").code  # half a character
    assert file.read_text() == "春\nb\n"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    returned(write(pipe, "a"))
    assert pipe.is_fifo() and os.read(reader, 9) == b"a\n"
    os.close(reader)
    assert {p.name for p in tmp_path.iterdir()} == {"file", "link", "pipe"}


def test_evaluate_finds_the_numbers_of_training(command, trained, tmp_path):
    before = files(trained[0])
    result = use(command, trained, "evaluate")
    assert result.code == 0, result.err
    assert f"{summary(trained[0])['test_accuracy']:.2%}" in result.out
    assert f"{summary(trained[0])['test_macro_f1']:.4f}" in result.out
    own = tmp_path / "own.tsv"
    own.write_text("vowel\ta c d 1\nother\td a 1\nvowel\td b c 2\n")
    result = use(command, trained, "evaluate", f"--input={own}")
    # F1 of each: "other" 2 / 3, "vowel" 2 / 3.
    assert "66.67%" in result.out and "0.6667" in result.out
    assert "most confidently wrong of 1" in result.out and "d b c 2" in result.out
    assert files(trained[0]) == before


def draw_figures(folder):
    from experiments import document_figures

    label = r"$\nothing$ $$"  # of which matplotlib would make no formula
    document_figures.draw_confusion(
        folder / "a.png", np.eye(2, dtype=int), [label, "b"]
    )
    shown = [(label, [label, "b"], [0.5, 0.5])]
    document_figures.draw_attention(folder / "b.png", shown)


def test_figures_take_any_label(command, tmp_path):
    returned(command(call=partial(draw_figures, tmp_path)))
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.png"}


def test_the_surest_mistake_comes_first(command, trained, tmp_path):
    own = tmp_path / "own.tsv"
    own.write_text("other\ta c d 1\nother\te b c 1\nother\td a e 2\nvowel\tc\n")
    flags = (f"--input={own}", "--examples=2", "--batch_size=3")
    out = use(command, trained, "evaluate", *flags).out
    table = out[out.index("most confidently wrong of 3") :].splitlines()
    rows = [line.split() for line in table if "vowel" in line or "other" in line]
    assert len(rows) == 2
    assert float(rows[0][-1]) >= float(rows[1][-1]) > 0.5


def print_wide():
    from experiments import classification

    split, names = Split(["春" * 200], ["a"]), ["a" * 20, "b" * 20]
    classification.print_wrong(split, np.array([0]), np.log([[0.25, 0.75]]), names)


def test_wide_documents_leave_the_other_columns_whole(command):
    result = command(call=print_wide)
    assert result.code == 0, result.err
    (row,) = (line for line in result.out.splitlines() if "春" in line)
    assert row.split()[-3:] == ["a" * 20, "b" * 20, "0.7500"]
    # 140 cells less 20 + 20 + 11 and the gaps, two for each character.
    assert 35 <= row.count("春") <= 44 and "…" in row


def test_resumed_is_uninterrupted_bit_for_bit(command, corpus, tmp_path):
    options = ("--dropout=0.3", "--word_dropout=0.1", "--pooling=max")
    whole = train(command, corpus, tmp_path / "whole", *options, "--epochs=3")
    assert whole.code == 0, whole.err
    for epochs in (1, 3):
        parts = (*options, f"--epochs={epochs}")
        assert train(command, corpus, tmp_path / "parts", *parts).code == 0
    whole, parts = (
        [{k: v for k, v in m.items() if "second" not in k} for m in metrics(folder)]
        for folder in (tmp_path / "whole", tmp_path / "parts")
    )
    assert whole == parts
    for key in SUMMARY_KEYS - {"seconds", "documents_per_second"}:
        assert summary(tmp_path / "whole")[key] == summary(tmp_path / "parts")[key]


@pytest.mark.parametrize(
    "more",
    [
        ("--pooling=last", "--bidirectional", "--level=char", "--locked_dropout"),
        (
            *("--pooling=mean", "--num_layers=2", "--cell=lstm", "--criterion=loss"),
            *("--label_smoothing=0.1", "--max_length=2", "--noclean"),
        ),
    ],
    ids=lambda more: more[0].removeprefix("--"),
)
def test_every_choice_trains_and_classifies(command, corpus, tmp_path, more):
    more = (*more, "--dropout=0.2", "--epochs=1")
    result = train(command, corpus, tmp_path / "run", *more)
    assert result.code == 0, result.err
    if "--max_length=2" in more:
        assert "documents are read to --max_length=2" in result.err
    result = use(command, (tmp_path / "run",), "classify", stdin=b"a b\n\n")
    assert result.code == 0 and len(result.out.splitlines()) == 2


def make_coder():
    from experiments import documents

    return documents.Coder(Words.train(["a b c"], "word", min_freq=1), ["x", "y"])


def note_unread():
    from experiments import documents

    coder, texts = make_coder(), ["a b", "c", "b c a", "", "a a a a"]
    documents.note_unread(coder, texts, coder.texts(texts))


@pytest.mark.parametrize(("length", "cut"), [(1, 3), (2, 2), (3, 1), (4, 0)])
def test_what_fills_the_length_is_not_cut(command, length, cut):
    """Of 2, 1, 3, 0 and 4 tokens, all known."""
    result = command(f"--max_length={length}", call=note_unread)
    said = f"{cut} documents are read to --max_length={length}.\n" if cut else ""
    assert (result.code, result.err) == (0, said)


def rates():
    from experiments import classification

    model = classification.build_model(make_coder())
    return model.dropout, model.locked, model.word_dropout


def test_the_model_has_the_rates_of_the_flags(command):
    flags = ("--dropout=0.25", "--locked_dropout", "--word_dropout=0.125")
    assert returned(command(*flags, call=rates)) == (0.25, True, 0.125)
    assert returned(command("--dropout=0.5", call=rates)) == (0.5, False, 0.0)


def test_folds_and_three_files(command, corpus, tmp_path):
    """Each fold has a test part of its own; three files are used as they are."""
    numbers = []
    for fold in (0, 1):
        more = ("--folds=4", f"--fold={fold}", "--epochs=1", "--examples=0")
        result = train(command, corpus, tmp_path / f"{fold}", *more)
        assert result.code == 0, result.err
        assert not (tmp_path / f"{fold}" / "attention.png").exists()
        numbers.append(summary(tmp_path / f"{fold}"))
    assert numbers[0]["dataset_sha256"] == numbers[1]["dataset_sha256"]
    assert numbers[0]["test_perplexity"] != numbers[1]["test_perplexity"]
    assert numbers[1]["valid_accuracy"] != numbers[0]["valid_accuracy"]
    other = train(command, corpus, tmp_path / "0", "--folds=4", "--fold=1")
    refused(other, "--fold (0 there, 1 here)")
    three = train(command, ",".join([str(corpus)] * 3), tmp_path / "3", "--epochs=1")
    assert three.code == 0 and "250, 250, 250" in three.out


BAD_FLAGS = {
    "--pooling=min": "did you mean mean",
    "--dataset=reviews": "did you mean movie_review",
    "--output=": "--output is empty",
    "--fold=3": "--fold is of documents in one file",
    "--split_seed=1 --corpus=a,b,c": "--split_seed is of documents in one file",
    "--fold=10": "--fold=10 must be below --folds=10",
    "--cell=gruu": "did you mean gru",
    "--weight_decay=0.1": "--weight_decay needs --optimizer=adamw",
}


@pytest.mark.parametrize(("flag", "sentence"), BAD_FLAGS.items(), ids=BAD_FLAGS)
def test_bad_flags_are_named(command, tmp_path, flag, sentence):
    refused(command(*flag.split(), f"--workdir={tmp_path / 'run'}"), sentence)
    assert not (tmp_path / "run").exists()


BAD_FILES = {
    "a\tone\nno tab\n": "own.tsv, line 2: a label, a tab and a text were expected",
    "a\tone\nb\t  \n": "own.tsv, line 2: a label, a tab and a text were expected",
    "a\tone\na\ttwo\n": "own.tsv has nothing in its",
    "".join(f"a\t{i}\n" for i in range(99)): "has the label 'a' alone",
    "": "is empty",
}


@pytest.mark.parametrize(("content", "sentence"), BAD_FILES.items())
def test_bad_files_are_named_and_nothing_is_written(
    command, tmp_path, content, sentence
):
    (tmp_path / "own.tsv").write_text(content)
    refused(train(command, tmp_path / "own.tsv", tmp_path / "run"), sentence)
    assert not (tmp_path / "run").exists()


def test_bad_input_is_named(command, trained, tmp_path):
    refused(train(command, tmp_path / "no", tmp_path / "run"), "does not exist")
    bad = tmp_path / "bad.tsv"
    bad.write_bytes(b"vowel\ta \xff\n")
    refused(train(command, bad, tmp_path / "run"), "byte offset 8")
    refused(use(command, trained, "classify", f"--input={bad}"), "byte offset 8")
    bad.write_text("vowel\ta b\n\nconsonant\tb a\n")
    result = use(command, trained, "evaluate", f"--input={bad}")
    refused(result, "bad.tsv, line 3: the label 'consonant' is none that training saw")
    three = f"{trained[0].parent}/none.tsv,{bad},{bad}"
    refused(train(command, three, tmp_path / "run"), "none.tsv does not exist")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("mode", ["evaluate", "classify"])
def test_no_run_in_the_workdir_is_said(command, tmp_path, mode):
    result = command(f"--mode={mode}", f"--workdir={tmp_path / 'none'}")
    refused(result, "holds no run")


def test_another_run_in_the_workdir_is_refused_and_left_alone(
    command, trained, corpus, tmp_path
):
    before = files(trained[0])
    refused(
        train(command, corpus, trained[0], *LEARN, "--pooling=max"),
        "--pooling (attention there, max here)",
    )
    other = write_documents(tmp_path / "other.tsv", number=260)
    result = train(command, other, trained[0], *LEARN)
    refused(result, "holds a run on other data")
    assert files(trained[0]) == before


@pytest.mark.parametrize("name", ["confusion.png", "attention.png"])
def test_figures_without_a_run_are_left_alone(command, tmp_path, name):
    (tmp_path / name).touch()
    refused(command(f"--workdir={tmp_path}"), f"holds {name} but no flags.txt")


def test_patience_ends_the_run(command, corpus, tmp_path):
    more = ("--patience=2", "--epochs=50", "--learning_rate=0")
    assert train(command, corpus, tmp_path / "run", *more).code == 0
    validations = [m for m in metrics(tmp_path / "run") if "valid_accuracy" in m]
    assert len(validations) == 3


def test_the_flags_of_the_recipe_go_together(command, tmp_path):
    recipe = ROOT / "experiments" / "recipes" / "movie_review.flags"
    flags = (f"--flagfile={recipe}", "--mode=evaluate")
    refused(command(*flags, f"--workdir={tmp_path / 'none'}"), "holds no run")
