"""The language model command: its modes, files and choices."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

from experiments.language_model import Config, modes
from experiments.language_model import train as train_from_python
from experiments.ngrams import Config as NgramsConfig
from experiments.ngrams import run as count
from seqjax.data import batching, corpora
from tests.commands import files, metrics, summary
from tests.small_language_model import (
    ROOT,
    SMALL,
    SUMMARY_KEYS,
    arrays,
    command,
    saved_steps,
    start,
    train,
)

needs_data = pytest.mark.skipif(
    "SEQJAX_DATA_DIR" not in os.environ, reason="needs real data in SEQJAX_DATA_DIR"
)


def test_train_writes_everything_it_promises(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert train(corpus, workdir, "--epochs=6", "--learning_rate=0.02") == 0
    assert set(summary(workdir)) == SUMMARY_KEYS
    assert {p.name for p in workdir.iterdir()} == {
        *("report.html", "flags.txt", "metrics.jsonl", "summary.json", "checkpoints"),
        *("learning_curve.png", "vocab.json", "model"),
    }
    png = (workdir / "learning_curve.png").read_bytes()
    assert png.startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert "test perplexity" in out
    assert summary(workdir)["sample"] in out
    assert len(summary(workdir)["sample"]) == 1 + 20
    vocab = len({*corpus.read_text()[:2160]}) + 1
    assert summary(workdir)["test_perplexity"] < vocab / 2  # it has learnt
    digest = hashlib.sha256(corpus.read_bytes()).hexdigest()
    assert summary(workdir)["dataset_sha256"] == digest
    steps = [line["step"] for line in metrics(workdir)]
    assert steps == sorted(steps)
    n = (2160 - 1) // 40
    assert steps[-1] == 6 * n
    perplexities = [
        m["valid_perplexity"] for m in metrics(workdir) if "valid_perplexity" in m
    ]
    assert len(perplexities) == 6
    assert min(perplexities) == pytest.approx(summary(workdir)["valid_perplexity"])


def test_compiled_programs_are_kept_in_the_users_cache(corpus, tmp_path, monkeypatch):
    """So that a second start begins to train at once; a user's own choice stands."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    kept = {}
    for name in ("cache", "mine"):
        if name == "mine":
            monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "mine"))
            monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
        else:
            monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
        assert start(corpus, tmp_path / f"run_{name}", "--epochs=1").wait() == 0
        kept[name] = {p.name for p in (tmp_path / name).rglob("*train_loop*")}
    assert kept["cache"]
    assert "cache/seqjax/xla/" in str(next((tmp_path / "cache").rglob("*train_loop*")))
    assert kept["mine"]


def test_bits_per_character_is_log2_perplexity_of_characters(small_run):
    got = summary(small_run)
    assert got["bits_per_character"] == pytest.approx(np.log2(got["test_perplexity"]))


def test_the_n_grams_are_those_of_their_own_command(corpus, tmp_path, capsys):
    train(corpus, tmp_path / "run", "--ngram_order=3")
    config = NgramsConfig.of(corpus=corpus, workdir=tmp_path / "ngrams", order=3)
    want = count(config)["test_perplexity_kneser_ney_3"]
    assert summary(tmp_path / "run")["kneser_ney_perplexity"] == want
    assert f"(Kneser-Ney, order 3) │ {want:.3f}" in capsys.readouterr().out
    assert Config.of().train.ngram_order == 8
    assert Config.of(level="word").train.ngram_order == 5


def test_without_n_grams_none_are_counted(corpus, tmp_path, capsys):
    train(corpus, tmp_path / "run", "--ngram_order=0")
    assert summary(tmp_path / "run")["kneser_ney_perplexity"] is None
    assert "Kneser-Ney" not in capsys.readouterr().out


def test_a_long_text_is_not_counted_with_a_note(corpus, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(modes, "MAX_COUNTED", 2159)
    train(corpus, tmp_path / "run")
    assert summary(tmp_path / "run")["kneser_ney_perplexity"] is None
    assert "2,160 tokens: n-grams are counted for comparison" in capsys.readouterr().err


def test_flags_file_is_accepted_back(small_run, tmp_path):
    first, second = small_run, tmp_path / "second"
    assert command(f"--flagfile={first / 'flags.txt'}", f"--workdir={second}") == 0
    clock = {"seconds": 0, "tokens_per_second": 0}
    assert summary(first) | clock == summary(second) | clock


@pytest.mark.parametrize(
    "more",
    [
        ("--cell=rnn", "--init=normal", "--optimizer=sgd", "--schedule=constant"),
        ("--cell=rnn_relu", "--init=orthogonal", "--schedule=plateau", "--decay=0.5"),
        ("--cell=gru", "--num_layers=2", "--dropout=0.3", "--sampling=random"),
        ("--cell=gru_textbook", "--optimizer=adamw", "--weight_decay=0.1"),
        (
            "--cell=lstm",
            "--forget_bias=1",
            "--tie_embeddings",
            "--embed_size=12",
            "--clip_norm=0",
        ),
        (
            "--softmax=adaptive",
            "--clusters=4,9",
            "--tie_embeddings",
            "--embed_size=12",
        ),
        ("--schedule=exponential", "--train_tokens=500", "--eval_rows=3"),
        ("--level=word", "--num_steps=3", "--top_k=3", "--min_freq=2"),
        ("--embed_size=0", "--max_tokens=200", "--temperature=0", "--checkpoint=last"),
        ("--eval_rows=100000",),
        ("--cell=numpy_rnn", "--embed_size=0"),
        ("--cell=numpy_rnn", "--embed_size=0", "--sampling=random"),
    ],
    ids=" ".join,
)
def test_every_choice_runs(corpus, tmp_path, more):
    assert train(corpus, tmp_path / "run", *more) == 0
    got = summary(tmp_path / "run")
    assert all(np.isfinite(v) for v in got.values() if isinstance(v, float))


def test_words_are_spread_over_the_characters_of_the_text(corpus, tmp_path):
    """Bits per character at the word level, from the perplexity and the raw text."""
    workdir = tmp_path / "run"
    train(corpus, workdir, "--level=word", "--num_steps=3")
    text = corpus.read_text(encoding="utf-8")
    test = text[len(text) * 95 // 100 :]
    words = sum(len(line.split()) + 1 for line in test.split("\n")) - 1
    nats = (words - 1) * np.log(summary(workdir)["test_perplexity"])
    expected = nats / np.log(2) / len(test)
    assert summary(workdir)["bits_per_character"] == pytest.approx(expected)
    sample = summary(workdir)["sample"]
    assert "  " not in sample
    assert "\n " not in sample


def test_generation_varies_with_the_seed_alone(small_run, capsys):
    outs = []
    for seed in (0, 1, 1):
        capsys.readouterr()
        argv = (f"--workdir={small_run}", "--mode=generate", "--length=40")
        assert command(*argv, f"--seed={seed}") == 0
        outs.append(capsys.readouterr().out)
    assert outs[0] != outs[1] == outs[2]


def test_a_corpus_may_move(corpus, tmp_path, capsys):
    workdir = tmp_path / "[" / "x]"  # "[/x]" is markup to the printer of tables
    train(corpus, workdir)
    moved = corpus.rename(tmp_path / "moved[bold].txt")
    capsys.readouterr()
    assert train(moved, workdir) == 0
    assert "moved[bold].txt, rnn" in capsys.readouterr().out
    assert command(f"--workdir={workdir}", "--mode=evaluate") == 0


def test_train_tokens_ends_the_run(corpus, tmp_path):
    assert train(corpus, tmp_path / "run", "--train_tokens=1000") == 0
    assert metrics(tmp_path / "run")[-1]["step"] == 25


def test_evaluate_and_generate_need_only_the_workdir(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    train(corpus, workdir)
    before = files(workdir)
    expected = summary(workdir)
    capsys.readouterr()
    assert command(f"--workdir={workdir}", "--mode=evaluate") == 0
    out = capsys.readouterr().out
    assert f"{expected['test_perplexity']:.4f}" in out
    corpus.unlink()
    generate = (f"--workdir={workdir}", "--mode=generate")
    assert command(*generate) == 0
    assert capsys.readouterr().out == expected["sample"] + "\n"
    assert command(*generate, "--prompt=the cat", "--length=30", "--temperature=0") == 0
    greedy = capsys.readouterr().out
    assert greedy.startswith("the cat")
    assert len(greedy) == 7 + 30 + 1
    assert command(*generate, "--prompt=the cat", "--length=30", "--top_k=1") == 0
    assert capsys.readouterr().out == greedy
    assert files(workdir) == before


def test_unknown_characters_of_a_prompt_are_noted(small_run, capsys):
    capsys.readouterr()
    code = command(f"--workdir={small_run}", "--mode=generate", "--prompt=the Ж#")
    captured = capsys.readouterr()
    assert code == 0
    assert captured.err.count("\n") == 1
    assert "['#', 'Ж']" in captured.err
    assert captured.out.startswith("the Ж#")


@pytest.mark.parametrize("cell", ["rnn", "numpy_rnn"])
@pytest.mark.parametrize("sampling", ["sequential", "random"])
def test_state_starts_afresh_where_it_should(corpus, tmp_path, sampling, cell):
    """Sequential: at each epoch; random: at each minibatch. At a rate of zero the
    second epoch's perplexity is that of the first weights."""
    still = ("--learning_rate=0", "--optimizer=sgd", "--schedule=constant")
    still = (*still, "--dropout=0", "--embed_size=0", "--clip_norm=0")
    workdir = tmp_path / "run"
    train(corpus, workdir, f"--cell={cell}", f"--sampling={sampling}", *still)
    saved = arrays(workdir / "checkpoints/last" / str(saved_steps(workdir)[-1]))
    w_x, w_h, b = (saved[f".params.cell.{n}"] for n in ("w_x", "w_h", "b"))
    w, c = saved[".params.out.w"], saved[".params.out.b"]

    tokens = corpora.tokenize_corpus(corpora.load_files([corpus]), "char").train
    read = {
        "sequential": batching.sequential_partition,
        "random": batching.random_sampling,
    }[sampling]
    total, h = 0.0, np.zeros((4, 12))
    plan = read(batching.epoch_rng(0, 1), len(tokens), 4, 10)
    for starts in plan:
        h = np.zeros_like(h) if sampling == "random" else h
        for t in range(10):
            h = np.tanh(w_x[tokens[starts + t]] + h @ w_h + b)
            logits = h @ w + c
            label = logits[np.arange(4), tokens[starts + t + 1]]
            total += np.sum(np.log(np.exp(logits).sum(-1)) - label)
    expected = np.exp(total / (plan.size * 10))
    assert summary(workdir)["train_perplexity"] == pytest.approx(expected, rel=1e-5)


def test_numpy_rnn_alone_runs_with_settings_that_suit_it(corpus, tmp_path):
    workdir = tmp_path / "run"
    sizes = ("--hidden_size=12", "--batch_size=4", "--num_steps=10", "--epochs=5")
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *sizes, "--length=5")
    assert command("--cell=numpy_rnn", *argv) == 0
    stored = (workdir / "flags.txt").read_text().splitlines()
    assert {"--optimizer=sgd", "--embed_size=0", "--clip_norm=0.0"} <= set(stored)
    perplexities = [
        m["valid_perplexity"] for m in metrics(workdir) if "valid_perplexity" in m
    ]
    assert perplexities[-1] < perplexities[0]


def test_default_dataset_is_embedded(tmp_path, monkeypatch):
    monkeypatch.setenv("SEQJAX_DATA_DIR", str(tmp_path / "nothing"))
    argv = ("--train_tokens=400", f"--workdir={tmp_path / 'run'}", *SMALL)
    assert command(*argv) == 0
    got = summary(tmp_path / "run")
    assert got["dataset_sha256"] == corpora.load("python_docs").sha256
    assert got["sample"].startswith("The ")


@needs_data
@pytest.mark.parametrize(
    "more",
    [
        ("--dataset=time_machine", "--prompt=The Time Traveller!"),
        (
            *("--dataset=tang_poems", "--min_freq=500", "--eval_rows=256"),
            "--max_tokens=100000",
        ),
    ],
    ids=lambda more: more[0],
)
def test_real_corpora_train(tmp_path, more):
    more = ("--train_tokens=400", "--ngram_order=0", *more)
    argv = (f"--workdir={tmp_path / 'run'}", *SMALL, *more)
    assert command(*argv) == 0
    got = summary(tmp_path / "run")
    assert np.isfinite(got["test_perplexity"])
    if "time_machine" in more[0]:
        assert got["sample"].startswith("the time traveller")


@needs_data
@pytest.mark.parametrize(
    "recipe",
    sorted((ROOT / "experiments" / "recipes").glob("time_machine*.flags")),
    ids=lambda p: p.stem,
)
def test_recipes_start(tmp_path, recipe):
    argv = (f"--flagfile={recipe}", f"--workdir={tmp_path / 'run'}", "--eval_rows=64")
    short = ("--train_tokens=1", "--length=5", "--ngram_order=0")
    assert command(*argv, *short) == 0
    assert metrics(tmp_path / "run")[-1]["step"] == 1


def test_errors_come_out_of_a_real_process(tmp_path):
    argv = [sys.executable, "-m", "experiments.language_model", "--corpus=nowhere.txt"]
    done = subprocess.run(
        [*argv, f"--workdir={tmp_path / 'run'}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert (
        done.stderr == "error: nowhere.txt does not exist; a text file was expected.\n"
    )


def test_two_runs_with_other_settings_share_a_process(corpus, tmp_path):
    """Settings are values: what one run is given does not reach the other."""
    sizes = {"batch_size": 4, "num_steps": 10, "epochs": 1, "length": 20}
    found = {}
    for cell, hidden_size in (("gru", 8), ("lstm", 12), ("gru", 8)):
        workdir = tmp_path / f"{cell}{len(found)}"
        config = Config.of(
            corpus=str(corpus),
            workdir=str(workdir),
            cell=cell,
            hidden_size=hidden_size,
            **sizes,
        )
        returned = train_from_python(config)
        assert returned == summary(workdir)
        found[workdir.name] = returned | {"seconds": 0, "tokens_per_second": 0}
    assert found["gru0"] == found["gru2"]
    assert found["gru0"]["parameters"] != found["lstm1"]["parameters"]
