"""Each mistake of the user is one sentence and exit code 2."""

import os

import pytest

from tests.commands import files
from tests.small_language_model import SMALL, refused, write


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda p: p / "none.txt", "none.txt does not exist"),
        (lambda p: write(p / "a.txt", b""), "a.txt is empty"),
        (lambda p: write(p / "a.txt", b" \n \n"), "a.txt is empty"),
        (lambda p: p, "is a directory"),
        (lambda p: write(p / "a.txt", b"ab\xc3\xa9\xff"), "0xff at byte offset 4"),
        (
            lambda p: write(p / "a.txt", b"abcd" * 10),
            "has 36 tokens, too few for --batch_size=4 and --num_steps=10",
        ),
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
        ("--mode=trian", "there is no mode 'trian'; did you mean train?"),
        ("--hidden_size=0", "--hidden_size must be at least 1, got 0"),
        ("--batch_size=-1", "--batch_size must be at least 1, got -1"),
        ("--num_steps=0", "--num_steps must be at least 1, got 0"),
        ("--num_layers=0", "--num_layers must be at least 1, got 0"),
        ("--epochs=0", "--epochs must be at least 1, got 0"),
        ("--embed_size=-5", "--embed_size must be at least 0, got -5"),
        ("--dropout=1", "--dropout must be at most 0.99, got 1"),
        ("--hidden_size=many", "many"),
        ("--hiden_size=3", "hidden_size"),
        ("train", "'train'"),
        ("--bidirectional", "no future to read"),
        ("--prompt=", "--prompt is empty; give it a value"),
        ("--seed=-1", "--seed must be at least 0, got -1"),
        ("--seed=99999999999999999999", "--seed must be at most 4294967295"),
        ("--temperature=-1", "--temperature must be at least 0, got -1"),
        ("--temperature=nan", "--temperature must be finite"),
        ("--decay=0", "--decay must be at least 1e-09, got 0"),
        ("--corpus=", "--corpus is empty; give it a value"),
        ("--flagfile=/nowhere/x.flags", "a flag file was expected"),
        ("--prompt=\udcff", "not UTF-8"),
        ("--tie_embeddings", "tied embeddings need embed_size equal"),
        ("--softmax_chunk=0", "--softmax_chunk must be at least 1, got 0"),
        ("--softmax=full --softmax_chunk=3", "--softmax_chunk needs another softmax"),
        ("--clusters=3,9", "--clusters needs --softmax=adaptive"),
        ("--clusters=0,9", "--clusters must be at least 1, got 0"),
        ("--softmax=adaptive --clusters=9,3", "rising and in 1 .. "),
        ("--softmax=adaptive --clusters=9,9999", "got 9, 9999"),
        ("--softmax=adaptive --tie_embeddings", "tied embeddings need embed_size"),
        ("--softmax=hierarchical", "there is no softmax 'hierarchical'"),
        ("--weight_decay=0.1 --optimizer=adam", "--optimizer=adamw"),
        ("--mogrifier_rank=3", "--mogrifier_rank needs --cell=mogrifier"),
        ("--mogrifier_rounds=3", "--mogrifier_rounds needs --cell=mogrifier"),
        ("--cell=mogrifier --mogrifier_rounds=-1", "must be at least 0, got -1"),
        ("--cell=mogrifier --mogrifier_rounds=101", "must be at most 100, got 101"),
        ("--cell=mogrifier --mogrifier_rank=8", "widths of x and h, 8 and 12, got 8"),
        ("--latent_dropout=0.3", "--latent_dropout needs --mixtures"),
        ("--mixtures=2 --softmax=adaptive", "mixtures and clusters"),
        ("--weight_norm --weight_dropout=0.1", "exclude each other"),
        ("--cell=rnn --zoneout=0.1,0.2", "--zoneout for --cell=rnn: Zoneout: one rate"),
        ("--zoneout=1", "--zoneout must be at most 0.99, got 1"),
        ("--layer_dropout=0.1", "--layer_dropout needs --num_layers of at least 2"),
        ("--embed_size=0 --embed_dropout=0.1", "needs an embedding: --embed_size is 0"),
        ("--nonmonotone=3", "--nonmonotone needs --averaging=nt_asgd"),
        ("--ema_decay=0.9", "--ema_decay needs --averaging=ema"),
        ("--finetunings=1", "--finetunings needs --averaging=nt_asgd"),
        ("--vary_steps --sampling=random", "needs --sampling=sequential"),
        ("--partial_shuffle --sampling=random", "needs --sampling=sequential"),
        ("--partial_shuffle --vary_steps", "exclude each other"),
        ("--cell=numpy_rnn --weight_dropout=0.1", "--cell=numpy_rnn supports only"),
        ("--batch_size=60000", "which need 600,001; lower them"),
        ("--backprop=truncated", "--backprop=truncated needs --backprop_steps"),
        ("--backprop=randomized", "--backprop=randomized needs --backprop_keep"),
        ("--backprop_steps=3", "--backprop_steps needs --backprop=truncated"),
        ("--backprop_keep=0.5", "--backprop_keep needs --backprop=randomized"),
        ("--backprop_steps=0", "--backprop_steps must be at least 1, got 0"),
        ("--backprop=cut", "there is no backprop 'cut'"),
    ],
)
def test_bad_flags_are_named(tmp_path, capsys, flag, expected):
    workdir = tmp_path / "run"
    err = refused(capsys, *SMALL, f"--workdir={workdir}", *flag.split())
    assert expected in err
    assert not workdir.exists()


@pytest.mark.parametrize("keep", ["0", "1.5", "-0.1"])
def test_a_probability_to_keep_is_one(tmp_path, capsys, keep):
    more = ("--backprop=randomized", f"--backprop_keep={keep}")
    err = refused(capsys, *SMALL, f"--workdir={tmp_path / 'run'}", *more)
    assert f"--backprop_keep must be above 0 and at most 1, got {float(keep)}" in err


def test_numpy_rnn_refuses_what_it_has_no_gradients_for(tmp_path, capsys):
    argv = ("--cell=numpy_rnn", f"--workdir={tmp_path / 'run'}")
    err = refused(capsys, *argv, "--num_layers=2")
    assert "supports only --num_layers=1, got 2; use --cell=rnn" in err
    err = refused(capsys, *argv, "--optimizer=adam")
    assert "supports only --optimizer=sgd, got adam" in err
    cut = ("--backprop=truncated", "--backprop_steps=3")
    assert "--backprop=full, got truncated" in refused(capsys, *argv, *cut)


def test_another_run_in_the_workdir_is_refused_and_left_alone(corpus, finished, capsys):
    workdir = finished
    before = files(workdir)
    argv = (f"--corpus={corpus}", f"--workdir={workdir}", *SMALL)
    err = refused(capsys, *argv, "--hidden_size=13", "--cell=gru")
    assert "--hidden_size (12 there, 13 here)" in err
    assert "--cell (rnn there, gru here)" in err
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


def test_a_damaged_vocabulary_is_said(finished, capsys):
    workdir = finished
    argv = (f"--workdir={workdir}", "--mode=generate")
    for content in ("[1,", "null", '["a", [1, 2]]'):
        (workdir / "vocab.json").write_text(content)
        assert "vocab.json is damaged" in refused(capsys, *argv)
    (workdir / "vocab.json").unlink()
    assert "holds no trained model" in refused(capsys, *argv)
