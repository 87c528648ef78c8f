"""The only mode of the tokens command: texts to token files, in two passes."""

import contextlib
import functools
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.common import activity
from experiments.common.console import print_table
from experiments.common.errors import UserError
from experiments.tokens.config import Config, TokensConfig
from seqjax.data.corpora import split_ends
from seqjax.data.tables import is_json_lines
from seqjax.data.text import tokenize
from seqjax.data.text_stream import text_pieces
from seqjax.data.text_tokenizer import TextTokenizer
from seqjax.data.token_files import PARTS, TokenFile, open_corpus, write_token_file
from seqjax.data.tokenizers import SubwordTokenizer
from seqjax.data.vocab import Vocab

PARTIAL = ".partial-"  # begins the name of the folder of unfinished files
LEARNED = 50_000_000  # characters of the training text that subwords are learned from


def run(config: Config) -> dict[str, Any]:
    """Write train.tokens, valid.tokens and test.tokens; their sizes, also printed.

    Raises:
      UserError: if the folder has such files, or cannot be made.
      DataError: if a text cannot be read, or a part is too short.
    """
    settings = config.tokens
    if settings.corpus is None:
        raise UserError("--corpus is needed: the text to turn into tokens.")
    folder = Path(settings.output)
    _check_folder(folder)
    for path in settings.corpus:
        _check_text(path)
    activity.begin("the sizes of the text")
    parts = _parts(settings)
    activity.begin("the vocabulary")
    tokenizer = _train(settings, parts["train"]())
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=PARTIAL) as partial:
            files = _write(Path(partial), tokenizer, parts)
            for file in files:
                file.path.rename(folder / file.path.name)
    except OSError as error:
        raise UserError(f"--output={folder}: {error.strerror}.") from None
    finally:
        with contextlib.suppress(OSError):  # it is not empty
            folder.rmdir()
    rows = [(f"{file.part} tokens", f"{len(file):,}") for file in files]
    rows += [("vocabulary", f"{len(tokenizer):,}"), ("files", str(folder))]
    print_table(Path(settings.corpus[0]).name, rows)
    summary: dict[str, Any] = {f"{file.part}_tokens": len(file) for file in files}
    return summary | {"vocabulary": len(tokenizer)}


def _check_folder(folder: Path) -> None:
    for part in PARTS:
        if (folder / f"{part}.tokens").exists():
            raise UserError(
                f"--output={folder} has a {part}.tokens already; choose another folder."
            )


def _check_text(path: str) -> None:
    if Path(path).exists() and not Path(path).is_file():
        raise UserError(f"--corpus: {path} is no file; a text was expected.")
    if is_json_lines(path):
        raise UserError(f"--corpus: {path} is JSON lines; a text was expected.")


def _write(
    folder: Path, tokenizer: TextTokenizer, parts: dict[str, Any]
) -> list[TokenFile]:
    """Write the files of all parts; they are whole and differ."""
    paths = []
    for part, texts in parts.items():
        activity.begin(f"the tokens of the {part} part")
        paths.append(folder / f"{part}.tokens")
        write_token_file(paths[-1], part, tokenizer, texts())
    activity.begin("the checksums")
    return open_corpus(paths)


def _parts(config: TokensConfig) -> dict[str, Any]:
    """name -> a function that reads its text in pieces."""
    assert config.corpus is not None
    whole_words = config.level in ("word", "subword")
    if len(config.corpus) == 3:
        return {
            part: functools.partial(text_pieces, path, whole_words)
            for part, path in zip(PARTS, config.corpus, strict=True)
        }
    (path,) = config.corpus
    unit = "bytes" if config.level == "byte" else "characters"
    size = sum(_length(piece, unit) for piece in text_pieces(path, whole_words))
    ends = split_ends(path, size, config.split, unit)
    begins = (0, *ends[:-1])
    return {
        part: functools.partial(_cut, path, whole_words, unit, begin, end)
        for part, begin, end in zip(PARTS, begins, ends, strict=True)
    }


def _length(text: str, unit: str) -> int:
    return len(text.encode()) if unit == "bytes" else len(text)


def _cut(
    path: str, whole_words: bool, unit: str, begin: int, end: int
) -> Iterator[str]:
    """The characters, or bytes, begin .. end - 1 of a text, in pieces."""
    position = 0
    for piece in text_pieces(path, whole_words):
        length = _length(piece, unit)
        low, high = max(begin - position, 0), min(end - position, length)
        position += length
        if low >= high:
            if begin < position:  # the part has ended
                return
            continue
        if unit == "characters":
            yield piece[low:high]
        else:
            yield piece.encode()[low:high].decode("utf-8", "surrogateescape")


def _first_lines(pieces: Iterator[str]) -> Iterator[str]:
    """The lines of the first pieces, which have LEARNED characters or little more."""
    read = 0
    for piece in pieces:
        yield from (line for line in piece.split("\n") if line.strip())
        read += len(piece)
        if read >= LEARNED:
            return


def _train(config: TokensConfig, pieces: Iterator[str]) -> TextTokenizer:
    """The tokenizer of the training text; subwords learn from its beginning."""
    level = config.level
    if level == "byte":
        return TextTokenizer.train("", "byte")
    if level == "subword":
        model = SubwordTokenizer.train(_first_lines(pieces), config.subwords)
        return TextTokenizer.of_subwords(model, config.eos_per_line)
    counts = Counter[str]()
    for piece in pieces:
        ends = level == "char" or config.eos_per_line
        counts.update(tokenize(piece, level) if ends else piece.split())
    return TextTokenizer(
        level, Vocab(counts, config.min_freq), None, config.eos_per_line
    )
