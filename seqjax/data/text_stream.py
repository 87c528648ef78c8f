"""A text file of any size, in pieces."""

import codecs
import zlib
from collections.abc import Iterator
from pathlib import Path

from seqjax.data.compression import decompressed
from seqjax.data.text import TOKEN_FILE, DataError

PIECE = 1 << 22  # bytes


def text_pieces(path: str | Path, whole_words: bool = True) -> Iterator[str]:
    """The text of a UTF-8 file as `text.read_text` reads it, a few megabytes at a time.

    Args:
      path: the file; gzip or zstandard may have compressed it.
      whole_words: cut after the end of a line or, in a long line, after a space;
        otherwise anywhere.

    Raises:
      DataError: if it cannot be read, is empty, or is not UTF-8.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "a.txt")
      >>> _ = path.write_text("to be\\r\\nor not")
      >>> list(text_pieces(path))
      ['to be\\n', 'or not']
    """
    rest, is_first, any_text = "", True, False
    for block in filter(None, _decoded(path)):
        if is_first and block.startswith(TOKEN_FILE.decode()):
            raise DataError(f"{path} is a token file; UTF-8 text was expected.")
        text = rest + (block.removeprefix("\ufeff") if is_first else block)
        is_first = False
        # A carriage return at the end may be half of the end of a line.
        end = len(text) - text.endswith("\r")
        if whole_words:
            end = _last_break(text)
        piece, rest = text[:end].replace("\r\n", "\n"), text[end:]
        any_text = any_text or bool(piece.strip())
        if piece:
            yield piece
    piece = rest.replace("\r\n", "\n")
    if piece:
        yield piece
    if not (any_text or piece.strip()):
        raise DataError(f"{path} is empty; text to learn from was expected.")


def _last_break(text: str) -> int:
    """The end of the last line, or else of the last word; 0 if there is none."""
    return (text.rfind("\n") + 1) or (text.rfind(" ") + 1)


def _decoded(path: str | Path) -> Iterator[str]:
    decoder, offset = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        with open(path, "rb") as file:
            content = decompressed(file)
            while block := content.read(PIECE):
                yield decoder.decode(block)
                offset += len(block)
            yield decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        begin = offset - len(decoder.getstate()[0])
        raise DataError(
            f"{path} is not UTF-8: byte 0x{error.object[error.start]:02x} at byte "
            f"offset {max(begin, 0) + error.start}."
        ) from None
    except (EOFError, zlib.error, ValueError):
        raise DataError(f"{path} is damaged: it cannot be decompressed.") from None
    except ImportError:
        raise DataError(
            f"{path} is compressed by zstandard; to read it, "
            f'pip install "seqjax[data]".'
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
