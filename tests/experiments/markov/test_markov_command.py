"""The Markov command end to end, in small, and every bad input."""

import math
from functools import partial

import numpy as np
import pytest

from experiments.markov.__main__ import main
from seqjax.baselines import markov
from seqjax.data import corpora
from tests.commands import refused, run, summary

command = partial(run, main)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """4,000 characters that a chain of order 1 drew."""
    rng = np.random.default_rng(0)
    transition = rng.dirichlet(np.full(5, 0.5), size=5)
    chain = markov.MarkovChain(np.full(5, 0.2), transition)
    text = "".join("abcd\n"[i] for i in chain.sample(rng, 4000)[:, 0])
    path = tmp_path_factory.mktemp("data") / "corpus.txt"
    path.write_text(text)
    return path


@pytest.mark.parametrize("order", [1, 2])
def test_numbers_are_those_of_the_definitions(corpus, tmp_path, order):
    workdir = tmp_path / "run"
    flags = (f"--order={order}", "--smoothing=0.5", "--steps=3", "--prompt=ab")
    result = command(f"--corpus={corpus}", f"--workdir={workdir}", *flags)
    assert result.code == 0, result.err
    assert {p.name for p in workdir.iterdir()} == {
        *("report.html", "flags.txt", "summary.json", "forgetting.png"),
    }
    assert (workdir / "forgetting.png").read_bytes().startswith(b"\x89PNG")
    numbers = summary(workdir)
    vocab, train, _, test = corpora.tokenize_corpus(
        corpora.load_files([corpus]), "char"
    )
    chain = markov.fit(train, len(vocab), order, 0.5)
    stationary = chain.stationary()
    backwards = chain.reversed()
    for name, model, text in (
        ("test_perplexity", chain, test),
        ("test_perplexity_backwards", backwards, test[::-1]),
    ):
        total = math.log(model.initial.reshape(len(vocab), -1).sum(axis=1)[text[0]])
        got = numbers[name]
        want = math.exp((total - model.log_prob(text)) / (len(text) - 1))
        assert got == pytest.approx(want)
        assert f"{got:.3f}" in result.out
    assert numbers["own_perplexity"] == pytest.approx(
        math.exp(
            -sum(
                stationary[place[:-1]] * p * math.log(p)
                for place, p in np.ndenumerate(chain.transition)
            )
        )
    )
    marginal = stationary.reshape(-1, len(vocab)).sum(axis=0)
    for steps, got in enumerate(numbers["distances"], 1):
        ahead = chain.after(steps)
        want = sum(
            stationary[context] * np.abs(ahead[context] - marginal).sum() / 2
            for context in np.ndindex(stationary.shape)
        )
        assert got == pytest.approx(want)
    text = numbers["sample"].replace("<unk>", "?")
    assert text.startswith("ab") and len(text) == 2 + 300
    assert numbers["sample"] in result.out


def test_words_and_the_impossible(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("a b " * 100 + "b b " * 20)
    flags = ("--level=word", "--smoothing=0", f"--workdir={tmp_path / 'run'}")
    result = command(f"--corpus={path}", *flags, "--length=5", "--prompt=a")
    assert result.code == 0, result.err
    path.write_text("a b " * 180 + "a a " * 15)
    flags = ("--level=word", "--smoothing=0", f"--workdir={tmp_path / 'other'}")
    result = command(f"--corpus={path}", *flags, "--length=5", "--prompt=b")
    assert summary(tmp_path / "other")["test_perplexity"] is None
    assert "inf" in result.out


BAD_FLAGS = {
    "--order=0": "--order must be at least 1, got 0",
    "--order=9": "--order=9 of 6 different tokens makes more than 1,500 contexts",
    "--order=9999": "--order=9999 needs a training text of more tokens",
    "--smoothing=-1": "--smoothing must be at least 0, got -1",
    "--smoothing=nan": "--smoothing must be finite",
    "--steps=0": "--steps must be at least 1, got 0",
    "--prompt=": "--prompt is empty; give it a value or leave it out.",
    "--corpus=/nowhere.txt": "/nowhere.txt does not exist",
    "--dataset=time_machin": "did you mean time_machine",
}


@pytest.mark.parametrize(("flag", "sentence"), BAD_FLAGS.items(), ids=BAD_FLAGS)
def test_bad_flags_are_named(corpus, tmp_path, flag, sentence):
    workdir = tmp_path / "run"
    refused(command(f"--corpus={corpus}", f"--workdir={workdir}", flag), sentence)
    assert not workdir.exists()


def test_chains_that_end_or_cannot_begin_are_refused(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("ab" * 450 + "cccc" * 25)
    flags = ("--smoothing=0", f"--workdir={tmp_path / 'run'}")
    sentence = "cannot begin (0,); try --smoothing=0.1"
    result = command(f"--corpus={path}", *flags, "--prompt=q")
    assert result.code == 2 and sentence in result.err
    path.write_text("ab" * 449 + "ac" + "ab" * 50)
    refused(
        command(f"--corpus={path}", *flags),
        "the chain ends: a reachable state has no successor",
    )
    assert not (tmp_path / "run").exists()


def test_evaluate_scores_the_parts_and_another_text(corpus, tmp_path):
    workdir = tmp_path / "run"
    assert command(f"--corpus={corpus}", f"--workdir={workdir}").code == 0
    numbers = summary(workdir)
    evaluate = (f"--workdir={workdir}", "--mode=evaluate")
    result = command(*evaluate)
    assert result.code == 0, result.err
    text = corpora.load_files([corpus]).test
    again = command(*evaluate, "--input=-", stdin=text.encode())
    for shown in (result, again):
        assert f"{numbers['test_perplexity']:.4f}" in shown.out
        assert f"{numbers['test_perplexity_backwards']:.4f}" in shown.out
    assert f"{numbers['valid_perplexity']:.4f}" in result.out
    assert "valid" not in again.out and "order 1, standard input" in again.out
    assert summary(workdir) == numbers
