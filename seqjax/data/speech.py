"""Recordings of words: sources, parts, and several recordings joined to one."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqjax.data import wav
from seqjax.data.names import unknown_name
from seqjax.data.sources import default_data_dir, sha256_of
from seqjax.data.synthetic import syllables
from seqjax.data.text import DataError, read_bytes, read_text, split_lines


class Utterance(NamedTuple):
    """A recording and its words."""

    name: str
    speaker: str  # "" if unknown
    words: tuple[str, ...]
    samples: np.ndarray  # float32 [N], at 8 kHz


class SpeechCorpus(NamedTuple):
    """Utterances in three parts, with the sha256 of their content."""

    name: str
    train: list[Utterance]
    valid: list[Utterance]
    test: list[Utterance]
    sha256: str


NAMES = ("syllables", "fsdd")
DIGITS = (
    *("zero", "one", "two", "three", "four"),
    *("five", "six", "seven", "eight", "nine"),
)
FSDD_SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
# Of the lines "sha256  recordings/NAME", by name. The files are those of
# github.com/Jakobovski/free-spoken-digit-dataset, CC BY-SA 4.0.
FSDD_SHA256 = "04e1baae96c6a26e39c623f2b01d0182ddae627ba0ac02a3cdc17ba2af99fd9b"
FSDD_TAKES = 50  # recordings of each digit by each speaker
FSDD_TEST = range(5)  # the takes of the official test part
FSDD_VALID = range(5, 10)  # the takes of the validation part, which is not official
SILENCE = (0.05, 0.25)  # seconds between joined recordings


def load(
    name: str,
    data_dir: str | Path | None = None,
    speaker_out: str | None = None,
    valid_speaker: str | None = None,
) -> SpeechCorpus:
    """Load recordings by name.

    - "syllables": synthetic digits from `data.synthetic.syllables`, with different
      voices in each part; needs no file.
    - "fsdd": the Free Spoken Digit Dataset. Takes 0 to 4 of each digit by each speaker
      are the test part, takes 5 to 9 the validation part. With `speaker_out`, all
      recordings of this speaker are the test part; the validation part is takes 0 to 9
      of the other speakers, or all recordings of `valid_speaker`.

    Args:
      name: one of `NAMES`.
      data_dir: the folder of the data sets; None is `sources.default_data_dir()`.
      speaker_out: the held-out speaker of fsdd.
      valid_speaker: the speaker of fsdd to validate on.

    Raises:
      DataError: for an unknown name or speaker, or files that are missing or are not
        the published ones.

    Example:
      >>> load("syllables").train[0].speaker
      'train_0'
    """
    if name not in NAMES:
        raise DataError(unknown_name("dataset", name, NAMES))
    if name == "fsdd":
        return _fsdd(data_dir, speaker_out, valid_speaker)
    parts: dict[str, list[Utterance]] = {}
    lines = []
    for part, spoken in syllables.corpus().items():
        parts[part] = []
        for number, (speaker, words, samples) in enumerate(spoken):
            # The resolution of a 16-bit file: the last bits differ between machines.
            samples = np.round(samples * 2**15).astype(np.float32) / 2**15
            lines.append(" ".join((speaker, *words, "\n")))
            parts[part].append(Utterance(f"{part}_{number}", speaker, words, samples))
    return SpeechCorpus(name, **parts, sha256=sha256_of("".join(lines).encode()))


def _fsdd(
    data_dir: str | Path | None, speaker_out: str | None, valid_speaker: str | None
) -> SpeechCorpus:
    for speaker in (speaker_out, valid_speaker):
        if speaker and speaker not in FSDD_SPEAKERS:
            raise DataError(unknown_name("speaker", speaker, FSDD_SPEAKERS))
    if valid_speaker and valid_speaker == speaker_out:
        raise DataError(f"{speaker_out} cannot both test and validate.")
    folder = Path(data_dir or default_data_dir()) / "fsdd"
    parts: dict[str, list[Utterance]] = {"train": [], "valid": [], "test": []}
    for name, content in _fsdd_files(folder).items():
        digit, speaker, take = name.removesuffix(".wav").split("_")
        words = (DIGITS[int(digit)],)
        samples = wav.parse(content, folder / "recordings" / name)
        found = Utterance(name, speaker, words, samples)
        parts[_fsdd_part(speaker, int(take), speaker_out, valid_speaker)].append(found)
    return SpeechCorpus("fsdd", **parts, sha256=FSDD_SHA256)


def _fsdd_part(
    speaker: str, take: int, speaker_out: str | None, valid_speaker: str | None
) -> str:
    """The part of a take."""
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


def _fsdd_files(folder: Path) -> dict[str, bytes]:
    """{name: bytes} of all recordings, sorted by name, with their checksum verified."""
    names = sorted(
        f"{digit}_{speaker}_{take}.wav"
        for digit in range(len(DIGITS))
        for speaker in FSDD_SPEAKERS
        for take in range(FSDD_TAKES)
    )
    if not folder.exists():
        raise DataError(
            f"{folder} does not exist; create it by: git clone "
            f"https://github.com/Jakobovski/free-spoken-digit-dataset {folder}"
        )
    files = {n: read_bytes(folder / "recordings" / n, "wav") for n in names}
    sums = {n: sha256_of(content) for n, content in files.items()}
    lines = "".join(f"{sha256}  recordings/{n}\n" for n, sha256 in sums.items())
    if sha256_of(lines.encode()) != FSDD_SHA256:
        raise DataError(
            f"{folder / _first_wrong(folder, sums)} is not the published file: the "
            f"sha256 of all checksums should be {FSDD_SHA256}."
        )
    return files


def _first_wrong(folder: Path, sums: dict[str, str]) -> str:
    """The first file that differs from its line in SHA256SUMS, if there is such a file.

    Without SHA256SUMS, the folder of the recordings.
    """
    try:
        lines = split_lines(read_text(folder / "SHA256SUMS"))
    except DataError:
        lines = []
    known = {name: sha256 for sha256, _, name in (t.partition("  ") for t in lines)}
    names = (f"recordings/{name}" for name in sums)
    wrong = (n for n in names if known.get(n) != sums[n.removeprefix("recordings/")])
    return next(wrong, "recordings") if known else "recordings"


def join(
    utterances: Sequence[Utterance],
    least: int,
    most: int,
    rng: np.random.Generator,
) -> list[Utterance]:
    """Sequences of `least` to `most` utterances of one speaker, joined to one each.

    The generator draws the order, the number in each sequence (uniformly) and the
    silence between. Each utterance is used once; a few of each speaker may be left
    over. Utterances of unknown speakers count as those of one speaker.

    Args:
      utterances: Utterances.
      least, most: the numbers to join, at least 1.
      rng: a NumPy Generator.

    Raises:
      DataError: if no speaker has `least` utterances.
    """
    by_speaker: dict[str, list[Utterance]] = {}
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
        raise DataError(f"no speaker has {least} utterances to join.")
    return joined


def _joined(parts: Sequence[Utterance], rng: np.random.Generator) -> Utterance:
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
