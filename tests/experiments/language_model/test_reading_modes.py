"""Evaluation with a cache and by dynamic evaluation, and scores of every token."""

import json
import os
import shutil
import threading

import numpy as np
import pytest

from experiments.language_model import Config, evaluate
from experiments.language_model.generation import until
from seqjax.metrics import perplexity
from tests.small_language_model import command, refused, train, write_corpus


@pytest.fixture
def other(tmp_path):
    """A text that the model has not read."""
    path = tmp_path / "other.txt"
    path.write_text("the cat ran on a mat\n\nand the mat sat Émile\nthe end" * 3)
    return path


def evaluated(workdir, capsys, *more):
    """The table of --mode=evaluate."""
    capsys.readouterr()
    assert command(f"--workdir={workdir}", "--mode=evaluate", *more) == 0
    rows = capsys.readouterr().out.split("\n")
    cells = [[c.strip() for c in row.strip("│").split("│")] for row in rows]
    return {cell[0]: cell[1] for cell in cells if len(cell) == 2}


@pytest.mark.parametrize(
    "flags",
    [
        ("--cache=50", "--cache_share=0.05"),
        ("--dynamic=sgd", "--dynamic_rate=0.05"),
        ("--dynamic=rms", "--dynamic_steps=5"),
        ("--dynamic=rms", "--cache=50"),
    ],
)
def test_a_model_adapts(finished, capsys, flags):
    plain = evaluated(finished, capsys)
    found = evaluated(finished, capsys, *flags)
    assert found.keys() == plain.keys()
    for part in ("valid", "test"):
        one, two = (float(t[f"{part} perplexity"]) for t in (plain, found))
        assert one != two
        assert 0.5 * one < two < 1.1 * one


def test_nothing_changes_where_nothing_is_learned(finished, capsys):
    flags = ("--dynamic=sgd", "--dynamic_rate=0", "--cache=50", "--cache_share=0")
    tables = evaluated(finished, capsys), evaluated(finished, capsys, *flags)
    one, two = (
        {k: v for k, v in table.items() if "per word" not in k} for table in tables
    )
    assert one == two


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (
            ("--cache=100000",),
            "longer than the valid part, which has 120",
        ),
        (("--dynamic=adam",), "there is no dynamic 'adam'"),
        (("--cache=-1",), "--cache must be at least 0, got -1"),
        (("--cache_share=1",), "--cache_share must be at most 0.999, got 1"),
        (("--cache_share=0.2",), "--cache_share needs --cache"),
        (("--dynamic_rate=0.2",), "--dynamic_rate needs --dynamic=sgd or rms"),
        (("--cache=9", "--eval_rows=3"), "need --eval_rows=1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(finished, capsys, flags, named):
    argv = (f"--workdir={finished}", "--mode=evaluate", *flags)
    assert named in refused(capsys, *argv)


@pytest.mark.parametrize("flags", [(), ("--dynamic=sgd", "--cache=20")], ids=str)
def test_scores_add_up_to_the_perplexity(finished, other, capsys, flags):
    argv = (f"--workdir={finished}", f"--input={other}", *flags)
    capsys.readouterr()
    assert command("--mode=score", *argv) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    text = other.read_text()
    assert [line["text"] for line in lines] == text.split("\n")
    assert "".join(t for line in lines for t in line["tokens"]) == text
    scores = [x for line in lines for x in line["log_probabilities"]]
    assert scores[0] is None
    assert len(scores) == len(text)
    for line in lines:
        own = [x for x in line["log_probabilities"] if x is not None]
        assert line["log_probability"] == pytest.approx(sum(own))
        assert len(line["tokens"]) == len(line["log_probabilities"])
    config = Config.of_run(finished, input=str(other))
    found = evaluate(config.replace(**flags_of(flags)))["test_perplexity"]
    expected = perplexity(-sum(scores[1:]), len(scores) - 1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def flags_of(flags):
    pairs = (flag.removeprefix("--").split("=") for flag in flags)
    return {name: int(x) if x.isdecimal() else x for name, x in pairs}


def test_a_pipe_is_read_once_and_whole(finished, tmp_path, capsys):
    """Longer than what looking at its beginning reads."""
    pipe, text = tmp_path / "pipe", "the cat sat on a mat\n" * 1000
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(text))
    writer.start()
    table = evaluated(finished, capsys, f"--input={pipe}")
    writer.join()
    assert table["test tokens"] == f"{len(text):,}"


def test_scores_need_one_row(finished, other, capsys):
    argv = (f"--workdir={finished}", f"--input={other}", "--eval_rows=3")
    assert "it needs --eval_rows=1" in refused(capsys, "--mode=score", *argv)


def test_rows_may_change_after_a_run_that_validations_decide(corpus, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(corpus, run, "--averaging=nt_asgd", "--eval_rows=4") == 0
    assert evaluated(run, capsys, "--cache=20", "--eval_rows=1")


def test_scores_are_written_to_a_file(finished, other, tmp_path, capsys):
    target = tmp_path / "scores.jsonl"
    argv = (f"--workdir={finished}", f"--input={other}", f"--output={target}")
    assert command("--mode=score", *argv) == 0
    assert len(target.read_text().splitlines()) == 10
    assert "needs --input" in refused(capsys, f"--workdir={finished}", "--mode=score")


@pytest.mark.parametrize("level", ["word", "byte", "subword"])
def test_every_level_trains_scores_and_generates(tmp_path, other, capsys, level):
    corpus, run = write_corpus(tmp_path / "corpus.txt"), tmp_path / "run"
    more = ("--subwords=40",) if level == "subword" else ()
    more += ("--batch_size=2", "--num_steps=5", f"--level={level}", "--epochs=1")
    assert train(corpus, run, *more) == 0
    table = evaluated(run, capsys)
    assert float(table["test bits per byte"]) > 0
    if level == "word":
        assert table["test perplexity per word"] == table["test perplexity"]
    argv = (f"--workdir={run}", f"--input={other}")
    assert command("--mode=score", *argv) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == 10
    assert command(f"--workdir={run}", "--mode=generate", "--prompt=the cat") == 0
    assert capsys.readouterr().out.startswith("the cat")


# -------------------------------------------------------------- generation


def generated(workdir, capsys, *more):
    capsys.readouterr()
    argv = (f"--workdir={workdir}", "--mode=generate", "--temperature=1", "--length=60")
    assert command(*argv, *more) == 0
    return capsys.readouterr().out


def test_several_samples_are_drawn_at_once(finished, capsys):
    texts = generated(finished, capsys, "--num_samples=3").split("\n---\n")
    assert len(texts) == 3
    assert len(set(texts)) == 3


def test_a_text_ends_before_a_stop_string(finished, capsys):
    whole = generated(finished, capsys, "--prompt=the")
    middle = whole[20:23]
    cut = generated(finished, capsys, "--prompt=the", f'--stop="{middle}",never')
    assert whole.startswith(cut.removesuffix("\n"))
    assert cut.removesuffix("\n") == whole[: 3 + whole[3:].index(middle)]


def test_a_stop_string_may_come_in_pieces():
    pieces = ["a", "b", "ab", "c", "d"]  # ab abc d
    assert "".join(until(pieces, ["abc"])) == "ab"
    assert "".join(until(pieces, ["abd"])) == "ababcd"
    assert "".join(until(pieces, [])) == "ababcd"
    assert list(until(pieces, []))[:2] == ["a", "b"]  # as they come


@pytest.mark.parametrize("flag", ["--min_p=0.5", "--repetition_penalty=3"])
def test_every_flag_changes_the_text(finished, capsys, flag):
    assert generated(finished, capsys) != generated(finished, capsys, flag)


# -------------------------------------------------------------- own corpora


def test_a_split_of_sizes_is_used(corpus, tmp_path, capsys):
    run = tmp_path / "run"
    assert train(corpus, run, "--split=2000,200,200") == 0
    assert evaluated(run, capsys)["test tokens"] == "200"


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--split=90,5",), "--split takes three sizes"),
        (("--split=90,10,0",), "--split must be at least 1, got 0"),
        (("--split=9000,500,500",), "adds up to 10,000"),
        (
            ("--split=50,25,25", "--corpus=a,b,c"),
            "needs a --corpus of one file",
        ),
        (("--level=byte", "--min_freq=2"), "--min_freq needs --level=char or word"),
        (("--subwords=50",), "--subwords needs --level=subword"),
        (("--noeos_per_line",), "--noeos_per_line needs --level=word or subword"),
    ],
)
def test_settings_of_a_corpus_that_do_not_fit(corpus, tmp_path, capsys, flags, named):
    argv = (f"--corpus={corpus}", f"--workdir={tmp_path / 'run'}", *flags)
    assert named in refused(capsys, *argv)
    assert not (tmp_path / "run").exists()


def test_two_equal_files_are_refused(corpus, tmp_path, capsys):
    same = shutil.copy(corpus, tmp_path / "same.txt")
    (tmp_path / "test.txt").write_text("the cat sat\n" * 9)
    files = f"--corpus={corpus},{tmp_path / 'test.txt'},{same}"
    found = refused(capsys, files, f"--workdir={tmp_path / 'run'}")
    assert f"{corpus} and {same} hold the same text" in found
