"""Contents compressed by gzip or zstandard: decompressed whole, or refused."""

import gzip
import importlib
import io
import zlib
from typing import Any, BinaryIO

GZIP, ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"  # how the files begin


def decompress(content: bytes) -> bytes:
    """The content, decompressed if it is compressed.

    Both formats allow several compressed parts one after the other.

    Args:
      content: of a file.

    Raises:
      ValueError: if it is damaged or cut short; the message is a clause.
      ImportError: if it needs the package zstandard.

    Example:
      >>> decompress(gzip.compress(b"text")), decompress(b"text")
      (b'text', b'text')

    Source: RFC 1952 and RFC 8878.
    """
    if content.startswith(GZIP):
        try:
            return gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise ValueError("gzip cannot decompress it") from None
    if content.startswith(ZSTANDARD):
        return _Zstandard(io.BytesIO(content)).readall()
    return content


def decompressed(file: io.BufferedReader) -> io.BufferedIOBase:
    """A file's content as a stream, decompressed if it is compressed.

    Raises:
      ValueError, EOFError, zlib.error: by the stream, where it is damaged or cut short.
      ImportError: as `decompress`.

    Example:
      >>> file = io.BufferedReader(io.BytesIO(gzip.compress(b"one\\ntwo")))
      >>> list(decompressed(file))
      [b'one\\n', b'two']
    """
    beginning = file.peek(4)
    if beginning.startswith(GZIP):
        return gzip.GzipFile(fileobj=file)
    if beginning.startswith(ZSTANDARD):
        return io.BufferedReader(_Zstandard(file))
    return file


class _Zstandard(io.RawIOBase):
    """What zstandard has compressed; that of the library ends early without a word."""

    def __init__(self, file: BinaryIO) -> None:
        self._library = importlib.import_module("zstandard")
        self._file, self._compressed = file, b""
        self._decompressed = memoryview(b"")  # its slices are no copies
        self._part: Any = None  # the compressed part that has begun

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._decompressed and self._advance():
            pass
        size = min(len(buffer), len(self._decompressed))
        buffer[:size] = self._decompressed[:size]
        self._decompressed = self._decompressed[size:]
        return size

    def _advance(self) -> bool:
        """Decompress some more; False at the end of the file."""
        self._compressed = self._compressed or self._file.read(io.DEFAULT_BUFFER_SIZE)
        if not self._compressed:
            if self._part is not None:
                raise ValueError("zstandard cannot decompress it")
            return False
        if self._part is None:
            self._part = self._library.ZstdDecompressor().decompressobj()
        try:
            found = self._part.decompress(self._compressed)
        except self._library.ZstdError:
            raise ValueError("zstandard cannot decompress it") from None
        self._decompressed = memoryview(found)
        self._compressed = self._part.unused_data
        if self._part.eof:
            self._part = None
        return True
