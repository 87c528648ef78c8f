"""Recordings of words: where they come from, their parts, several joined to one."""

import hashlib
import posixpath
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqjax.data import wav
from seqjax.data.corpora import default_data_dir, split_by_hash, unknown_name
from seqjax.data.synthetic import syllables
from seqjax.data.text import DataError, decode, read_bytes


class Utterance(NamedTuple):
    """What was said, and how it sounds."""

    name: str
    speaker: str
    words: tuple  # strings
    samples: np.ndarray  # float32 [N], at 8 kHz


class SpeechCorpus(NamedTuple):
    """Lists of Utterances in three parts, with the sha256 of what they are from."""

    name: str
    train: list
    valid: list
    test: list
    sha256: str


NAMES = ("syllables", "fsdd")
DIGITS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
)
FSDD_SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
# Of lines "sha256  recordings/NAME", by name: of github.com/Jakobovski/
# free-spoken-digit-dataset, CC BY-SA 4.0.
FSDD_SHA256 = "04e1baae96c6a26e39c623f2b01d0182ddae627ba0ac02a3cdc17ba2af99fd9b"
FSDD_TAKES = 50  # of each digit by each speaker
FSDD_TEST = range(5)  # takes, officially
FSDD_VALID = range(5, 10)  # of the training ones, ours
HELD_OUT = 10  # percent of one's own files to validate on, and as many to test on
SILENCE = (0.05, 0.25)  # seconds between words that are joined


def load(name, data_dir=None, speaker_out=None, valid_speaker=None):
    """Load recordings by name.

    - "syllables": digits by a synthesizer of our own, `data.syllables`, embedded; other
      voices in each part.
    - "fsdd": the Free Spoken Digit Dataset. Takes 0 to 4 of each digit by each speaker
      test, 5 to 9 validate. With `speaker_out`, all that this one said tests, and of
      the others takes 0 to 9 validate, or all of `valid_speaker`.

    Args:
      name: one of `NAMES`.
      data_dir: where corpora lie; None is $SEQJAX_DATA_DIR, else the user's cache.
      speaker_out, valid_speaker: of fsdd.

    Raises:
      DataError: for an unknown name or speaker, files that are not there or not the
        published ones.

    Example:
      >>> load("fsdd", speaker_out="theo").test[0].words
      ('zero',)
    """
    if name not in NAMES:
        raise DataError(unknown_name("dataset", name, NAMES))
    if name == "fsdd":
        return _fsdd(data_dir, speaker_out, valid_speaker)
    parts, digest = {}, hashlib.sha256()
    for part, spoken in syllables.corpus().items():
        parts[part] = []
        for number, (speaker, words, samples) in enumerate(spoken):
            # In the steps of a 16-bit file: the last bits differ between machines.
            samples = np.round(samples * 2**15).astype(np.float32) / 2**15
            digest.update(" ".join((speaker, *words, "\n")).encode())
            parts[part].append(Utterance(f"{part}_{number}", speaker, words, samples))
    return SpeechCorpus(name, **parts, sha256=digest.hexdigest())


def _fsdd(data_dir, speaker_out, valid_speaker):
    for speaker in (speaker_out, valid_speaker):
        if speaker and speaker not in FSDD_SPEAKERS:
            raise DataError(unknown_name("speaker", speaker, FSDD_SPEAKERS))
    if valid_speaker and valid_speaker == speaker_out:
        raise DataError(f"{speaker_out} cannot both test and validate.")
    folder = Path(data_dir or default_data_dir()) / "fsdd"
    parts = {"train": [], "valid": [], "test": []}
    for name, content in _fsdd_files(folder).items():
        digit, speaker, take = name.removesuffix(".wav").split("_")
        said = (DIGITS[int(digit)],)
        samples = wav.parse(content, folder / "recordings" / name)
        found = Utterance(name, speaker, said, samples)
        parts[_fsdd_part(speaker, int(take), speaker_out, valid_speaker)].append(found)
    return SpeechCorpus("fsdd", **parts, sha256=FSDD_SHA256)


def _fsdd_part(speaker, take, speaker_out, valid_speaker):
    """The part that a take belongs to."""
    if speaker_out:
        if speaker == speaker_out:
            return "test"
        held_out = take in FSDD_TEST or take in FSDD_VALID
    else:
        if take in FSDD_TEST:
            return "test"
        held_out = take in FSDD_VALID
    if valid_speaker:
        held_out = speaker == valid_speaker
    return "valid" if held_out else "train"


def _fsdd_files(folder):
    """{name: bytes} of all recordings, in the order of their names, checked."""
    names = sorted(
        f"{digit}_{speaker}_{take}.wav"
        for digit in range(len(DIGITS))
        for speaker in FSDD_SPEAKERS
        for take in range(FSDD_TAKES)
    )
    if not folder.exists():
        raise DataError(
            f"{folder} does not exist; git clone https://github.com/Jakobovski/"
            f"free-spoken-digit-dataset {folder} makes it."
        )
    files = {n: read_bytes(folder / "recordings" / n, "wav") for n in names}
    sums = {n: hashlib.sha256(content).hexdigest() for n, content in files.items()}
    lines = "".join(f"{sha256}  recordings/{n}\n" for n, sha256 in sums.items())
    if hashlib.sha256(lines.encode()).hexdigest() != FSDD_SHA256:
        raise DataError(
            f"{folder / _first_wrong(folder, sums)} is not what was published: the "
            f"sha256 of all checksums should be {FSDD_SHA256}."
        )
    return files


def _first_wrong(folder, sums):
    """The first file that SHA256SUMS, if it is there, does not have like this."""
    try:
        lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        lines = []
    known = {name: sha256 for sha256, _, name in (t.partition("  ") for t in lines)}
    names = (f"recordings/{name}" for name in sums)
    wrong = (n for n in names if known.get(n) != sums[n.removeprefix("recordings/")])
    return next(wrong, "recordings") if known else "recordings"


# ---------------------------------------------------------------- one's own


def load_folder(folder, transcripts):
    """Wav files of one's own with what is said in them.

    A transcript is a line "file<TAB>words", the file's path within the folder.

    Args:
      folder: where the wav files are, at any depth.
      transcripts: a list of files: one, which is split by a hash of the files' names,
        or three for train, valid and test.

    Raises:
      DataError: naming file and line, for a line of another form, without words, or of
        a file that is missing or was named before; for a wav file that no transcript
        has; as `wav.read`; if a part would be empty.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; one of wav files was expected.")
    parts, seen = [], {}
    for path in transcripts:
        spoken = parse_transcripts(decode(read_bytes(path), path), path)
        for name, (here, _) in spoken.items():
            if name in seen:
                raise DataError(f"{here}: {name} is in {seen[name]}, too.")
            seen[name] = here
        parts.append(spoken)
    for file in wavs_in(folder):
        if (name := file.relative_to(folder).as_posix()) not in seen:
            raise DataError(
                f"{file} has no line in {', '.join(map(str, transcripts))}."
            )
    sums = {}
    read = [_read_spoken(folder, spoken, sums) for spoken in parts]
    name = folder.resolve().name
    if len(read) == 1:
        by_part = split_by_hash(
            name, read[0], lambda utterance: utterance.name, HELD_OUT, "utterance"
        )
        read = by_part.values()
    digest = hashlib.sha256()
    for part, of_part in zip(("train", "valid", "test"), read, strict=True):
        for utterance in of_part:  # no cell holds a tab or an end of line
            cells = part, utterance.name, *utterance.words, sums[utterance.name]
            digest.update("\t".join((*cells, "\n")).encode())
    return SpeechCorpus(name, *read, digest.hexdigest())


def parse_transcripts(text, path):
    """Lines "file<TAB>words" as {file: ("PATH, line N", words)}, empty ones skipped.

    Words are what stands between white space, in lower case. Files are named in one
    way: "./a.wav" and "b/../a.wav" are "a.wav".

    Raises:
      DataError: naming the line, if it has no tab or more than one, no file or no
        words, a file that an earlier one has, or one outside the folder; if there is no
        line.

    Example:
      >>> parse_transcripts("a.wav\\tOne two\\n", "t.tsv")
      {'a.wav': ('t.tsv, line 1', ('one', 'two'))}
    """
    found = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        here = f"{path}, line {number}"
        cells = line.split("\t")
        if len(cells) != 2:
            raise DataError(f"{here} is not of the form file<TAB>words.")
        name, words = cells[0].strip(), tuple(cells[1].lower().split())
        if not (name and words):
            raise DataError(f"{here} has no {'words' if name else 'file'}.")
        name = posixpath.normpath(name)
        if name.startswith("/") or name.split("/")[0] == "..":
            raise DataError(f"{here}: {name} is not within the folder.")
        if name in found:
            raise DataError(f"{here}: {name} is in {found[name][0]}, too.")
        found[name] = here, words
    if not found:
        raise DataError(f"{path} holds no transcript.")
    return found


def wavs_in(folder):
    """The wav files of a folder at any depth, in the order of their names."""
    files = (p for p in Path(folder).rglob("*") if p.suffix.lower() == ".wav")
    return sorted(p for p in files if p.is_file())


def _read_spoken(folder, spoken, sums):
    """A list of Utterances; the sha256 of each file goes to the dict `sums`."""
    utterances = []
    for name, (here, words) in spoken.items():
        if not (folder / name).is_file():
            raise DataError(f"{here}: {folder / name} does not exist.")
        content = read_bytes(folder / name, "wav")
        sums[name] = hashlib.sha256(content).hexdigest()
        samples = wav.parse(content, folder / name)
        utterances.append(Utterance(name, "", words, samples))
    return utterances


# ---------------------------------------------------------------- several as one


def join(utterances, least, most, rng):
    """Utterances of one speaker one after another, least .. most in each.

    All whose speaker is not known, "", count as one speaker's. Each is used once, but
    for the few that are left over of a speaker's; the order, the numbers, which are
    drawn evenly, and the silence between are drawn by `rng`.

    Args:
      utterances: a list of Utterances.
      least, most: how many, at least 1.
      rng: a numpy Generator.

    Returns:
      A list of Utterances.

    Raises:
      DataError: if no speaker has `least` of them.
    """
    by_speaker = {}
    for i in rng.permutation(len(utterances)):
        by_speaker.setdefault(utterances[i].speaker, []).append(utterances[i])
    joined = []
    for speaker in sorted(by_speaker):
        rest = by_speaker[speaker]
        while len(rest) >= least:
            number = min(int(rng.integers(least, most + 1)), len(rest))
            joined.append(_joined(rest[:number], rng))
            rest = rest[number:]
    if not joined:
        raise DataError(f"no speaker has {least} utterances to be joined.")
    return joined


def _joined(parts, rng):
    if len(parts) == 1:
        return parts[0]
    pieces = [parts[0].samples]
    for part in parts[1:]:
        gap = int(rng.uniform(*SILENCE) * wav.RATE)
        pieces += [np.zeros(gap, np.float32), part.samples]
    return Utterance(
        "+".join(part.name.removesuffix(".wav") for part in parts),
        parts[0].speaker,
        tuple(word for part in parts for word in part.words),
        np.concatenate(pieces),
    )
