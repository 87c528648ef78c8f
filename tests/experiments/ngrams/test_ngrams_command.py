"""The n-grams command end to end, in small, and every bad input."""

import json
import math
import os
from collections import Counter
from functools import partial

import numpy as np
import pytest

from experiments.ngrams import Config
from experiments.ngrams import evaluate as evaluate_from_python
from experiments.ngrams.__main__ import main
from seqjax.baselines import ngram
from seqjax.data import corpora
from seqjax.data.ngrams import count_ngrams
from tests.commands import files, refused, run, summary

needs_data = pytest.mark.skipif(
    "SEQJAX_DATA_DIR" not in os.environ, reason="needs real data in SEQJAX_DATA_DIR"
)


command = partial(run, main)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """About 6,000 characters of 12 words, the frequent ones as by Zipf."""
    rng = np.random.default_rng(0)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "ran", "Émile", "to", "it"]
    weights = 1 / np.arange(1, 12)
    text = " ".join(rng.choice(words, 1500, p=weights / weights.sum()))
    path = tmp_path_factory.mktemp("data") / "corpus.txt"
    path.write_text(text.replace("it ", "it\n"), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def ran(corpus, tmp_path_factory):
    """(workdir, result) of a run at the default flags; not to be changed."""
    workdir = tmp_path_factory.mktemp("ran") / "run"
    result = command(f"--corpus={corpus}", f"--workdir={workdir}")
    assert result.code == 0, result.err
    return workdir, result


def loop_perplexity(model, tokens):
    """Token by token, each from all before it."""
    total = 0.0
    for t in range(1, len(tokens)):
        total -= math.log(model.distribution(tokens[:t])[tokens[t]])
    return math.exp(total / (len(tokens) - 1))


def test_it_writes_what_it_promises(ran):
    workdir, result = ran
    assert {p.name for p in workdir.iterdir()} == {
        *(
            "report.html",
            "flags.txt",
            "summary.json",
            "frequencies.tsv",
            "rank_frequency.png",
        ),
    }
    assert (workdir / "rank_frequency.png").read_bytes().startswith(b"\x89PNG")
    numbers = summary(workdir)
    for n in range(1, 6):
        for name in ("laplace", "kneser_ney"):
            assert f"{numbers[f'test_perplexity_{name}_{n}']:.3f}" in result.out
        assert f"{numbers[f'distinct_{n}']:,}" in result.out
    for name in ("laplace", "kneser_ney"):
        text = numbers[f"sample_{name}"].replace("<unk>", "?")
        assert len(text) == 1 + 300  # the prompt is one token
    assert numbers["sample_kneser_ney"] in result.out


@pytest.mark.parametrize("level", ["char", "word"])
def test_perplexities_are_those_of_a_plain_loop(corpus, tmp_path, level):
    flags = (f"--level={level}", "--order=3", "--length=0")
    result = command(f"--corpus={corpus}", f"--workdir={tmp_path / 'run'}", *flags)
    assert result.code == 0, result.err
    numbers = summary(tmp_path / "run")
    text = corpora.load_files([corpus])
    vocab, train, _, test = corpora.tokenize_corpus(text, level)
    assert numbers["vocabulary"] == len(vocab)
    assert numbers["train_tokens"] == len(train)
    assert numbers["dataset_sha256"] == text.sha256
    for order in (1, 3):
        counts = count_ngrams(train, len(vocab), order)
        models = {
            "laplace": ngram.laplace(counts, numbers["epsilons"][:order]),
            "kneser_ney": ngram.kneser_ney(counts),
        }
        for name, model in models.items():
            want = loop_perplexity(model, test.tolist())
            got = numbers[f"test_perplexity_{name}_{order}"]
            assert got == pytest.approx(want, rel=1e-9)


def test_given_epsilons_are_used_and_samples_follow_prompt_and_seed(corpus, tmp_path):
    def sample(name, *more):
        flags = ("--order=2", "--eps=1,0.5", "--prompt=the c", "--length=40", *more)
        workdir = tmp_path / name
        result = command(f"--corpus={corpus}", f"--workdir={workdir}", *flags)
        assert result.code == 0, result.err
        assert summary(workdir)["epsilons"] == [1, 0.5]
        text = summary(workdir)["sample_kneser_ney"].replace("<unk>", "?")
        assert text.startswith("the c") and len(text) == 45
        return text

    first = sample("a")
    assert sample("b") == first != sample("c", "--seed=1")


def test_frequencies_are_the_frequent_ngrams(ran, corpus):
    lines = (ran[0] / "frequencies.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "order\trank\tcount\tngram"
    text = corpora.load_files([corpus]).train
    rows = [line.split("\t") for line in lines[1:]]
    assert {row[0] for row in rows} == set("12345")
    for order, rank, count, quoted in rows:
        n, shown = int(order), json.loads(quoted)
        windows = [text[i : i + n] for i in range(len(text) - n + 1)]
        if rank == "1":
            assert int(count) == max(Counter(windows).values())
        if int(rank) <= 5:
            assert len(shown) == n and windows.count(shown) == int(count)


def test_an_epsilon_of_0_may_give_an_infinite_perplexity(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("ab" * 450 + "bb" * 25 + "abaa" * 13)
    flags = ("--order=2", "--eps=0,0", f"--workdir={tmp_path / 'run'}")
    result = command(f"--corpus={path}", *flags)
    assert result.code == 0, result.err
    assert summary(tmp_path / "run")["test_perplexity_laplace_2"] is None
    assert "inf" in result.out


def test_started_again_it_does_the_same_and_other_flags_are_refused(ran, corpus):
    workdir, _ = ran
    before = files(workdir)
    flags = (f"--corpus={corpus}", f"--workdir={workdir}")
    refused(command(*flags, "--order=3"), "--order (5 there, 3 here)")
    assert files(workdir) == before
    assert command(*flags).code == 0
    numbers = summary(workdir)
    then = json.loads(before[workdir / "summary.json"])
    for name in ("test_perplexity_kneser_ney_5", "sample_laplace", "once_2"):
        assert numbers[name] == then[name]


BAD_FLAGS = {
    "--order=0": "--order must be at least 1, got 0",
    "--order=many": "many",
    "--order=100000": "--order=100000 needs a training text of 100000 tokens",
    "--eps=1,2": "--eps has 2 numbers, --order=5 needs 5.",
    "--eps=": "--eps is empty; give it a value or leave it out.",
    "--eps=1,2,-3,4,5": "--eps must be at least 0, got -3.0",
    "--eps=1,2,nan,4,5": "--eps must be finite",
    "--eps=1,2,inf,4,5": "--eps must be finite",
    "--eps=1,2,x,4,5": "--eps takes numbers joined by commas, got 'x'",
    "--eps=1,1,1,1,0": "--eps: 0 for order 5 makes a probability 0/0",
    "--prompt=": "--prompt is empty; give it a value or leave it out.",
    "--corpus=/nowhere.txt": "/nowhere.txt does not exist",
    "--corpus=/": "is a directory",
    "--dataset=wikitext": "did you mean wikitext2",
    "--level=wort": "there is no level 'wort'; did you mean word",
}


@pytest.mark.parametrize(("flag", "sentence"), BAD_FLAGS.items(), ids=BAD_FLAGS)
def test_bad_flags_are_named(corpus, tmp_path, flag, sentence):
    workdir = tmp_path / "run"
    refused(command(f"--corpus={corpus}", f"--workdir={workdir}", flag), sentence)
    assert not workdir.exists()


def test_a_context_that_nothing_follows_is_named(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("ab" * 450 + "cccc" * 25)
    flags = ("--order=2", "--eps=1,0", f"--workdir={tmp_path / 'run'}")
    refused(command(f"--corpus={path}", *flags), "has nothing after ['<unk>']")
    path.write_text("ab" * 500)
    flags = ("--order=2", "--eps=1,0", "--prompt=c", f"--workdir={tmp_path / 'run'}")
    result = command(f"--corpus={path}", *flags)
    assert result.code == 2 and "leaves nothing to draw from" in result.err
    assert not (tmp_path / "run").exists()


def test_a_text_too_short_is_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("abc")
    refused(
        command(f"--corpus={path}", f"--workdir={tmp_path / 'run'}"),
        "a.txt is too short",
    )


def test_a_folder_with_files_of_others_is_left_alone(corpus, tmp_path):
    (tmp_path / "frequencies.tsv").write_text("precious")
    result = command(f"--corpus={corpus}", f"--workdir={tmp_path}")
    refused(result, "frequencies.tsv but no flags.txt")
    assert (tmp_path / "frequencies.tsv").read_text() == "precious"


@needs_data
def test_time_machine_words_are_the_textbooks(tmp_path):
    """The most frequent words of d2l.ai, section 9.2, come first here too."""
    flags = ("--dataset=time_machine", "--level=word", "--order=2")
    result = command(*flags, f"--workdir={tmp_path / 'run'}")
    assert result.code == 0, result.err
    lines = (tmp_path / "run" / "frequencies.tsv").read_text().splitlines()
    words = [json.loads(line.split("\t")[3]) for line in lines[1:11]]
    assert words[:5] == ["the", "i", "and", "of", "a"]
    assert 0.8 < summary(tmp_path / "run")["zipf_exponent_1"] < 1.2


def test_evaluate_scores_the_parts_and_another_text(ran, corpus, tmp_path):
    workdir, _ = ran
    evaluate = (f"--workdir={workdir}", "--mode=evaluate")
    before, numbers = files(workdir), summary(workdir)
    result = command(*evaluate)
    assert result.code == 0, result.err
    for name in ("laplace", "kneser_ney"):
        for part in ("valid", "test"):
            assert f"{numbers[f'{part}_perplexity_{name}_5']:.3f}" in result.out
    path = tmp_path / "new.txt"
    path.write_text(corpora.load_files([corpus]).test + "Ж", encoding="utf-8")
    result = command(*evaluate, "--input=-", stdin=path.read_bytes())
    assert "tokens are unknown, read as <unk>: 'Ж'." in result.err
    assert "perplexity, standard input" in result.out
    config = Config.of_run(workdir, input=path)
    scores = evaluate_from_python(config)
    data = corpora.tokenize_corpus(corpora.load_files([corpus]), "char")
    tokens = data.vocab.encode(path.read_text())
    counts = count_ngrams(data.train, len(data.vocab), 5)
    want = loop_perplexity(ngram.kneser_ney(counts, 3), tokens)
    assert scores["test_perplexity_kneser_ney_3"] == pytest.approx(want)
    assert len(scores) == 10 and f"{want:.3f}" in result.out
    assert files(workdir) == before


def test_evaluate_refuses_a_changed_text(corpus, tmp_path):
    own, workdir = tmp_path / "my.txt", tmp_path / "run"
    own.write_bytes(corpus.read_bytes())
    flags = (f"--corpus={own}", f"--workdir={workdir}", "--order=2")
    assert command(*flags).code == 0
    own.write_bytes(corpus.read_bytes() + b"a")
    refused(
        command(f"--workdir={workdir}", "--mode=evaluate"),
        f"{workdir} holds a run on other data than --corpus={own}: the sha256 was",
    )
    refused(command("--mode=evaluate", f"--workdir={tmp_path / 'no'}"), "holds no run")


def test_three_files_are_the_three_parts(ran, corpus, tmp_path):
    parts = corpora.load_files([corpus])
    for name in ("train", "valid", "test"):
        (tmp_path / name).write_text(getattr(parts, name), encoding="utf-8")
    given = ",".join(str(tmp_path / name) for name in ("train", "valid", "test"))
    result = command(f"--corpus={given}", f"--workdir={tmp_path / 'run'}")
    assert result.code == 0, result.err
    own, want = summary(tmp_path / "run"), summary(ran[0])
    differ = {k for k in want if own[k] != want[k] and not k.startswith("seconds")}
    assert differ == {"dataset_sha256"}
