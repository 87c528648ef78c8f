"""The command on hidden Markov models end to end, in small."""

import json
import math
from functools import partial

import numpy as np
import pytest

from experiments.hidden_markov.__main__ import main
from tests.commands import metrics, refused, run, summary

SUMMARY_KEYS = {
    *("log_likelihood", "train_perplexity", "valid_perplexity", "test_perplexity"),
    *("iterations", "seconds", "parameters", "dataset_sha256"),
}
SMALL = ("--num_states=3", "--batch_size=4", "--num_steps=8", "--tolerance=0")


command = partial(run, main)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Article, noun, verb, over and over; no word is cut where the text is split."""
    rng = np.random.default_rng(0)
    kinds = ["the", "one"], ["cat", "dog", "owl"], ["saw", "ate"]
    words = [rng.choice(kind) for _ in range(240) for kind in kinds]
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text("".join(f"{word} " for word in words))  # 4 letters each
    return path


@pytest.fixture(scope="module")
def trained(corpus, tmp_path_factory):
    """(workdir, what training printed); not to be changed."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    result = train(corpus, workdir, "--iterations=30", "--tolerance=1e-6")
    assert result.code == 0, result.err
    return workdir, result.out


def train(corpus, workdir, *more):
    return command(f"--corpus={corpus}", f"--workdir={workdir}", *SMALL, *more)


def use(workdir, mode, *more, stdin=b""):
    return command(f"--mode={mode}", f"--workdir={workdir}", *more, stdin=stdin)


def test_training_writes_what_it_promises_and_finds_the_classes(trained, corpus):
    workdir, out = trained
    found = summary(workdir)
    assert set(found) == SUMMARY_KEYS
    assert {p.name for p in workdir.iterdir()} == {
        *(
            "report.html",
            "flags.txt",
            "metrics.jsonl",
            "summary.json",
            "checkpoints",
            "vocab.json",
        ),
        "learning_curve.png",
    }
    assert (workdir / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert found["iterations"] <= 30 and found["parameters"] == 3 + 9 + 3 * 8
    # one of 2, of 3, of 2 words: the best that can be is the mean's exponential
    assert found["valid_perplexity"] == pytest.approx(12 ** (1 / 3), rel=0.15)
    assert found["test_perplexity"] == pytest.approx(12 ** (1 / 3), rel=0.15)
    gains = np.diff([m["log_likelihood"] for m in metrics(workdir)])
    assert (gains > -0.1).all()
    assert "typical of each state" in out and "valid perplexity" in out


def test_perplexity_is_the_predictions_of_all_tokens_but_the_first(trained, corpus):
    """By hand, from the parameters: the filter, a loop, word after word."""
    import jax

    from seqjax.baselines import HMM, CategoricalEmission
    from seqjax.checkpoint import Checkpoints

    workdir, _ = trained
    template = HMM(3, CategoricalEmission(8)).init(jax.random.key(0))
    params, *_ = Checkpoints(workdir / "checkpoints" / "last").restore(template)
    initial, transition, table = (np.exp(np.float64(p)) for p in params)
    tokens = json.loads((workdir / "vocab.json").read_text())[1]
    text = corpus.read_text()
    held_out = text[len(text) * 90 // 100 : len(text) * 95 // 100].split()
    belief, total = initial, 0.0
    for i, word in enumerate(held_out):
        joint = belief * table[:, tokens.index(word) if word in tokens else 0]
        total -= np.log(joint.sum()) if i else 0.0
        belief = joint / joint.sum() @ transition
    want = math.exp(total / (len(held_out) - 1))
    assert summary(workdir)["valid_perplexity"] == pytest.approx(want, rel=1e-4)


@pytest.mark.parametrize("decoding", ["viterbi", "posterior"])
def test_tag_gives_each_token_its_class(trained, tmp_path, decoding):
    text = "the cat ate one dog saw\n\none owl saw\n"
    path = tmp_path / "in.txt"
    path.write_text(text)
    flag = f"--decoding={decoding}"
    result = use(trained[0], "tag", flag, stdin=text.encode())
    assert result.code == 0, result.err
    lines = [[t.split("/") for t in line.split()] for line in result.out.splitlines()]
    assert [[word for word, _ in line] for line in lines] == [
        line.split() for line in text.splitlines()
    ]
    classes = [int(state) for _, state in lines[0]]
    assert classes[:3] == classes[3:] and sorted(classes[:3]) == [0, 1, 2]
    assert [int(state) for _, state in lines[2]] == classes[:3]
    again = use(trained[0], "tag", flag, f"--input={path}")
    assert again.out == result.out


def test_sample_goes_on_from_the_prompt(trained):
    more = ("--prompt=the cat", "--length=12")
    result = use(trained[0], "sample", *more)
    assert result.code == 0, result.err
    words = result.out.split()
    assert words[:2] == ["the", "cat"] and len(words) == 14
    assert use(trained[0], "sample", *more).out == result.out
    assert use(trained[0], "sample", *more, "--seed=5").out != result.out


def test_resumed_is_uninterrupted_bit_for_bit(corpus, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train(corpus, whole, "--iterations=5").code == 0
    for iterations in (2, 5):
        result = train(corpus, parts, f"--iterations={iterations}")
        assert result.code == 0
    assert "continuing from iteration 2" in result.err
    assert metrics(whole) == metrics(parts)
    for key in SUMMARY_KEYS - {"seconds"}:
        assert summary(whole)[key] == summary(parts)[key]


def test_characters_and_numbers_learn_too(corpus, tmp_path):
    more = ("--level=char", "--iterations=2")
    assert train(corpus, tmp_path / "char", *more).code == 0
    flags = ("--dataset=regimes", f"--workdir={tmp_path / 'regimes'}")
    more = ("--num_states=3", "--iterations=30", "--num_steps=512")
    result = command(*flags, *more)
    assert result.code == 0, result.err
    found = summary(tmp_path / "regimes")
    assert found["accuracy"] > 0.9 and found["test_perplexity"] is None
    assert set(found) > SUMMARY_KEYS
    for mode in ("tag", "evaluate"):
        refused(use(tmp_path / "regimes", mode), f"--mode={mode} is for text")


def test_evaluate_scores_the_parts_and_another_text(trained, corpus):
    workdir, _ = trained
    numbers, text = summary(workdir), corpus.read_text()
    result = use(workdir, "evaluate")
    assert result.code == 0, result.err
    assert f"{numbers['valid_perplexity']:.4f}" in result.out
    test = text[len(text) * 95 // 100 :].encode()
    again = use(workdir, "evaluate", "--input=-", stdin=test)
    for shown in (result, again):
        assert f"{numbers['test_perplexity']:.4f}" in shown.out
    assert "3 states, standard input" in again.out and not again.err
    tagged = use(workdir, "tag", stdin=b"the cat bit the cat and the cat bit\n")
    assert "3 of 9 tokens are unknown, read as <unk>: 'bit' (2 times)" in tagged.err
    refused(use(workdir, "sample", "--input=a.txt"), "--mode=evaluate or tag, not in")


BAD_FLAGS = {
    "--num_states=0": "--num_states must be at least 1, got 0",
    "--dataset=regime": "did you mean",
    "--corpus=/none/missing.txt": "does not exist",
    "--prior=nan": "--prior must be finite",
    "--mode=tag": "holds no run",
    "--mode=sample": "holds no run",
    "--mode=evaluate": "holds no run",
}


@pytest.mark.parametrize(("flag", "sentence"), BAD_FLAGS.items(), ids=BAD_FLAGS)
def test_bad_flags_are_named(tmp_path, flag, sentence):
    refused(command(flag, f"--workdir={tmp_path / 'run'}"), sentence)
    assert not (tmp_path / "run").exists()


def test_bad_data_is_named_and_a_run_left_alone(trained, corpus, tmp_path):
    empty, short = tmp_path / "empty.txt", tmp_path / "short.txt"
    empty.write_text(" \n")
    short.write_text("one two three")
    refused(train(empty, tmp_path / "run"), "is empty")
    refused(train(short, tmp_path / "run"), "is too short")
    before = {p: p.read_bytes() for p in trained[0].rglob("*") if p.is_file()}
    refused(train(corpus, trained[0], "--num_states=4"), "--num_states (3")
    bad = tmp_path / "bad.txt"
    bad.write_bytes(b"the \xff cat\n")
    refused(use(trained[0], "tag", f"--input={bad}"), "byte offset 4")
    assert before == {p: p.read_bytes() for p in trained[0].rglob("*") if p.is_file()}
