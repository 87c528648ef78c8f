"""The speech command end to end, in small."""

import json
import os
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from experiments.speech import Config
from experiments.speech import data as speech_data
from experiments.speech import evaluate as evaluate_from_python
from experiments.speech import train as train_from_python
from experiments.speech.__main__ import main
from experiments.speech.data import LabelEncoder, load_corpus
from experiments.speech.recognition import build_recognizer, minibatches_of
from seqjax.data import wav
from seqjax.data.synthetic import syllables
from tests.commands import files, metrics, refused, run, summary
from tests.tones import TONES, flags_of, write_tones

ROOT = Path(__file__).parents[3]
PARTS = ("train", "valid", "test")
SCORES = ("word_error_rate", "letter_error_rate", "utterances_right", "digits_right")
SUMMARY_KEYS = {
    *(
        f"{way}{part}_{k}"
        for way in ("", "greedy_")
        for part in ("valid", "test")
        for k in SCORES
    ),
    *("valid_loss", "test_loss", "best_step", "parameters", "seconds"),
    *("labels_per_second", "dataset_sha256"),
}
SMALL = (
    *("--cell=rnn", "--nobidirectional", "--hidden_size=16", "--num_mels=12"),
    *("--dropout=0", "--epochs=3", "--beam_size=3", "--log_every=5"),
    *("--checkpoint_every=1000", "--learning_rate=0.02", "--warmup_steps=5"),
    "--examples=0",
)
LONGER = (
    "--epochs=20",
    "--eval_every=5",
    "--log_every=50",
    "--units=words",
    "--batch_size=8",
    "--examples=3",
)
command = partial(run, main)


@pytest.fixture(scope="module")
def tones(tmp_path_factory):
    """--wav_dir and --transcripts."""
    return write_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def trained(tones, tmp_path_factory):
    """(workdir, what training printed); not to be changed."""
    workdir = tmp_path_factory.mktemp("trained") / "run"
    result = command(*tones, f"--workdir={workdir}", *SMALL, *LONGER)
    assert result.code == 0, result.err
    assert "left out" not in result.err
    return workdir, result.out


def use(trained, mode, *more):
    return command(f"--mode={mode}", f"--workdir={trained[0]}", *more)


def test_train_writes_everything_it_promises_and_has_learnt(trained):
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
        "model",
        *("learning_curve.png", "posteriors.png"),
    }
    assert found["test_word_error_rate"] == found["test_letter_error_rate"] == 0
    assert found["test_utterances_right"] == found["test_digits_right"] == 1
    for text in ("word error rate", "letter error rate", "of one word", "test, greedy"):
        assert text in out
    assert {"valid_loss", "valid_word_error_rate"} <= set(metrics(workdir)[-1])


def test_evaluate_finds_the_numbers_of_training(trained):
    before = files(trained[0])
    result = use(trained, "evaluate")
    assert result.code == 0, result.err
    assert result.out.partition("files:")[0].strip() in trained[1]
    assert files(trained[0]) == before


def test_transcribe_writes_a_line_a_file(trained, tones, tmp_path):
    folder = Path(tones[0].partition("=")[2])
    want = dict(
        line.split("\t") for line in (folder / "test.tsv").read_text().splitlines()
    )
    some = tmp_path / "some"
    (some / "deep").mkdir(parents=True)
    for i, name in enumerate(want):
        shutil.copy(folder / name, some / ("deep" if i % 2 else "") / name)
    wav.write(some / "short.wav", np.zeros(3))
    wav.write(some / "long.wav", np.zeros(12 * 8000))
    (some / "other.txt").write_text("no sound")
    result = use(trained, "transcribe", f"--input={some}", "--batch_size=3")
    assert (result.code, result.err) == (0, "")
    found = dict(line.split("\t") for line in result.out.splitlines())
    assert list(found) == sorted(found) and found.pop("long.wav", None) is not None
    places = {f"{'deep/' if i % 2 else ''}{name}": name for i, name in enumerate(want)}
    said = {place: want[name] for place, name in places.items()}
    assert found == {**said, "short.wav": ""}  # named as --transcripts name them
    paths = [str(folder / name) for name in want] * 10
    assert len(",".join(paths)) > 4096  # longer than the name of a file may be
    target = tmp_path / "out.tsv"
    given = f"--input={','.join(paths)},,{some / 'deep'}"
    flags = (given, f"--output={target}", "--beam_size=1")
    assert use(trained, "transcribe", *flags).out == ""
    lines = [line.split("\t") for line in target.read_text().splitlines()]
    paths += [str(some / place) for place in sorted(places) if "deep/" in place]
    assert lines == [[path, want[Path(path).name]] for path in paths]


def test_evaluate_scores_other_transcripts(trained, tones, tmp_path):
    folder = Path(tones[0].partition("=")[2])
    rates = {f"test_{name}": summary(trained[0])[f"test_{name}"] for name in SCORES}
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    rng = np.random.default_rng(0)
    for path in other.glob("*.wav"):  # in stereo, at another rate, without sizes
        samples = np.repeat(wav.read(path), 2)
        both = np.stack([samples, samples + 0.01 * rng.normal(size=len(samples))], 1)
        wavfile.write(path, 16000, both.astype(np.float32))
        content = bytearray(path.read_bytes())
        at = content.index(b"data") + 4
        content[4:8] = content[at : at + 4] = b"\xff" * 4
        path.write_bytes(content)
    config = Config.of_run(trained[0], wav_dir=other, input=other / "test.tsv")
    assert evaluate_from_python(config) == rates
    given = f"--input={folder / 'test.tsv'}"
    result = use(trained, "evaluate", given, "--examples=0")
    assert result.code == 0 and "10 utterances" in result.out
    unknown = (folder / "test.tsv").read_text().replace("low", "bass")
    result = command(
        *("--mode=evaluate", f"--workdir={trained[0]}", "--input=-"),
        stdin=unknown.encode(),
    )
    assert result.code == 0 and "bass" in result.out  # an error, not a refusal
    bad = use(trained, "evaluate", f"--input={other / '1.wav'}")
    refused(bad, "1.wav is a wav recording; UTF-8 text was expected")
    missing = tmp_path / "missing.tsv"
    missing.write_text("no.wav\tlow\n")
    refused(use(trained, "evaluate", f"--input={missing}"), "no.wav does not exist")


def test_transcribe_reads_a_recording_from_a_pipe(trained, tones):
    folder = Path(tones[0].partition("=")[2])
    name, words = (folder / "test.tsv").read_text().splitlines()[0].split("\t")
    content = bytearray((folder / name).read_bytes())
    content[4:8] = content[40:44] = bytes(4)
    flags = ("--mode=transcribe", f"--workdir={trained[0]}", "--input=-")
    assert command(*flags, stdin=bytes(content)).out == f"-\t{words}\n"
    refused(command(*flags, stdin=b"RIFF"), "standard input is not a PCM wav file")


def test_limited_to_as_many_words_as_recordings_have(trained, tones, tmp_path):
    """One or two in training: these stay, none and three do not."""
    folder = Path(tones[0].partition("=")[2])
    names = [t.split("\t") for t in (folder / "test.tsv").read_text().splitlines()]
    assert {len(words.split()) for _, words in names} == {1, 2}
    times = np.arange(1600) / 8000
    rising = 0.3 * np.sin(2 * np.pi * (400 * times + 4000 * times**2))  # to 2000 Hz
    others = {"silent": np.zeros(1600), "rising": rising}
    for name, samples in others.items():
        wav.write(tmp_path / f"{name}.wav", samples)
    paths = [str(folder / name) for name, _ in names]
    paths += [str(tmp_path / f"{name}.wav") for name in others]
    flags = (f"--input={','.join(paths)}", "--beam_size=150")
    for more, numbers in (((), (0, 3)), (("--limit_words",), (1, 2))):
        result = use(trained, "transcribe", *flags, *more)
        assert result.code == 0, result.err
        found = [line.split("\t")[1] for line in result.out.splitlines()]
        assert found[:-2] == [words for _, words in names]
        assert tuple(len(words.split()) for words in found[-2:]) == numbers
    kept = json.loads((trained[0] / "vocab.json").read_text())[1]
    assert kept == {"labels": ["high", "low", "mid"], "words": [1, 2]}


def test_letters_of_joined_recordings_with_everything_drawn(
    tones, tmp_path, monkeypatch
):
    monkeypatch.setattr(speech_data, "MIN_FRAMES", 256)  # one padded length
    more = ("--min_words=2", "--max_words=2", "--speed=0.2", "--tempo=0.2")
    more = (*more, "--noise=0.2", "--time_mask=3", "--band_mask=3")
    more = (*more, "--features=mfcc", "--deltas")
    more = (
        *more,
        "--num_cepstra=6",
        "--dropout=0.1",
        "--locked_dropout",
        "--join=3",
        "--beam_size=1",
        "--epochs=2",
    )
    options = (*tones, *SMALL, *more, "--schedule=constant")
    for name, epochs in (("whole", (2,)), ("parts", (1, 2))):
        for number in epochs:
            flags = (f"--workdir={tmp_path / name}", f"--epochs={number}")
            result = command(*options, *flags)
            assert result.code == 0, result.err
    whole, parts = (
        [{k: v for k, v in m.items() if "second" not in k} for m in metrics(folder)]
        for folder in (tmp_path / "whole", tmp_path / "parts")
    )
    assert whole == parts
    for key in SUMMARY_KEYS - {"seconds", "labels_per_second"}:
        assert summary(tmp_path / "whole")[key] == summary(tmp_path / "parts")[key]
    assert summary(tmp_path / "whole")["test_digits_right"] is None
    flags = (f"--workdir={tmp_path / 'whole'}", "--mode=evaluate", "--examples=8")
    shown = [command(*flags, f"--seed={seed}") for seed in (0, 7)]
    assert shown[0] == shown[1] and shown[0].code == 0
    names = re.findall(r"\b\d+\+\d+\b", shown[0].out)
    assert names and all(re.fullmatch(r"8\d\+8\d", name) for name in names)


def test_what_validates_is_trained_on_if_asked(tones, tmp_path):
    train, valid, test = tones[1].removeprefix("--transcripts=").split(",")
    other = tmp_path / "valid.tsv"
    text = Path(valid).read_text()
    other.write_text(text.replace("low", "deep").replace("mid", "deep"))
    where = f"--workdir={tmp_path / 'run'}"
    options = (
        tones[0],
        f"--transcripts={train},{other},{test}",
        "--units=words",
        where,
    )
    refused(command(*options), "the valid part has the word 'deep'")
    more = ("--train_on_valid", "--checkpoint=last")
    files = f"{train},{other},{test}".split(",")
    config = Config.of(
        wav_dir=tones[0].partition("=")[2],
        transcripts=files,
        units="words",
        train_on_valid=True,
        checkpoint="last",
    )
    corpus = load_corpus(config)
    assert [len(part) for part in (corpus.train, corpus.valid, corpus.test)] == [
        *(80, 10, 10)
    ]
    labels = LabelEncoder.train(config.data, corpus).labels
    assert set(labels) == {*TONES, "deep"}
    for choice in ("--patience=2", "--checkpoint=best"):
        result = command(*options, *more, choice)
        refused(result, "no validation data are held out")
    assert not (tmp_path / "run").exists()
    result = command(
        *tones, where, *SMALL, *LONGER, *more, "--epochs=1", "--examples=0"
    )
    assert "valid (trained on)" in result.out, result.err


def test_what_is_too_short_is_left_out_and_counted(tmp_path):
    folder = tmp_path / "tones"
    write_tones(folder, 40)
    wav.write(folder / "0.wav", np.zeros(300))  # 2 frames, one step
    path = folder / "train.tsv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(["0.wav\tlow low low", *lines[1:]]))
    flags = (*flags_of(folder), *SMALL, "--units=words", "--epochs=1", "--beam_size=1")
    result = command(*flags, f"--workdir={tmp_path / 'run'}")
    assert result.code == 0, result.err
    assert "1 of 20 training utterances are left out" in result.err
    config = Config.of(
        wav_dir=str(folder),
        transcripts=[str(folder / f"{part}.tsv") for part in PARTS],
        units="words",
        **{"cell": "rnn", "hidden_size": 4, "min_words": 2, "max_words": 2},
    )
    corpus = load_corpus(config)
    recognizer = build_recognizer(config, LabelEncoder.train(config.data, corpus))
    pairs = minibatches_of(config, recognizer, corpus.train)
    pairs.plan(0)
    assert pairs.planned and not pairs.left_out  # the other's steps are enough for both
    path.write_text("0.wav\tlow mid high\n")
    for line in lines[1:]:
        (folder / line.split("\t")[0]).unlink()
    result = command(*flags, f"--workdir={tmp_path / 'no'}")
    refused(result, "every training utterance has fewer steps than words")


def test_another_run_in_the_workdir_is_refused_and_left_alone(trained, tones, tmp_path):
    before = files(trained[0])
    flags = (f"--workdir={trained[0]}", *SMALL, *LONGER)
    refused(command(*tones, *flags, "--speed=0.1"), "--speed (0.0 there, 0.1 here)")
    other = write_tones(tmp_path / "other", seed=9)
    refused(command(*other, *flags), "holds a run on other data")
    assert files(trained[0]) == before


def test_bad_files_are_named_and_nothing_is_written(trained, tones, tmp_path):
    folder = tmp_path / "tones"
    shutil.copytree(tones[0].partition("=")[2], folder)
    where = (f"--workdir={tmp_path / 'run'}", *SMALL)
    test = folder / "test.tsv"
    right = test.read_text()
    test.write_text(right.replace("\t", "\tlöw ", 1))
    given = (*flags_of(folder), *where)
    refused(command(*given), "the test part has the letter 'ö' in 80.wav, which does")
    refused(command(*given, "--units=words"), "has the word 'löw' in 80.wav, which")
    test.write_bytes(b"80.wav\tl\xe9w\n")
    refused(command(*given), "test.tsv is not UTF-8: byte 0xe9 at byte offset 8")
    test.write_text(right + "x.wav\tlow\n")
    refused(command(*given), "test.tsv, line 11: ")
    test.write_text(right)
    (folder / "80.wav").write_bytes(b"")
    refused(command(*given), "80.wav is not a PCM wav file")
    assert not (tmp_path / "run").exists()
    refused(use(trained, "transcribe", f"--input={folder}"), "80.wav is not a PCM")
    (tmp_path / "empty").mkdir()
    empty = f"--input={tmp_path / 'empty'}"
    refused(use(trained, "transcribe", empty), "empty holds no wav file")
    refused(use(trained, "transcribe", "--input=/no"), "/no does not exist")
    refused(use(trained, "transcribe", "--input=,"), "names no wav file")
    long = tmp_path / "long.wav"
    wav.write(long, np.zeros(61 * 8000))
    long = use(trained, "transcribe", f"--input={long}")
    refused(long, "long.wav lasts 61.00 seconds; at most 60 are supported")


@pytest.mark.parametrize("name", [b"\xff.wav", b"a\tb.wav", b"a\nb.wav"])
def test_names_that_fit_into_no_line_are_named(trained, tmp_path, name):
    (tmp_path / "in").mkdir()
    wav.write(tmp_path / "in" / os.fsdecode(name), np.zeros(800))
    out = f"--output={tmp_path / 'out.tsv'}"
    result = use(trained, "transcribe", f"--input={tmp_path / 'in'}", out)
    refused(
        result, f"{os.fsdecode(name)!r} does not fit in a line: it is not UTF-8, or"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["in"]


def test_our_own_voices_are_the_default(tmp_path, monkeypatch):
    monkeypatch.setattr(syllables, "corpus", partial(syllables.corpus, 30, 5))
    monkeypatch.setattr(speech_data, "MIN_FRAMES", 256)  # one padded length
    more = ("--tilt=0.3", "--warp=0.1", "--floor=0.1", "--beam_size=1")
    flags = (f"--workdir={tmp_path / 'run'}", *SMALL, *more, "--epochs=1")
    result = command(*flags)
    assert result.code == 0, result.err
    assert "30, 5, 5" in result.out and "syllables, rnn, logmel" in result.out
    kept = json.loads((tmp_path / "run" / "vocab.json").read_text())[1]
    assert kept["words"] == [1, 3] and set("".join(kept["labels"])) == set(
        " efghinorstuvwxz"
    )


def test_bad_flags_are_named(tones, tmp_path):
    where = f"--workdir={tmp_path / 'run'}"
    for flags, sentence in (
        (tones[:1], "--wav_dir and --transcripts must be given together"),
        (tones[1:], "--wav_dir and --transcripts must be given together"),
        ((tones[0], "--transcripts=a,b"), "--transcripts takes one file, or three"),
        (("--wav_dir=/none", "--transcripts=a"), "/none is not a folder"),
        (("--speaker_out=theo",), "need --dataset=fsdd"),
        (("--dataset=fsd",), "did you mean fsdd"),
        (
            ("--dataset=fsdd", "--valid_speaker=theo", "--train_on_valid"),
            "--valid_speaker holds a speaker out of training",
        ),
        (("--min_words=3",), "--min_words=3 is above --max_words=1"),
        (("--features=mfcc", "--num_mels=5"), "--num_cepstra=13 is above --num_mels=5"),
        (
            ("--dataset=fsdd", f"--data_dir={tmp_path}"),
            "fsdd does not exist; create it by: git clone",
        ),
        (("--beam_size=1001",), "--beam_size must be at most 1000, got 1001"),
        (("--time_mask=3", "--normalized=none"), "not with --normalized=none"),
        (("--band_mask=3", "--normalized=none"), "not with --normalized=none"),
        (
            ("--limit_words", "--beam_size=1"),
            "--limit_words needs a --beam_size above 1",
        ),
        (("--tilt=1", "--features=mfcc"), "--tilt needs --features=logmel"),
        (("--warp=0.1", "--features=both"), "--warp needs --features=logmel"),
        (("--features=both", "--num_mels=5"), "--num_cepstra=13 is above --num_mels=5"),
        (("--warp=0.1", "--deltas"), "--warp needs --features=logmel without --deltas"),
        (("--mode=transcribe",), "--mode=transcribe needs --input"),
        (("--mode=transcribe", "--input=x"), "holds no run"),
        (("--mode=evaluate",), "holds no run"),
        (("--input=x",), "--input is read in --mode=evaluate or transcribe, not in"),
    ):
        refused(command(*flags, where), sentence)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["fsdd", "fsdd_speaker_out", "fsdd_utterances"])
def test_the_flags_of_the_recipes_go_together(tmp_path, name):
    recipe = ROOT / "experiments" / "recipes" / f"{name}.flags"
    flags = (f"--flagfile={recipe}", "--mode=evaluate", f"--workdir={tmp_path / 'no'}")
    refused(command(*flags), "holds no run")


def test_it_can_be_called_from_python(tones, tmp_path):
    config = Config.of(
        wav_dir=tones[0].partition("=")[2],
        transcripts=tones[1].partition("=")[2].split(","),
        units="words",
        cell="rnn",
        hidden_size=8,
        num_mels=12,
        epochs=1,
        beam_size=1,
        examples=0,
        workdir=str(tmp_path / "run"),
    )
    assert train_from_python(config) == summary(tmp_path / "run")
