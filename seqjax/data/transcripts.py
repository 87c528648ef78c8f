"""The user's own recordings: a folder of wav files, and files with their words."""

import posixpath
from collections.abc import Sequence
from pathlib import Path

from seqjax.data import formats, wav
from seqjax.data.sources import sha256_of, split_by_hash
from seqjax.data.speech import SpeechCorpus, Utterance
from seqjax.data.text import DataError, decode, read_bytes, shown_path, split_lines

_MISTAKEN = (
    *formats.OTHER_FILES,
    *(formats.LABELED, formats.LABELED_LAST, formats.PAIRS, formats.CONLL),
    *(formats.NUMBERS, formats.CSV, formats.CHAT, formats.POEMS),
)
HELD_OUT = 10  # percentage of the recordings to validate on, and to test on
Transcripts = dict[str, tuple[str, tuple[str, ...]]]  # {file: ("PATH, line N", words)}


def load_folder(folder: str | Path, transcripts: Sequence[str | Path]) -> SpeechCorpus:
    """Wav files with their words.

    Args:
      folder: the folder of the wav files, at any depth.
      transcripts: files of lines "file<TAB>words", see `parse_transcripts`. One file is
        split by a hash of the names of the wav files; three are train, valid and test.

    Raises:
      DataError: as `parse_transcripts` and `wav.read`, for a wav file that is missing,
        has no line or has two, or if a part is empty.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(
            f"{folder} is not a folder; a folder of wav files was expected."
        )
    parts: list[Transcripts] = []
    seen: dict[str, str] = {}
    for path in transcripts:
        spoken = read_transcripts(path)
        for name, (here, _) in spoken.items():
            if name in seen:
                raise DataError(f"{here}: {name} is also in {seen[name]}.")
            seen[name] = here
        parts.append(spoken)
    for file in wavs_in(folder):
        if file.relative_to(folder).as_posix() not in seen:
            raise DataError(
                f"{file} has no line in {', '.join(map(shown_path, transcripts))}."
            )
    sums: dict[str, str] = {}
    read = [read_spoken(folder, spoken, sums) for spoken in parts]
    name = folder.resolve().name
    if len(read) == 1:
        by_part = split_by_hash(
            name, read[0], lambda utterance: utterance.name, HELD_OUT, "utterance"
        )
        read = list(by_part.values())
    train, valid, test = read
    lines = []
    for part, of_part in (("train", train), ("valid", valid), ("test", test)):
        for utterance in of_part:  # no cell contains a tab or an end of line
            cells = part, utterance.name, *utterance.words, sums[utterance.name]
            lines.append("\t".join((*cells, "\n")))
    digest = sha256_of("".join(lines).encode())
    return SpeechCorpus(name, train, valid, test, digest)


def read_transcripts(path: str | Path) -> Transcripts:
    """The transcripts of a file; see `parse_transcripts`."""
    return parse_transcripts(decode(read_bytes(path), path), shown_path(path))


def parse_transcripts(text: str, path: str | Path) -> Transcripts:
    """The transcripts in lines "file<TAB>words"; empty lines are left out.

    White space separates the words, which are read in lower case. The file is a path
    within the folder of the wav files; "./a.wav" and "b/../a.wav" are "a.wav".

    Args:
      text: the content of the file of transcripts.
      path: its name, for error messages.

    Returns:
      {file: ("PATH, line N", words)}.

    Raises:
      DataError: with the line's number, if the line has no tab or two, no file or no
        words, a file of an earlier line, or a file outside the folder; if there is no
        line, or the text seems to have another format.

    Example:
      >>> parse_transcripts("a.wav\\tOne two\\n", "t.tsv")
      {'a.wav': ('t.tsv, line 1', ('one', 'two'))}
    """
    formats.refuse_format(text, path, formats.TRANSCRIPTS, _MISTAKEN)
    found: Transcripts = {}
    for number, line in enumerate(split_lines(text), start=1):
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
            raise DataError(f"{here}: {name} is also in {found[name][0]}.")
        found[name] = here, words
    if not found:
        raise DataError(f"{path} has no transcripts.")
    return found


def wavs_in(folder: str | Path) -> list[Path]:
    """The wav files of a folder at any depth, sorted by name."""
    files = (p for p in Path(folder).rglob("*") if p.suffix.lower() == ".wav")
    return sorted(p for p in files if p.is_file())


def read_spoken(
    folder: str | Path, spoken: Transcripts, sums: dict[str, str] | None = None
) -> list[Utterance]:
    """The Utterances of transcripts.

    Args:
      folder: the folder of the wav files.
      spoken: what is said in them.
      sums: receives the sha256 of each file.

    Raises:
      DataError: as `wav.read`, or for a file that is missing.
    """
    folder, sums = Path(folder), {} if sums is None else sums
    utterances = []
    for name, (here, words) in spoken.items():
        if not (folder / name).is_file():
            raise DataError(f"{here}: {folder / name} does not exist.")
        content = read_bytes(folder / name, "wav")
        sums[name] = sha256_of(content)
        samples = wav.parse(content, folder / name)
        utterances.append(Utterance(name, "", words, samples))
    return utterances
