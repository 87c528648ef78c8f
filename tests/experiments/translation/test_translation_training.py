"""Training by the translation command: results, resume, criteria, early stopping."""

import pytest

from experiments.translation import Config
from experiments.translation import train as train_config
from seqjax.data import buckets
from tests.commands import metrics, refused, summary
from tests.small_translation import (
    BY_SOURCE,
    FAST,
    SMALL,
    SUMMARY_KEYS,
    train,
    use,
)


def test_train_writes_everything_it_promises_and_has_learned(trained, runs):
    workdir, out = trained, (runs / "trained.txt").read_text(encoding="utf-8")
    assert set(summary(workdir)) - BY_SOURCE == SUMMARY_KEYS
    assert {p.name for p in workdir.iterdir()} == {
        *(
            "report.html",
            "flags.txt",
            "metrics.jsonl",
            "summary.json",
            "checkpoints",
            "vocab.json",
        ),
        "model",
        *("learning_curve.png", "attention_1.png"),
    }
    assert summary(workdir)["test_bleu"] > 90
    assert "nrefs:1" in summary(workdir)["test_bleu_signature"]
    for word in ("test BLEU", "source", "translation", "reference"):
        assert word in out
    assert (workdir / "attention_1.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "more",
    [
        ("--attention=none", "--cell=lstm", "--bridge=copy"),
        ("--attention=additive", "--num_layers=2", "--bidirectional"),
        (
            *("--attention=dot", "--tie_embeddings", "--embed_size=24"),
            "--cell=gru_textbook",
            *("--noinput_feeding", "--criterion=bleu", "--patience=1"),
            *("--average_checkpoints=2", "--swap", "--batch_tokens=100"),
        ),
        ("--level=char", "--joint_vocab", "--locked_dropout", "--bridge=zero", *FAST),
        (
            *("--level=subword", "--vocab_size=60", "--joint_vocab"),
            *("--subword_sampling=0.2", *FAST),
        ),
        (
            *("--truncate", "--max_length=2", "--bfloat16", "--schedule=plateau"),
            *("--accumulate=3", "--label_smoothing=0.1", "--scheduled_sampling=0.3"),
        ),
    ],
    ids=lambda more: more[0].removeprefix("--") + more[1].removeprefix("--"),
)
def test_every_choice_trains_and_translates(short_corpus, tmp_path, more):
    result = train(short_corpus, tmp_path / "run", "--figures=1", *more)
    assert result.code == 0, result.err
    assert set(summary(tmp_path / "run")) - BY_SOURCE == SUMMARY_KEYS
    cleaned = "as they are" if "--level" in more[0] else "cleaned: lower-case, spaced"
    assert summary(tmp_path / "run")["test_references"] == cleaned
    again = use(tmp_path / "run", "evaluate")
    assert again.code == 0, again.err
    for name in ("test_bleu", "test_chrf"):
        assert f"{summary(tmp_path / 'run')[name]:.2f}" in again.out


def test_resumed_is_uninterrupted_bit_for_bit(corpus, tmp_path, monkeypatch):
    """Also if epochs differ in their number of minibatches; the beam may change."""
    monkeypatch.setattr(buckets, "LENGTHS", (12, 16))
    options = ("--level=subword", "--vocab_size=40", "--subword_sampling=0.1", *FAST)
    options = (*options, "--schedule=constant", "--accumulate=2", "--dropout=0.3")
    options = (*options, "--batch_size=8", "--checkpoint_every=1000")
    options = (*options, "--attention=dot")
    assert train(corpus, tmp_path / "whole", *options).code == 0
    for epochs, beam_size in ((1, 2), (2, 1)):
        parts = (*options, f"--epochs={epochs}", f"--beam_size={beam_size}")
        assert train(corpus, tmp_path / "parts", *parts).code == 0
    ends = [m for m in metrics(tmp_path / "whole") if "valid_perplexity" in m]
    assert [m["epoch"] for m in ends] == [1, 2]
    assert ends[1]["step"] != 2 * ends[0]["step"]
    whole, parts = (
        [{k: v for k, v in m.items() if "second" not in k} for m in metrics(folder)]
        for folder in (tmp_path / "whole", tmp_path / "parts")
    )
    assert whole == parts
    for key in SUMMARY_KEYS - {"seconds", "sentences_per_second", "tokens_per_second"}:
        assert summary(tmp_path / "whole")[key] == summary(tmp_path / "parts")[key]


def test_the_best_by_bleu_is_the_highest(corpus, tmp_path):
    more = ("--criterion=bleu", "--epochs=6", "--learning_rate=0.02", "--dropout=0")
    assert train(corpus, tmp_path / "run", *more).code == 0
    bleus = {
        m["step"]: m["valid_bleu"]
        for m in metrics(tmp_path / "run")
        if "valid_bleu" in m
    }
    (best,) = (tmp_path / "run" / "checkpoints" / "best").iterdir()
    assert bleus[int(best.name)] == max(bleus.values()) > 0
    # The search decides about the best checkpoint while training, and only then.
    result = train(corpus, tmp_path / "run", *more, "--alpha=0.5")
    refused(result, "--alpha (0.75 there, 0.5 here)")
    flags = ("--alpha=0", "--average_checkpoints=3")
    few = use(tmp_path / "run", "evaluate", *flags)
    assert few.code == 0
    assert "--average_checkpoints=3: only 1 exist" in few.err


def test_patience_ends_the_run(short_corpus, tmp_path):
    more = ("--patience=2", "--epochs=50", "--learning_rate=0", "--schedule=constant")
    more = (*more, "--attention=none", "--beam_size=1")
    assert train(short_corpus, tmp_path / "run", *more).code == 0
    validations = [m for m in metrics(tmp_path / "run") if "valid_perplexity" in m]
    assert len(validations) == 3


def test_training_from_python_returns_the_summary(short_corpus, tmp_path):
    given = {**SMALL, "corpus": str(short_corpus), "accumulate": 2, "warmup_steps": 0}
    found = train_config(Config.of(workdir=str(tmp_path / "run"), **given))
    assert found == summary(tmp_path / "run")
    assert set(found) - BY_SOURCE == SUMMARY_KEYS
    # The cosine schedule ends with the run, in updates of two minibatches each.
    rates = [m["learning_rate"] for m in metrics(tmp_path / "run") if "grad_norm" in m]
    assert rates == sorted(rates, reverse=True) and 0 < rates[-1] < rates[0] < 0.006
