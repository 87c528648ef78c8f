"""Recordings: the user's own, the parts of fsdd, joined ones, synthetic voices."""

import hashlib
import os
from collections import Counter

import numpy as np
import pytest

from seqjax.data import speech, transcripts, wav
from seqjax.data.speech import Utterance
from seqjax.data.synthetic import syllables
from seqjax.data.text import DataError

needs_data = pytest.mark.skipif(
    "SEQJAX_DATA_DIR" not in os.environ, reason="needs real data in SEQJAX_DATA_DIR"
)


def write_folder(folder, number=40, words=("One", "two")):
    """Wav files and their transcripts."""
    lines = []
    for i in range(number):
        (folder / "a").mkdir(parents=True, exist_ok=True)
        wav.write(folder / "a" / f"{i}.wav", np.full(10 + i, 0.25))
        lines.append(f"a/{i}.wav\t{words[i % 2]}  six\n")
    (folder / "all.tsv").write_text("".join(lines))
    return folder / "all.tsv"


# ---------------------------------------------------------------- the user's own


def test_own_files_are_in_one_part_each(tmp_path):
    corpus = transcripts.load_folder(tmp_path, [write_folder(tmp_path)])
    parts = corpus.train, corpus.valid, corpus.test
    names = [u.name for part in parts for u in part]
    assert sorted(names) == sorted(f"a/{i}.wav" for i in range(40))
    assert all(parts)
    for utterance in corpus.train:
        i = int(utterance.name.removesuffix(".wav")[2:])
        assert utterance.words == (("one", "two")[i % 2], "six")
        np.testing.assert_array_equal(utterance.samples, np.full(10 + i, 0.25))
    again = transcripts.load_folder(tmp_path, [tmp_path / "all.tsv"])
    assert [u.name for u in again.train] == [u.name for u in corpus.train]
    wav.write(tmp_path / "a" / "0.wav", np.zeros(10))
    other = transcripts.load_folder(tmp_path, [tmp_path / "all.tsv"])
    assert again.sha256 == corpus.sha256 != other.sha256


def test_three_files_are_the_three_parts(tmp_path):
    lines = write_folder(tmp_path, 6).read_text().splitlines()
    paths = []
    for i, part in enumerate(("train", "valid", "test")):
        paths.append(tmp_path / f"{part}.tsv")
        paths[-1].write_text("\n\n".join(lines[2 * i : 2 * i + 2]))
    corpus = transcripts.load_folder(tmp_path, paths)
    assert [u.name for u in corpus.test] == ["a/4.wav", "a/5.wav"]
    assert len(corpus.train) == len(corpus.valid) == 2


def test_the_checksum_depends_on_the_parts(tmp_path):
    lines = write_folder(tmp_path, 6).read_text().splitlines(keepends=True)
    paths = [tmp_path / f"{part}.tsv" for part in ("train", "valid", "test")]

    def sha256(*ends):
        begin = 0
        for path, end in zip(paths, ends, strict=True):
            path.write_text("".join(lines[begin:end]))
            begin = end
        return transcripts.load_folder(tmp_path, paths).sha256

    found = [sha256(2, 4, 6), sha256(3, 4, 6), sha256(2, 3, 6), sha256(2, 4, 6)]
    assert found[0] == found[3] and len(set(found)) == 3


def test_one_file_and_the_same_parts_in_three_are_the_same_data(tmp_path):
    path = write_folder(tmp_path)
    corpus = transcripts.load_folder(tmp_path, [path])
    lines = dict(line.split("\t") for line in path.read_text().splitlines())
    paths = []
    for i, part in enumerate((corpus.train, corpus.valid, corpus.test)):
        paths.append(tmp_path / f"{i}.tsv")
        paths[-1].write_text("".join(f"./{u.name}\t{lines[u.name]}\n" for u in part))
    assert transcripts.load_folder(tmp_path, paths).sha256 == corpus.sha256


TRANSCRIPTS = {
    "no tab": ("a.wav one\n", "t.tsv, line 1 is not of the form file<TAB>words"),
    "two tabs": ("\na.wav\tone\ttwo\n", "t.tsv, line 2 is not of the form"),
    "no words": ("a.wav\t \n", "t.tsv, line 1 has no words"),
    "no file": (" \tone\n", "t.tsv, line 1 has no file"),
    "twice": ("a\tx\nb\ty\na\tz\n", "t.tsv, line 3: a is also in t.tsv, line 1"),
    "twice in two ways": (
        "a\tx\n./b/../a\tz\n",
        "t.tsv, line 2: a is also in t.tsv, line 1",
    ),
    "absolute": ("/w/a.wav\tx\n", "t.tsv, line 1: /w/a.wav is not within the folder"),
    "outside": ("a\tx\nb/../../a\tx\n", "t.tsv, line 2: ../a is not within the"),
    "above": ("..\tx\n", "t.tsv, line 1: .. is not within the folder"),
    "nothing": (" \n\n", "t.tsv has no transcripts"),
}


@pytest.mark.parametrize(("text", "sentence"), TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_bad_transcripts_are_refused(text, sentence):
    with pytest.raises(DataError) as error:
        transcripts.parse_transcripts(text, "t.tsv")
    assert sentence in str(error.value)


def test_files_without_transcripts_and_the_reverse_are_refused(tmp_path):
    path = write_folder(tmp_path)

    def refused(sentence, folder=tmp_path, paths=(path,)):
        with pytest.raises(DataError) as error:
            transcripts.load_folder(folder, paths)
        assert sentence in str(error.value), error.value

    text = path.read_text()
    path.write_text(text + "a/x.wav\tone\n")
    refused("all.tsv, line 41: ")
    refused("x.wav does not exist")
    (tmp_path / "a" / "x.wav").write_bytes(b"RIFF")
    refused("x.wav is not a PCM wav file")
    path.write_text(text)
    refused("x.wav has no line in ")
    (tmp_path / "a" / "x.wav").unlink()
    (tmp_path / "a" / "NOTES.txt").write_text("no wav file")
    assert transcripts.load_folder(tmp_path, [path]).train
    refused("nowhere is not a folder", tmp_path / "nowhere")
    refused("all.tsv is not a folder", path)
    refused("none.tsv does not exist", paths=[tmp_path / "none.tsv"])
    (tmp_path / "b.tsv").write_text(text.splitlines()[3])
    refused(
        "b.tsv, line 1: a/3.wav is also in ", paths=[path, path.parent / "b.tsv", path]
    )
    path.write_text(text.splitlines()[0])
    for i in range(1, 40):
        (tmp_path / "a" / f"{i}.wav").unlink()
    refused("has no utterance in its")


# ---------------------------------------------------------------- fsdd


@needs_data
def test_fsdd_has_its_official_parts():
    corpus = speech.load("fsdd")
    assert [len(part) for part in corpus[1:4]] == [2400, 300, 300]
    takes = [
        {int(u.name.removesuffix(".wav").split("_")[2]) for u in part}
        for part in corpus[1:4]
    ]
    assert takes == [set(range(10, 50)), set(range(5, 10)), set(range(5))]
    for part, number in zip(corpus[1:4], (240, 30, 30), strict=True):
        words = Counter(u.words for u in part)
        assert set(words.values()) == {number} and len(words) == 10
        assert {u.speaker for u in part} == set(speech.FSDD_SPEAKERS)
    for u in corpus.test[:3] + corpus.test[-3:]:
        assert u.words == (speech.DIGITS[int(u.name[0])],)
    assert sum(len(u.samples) for part in corpus[1:4] for u in part) == 10498424


@needs_data
def test_a_held_out_speaker_is_in_no_other_part():
    corpus = speech.load("fsdd", speaker_out="theo")
    assert {u.speaker for u in corpus.test} == {"theo"} and len(corpus.test) == 500
    assert [len(corpus.train), len(corpus.valid)] == [2000, 500]
    assert "theo" not in {u.speaker for u in corpus.train + corpus.valid}
    both = speech.load("fsdd", speaker_out="theo", valid_speaker="lucas")
    assert {u.speaker for u in both.valid} == {"lucas"} and len(both.valid) == 500
    assert len({u.speaker for u in both.train}) == 4 and len(both.train) == 2000
    for names, sentence in (
        (("teo", None), "did you mean theo"),
        (("theo", "george michael"), "did you mean george"),
        (("theo", "theo"), "theo cannot both test and validate"),
    ):
        with pytest.raises(DataError, match=sentence):
            speech.load("fsdd", None, *names)


def test_fsdd_that_is_missing_or_changed_is_refused(tmp_path):
    with pytest.raises(
        DataError, match="fsdd does not exist; create it by: git clone https"
    ):
        speech.load("fsdd", tmp_path)
    folder = tmp_path / "fsdd" / "recordings"
    folder.mkdir(parents=True)
    with pytest.raises(DataError, match=r"george_0\.wav does not exist"):
        speech.load("fsdd", tmp_path)
    for digit in range(10):
        for speaker in speech.FSDD_SPEAKERS:
            for take in range(50):
                (folder / f"{digit}_{speaker}_{take}.wav").write_bytes(b"x")
    with pytest.raises(DataError, match="fsdd/recordings is not the published file"):
        speech.load("fsdd", tmp_path)
    sums = "".join(
        f"2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  "
        f"recordings/{path.name}\n"
        for path in sorted(folder.iterdir())
        if path.name != "3_theo_7.wav"
    )
    (tmp_path / "fsdd" / "SHA256SUMS").write_text(sums)
    with pytest.raises(DataError, match=r"/3_theo_7\.wav is not the"):
        speech.load("fsdd", tmp_path)


# ---------------------------------------------------------------- joined


def spoken(speakers="aab", number=20):
    return [
        Utterance(f"{i}.wav", s, (f"w{i}",), np.full(100 + i, i + 1, np.float32))
        for i, s in enumerate(speakers * number)
    ]


def test_joined_utterances_use_each_recording_once():
    parts = spoken()
    joined = speech.join(parts, 3, 6, np.random.default_rng(0))
    used = [word for u in joined for word in u.words]
    assert len(set(used)) == len(used) and 60 - 2 * 2 <= len(used) <= 60
    assert {len(u.words) for u in joined} == {3, 4, 5, 6}
    by_name = {u.words[0]: u for u in parts}
    for u in joined:
        assert {by_name[word].speaker for word in u.words} == {u.speaker}
        assert u.name == "+".join(word[1:] for word in u.words)
        rest = u.samples
        for place, word in enumerate(u.words):
            piece = by_name[word].samples
            if place:
                gap = int((rest != 0).argmax())
                assert 0.05 * 8000 - 1 <= gap <= 0.25 * 8000
                rest = rest[gap:]
            np.testing.assert_array_equal(rest[: len(piece)], piece)
            rest = rest[len(piece) :]
        assert not len(rest)


def test_the_generator_decides_the_joining():
    names = [
        [u.name for u in speech.join(spoken(), 1, 4, np.random.default_rng(seed))]
        for seed in (0, 0, 1)
    ]
    assert names[0] == names[1] != names[2]
    single = speech.join(spoken(), 1, 1, np.random.default_rng(0))
    assert sorted(u.name for u in single) == sorted(u.name for u in spoken())
    with pytest.raises(DataError, match="no speaker has 50 utterances"):
        speech.join(spoken(), 50, 60, np.random.default_rng(0))


# ---------------------------------------------------------------- synthetic voices


def test_voices_are_in_one_part_and_say_every_word():
    parts = syllables.corpus(60, 40)
    voices = [{name for name, _, _ in part} for part in parts.values()]
    assert not voices[0] & voices[1] and not (voices[0] | voices[1]) & voices[2]
    assert tuple(syllables.WORDS) == speech.DIGITS
    for part in parts.values():
        assert {w for _, words, _ in part for w in words} == set(syllables.WORDS)
        assert {len(words) for _, words, _ in part} == {1, 2, 3}
        for _, words, samples in part:
            assert samples.dtype == np.float32 and np.abs(samples).max() <= 1
            assert 0.15 * len(words) < len(samples) / 8000 < 0.9 * len(words) + 0.3
    again, other = syllables.corpus(60, 40), syllables.corpus(60, 40, seed=1)
    for part, found in parts.items():
        for one, same in zip(found, again[part], strict=True):
            assert one[:2] == same[:2]
            np.testing.assert_array_equal(one[2], same[2])
    assert [u[1] for u in parts["train"]] != [u[1] for u in other["train"]]


def test_synthetic_recordings_have_the_resolution_of_a_file(monkeypatch):
    said = {
        part: [(f"{part}_0", ("six",), np.float32([1 / 3, -0.5]))]
        for part in ("train", "valid", "test")
    }
    said["train"] *= 2
    monkeypatch.setattr(syllables, "corpus", lambda: said)
    corpus = speech.load("syllables")
    assert [u.name for u in corpus.train] == ["train_0", "train_1"]
    assert corpus.test[0][:3] == ("test_0", "test_0", ("six",))
    steps = 2**15 * corpus.valid[0].samples
    assert steps.tolist() == [10923, -16384]  # 2^15 / 3 = 10922.67
    text = "train_0 six \ntrain_0 six \nvalid_0 six \ntest_0 six \n"
    assert corpus.sha256 == hashlib.sha256(text.encode()).hexdigest()


def test_a_voice_has_its_pitch_and_its_formants():
    """A long vowel has lines at the multiples of the pitch, peaks at the formants."""
    rng = np.random.default_rng(0)
    for pitch, tract in ((100, 1.0), (200, 1.15)):
        voice = syllables.Voice("v", pitch, tract, 20.0, -3.0, 0.0)
        samples = syllables.say(["a"], voice, rng)[2000:10000]
        power = np.abs(np.fft.rfft(samples * np.hanning(8000))) ** 2  # 1 Hz a bin
        beat = np.fft.irfft(power)[: 8000 // 2]
        lag = 20 + int(beat[20 : 8000 // 60].argmax())
        assert 8000 / lag == pytest.approx(pitch, rel=0.15)
        smooth = np.convolve(power, np.ones(pitch) / pitch, "same")
        first = 400 + int(smooth[400:1000].argmax())
        assert first == pytest.approx(730 * tract, rel=0.2)
