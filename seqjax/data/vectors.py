"""Word vectors in the text format of GloVe and fastText, plain or compressed."""

import gzip
import itertools
import re
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from seqjax.data.compression import decompressed
from seqjax.data.text import DataError

_SIZE = re.compile(rb"\d{1,18}")
_DIGITS = b"0123456789+-.eE "  # of the numbers of a vector; float() takes more
_EXPECTED = "a word and its numbers, separated by spaces, were expected"


def read(path: str | Path, words: Collection[str]) -> dict[str, np.ndarray]:
    """The vectors of those words that a file has, float32 [D] each.

    A line is a word and D numbers, separated by single spaces. A first line of two
    whole numbers, as fastText and word2vec write it, is the size of the table. Of
    several lines of one word the first counts. The file is read as a stream, so that
    only the wanted vectors are in memory.

    Args:
      path: the file; whether gzip or zstandard has compressed it, its content tells.
      words: the wanted words; white space inside a word is part of it.

    Raises:
      DataError: if the file cannot be read or decompressed, a line has another number
        of fields than the first, a wanted vector is not finite numbers, or the file has
        fewer lines than it says. The message names the line.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "glove.txt")
      >>> _ = path.write_text("the 0.1 0.2\\nof 0.3 0.4\\n")
      >>> read(path, ["of", "then"])
      {'of': array([0.3, 0.4], dtype=float32)}

    Source: Pennington et al., "GloVe: Global vectors for word representation", EMNLP
    2014; nlp.stanford.edu/projects/glove.
    """
    wanted = {word.encode(): word for word in words}
    found: dict[str, np.ndarray] = {}
    lines: Iterator[tuple[int, bytes]] = enumerate(_lines(path), start=1)
    number, line = next(lines, (1, b""))
    promised, size = _sizes(line, path)
    if promised is None:
        lines = itertools.chain([(number, line)], lines)
    for number, line in lines:
        word, numbers = _fields(line, size, f"{path}, line {number}")
        name = wanted.get(word)
        if name is not None and name not in found:
            found[name] = _vector(numbers, f"{path}, line {number}")
    if promised not in (None, number - 1):
        raise DataError(
            f"{path} has {number - 1:,} vectors, but its first line promises "
            f"{promised:,}."
        )
    return found


def vector_size(path: str | Path) -> int:
    """D, the number of numbers of each vector, from the first line of a file.

    Raises:
      DataError: as `read`.
    """
    return _sizes(next(_lines(path), b""), path)[1]


def _sizes(line: bytes, path: str | Path) -> tuple[int | None, int]:
    """(number of vectors, D) from the first line; None if it is a vector itself."""
    word, *numbers = line.split(b" ")
    if len(numbers) == 1 and all(map(_SIZE.fullmatch, (word, *numbers))):
        number, size = int(word), int(numbers[0])
    else:
        number, size = None, len(numbers)
    if size < 1 or not _is_number(numbers[-1]):
        raise DataError(f"{path}, line 1: {_EXPECTED}.")
    return number, size


def _fields(line: bytes, size: int, place: str) -> tuple[bytes, bytes]:
    """(word, its numbers); a word may contain spaces."""
    word, _, numbers = line.partition(b" ")
    spaces = line.count(b" ")
    if spaces == size:
        return word, numbers
    if spaces < size:
        raise DataError(
            f"{place}: a word and {size} numbers were expected, got "
            f"{spaces + bool(line)} fields."
        )
    word, *rest = line.rsplit(b" ", size)
    if _is_number(word.rpartition(b" ")[2]):  # a number too many, not a word
        raise DataError(
            f"{place}: a word and {size} numbers were expected, got "
            f"{spaces + 1} fields."
        )
    return word, b" ".join(rest)


def _vector(numbers: bytes, place: str) -> np.ndarray:
    try:
        values = list(map(float, numbers.split(b" ")))
    except ValueError:
        raise DataError(f"{place}: {_EXPECTED}.") from None
    with np.errstate(over="ignore"):
        vector = np.array(values).astype(np.float32)
    is_finite = np.isfinite(vector).all()
    if is_finite and numbers.translate(None, _DIGITS):
        raise DataError(f"{place}: {_EXPECTED}.")
    if not is_finite:
        raise DataError(f"{place}: the numbers of a vector must be finite.")
    return vector


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _lines(path: str | Path) -> Iterator[bytes]:
    """The lines of a file, without their ends; fastText ends its lines with a space."""
    try:
        with open(path, "rb") as file:
            for number, line in enumerate(decompressed(file)):
                if number == 0:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                line = line.removesuffix(b"\n").removesuffix(b"\r").removesuffix(b" ")
                yield line.replace(b"\t", b" ")
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist; a file of word vectors was expected."
        ) from None
    except IsADirectoryError:
        raise DataError(
            f"{path} is a directory; a file of word vectors was expected."
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(f"{path} is damaged: gzip cannot decompress it.") from None
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}.") from None
    except ImportError:
        raise DataError(
            f"{path} is compressed by zstandard; to read it, "
            f'pip install "seqjax[data]".'
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
