"""Contents compressed by gzip or zstandard: decompressed whole, or refused."""

import gzip
import importlib
import zlib

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
        return _zstandard(content)
    return content


def _zstandard(content: bytes) -> bytes:
    library, parts = importlib.import_module("zstandard"), []
    while content:
        part = library.ZstdDecompressor().decompressobj()
        try:
            parts.append(part.decompress(content))
        except library.ZstdError:
            part = None
        if part is None or not part.eof:
            raise ValueError("zstandard cannot decompress it")
        content = part.unused_data
    return b"".join(parts)
