"""Every flag of the language model command changes what it should."""

import jax
import numpy as np
import pytest

from experiments.common.command_line import parse
from experiments.language_model.config import Config
from experiments.language_model.model import build_model
from tests.commands import summary
from tests.small_language_model import (
    PLAIN,
    SMALL,
    arrays,
    command,
    saved_steps,
    train,
    write_corpus,
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
        ("--softmax=adaptive", "parameters"),
        ("--partial_shuffle", "train_perplexity"),
        ("--vary_steps", "train_perplexity"),
        ("--averaging=ema", "test_perplexity"),
        ("--schedule=onecycle", "train_perplexity"),
    ],
)
def test_every_flag_changes_what_it_should(plain, tmp_path, flag, key):
    train(plain / "corpus.txt", tmp_path / "other", *PLAIN, flag)
    assert summary(plain / "run")[key] != summary(tmp_path / "other")[key]


MODEL_FLAGS = (
    *("--cell=lstm_layer_norm", "--cell=lstm_peephole", "--cell=lstm_coupled"),
    *("--cell=mogrifier", "--mixtures=3", "--last_size=7", "--weight_norm"),
    *("--zoneout=0.1,0.5", "--input_dropout=0.5", "--output_dropout=0.5"),
    *("--layer_dropout=0.5 --num_layers=2", "--embed_dropout=0.2"),
    *("--weight_dropout=0.5", "--activation_penalty=5", "--temporal_penalty=5"),
    *("--cell=mogrifier --mogrifier_rounds=3", "--cell=mogrifier --mogrifier_rank=3"),
    "--mixtures=3 --latent_dropout=0.5",
)


@pytest.mark.parametrize("flags", MODEL_FLAGS)
def test_every_flag_of_the_model_makes_another_one(flags):
    """Without training: what each field does is tested with the model."""
    *others, last = flags.split()
    if last == "--num_layers=2":
        others, last = [last], others[0]

    def model(*flags):
        small = (*SMALL, "--cell=lstm", *flags)
        return build_model(parse("", Config, {"train": None}, small)[1], 9)

    assert model(*others, last) != model(*others)


def test_a_regularized_model_trains(plain, tmp_path):
    flags = (
        "--cell=mogrifier",
        "--mogrifier_rounds=2",
        "--num_layers=2",
        "--last_size=8",
    )
    flags += (
        "--embed_size=8",
        "--tie_embeddings",
        "--weight_dropout=0.3",
        "--vary_steps",
    )
    flags += ("--embed_dropout=0.1", "--activation_penalty=2", "--temporal_penalty=1")
    flags += ("--zoneout=0.1", "--locked_dropout", "--mixtures=2")
    train(plain / "corpus.txt", tmp_path / "run", *PLAIN, *flags)
    found = summary(tmp_path / "run")
    assert 1 < found["test_perplexity"] < 100


@pytest.mark.parametrize("flag", ["--temperature=0.1", "--top_k=2", "--top_p=0.3"])
def test_every_flag_changes_the_sample(plain, capsys, flag):
    argv = (f"--workdir={plain / 'run'}", "--mode=generate", "--temperature=1")
    samples = set()
    for more in ((), (flag,)):
        assert command(*argv, "--length=40", *more) == 0
        samples.add(capsys.readouterr().out)
    assert len(samples) == 2


def test_the_softmax_by_chunks_trains_to_the_same(plain, tmp_path):
    more = ("--softmax=chunked", "--softmax_chunk=5")
    train(plain / "corpus.txt", tmp_path / "other", *PLAIN, *more)
    full, chunked = (
        summary(run)["test_perplexity"] for run in (plain / "run", tmp_path / "other")
    )
    np.testing.assert_allclose(chunked, full, rtol=1e-5)


def test_the_softmax_is_chunked_where_its_logits_would_not_fit():
    """A minibatch of the default command has 16 x 48 positions."""
    config = Config()
    for vocab_size, chunk in ((100_000, None), (200_000, 4096)):
        assert build_model(config, vocab_size).chunk == chunk
        assert build_model(config.replace(softmax="full"), vocab_size).chunk is None
    adaptive = config.replace(softmax="adaptive")
    for vocab_size, clusters in (
        (200_000, (10_000, 50_000)),
        (1000, (100, 250)),
        (44, (22,)),
        (2, (1,)),
    ):
        assert build_model(adaptive, vocab_size).clusters == clusters


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


def test_weight_decay_shrinks_the_weights(corpus, tmp_path):
    base = ("--optimizer=adamw", "--schedule=constant", "--learning_rate=0.01")
    norms = []
    for decay in (0, 3):
        workdir = tmp_path / str(decay)
        train(corpus, workdir, *base, f"--weight_decay={decay}")
        state = arrays(workdir / "checkpoints/last" / str(saved_steps(workdir)[-1]))
        norms.append(np.linalg.norm(state[".params.cell.w_h"]))
    assert norms[1] < 0.5 * norms[0]


def test_plateau_lowers_the_learning_rate(corpus, tmp_path):
    """At a rate of zero validation never improves: every later epoch is a plateau."""
    options = ("--learning_rate=0", "--schedule=plateau", "--decay=0.5", "--epochs=4")
    assert train(corpus, tmp_path / "run", *options) == 0
    newest = saved_steps(tmp_path / "run")[-1]
    state = arrays(tmp_path / "run" / "checkpoints" / "last" / str(newest))
    assert state[".learning_rate_scale"] == 0.5**3
