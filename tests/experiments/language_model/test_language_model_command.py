"""The commands end to end, in small: modes, files, resume, and every bad input."""

import fcntl
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import build, fit, language_model, run
from experiments.workdir import Workdir, restore_params
from seqjax import training
from seqjax.checkpoint import Checkpoints
from seqjax.data import batching, corpora
from tests import quick

ROOT = Path(__file__).parent.parent
SUMMARY_KEYS = {
    *("train_perplexity", "valid_perplexity", "test_perplexity", "sample"),
    *("bits_per_character", "tokens_per_second", "parameters", "seconds"),
    "dataset_sha256",
}
SMALL = (
    *("--hidden_size=12", "--embed_size=8", "--batch_size=4", "--num_steps=10"),
    *("--epochs=2", "--length=20", "--log_every=7", "--checkpoint_every=20"),
)
UNSTABLE = (
    *("--cell=rnn_relu", "--optimizer=sgd", "--clip_norm=0", "--schedule=constant"),
)
needs_data = pytest.mark.skipif(
    "SEQJAX_DATA_DIR" not in os.environ, reason="needs real data in SEQJAX_DATA_DIR"
)


@pytest.fixture(autouse=True)
def as_a_user(tmp_path_factory, monkeypatch):
    """Standard promotion, and compiled programs kept out of the user's cache."""
    cache = tmp_path_factory.getbasetemp() / "xla"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(cache))
    jax.config.update("jax_compilation_cache_dir", str(cache))
    with jax.numpy_dtype_promotion("standard"):
        yield
    jax.config.update("jax_compilation_cache_dir", None)


def write_corpus(path):
    """A file of 2,400 characters with some structure to learn."""
    rng = np.random.default_rng(0)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "ran", "Émile", "\n"]
    text = " ".join(rng.choice(words, 800))[:2400]
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus.txt")


def command(*argv):
    """Run the command in this process; its exit code."""
    with flagsaver.flagsaver():
        flags.FLAGS.unparse_flags()
        try:
            run.launch(language_model.main, language_model, ["language_model", *argv])
        except SystemExit as stop:
            return stop.code or 0


def train(corpus, workdir, *more):
    return command(f"--corpus={corpus}", f"--workdir={workdir}", *SMALL, *more)


def lines(workdir):
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def summary(workdir):
    return json.loads((workdir / "summary.json").read_text())


def files(folder):
    """Every file below a folder with its content: what must not change."""
    return {p: p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}


def saved_steps(workdir):
    return sorted(int(p.name) for p in (workdir / "checkpoints" / "last").iterdir())


def arrays(checkpoint):
    """The arrays of a checkpoint, read without the project's code."""
    with ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as checkpointer:
        args = ocp.args.Composite(state=ocp.args.PyTreeRestore())
        return checkpointer.restore(checkpoint, args=args).state


def test_train_writes_everything_it_promises(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    assert train(corpus, workdir, "--epochs=6", "--learning_rate=0.02") == 0
    assert set(summary(workdir)) == SUMMARY_KEYS
    assert {p.name for p in workdir.iterdir()} == {
        *("flags.txt", "metrics.jsonl", "summary.json", "checkpoints"),
        *("learning_curve.png", "vocab.json"),
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
    steps = [line["step"] for line in lines(workdir)]
    assert steps == sorted(steps)
    n = (2160 - 1) // 40
    assert steps[-1] == 6 * n
    perplexities = [
        m["valid_perplexity"] for m in lines(workdir) if "valid_perplexity" in m
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


def test_bits_per_character_is_log2_perplexity_of_characters(corpus, tmp_path):
    train(corpus, tmp_path / "run")
    got = summary(tmp_path / "run")
    assert got["bits_per_character"] == pytest.approx(np.log2(got["test_perplexity"]))


def test_flags_file_is_accepted_back(corpus, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train(corpus, first)
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
        ("--forget_bias=1", "--tie_embeddings", "--embed_size=12", "--clip_norm=0"),
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


PLAIN = (
    *("--num_layers=2", "--optimizer=sgd", "--learning_rate=1", "--embed_size=12"),
    *("--epochs=1", "--temperature=1"),
)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """A folder with a corpus and a finished run of PLAIN."""
    folder = tmp_path_factory.mktemp("plain")
    with jax.numpy_dtype_promotion("standard"):
        train(write_corpus(folder / "corpus.txt"), folder / "run", *PLAIN)
    return folder


@pytest.mark.parametrize(
    ("flag", "key"),
    [
        ("--forget_bias=1", "train_perplexity"),
        ("--init=orthogonal", "train_perplexity"),
        ("--init=normal", "train_perplexity"),
        ("--clip_norm=0.01", "train_perplexity"),
        ("--dropout=0.5", "train_perplexity"),
        ("--sampling=random", "train_perplexity"),
        ("--learning_rate=0.01", "train_perplexity"),
        ("--optimizer=adamw", "train_perplexity"),
        ("--schedule=constant", "train_perplexity"),
        ("--warmup_steps=2", "train_perplexity"),
        ("--seed=1", "train_perplexity"),
        ("--eval_rows=5", "test_perplexity"),
        ("--max_tokens=400", "train_perplexity"),
        ("--min_freq=150", "parameters"),
        ("--tie_embeddings", "parameters"),
        ("--temperature=0.1", "sample"),
        ("--top_k=2", "sample"),
        ("--top_p=0.3", "sample"),
    ],
)
def test_every_flag_changes_what_it_should(plain, tmp_path, flag, key):
    train(plain / "corpus.txt", tmp_path / "other", *PLAIN, flag)
    assert summary(plain / "run")[key] != summary(tmp_path / "other")[key]


BACKPROPS = {
    "kept always": ("--backprop=randomized", "--backprop_keep=1"),
    "cut": ("--backprop=truncated", "--backprop_steps=2"),
    "kept seldom": ("--backprop=randomized", "--backprop_keep=0.3"),
}


@pytest.mark.parametrize(("name", "more"), BACKPROPS.items(), ids=BACKPROPS)
def test_gradients_that_are_cut_train_otherwise(plain, tmp_path, name, more):
    """Of 10 steps a minibatch; what is not cut is full backpropagation."""
    train(plain / "corpus.txt", tmp_path / "other", *PLAIN, *more)
    full, other = (
        summary(run)["train_perplexity"] for run in (plain / "run", tmp_path / "other")
    )
    if name == "kept always":
        assert other == pytest.approx(full, rel=1e-4)
    else:
        assert abs(other / full - 1) > 1e-3


@pytest.mark.parametrize("keep", ["0", "1.5", "-0.1"])
def test_a_probability_to_keep_is_one(tmp_path, capsys, keep):
    more = ("--backprop=randomized", f"--backprop_keep={keep}")
    err = refused(capsys, *SMALL, f"--workdir={tmp_path / 'run'}", *more)
    assert f"--backprop_keep must be above 0 and at most 1, got {float(keep)}" in err


def test_weight_decay_shrinks_the_weights(corpus, tmp_path):
    base = ("--optimizer=adamw", "--schedule=constant", "--learning_rate=0.01")
    norms = []
    for decay in (0, 3):
        workdir = tmp_path / str(decay)
        train(corpus, workdir, *base, f"--weight_decay={decay}")
        state = arrays(workdir / "checkpoints/last" / str(saved_steps(workdir)[-1]))
        norms.append(np.linalg.norm(state[".params.cell.w_h"]))
    assert norms[1] < 0.5 * norms[0]


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


def test_the_figure_has_both_curves(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: kept.append(self))
    metrics = [
        {"step": 5, "train_perplexity": 9.0},
        {"step": 10, "train_perplexity": 7.0},
        {"step": 10, "valid_perplexity": 8.0},
    ]
    run.draw_learning_curve(tmp_path / "figure.png", metrics)
    curves = {c.get_label(): c.get_xydata().tolist() for c in kept[0].axes[0].lines}
    assert curves == {"train": [[5, 9], [10, 7]], "valid": [[10, 8]]}


def test_generation_varies_with_the_seed_alone(corpus, tmp_path, capsys):
    train(corpus, tmp_path / "run")
    outs = []
    for seed in (0, 1, 1):
        capsys.readouterr()
        argv = (f"--workdir={tmp_path / 'run'}", "--mode=generate", "--length=40")
        assert command(*argv, f"--seed={seed}") == 0
        outs.append(capsys.readouterr().out)
    assert outs[0] != outs[1] == outs[2]


def test_a_corpus_may_move(corpus, tmp_path, capsys):
    workdir = tmp_path / "[" / "x]"  # "[/x]" is markup to the printer of tables
    train(corpus, workdir)
    moved = corpus.rename(tmp_path / "moved[bold].txt")
    capsys.readouterr()
    assert train(moved, workdir) == 0
    assert "moved[bold].txt, lstm" in capsys.readouterr().out
    assert command(f"--workdir={workdir}", "--mode=evaluate") == 0


def test_two_processes_do_not_train_in_one_workdir(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    workdir.mkdir()
    folder = os.open(workdir, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *SMALL)
    assert "another process is training" in refused(capsys, *argv)
    assert files(workdir) == {}
    os.close(folder)
    assert command(*argv) == 0


def test_plateau_lowers_the_learning_rate(corpus, tmp_path):
    """At a rate of zero validation never improves: every later epoch is a plateau."""
    flags = ("--learning_rate=0", "--schedule=plateau", "--decay=0.5", "--epochs=4")
    assert train(corpus, tmp_path / "run", *flags) == 0
    newest = saved_steps(tmp_path / "run")[-1]
    state = arrays(tmp_path / "run" / "checkpoints" / "last" / str(newest))
    assert state[".learning_rate_scale"] == 0.5**3


@pytest.mark.parametrize("step", [0, 10, 20, 55, 80, 99, 100])
def test_schedules_are_their_formulas(step):
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])
    with flagsaver.flagsaver(warmup_steps=20, decay=0.1, hold=0.5):
        cosine = build.SCHEDULES["cosine"](0.3, 100)(step)
        falling = build.SCHEDULES["exponential"](0.3, 100)(step)
    if step < 20:
        assert cosine == pytest.approx(0.3 * step / 20)
    else:
        share = (step - 20) / 80
        assert cosine == pytest.approx(0.15 * (1 + np.cos(np.pi * share)), abs=1e-7)
    assert falling == pytest.approx(0.3 * 0.1 ** max(0.0, (step - 50) / 50))
    assert build.SCHEDULES["constant"](0.3, 100) == 0.3


def test_train_tokens_ends_the_run(corpus, tmp_path):
    assert train(corpus, tmp_path / "run", "--train_tokens=1000") == 0
    assert lines(tmp_path / "run")[-1]["step"] == 25


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


def test_unknown_characters_of_a_prompt_are_noted(corpus, tmp_path, capsys):
    train(corpus, tmp_path / "run")
    capsys.readouterr()
    code = command(
        f"--workdir={tmp_path / 'run'}", "--mode=generate", "--prompt=the Ж#"
    )
    captured = capsys.readouterr()
    assert code == 0
    assert captured.err.count("\n") == 1
    assert "['#', 'Ж']" in captured.err
    assert captured.out.startswith("the Ж#")


def test_a_finished_run_started_again_only_reports(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    train(corpus, workdir)
    first, metrics = summary(workdir), lines(workdir)
    assert train(corpus, workdir) == 0
    assert "going on from step" in capsys.readouterr().err
    assert lines(workdir) == metrics
    again = summary(workdir)
    assert {**again, "seconds": 0} == {**first, "seconds": 0}


def test_an_end_within_an_epoch_is_no_plateau(corpus, tmp_path):
    """A run in two starts lowers the rate as often as one in a single start."""
    flags = ("--learning_rate=0", "--schedule=plateau", "--decay=0.5")
    for tokens in (3000, 6000):
        train(corpus, tmp_path / "two", *flags, f"--train_tokens={tokens}")
    train(corpus, tmp_path / "one", *flags, "--train_tokens=6000")
    scales = []
    for name in ("one", "two"):
        newest = saved_steps(tmp_path / name)[-1]
        folder = tmp_path / name / "checkpoints" / "last" / str(newest)
        scales.append(arrays(folder)[".learning_rate_scale"])
    assert scales == [0.5, 0.5]


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

    tokens = corpora.tokenize_corpus(corpora.load_file(corpus), "char").train
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


def test_json_holds_null_for_what_is_not_finite(tmp_path):
    workdir = Workdir(tmp_path, language_model, free_flags=())
    workdir.write_summary({"a": float("inf"), "b": float("nan"), "c": 1.5, "d": "x"})
    expected = {"a": None, "b": None, "c": 1.5, "d": "x"}
    assert summary(tmp_path) == expected
    workdir.log(**expected | {"a": float("inf")})
    assert lines(tmp_path) == [expected]


@pytest.mark.parametrize(("number", "mean"), [(1, 6.0), (2, 4.0), (3, 3.0), (5, 3.0)])
def test_the_mean_of_checkpoints_is_of_the_newest(tmp_path, capsys, number, mean):
    workdir = Workdir(tmp_path, language_model, free_flags=())
    best, optimizer = Checkpoints(tmp_path / "checkpoints" / "best", 9), optax.sgd(1.0)
    for step, value in enumerate((1.0, 2.0, 6.0), start=1):
        params = {"w": jnp.full((2, 3), value), "b": jnp.full(3, -value)}
        state = training.init_state(params, optimizer, None, jax.random.key(0))
        best.save(step, state, {})
    with flagsaver.flagsaver():
        flags.FLAGS(["language_model", f"--average_checkpoints={number}"])
        found = restore_params(workdir, "best", state)
    np.testing.assert_array_equal(found["w"], np.full((2, 3), mean, np.float32))
    np.testing.assert_array_equal(found["b"], np.full(3, -mean, np.float32))
    few = "--average_checkpoints=5: 3 there, all averaged.\n"
    assert capsys.readouterr().err == (few if number == 5 else "")


def test_more_epochs_of_a_constant_rate_go_on(corpus, tmp_path):
    workdir, whole = tmp_path / "run", tmp_path / "whole"
    constant = "--schedule=constant"
    train(corpus, workdir, constant)
    assert train(corpus, workdir, constant, "--epochs=3") == 0
    train(corpus, whole, constant, "--epochs=3")
    assert summary(workdir)["train_perplexity"] == summary(whole)["train_perplexity"]


VALIDATIONS = (  # of the epochs: accuracy and perplexity
    *((0.5, 1.1), (1.0, 1.6), (1.0, 1.4), (1.0, 1.5), (1.0, 1.4), (0.9, 1.0)),
    *((1.0, 1.2), (1.0, 1.1)),
)


def fit_validations(workdir, epochs, *argv):
    """A run of one minibatch an epoch, whose one weight counts them."""

    def train_loop(state, data, plan, begin, end):
        params = {"w": state.params["w"] + end - begin}
        return state.replace(step=state.step + end - begin, params=params), (1, 1, 0)

    def validate(state):
        accuracy, perplexity = VALIDATIONS[int(state.params["w"]) - 1]
        return {"valid_accuracy": accuracy, "valid_perplexity": perplexity}

    job = fit.Job(
        train_loop,
        data=None,
        plan=lambda epoch: [None],
        total_steps=epochs,
        validate=validate,
        criterion="valid_accuracy",
        maximize=True,
    )
    state = counting_state()
    with flagsaver.flagsaver():
        flags.FLAGS(["language_model", *argv])
        folder = Workdir(workdir, language_model, free_flags=())
        with folder.open_for_training():
            _, progress = fit.fit(job, folder, state)
            return progress, float(restore_params(folder, "best", state)["w"])


def counting_state():
    params, key = {"w": jnp.zeros(())}, jax.random.key(0)
    return training.init_state(params, optax.sgd(1.0), None, key)


@pytest.mark.parametrize("stop", [2, 3, 5])
def test_of_equals_the_lower_perplexity_is_best(tmp_path, stop):
    """The third epoch of four, also where the run was stopped in between."""
    fit_validations(tmp_path, stop)
    progress, best = fit_validations(tmp_path, 6)
    assert (progress.best_step, best) == (3, 3.0)
    assert (progress.best_value, progress.best_perplexity) == (1.0, 1.4)


def test_an_equal_is_no_gain_to_patience_and_plateaus(tmp_path):
    """Last gained in epoch 2; the lower perplexity of epoch 3 does not count."""
    plateau = ("--patience=3", "--schedule=plateau", "--decay=0.5")
    progress, best = fit_validations(tmp_path, 8, *plateau)
    assert (progress.step, progress.stale, best) == (5, 3, 3.0)
    newest = arrays(tmp_path / "checkpoints" / "last" / "5")
    assert newest[".learning_rate_scale"] == 0.5**3


def test_a_best_of_unknown_perplexity_stays_until_there_is_a_gain(tmp_path):
    """As checkpoints before ties were decided have it."""
    fit_validations(tmp_path, 2)
    last = Checkpoints(tmp_path / "checkpoints" / "last")
    state, progress, _ = last.restore(counting_state())
    del progress["best_perplexity"]
    last.save(2, state, progress)
    assert fit_validations(tmp_path, 3)[1] == 2.0


# ---------------------------------------------------------------- resume


def start(corpus, workdir, *more):
    """The command as a process of its own, its stderr in a file beside the workdir.

    It compiles as this process does: their numbers are compared.
    """
    argv = [sys.executable, "-m", "experiments.language_model", *SMALL, *more]
    with open(f"{workdir}.err", "w") as err:
        return subprocess.Popen(
            [*argv, f"--corpus={corpus}", f"--workdir={workdir}"],
            cwd=ROOT,
            env=os.environ | {"XLA_FLAGS": quick.XLA_FLAGS},
            stdout=subprocess.DEVNULL,
            stderr=err,
        )


def kill_after(process, workdir, num_lines):
    """SIGKILL once metrics.jsonl has so many lines."""
    deadline = time.monotonic() + 60
    metrics = workdir / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < num_lines:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run is too slow to be killed"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


def test_killed_and_resumed_is_uninterrupted_bit_for_bit(corpus, tmp_path):
    """Twice killed without warning, dropout, deep state and all."""
    more = (
        *("--num_layers=2", "--dropout=0.3", "--epochs=12", "--log_every=1"),
        *("--checkpoint_every=17", "--eval_every=3", "--cell=gru"),
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert start(corpus, whole, *more).wait() == 0
    kill_after(start(corpus, broken, *more), broken, 60)
    written = len(lines(broken)[:-1])
    assert 0 < written < len(lines(whole))
    kill_after(start(corpus, broken, *more), broken, written + 100)
    assert start(corpus, broken, *more).wait() == 0
    assert "going on from step" in Path(f"{broken}.err").read_text()

    def without_times(workdir):
        return [
            {k: v for k, v in line.items() if k != "tokens_per_second"}
            for line in lines(workdir)
        ]

    assert without_times(broken) == without_times(whole)
    for kind in ("last", "best"):
        ours, theirs = (w / "checkpoints" / kind for w in (broken, whole))
        assert {p.name for p in ours.iterdir()} == {p.name for p in theirs.iterdir()}
        for folder in ours.iterdir():
            a, b = arrays(folder), arrays(theirs / folder.name)
            assert set(a) == set(b)
            for name in a:
                assert np.asarray(a[name]).tobytes() == np.asarray(b[name]).tobytes()
    assert summary(broken)["sample"] == summary(whole)["sample"]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    train(corpus, workdir)
    finished, metrics = summary(workdir), lines(workdir)
    before, step = saved_steps(workdir)
    newest = workdir / "checkpoints" / "last" / str(step)
    victim = max(newest.rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    victim.write_bytes(victim.read_bytes()[:-10])
    capsys.readouterr()
    assert train(corpus, workdir) == 0
    err = capsys.readouterr().err
    assert f"{newest} is damaged" in err
    assert f"going on from step {before} " in err
    assert [m["step"] for m in lines(workdir)] == [m["step"] for m in metrics]
    assert summary(workdir)["test_perplexity"] == finished["test_perplexity"]


# ---------------------------------------------------------------- bad input


def refused(capsys, *argv, code=2):
    """The one sentence that a command ends with."""
    capsys.readouterr()
    assert command(*argv) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


def write(path, content):
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda p: p / "none.txt", "none.txt does not exist"),
        (lambda p: write(p / "a.txt", b""), "a.txt is empty"),
        (lambda p: write(p / "a.txt", b" \n \n"), "a.txt is empty"),
        (lambda p: p, "is a directory"),
        (lambda p: write(p / "a.txt", b"ab\xc3\xa9\xff"), "0xff at byte offset 4"),
        (lambda p: write(p / "a.txt", b"abcd" * 10), "36 tokens"),
        (lambda p: write(p / "a.txt", b"abc"), "valid part has 0 tokens"),
    ],
)
def test_bad_corpora_are_named(tmp_path, capsys, make, expected):
    workdir = tmp_path / "run"
    argv = (f"--corpus={make(tmp_path)}", f"--workdir={workdir}")
    assert expected in refused(capsys, *argv, *SMALL)
    assert not workdir.exists()


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("--cell=lstn", "did you mean lstm"),
        ("--dataset=wikitext", "did you mean wikitext2"),
        ("--init=ortogonal", "did you mean orthogonal"),
        ("--optimizer=adm", "did you mean adam"),
        ("--schedule=cosin", "did you mean cosine"),
        ("--mode=trian", "train|evaluate|generate"),
        ("--hidden_size=0", "hidden_size=0"),
        ("--batch_size=-1", "batch_size=-1"),
        ("--num_steps=0", "num_steps=0"),
        ("--num_layers=0", "num_layers=0"),
        ("--epochs=0", "epochs=0"),
        ("--embed_size=-5", "embed_size=-5"),
        ("--dropout=1", "dropout=1"),
        ("--hidden_size=many", "many"),
        ("--hiden_size=3", "hidden_size"),
        ("train", "'train'"),
        ("--bidirectional", "no future to read"),
        ("--prompt=", "--prompt holds no token"),
        ("--seed=-1", "seed=-1"),
        ("--seed=99999999999999999999", "seed=99999999999999999999"),
        ("--temperature=-1", "temperature=-1"),
        ("--temperature=nan", "--temperature must be finite"),
        ("--decay=0", "decay=0"),
        ("--corpus=", "is a directory"),
        ("--flagfile=/nowhere/x.flags", "Unable to open flagfile"),
        ("--prompt=\udcff", "not UTF-8"),
        ("--tie_embeddings", "tied embeddings need embed_size equal"),
        ("--weight_decay=0.1", "--optimizer=adamw"),
        ("--batch_size=60000", "needs 600001"),
        ("--backprop=truncated", "--backprop=truncated needs --backprop_steps"),
        ("--backprop=randomized", "--backprop=randomized needs --backprop_keep"),
        ("--backprop_steps=3", "--backprop_steps needs --backprop=truncated"),
        ("--backprop_keep=0.5", "--backprop_keep needs --backprop=randomized"),
        ("--backprop_steps=0", "backprop_steps=0"),
        ("--backprop=cut", "full|truncated|randomized"),
    ],
)
def test_bad_flags_are_named(tmp_path, capsys, flag, expected):
    workdir = tmp_path / "run"
    err = refused(capsys, *SMALL, f"--workdir={workdir}", flag)
    assert expected in err
    assert not workdir.exists()


def test_numpy_rnn_alone_runs_with_settings_that_suit_it(corpus, tmp_path):
    workdir = tmp_path / "run"
    sizes = ("--hidden_size=12", "--batch_size=4", "--num_steps=10", "--epochs=5")
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *sizes, "--length=5")
    assert command("--cell=numpy_rnn", *argv) == 0
    stored = (workdir / "flags.txt").read_text().splitlines()
    assert {"--optimizer=sgd", "--embed_size=0", "--clip_norm=0.0"} <= set(stored)
    perplexities = [
        m["valid_perplexity"] for m in lines(workdir) if "valid_perplexity" in m
    ]
    assert perplexities[-1] < perplexities[0]


def test_numpy_rnn_refuses_what_it_has_no_gradients_for(tmp_path, capsys):
    argv = ("--cell=numpy_rnn", f"--workdir={tmp_path / 'run'}")
    assert "--num_layers=2" in refused(capsys, *argv, "--num_layers=2")
    assert "--optimizer=adam" in refused(capsys, *argv, "--optimizer=adam")
    cut = ("--backprop=truncated", "--backprop_steps=3")
    assert "--backprop=truncated" in refused(capsys, *argv, *cut)


def test_another_run_in_the_workdir_is_refused_and_left_alone(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    train(corpus, workdir)
    before = files(workdir)
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *SMALL)
    err = refused(capsys, *argv, "--hidden_size=13", "--cell=gru")
    assert "--hidden_size (12 there, 13 here)" in err
    assert "--cell (lstm there, gru here)" in err
    assert "batch_size" not in err
    assert "--tie_embeddings" in refused(capsys, *argv, "--tie_embeddings")
    evaluate = (f"--workdir={workdir}", "--mode=evaluate", "--hidden_size=13")
    assert "--hidden_size (12 there, 13 here)" in refused(capsys, *evaluate)
    corpus.write_text(corpus.read_text() + "more")
    assert "other data" in refused(capsys, *argv)
    assert files(workdir) == before


def test_a_folder_of_other_things_is_refused_and_left_alone(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    workdir.mkdir()
    for name in ("metrics.jsonl", "vocab.json", "learning_curve.png"):
        (workdir / name).write_text("precious")
        err = refused(capsys, f"--corpus={corpus}", f"--workdir={workdir}", *SMALL)
        assert f"{name} but no flags.txt" in err
        assert files(workdir) == {workdir / name: b"precious"}
        (workdir / name).unlink()


def test_a_workdir_that_cannot_be_written_is_refused(corpus, tmp_path, capsys):
    """Below a file, which stops root too, and read-only, which stops everyone else."""
    (tmp_path / "file").write_text("")
    argv = (f"--corpus={corpus}", *SMALL)
    err = refused(capsys, *argv, f"--workdir={tmp_path / 'file' / 'run'}")
    assert "cannot be written" in err
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o555)
    if not os.access(locked, os.W_OK):
        err = refused(capsys, *argv, f"--workdir={locked / 'run'}")
        assert "cannot be written: Permission denied" in err
        assert "cannot be written" in refused(capsys, *argv, f"--workdir={locked}")


@pytest.mark.parametrize("mode", ["evaluate", "generate"])
def test_no_run_in_the_workdir_is_said(tmp_path, capsys, mode):
    argv = (f"--mode={mode}", f"--workdir={tmp_path / 'none'}")
    assert "holds no run" in refused(capsys, *argv)


def test_a_damaged_best_checkpoint_gives_way_to_the_last(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    train(corpus, workdir)
    for seal in (workdir / "checkpoints" / "best").rglob("SHA256SUMS"):
        seal.write_text("")
    generate = (f"--workdir={workdir}", "--mode=generate")
    capsys.readouterr()
    assert command(*generate) == 0
    fallen_back = capsys.readouterr()
    assert fallen_back.err.endswith("Using the last.\n")
    assert command(*generate, "--checkpoint=last") == 0
    assert capsys.readouterr().out == fallen_back.out


def test_a_damaged_last_checkpoint_gives_way_to_the_one_before(
    corpus, tmp_path, capsys
):
    workdir = tmp_path / "run"
    train(corpus, workdir)
    newest = workdir / "checkpoints" / "last" / str(saved_steps(workdir)[-1])
    (newest / "SHA256SUMS").write_text("")
    argv = (f"--workdir={workdir}", "--mode=generate", "--checkpoint=last")
    capsys.readouterr()
    assert command(*argv) == 0
    err = capsys.readouterr().err
    assert f"{newest} is damaged" in err
    assert err.endswith("Using the one before.\n")


def test_a_damaged_vocabulary_is_said(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    train(corpus, workdir)
    argv = (f"--workdir={workdir}", "--mode=generate")
    for content in ("[1,", "null", '["a", [1, 2]]'):
        (workdir / "vocab.json").write_text(content)
        assert "vocab.json is damaged" in refused(capsys, *argv)
    (workdir / "vocab.json").unlink()
    assert "holds no trained model" in refused(capsys, *argv)


def test_damaged_metrics_are_dropped_and_damaged_flags_are_said(
    corpus, tmp_path, capsys
):
    workdir = tmp_path / "run"
    train(corpus, workdir)
    before = lines(workdir)
    with open(workdir / "metrics.jsonl", "ab") as file:
        file.write(b'{}\n5\n\xff\n{"step": 1')
    assert train(corpus, workdir) == 0
    assert lines(workdir) == before
    (workdir / "flags.txt").write_bytes(b"\xff\xfe")
    assert "UTF-8" in refused(capsys, f"--workdir={workdir}", "--mode=generate")
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *SMALL)
    assert "flags.txt is damaged" in refused(capsys, *argv)


def test_parameters_that_are_not_finite_are_never_saved(corpus, tmp_path, capsys):
    """The loss of the step is finite; what it leads to is not."""
    workdir = tmp_path / "run"
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *SMALL, *UNSTABLE)
    assert command(*argv, "--learning_rate=1e38", "--train_tokens=40") == 2
    assert "was not finite at step 1; none was saved" in capsys.readouterr().err
    assert not (workdir / "checkpoints").exists()
    # The advice can be followed where nothing was kept: the folder is free.
    assert command(*argv, "--learning_rate=0.01", "--train_tokens=40") == 0


def test_no_whole_checkpoint_is_said(corpus, tmp_path, capsys):
    workdir = tmp_path / "run"
    train(corpus, workdir)
    for seal in workdir.rglob("SHA256SUMS"):
        seal.write_text("")
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *SMALL)
    assert "no checkpoint in" in refused(capsys, *argv)
    assert "no checkpoint in" in refused(capsys, *argv[1:2], "--mode=generate")


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(
    corpus, tmp_path, capsys
):
    workdir = tmp_path / "run"
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *SMALL, *UNSTABLE)
    assert command(*argv, "--learning_rate=1e30") == 2
    err = capsys.readouterr().err
    assert "was not finite at step " in err
    assert "none was saved" in err
    assert err.count("\n") == 1
    calm = tmp_path / "calm"
    argv = (f"--corpus={corpus}", f"--workdir={calm}", *SMALL, *UNSTABLE)
    assert command(*argv, "--learning_rate=0.01") == 0
    kept = saved_steps(calm)
    text = (calm / "flags.txt").read_text()
    (calm / "flags.txt").write_text(text.replace("rate=0.01", "rate=1e+30"))
    assert command(*argv, "--learning_rate=1e30", "--epochs=9") == 2
    assert f"the checkpoint of step {kept[-1]} is kept" in capsys.readouterr().err
    assert saved_steps(calm) == kept


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


# ---------------------------------------------------------------- real data


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
        ("--dataset=tang_poems", "--max_tokens=5000", "--eval_rows=64"),
    ],
    ids=lambda more: more[0],
)
def test_real_corpora_train(tmp_path, more):
    argv = ("--train_tokens=400", f"--workdir={tmp_path / 'run'}", *SMALL, *more)
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
    assert command(*argv, "--train_tokens=1", "--length=5") == 0
    assert lines(tmp_path / "run")[-1]["step"] == 1
