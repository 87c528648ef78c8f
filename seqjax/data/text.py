"""Text files to text, and text to tokens: reading, cleaning, characters and words."""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

from seqjax.data.compression import decompress

END_OF_LINE = "<eos>"
STANDARD_INPUT = "-"  # in place of a file's name
TOKEN_FILE = b"seqjax tokens "  # how a token file begins
_SIGNATURES = {  # beginnings of files that are no text
    b"\x1f\x8b": "compressed by gzip twice",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstandard twice",
    b"PK\x03\x04": "a zip archive (also .docx, .xlsx and .npz)",
    b"%PDF": "a PDF",
    b"PAR1": "a Parquet file",
    b"SQLite": "an SQLite database",
    b"RIFF": "a wav recording",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


class DataError(ValueError):
    """Unusable data; the message is one sentence for the user."""


def read_text(path: str | Path) -> str:
    """The text of a UTF-8 file, without a byte-order mark, with \\r\\n as \\n.

    No other character ends a line, and all others stay as they are; see `split_lines`.

    Raises:
      DataError: if the file is missing, a directory, unreadable, empty, or not UTF-8.
        In the last case the message gives the offset of the first bad byte.
    """
    return decode(read_bytes(path), path)


def read_bytes(path: str | Path, kind: str = "text") -> bytes:
    """The bytes of a file, or of standard input for the path "-", decompressed.

    Args:
      path: the file; whether gzip or zstandard has compressed it, its content tells.
      kind: the expected kind of file, for the error message.

    Raises:
      DataError: if the file is missing, a directory, unreadable, or compressed and
        damaged.
    """
    try:
        return decompress(_content(path, kind))
    except ImportError:
        raise DataError(
            f"{shown_path(path)} is compressed by zstandard; to read it, "
            f'pip install "seqjax[data]".'
        ) from None
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{shown_path(path)} is damaged: {error}.") from None


def _content(path: str | Path, kind: str) -> bytes:
    if str(path) == STANDARD_INPUT:
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; a {kind} file was expected.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory; a {kind} file was expected.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None


def shown_path(path: str | Path) -> str:
    """What messages call a file.

    >>> shown_path("my.txt"), shown_path("-")
    ('my.txt', 'standard input')
    """
    return "standard input" if str(path) == STANDARD_INPUT else str(path)


def decode(content: bytes, path: str | Path, may_be_empty: bool = False) -> str:
    """The text in the bytes of a file; see `read_text`.

    Args:
      content: the bytes.
      path: the file's name, for the error message.
      may_be_empty: accept white space only.

    Raises:
      DataError: if it is not UTF-8, or is white space only where it may not be.
    """
    path = shown_path(path)
    if content.startswith(TOKEN_FILE):
        raise DataError(f"{path} is a token file; UTF-8 text was expected.")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        for beginning, kind in _SIGNATURES.items():
            if content.startswith(beginning):
                raise DataError(f"{path} is {kind}; UTF-8 text was expected.") from None
        bad = content[error.start]
        raise DataError(
            f"{path} is not UTF-8: byte 0x{bad:02x} at byte offset {error.start}."
        ) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if not (may_be_empty or text.strip()):
        raise DataError(f"{path} is empty; text to learn from was expected.")
    return text


def split_lines(text: str) -> list[str]:
    """The lines of a text that `decode` returned: a line is what ends in LF or CRLF.

    A lone carriage return, a form feed, U+0085 or U+2028 ends no line. Every reader and
    every file of a run follows this rule.

    >>> split_lines("one\\rtwo\\n\\nthree\\u2028four\\n")
    ['one\\rtwo', '', 'three\\u2028four']
    >>> split_lines("")
    []
    """
    return text.removesuffix("\n").split("\n") if text else []


def keep_letters(text: str) -> str:
    """Lower-case text in which every run of characters other than a-z is one space.

    >>> keep_letters("The Time Machine, by H. G. Wells [1898]")
    'the time machine by h g wells'
    """
    return re.sub("[^a-z]+", " ", text.lower()).strip()


def clean(text: str) -> str:
    """The textbook's cleaning: plain spaces, lower case, a space before , . ! and ?

    >>> clean("Ça alors\\u202f!  Va-t'en.")
    "ça alors ! va-t'en ."

    Source: Zhang et al., "Dive into Deep Learning", section 10.5.
    """
    text = re.sub("[\\u202f\\xa0\\u2009]", " ", text).lower()
    return " ".join(re.sub(r"(?<=\S)([,.!?])", r" \1", text).split())


def tokenize(text: str, level: str) -> list[str]:
    """Split text into tokens.

    "char": every character is a token. "word": white space separates the tokens, and
    the end of each line is the token "<eos>".

    >>> tokenize("to be\\nor not", "word")
    ['to', 'be', '<eos>', 'or', 'not']

    Raises:
      ValueError: for a level other than "char" and "word".
    """
    if level == "char":
        return list(text)
    if level == "word":
        *lines, last = text.split("\n")
        tokens = [t for line in lines for t in (*line.split(), END_OF_LINE)]
        return tokens + last.split()
    raise ValueError(f'level must be "char" or "word", got {level!r}')


def detokenize(tokens: Iterable[str], level: str) -> str:
    """Join tokens to text: the inverse of `tokenize`, except for white space."""
    if level == "char":
        return "".join(tokens)
    pieces = ["\n" if token == END_OF_LINE else f" {token}" for token in tokens]
    return "".join(pieces).replace("\n ", "\n").removeprefix(" ")
