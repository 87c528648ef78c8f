"""The poems command end to end, in small."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from experiments.common.errors import UserError
from experiments.poems import Config
from experiments.poems import train as train_from_python
from experiments.poems.__main__ import main
from experiments.poems.data import load_corpus
from experiments.poems.modes import open_workdir
from seqjax import training
from seqjax.checkpoint import Checkpoints
from seqjax.data import poems
from seqjax.data.synthetic import verses
from seqjax.data.vocab import BOS, EOS, Vocab
from seqjax.models.language_model import LanguageModel
from tests.commands import refused, run, summary

SMALL = (
    "--cell=rnn",
    "--hidden_size=8",
    "--embed_size=6",
    "--batch_size=16",
    "--epochs=2",
)
QUICK = (
    *SMALL,
    "--learning_rate=0.03",
    "--samples=4",
    "--ngram_order=3",
    "--length=40",
    "--dropout=0",
)


command = partial(run, main)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A file of 120 poems, one of them twice, one with a gap."""
    path = tmp_path_factory.mktemp("data") / "own.txt"
    lines = [f"{title}:{content}" for title, content in verses.write(5, 120)]
    path.write_text("\n".join([*lines, lines[0], "x:冰□已鏤津。"]) + "\n")
    return path


@pytest.fixture(scope="module")
def trained(own, tmp_path_factory):
    """(workdir, what training said); not to be changed."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    result = train(own, workdir, "--titles", "--clean")
    assert result.code == 0, result.err
    return workdir, result


def train(own, workdir, *more):
    return command(f"--corpus={own}", f"--workdir={workdir}", *QUICK, *more)


def generate(workdir, *more):
    result = command("--mode=generate", f"--workdir={workdir}", *more)
    assert result.code == 0, result.err
    return result.out.splitlines()


def test_train_writes_everything_it_promises(trained):
    workdir, result = trained
    assert {p.name for p in workdir.iterdir()} == {
        *(
            "report.html",
            "flags.txt",
            "metrics.jsonl",
            "summary.json",
            "vocab.json",
            "checkpoints",
        ),
        "model",
        "learning_curve.png",
    }
    numbers = summary(workdir)
    assert {
        *("test_perplexity", "valid_perplexity", "kneser_ney_perplexity"),
        *("below_kneser_ney", "valid_form", "novelty", "parameters", "seconds"),
        *("dataset_sha256", "sample"),
    } <= set(numbers)
    assert 0 <= numbers["valid_form"] <= 1
    assert "2 of 122 poems are left out" in result.err
    assert numbers["below_kneser_ney"] == pytest.approx(
        1 - numbers["test_perplexity"] / numbers["kneser_ney_perplexity"]
    )


def test_perplexity_is_of_the_poem_and_its_end_alone(trained, own):
    """Cross-entropy by hand, poem by poem."""
    workdir, _ = trained
    _, tokens = json.loads((workdir / "vocab.json").read_text())
    vocab = Vocab.from_list(tokens)
    model = LanguageModel(len(vocab), seqjax.RNN(8), 6)
    optimizer = training.make_optimizer("adam", lambda step: 0.1, clip_norm=1.0)
    key = jax.random.key(0)
    template = training.init_state(model.init(key), optimizer, None, key)
    params = Checkpoints(workdir / "checkpoints" / "best").restore(template)[0].params
    found, sha256 = poems.read(own)
    total = count = 0
    for title, content in poems.split("x", poems.clean(found), sha256).test:
        before = [BOS, *vocab.encode(title + ":")]
        tokens = np.array([*before, *vocab.encode(content), EOS])
        _, logits = model.apply(params, jnp.asarray(tokens[:-1]), model.initial_state())
        logs = jax.nn.log_softmax(logits)[np.arange(len(tokens) - 1), tokens[1:]]
        total -= float(logs[len(before) - 1 :].sum())
        count += len(content) + 1
    assert summary(workdir)["test_perplexity"] == pytest.approx(
        np.exp(total / count), rel=1e-5
    )


def test_evaluate_scores_other_poems(trained, own, tmp_path):
    workdir, _ = trained
    found, sha256 = poems.read(own)
    parts = poems.split("x", poems.clean(found), sha256)
    path = tmp_path / "test.txt"
    path.write_text("".join(f"{p.title}:{p.content}\n" for p in parts.test))
    flags = ("--mode=evaluate", f"--workdir={workdir}")
    result = command(*flags, "--input=-", stdin=path.read_bytes())
    assert (result.code, result.err) == (0, "")
    want = f"{summary(workdir)['test_perplexity']:.4f}"
    assert want in result.out and "standard input" in result.out
    assert want in command(*flags).out
    path.write_text(path.read_text() + "Ж:Ж，Ж。\n")
    result = command(*flags, f"--input={path}")
    assert "read as <unk>: 'Ж' (2 times)." in result.err
    refused(command(*flags, "--input=-", stdin=b"no colon\n"), "standard input, line 1")


def test_three_files_are_the_three_parts(trained, own, tmp_path):
    found, sha256 = poems.read(own)
    parts = poems.split("x", found, sha256)
    paths = [tmp_path / name for name in ("train", "valid", "test")]
    for path in paths:
        of_part = getattr(parts, path.name)
        path.write_text("".join(f"{p.title}:{p.content}\n" for p in of_part))
    corpora = [
        load_corpus(Config.of(corpus=given, clean=True).data, None)
        for given in ([own], paths)
    ]
    assert corpora[1]._replace(name=corpora[0].name, sha256="") == (
        corpora[0]._replace(sha256="")
    )
    assert corpora[0].sha256 != corpora[1].sha256
    with pytest.raises(UserError, match="--corpus takes one file, or three"):
        Config.of(corpus=paths[:2])


def test_a_run_that_was_stopped_ends_the_same(own, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    flags = ("--dropout=0.2", "--log_every=2", "--checkpoint_every=2")
    assert train(own, whole, *flags).code == 0
    assert train(own, parts, *flags).code == 0
    newest = max((parts / "checkpoints" / "last").iterdir(), key=lambda p: int(p.name))
    for folder in ("last", "best"):
        for path in (parts / "checkpoints" / folder).glob(newest.name):
            path.rename(tmp_path / f"{folder}-{path.name}")
    (parts / "summary.json").unlink()
    again = train(own, parts, *flags)
    assert again.code == 0 and "continuing from step" in again.err
    a, b = summary(whole), summary(parts)
    for name in ("train_perplexity", "valid_perplexity", "test_perplexity", "sample"):
        assert a[name] == b[name]


def test_other_flags_are_refused(trained, own):
    result = train(own, trained[0], "--titles", "--clean", "--hidden_size=9")
    refused(result, "--hidden_size (8 there, 9 here)")


def test_evaluate_says_the_same_again(trained):
    workdir, _ = trained
    result = command("--mode=evaluate", f"--workdir={workdir}", "--batch_size=5")
    assert result.code == 0, result.err
    assert f"{summary(workdir)['test_perplexity']:.4f}" in result.out


def test_a_model_adapts_to_the_poems_that_it_reads(trained):
    """With rates of zero it reads them as it always does."""
    workdir, _ = trained
    flags = ("--mode=evaluate", f"--workdir={workdir}")
    want = f"{summary(workdir)['test_perplexity']:.4f}"
    still = ("--dynamic=sgd", "--dynamic_rate=0", "--cache=30", "--cache_share=0")
    assert want in command(*flags, *still).out
    for more in (("--dynamic=rms",), ("--dynamic=sgd",), ("--cache=30",)):
        result = command(*flags, *more)
        assert result.code == 0
        assert want not in result.out
    result = command(*flags, "--cache=99999")
    assert result.code == 2
    assert "--cache=99999 is longer than the valid part, which has" in result.err


def test_poems_repeat_less_if_so_asked(trained):
    workdir, _ = trained
    plain, less = (
        generate(workdir, "--number=5", *more)
        for more in ((), ("--repetition_penalty=3",))
    )
    shares = [
        sum(len(set(poem)) for poem in poems_) / sum(map(len, poems_))
        for poems_ in (plain, less)
    ]
    assert shares[1] > shares[0]


def test_poems_are_written_as_asked(trained):
    workdir, _ = trained
    written = generate(workdir, "--number=3", "--seed=1")
    assert len(written) == 3 and all(len(poem) <= 40 for poem in written)
    assert written == generate(workdir, "--number=3", "--seed=1")
    assert written != generate(workdir, "--number=3", "--seed=2")
    for poem in generate(workdir, "--prompt=春江", "--number=2"):
        assert poem.startswith("春江")
    more = ("--acrostic=江山雪", "--length=200", "--number=2", "--temperature=0.5")
    for poem in generate(workdir, *more):
        starts = "".join(line[0] for line in poems.lines(poem))
        assert starts[:3] == "江山雪"
    (best,) = generate(workdir, "--beam_size=3")
    assert best == generate(workdir, "--beam_size=3", "--seed=9")[0]


def test_a_character_that_training_never_saw_is_named(trained):
    for flag in ("prompt", "acrostic", "title"):
        where = f"--workdir={trained[0]}"
        result = command("--mode=generate", where, f"--{flag}=春龘")
        refused(result, f"--{flag}: the vocabulary does not hold 龘")


def test_a_title_is_heard(trained):
    workdir, _ = trained
    one, other = (
        generate(workdir, f"--title={title}", "--number=5")
        for title in ("春花", "冬雪")
    )
    assert one != other


def test_lengths_and_forms_can_be_chosen(own, tmp_path):
    flags = ("--num_lines=8", f"--workdir={tmp_path / 'a'}")
    refused(command(f"--corpus={own}", *flags, *QUICK), "no poem of")
    flags = ("--max_length=12", "--truncate", "--clean")
    result = train(own, tmp_path / "b", *flags)
    assert result.code == 0, result.err
    assert "2 of 122" in result.err


def test_validations_are_fixed_where_they_decide_on_training(tmp_path):
    for flag, value in (
        ("schedule", "constant"),
        ("schedule", "plateau"),
        ("patience", 1),
    ):
        given = {"workdir": str(tmp_path / str(value)), flag: value}
        workdir = open_workdir(Config.of(**given), training=True)
        with workdir.open_for_training():
            workdir.write_summary({})
        again = Config.of(**given, eval_every=2)
        if value == "constant":
            open_workdir(again, training=True)
        else:
            with pytest.raises(UserError, match=r"--eval_every \(1 there, 2 here\)"):
                open_workdir(again, training=True)


def test_it_can_be_called_from_python(own, tmp_path):
    config = Config.of(
        corpus=str(own),
        workdir=str(tmp_path / "run"),
        hidden_size=8,
        embed_size=6,
        epochs=1,
        samples=2,
        length=30,
    )
    assert train_from_python(config) == summary(tmp_path / "run")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--corpus=nowhere.txt"], "nowhere.txt"),
        (["--dataset=tang"], "tang_poems"),
        (["--title=x"], "--title needs"),
        (["--mode=generate"], "holds no run"),
        (["--prompt=一二三", "--length=2"], "--length=2 is shorter"),
        (["--acrostic=一", "--prompt=二"], "exclude each other"),
        (["--acrostic=一二三", "--length=4"], "lines have at least 5 characters"),
        (["--beam_size=2", "--number=3"], "--beam_size of at least 3"),
        (["--bidirectional"], "bidirectional"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path, flags, sentence):
    workdir = tmp_path / "run"
    refused(command(f"--workdir={workdir}", *QUICK, *flags), sentence)
    assert not workdir.exists()


def test_a_line_without_a_colon_is_named(tmp_path):
    path = tmp_path / "bad.txt"
    path.write_text("a:一二三四五。\nno colon\n")
    refused(train(path, tmp_path / "run"), "line 2")
