"""Text in, tokens out: reading, cleaning, characters and words."""

import re
from pathlib import Path

END_OF_LINE = "<eos>"


class DataError(ValueError):
    """Data that cannot be used; the message is one sentence for the user."""


def read_text(path):
    """Read a UTF-8 text file whole, a byte-order mark dropped, \\r\\n as \\n.

    Raises:
      DataError: if the file is missing, a directory, unreadable, empty, or not UTF-8;
        in the last case with the offset of the first bad byte.
    """
    return decode(read_bytes(path), path)


def read_bytes(path, kind="text"):
    """Read a file whole.

    Args:
      kind: what is expected there, for messages.

    Raises:
      DataError: if the file is missing, a directory or unreadable.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; a {kind} file was expected.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a directory; a {kind} file was expected.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None


def decode(content, path, may_be_empty=False):
    """The bytes of a text file as text; see `read_text`."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        bad = content[error.start]
        raise DataError(
            f"{path} is not UTF-8: byte 0x{bad:02x} at byte offset {error.start}."
        ) from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not (may_be_empty or text.strip()):
        raise DataError(f"{path} is empty; text to learn from was expected.")
    return text


def keep_letters(text):
    """Lower-case, with every run of anything but a-z made one space.

    >>> keep_letters("The Time Machine, by H. G. Wells [1898]")
    'the time machine by h g wells'
    """
    return re.sub("[^a-z]+", " ", text.lower()).strip()


def tokenize(text, level):
    """Split text into tokens.

    "char": every character is a token. "word": words are what stands between white
    space, and the end of each line is the token "<eos>".

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


def detokenize(tokens, level):
    """Join tokens to text: the inverse of `tokenize`, up to white space in words."""
    if level == "char":
        return "".join(tokens)
    pieces = ["\n" if token == END_OF_LINE else f" {token}" for token in tokens]
    return "".join(pieces).replace("\n ", "\n").removeprefix(" ")
