"""Token files: the tokens of one part of a corpus, read without being held in memory.

A file is a line that names the format, one line of JSON, spaces up to a multiple of 64
bytes, and the tokens in uint16 or uint32, little-endian. The JSON has the tokenizer,
the part, the number of tokens, the sizes of the text, and the checksum of the tokens.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from seqjax.data.text import TOKEN_FILE, DataError
from seqjax.data.text_tokenizer import TextSize, TextTokenizer

MAGIC = TOKEN_FILE + b"1\n"
PARTS = ("train", "valid", "test")
ALIGNMENT = 64


@dataclasses.dataclass(frozen=True)
class TokenFile:
    """An open token file; its tokens stay on the disk.

    Attributes:
      path: of the file.
      part: "train", "valid" or "test".
      tokenizer: what made the tokens.
      size: of the text.
      sha256: of the bytes of the tokens.
      dtype: of a token in the file.
      offset: of the first token, in bytes.
      number: N, of tokens.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "train.tokens")
      >>> tokenizer = TextTokenizer.train("abcab", "char")
      >>> write_token_file(path, "train", tokenizer, ["abc", "ab"])
      >>> file = open_token_file(path)
      >>> len(file), file.read(1, 4).tolist(), file.size.characters
      (5, [2, 3, 1], 5)
    """

    path: Path
    part: str
    tokenizer: TextTokenizer
    size: TextSize
    sha256: str
    dtype: str
    offset: int
    number: int

    def __len__(self) -> int:
        return self.number

    def read(self, begin: int = 0, end: int | None = None) -> np.ndarray:
        """The tokens begin .. end - 1, int32."""
        end = self.number if end is None else end
        return np.array(self._map()[begin:end], np.int32)

    def windows(self, starts: np.ndarray, num_steps: int) -> np.ndarray:
        """Windows of num_steps + 1 tokens, as `training.windows`.

        Args:
          starts: integers [n, B] in 0 .. N.
          num_steps: T.

        Returns:
          int32 [n, T + 1, B]; positions past the end repeat the last token.
        """
        tokens, (n, batch_size) = self._map(), starts.shape
        found = np.empty((n, batch_size, num_steps + 1), np.int32)
        rows = found.reshape(-1, num_steps + 1)
        for row, start in zip(rows, starts.flat, strict=True):
            part = tokens[start : start + num_steps + 1]
            row[: len(part)] = part
            row[len(part) :] = tokens[-1]
        return found.transpose(0, 2, 1)

    def _map(self) -> np.memmap:
        """The tokens. A new mapping each time: pages that it read leave with it."""
        return np.memmap(self.path, self.dtype, "r", self.offset, (self.number,))


def is_token_file(path: str | Path) -> bool:
    """Whether a file begins as a token file does; a pipe, which reads once, does not.

    Args:
      path: of a file, which need not exist.

    Example:
      >>> is_token_file("no such file")
      False
    """
    try:
        if not Path(path).is_file():
            return False
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def write_token_file(
    path: str | Path, part: str, tokenizer: TextTokenizer, texts: Iterable[str]
) -> None:
    """Write the tokens of a text that comes in pieces.

    Args:
      path: the file, which is whole or absent.
      part: "train", "valid" or "test".
      tokenizer: makes the tokens; its pieces are encoded one by one.
      texts: pieces of the text, cut where the tokenizer may be applied to each: at the
        ends of lines, of words, or anywhere for characters and bytes.

    Raises:
      DataError: if there are fewer than 2 tokens.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "test.tokens")
      >>> tokenizer = TextTokenizer.train("to be or not", "word")
      >>> write_token_file(path, "test", tokenizer, ["not to be\\n"])
      >>> open_token_file(path).number  # with the end of the line
      4
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    dtype = "<u2" if len(tokenizer) <= 2**16 else "<u4"
    digest, number, sizes = hashlib.sha256(), 0, np.zeros(3, np.int64)
    try:
        with open(partial, "wb") as file:
            begin = _write_header(file, part, tokenizer, dtype, 0, sizes, "0" * 64)
            for text in texts:
                tokens = tokenizer.encode(text)
                content = tokens.astype(dtype).tobytes()
                digest.update(content)
                file.write(content)
                number += len(tokens)
                sizes += dataclasses.astuple(TextSize.of(text))
            if number < 2:
                raise DataError(
                    f"the {part} part has {number} tokens, at least 2 are needed."
                )
            file.seek(0)
            header = part, tokenizer, dtype, number, sizes, digest.hexdigest()
            assert _write_header(file, *header) == begin
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _write_header(
    file: BinaryIO,
    part: str,
    tokenizer: TextTokenizer,
    dtype: str,
    number: int,
    sizes: np.ndarray,
    sha256: str,
) -> int:
    """Write all but the tokens; the offset of the first."""
    described = {
        "part": part,
        "dtype": dtype,
        "sha256": sha256,
        # Of one width whatever the numbers are, so that the header can be rewritten.
        "number": f"{number:020}",
        "size": [f"{size:020}" for size in sizes],
        "tokenizer": tokenizer.describe(),
    }
    line = MAGIC + json.dumps(described, ensure_ascii=True).encode() + b"\n"
    line += b" " * (-len(line) % ALIGNMENT)
    file.write(line)
    return len(line)


def open_token_file(path: str | Path) -> TokenFile:
    """Open a token file.

    Args:
      path: of the file.

    Raises:
      DataError: if it is no token file, or is truncated or damaged.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "valid.tokens")
      >>> write_token_file(path, "valid", TextTokenizer.train("", "byte"), ["abc"])
      >>> open_token_file(path).read().tolist()
      [98, 99, 100]
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise DataError(f"{path} is no token file of seqjax.")
            line = file.readline()
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    end = len(MAGIC) + len(line)
    opened = _parse(path, line, end + -end % ALIGNMENT)
    expected = opened.offset + len(opened) * np.dtype(opened.dtype).itemsize
    if size != expected:
        what = "truncated" if size < expected else "damaged"
        raise DataError(f"{path} is {what}: {size:,} bytes, expected {expected:,}.")
    return opened


def _parse(path: Path, line: bytes, offset: int) -> TokenFile:
    """The file that a line of JSON describes."""
    if not line.endswith(b"\n"):
        raise DataError(f"{path} is truncated: its header has no end.")
    try:
        described = json.loads(line)
        part, dtype = described["part"], described["dtype"]
        if part in PARTS and dtype in ("<u2", "<u4"):
            return TokenFile(
                path,
                part,
                TextTokenizer.of_description(described["tokenizer"]),
                TextSize(*map(int, described["size"])),
                str(described["sha256"]),
                dtype,
                offset,
                int(described["number"]),
            )
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise DataError(f"{path} is damaged: its header cannot be read.")


def open_corpus(paths: Iterable[str | Path]) -> list[TokenFile]:
    """The token files of a corpus: train, valid and test.

    Args:
      paths: of the three files, in this order.

    Raises:
      DataError: as `open_token_file`; if there are not three, one is of another part or
        has another tokenizer than the first, the checksum of one is wrong, or two hold
        the same tokens.
    """
    files = [open_token_file(path) for path in paths]
    if len(files) != len(PARTS):
        raise DataError(
            f"{files[0].path} is a token file; three were expected, for training, "
            f"validation and test, got {len(files)}."
        )
    for file, part in zip(files, PARTS, strict=True):
        if file.part != part:
            raise DataError(
                f"{file.path} has the {file.part} part of a corpus, where the {part} "
                f"part was expected."
            )
        if file.tokenizer.describe() != files[0].tokenizer.describe():
            raise DataError(
                f"{file.path} was made with another vocabulary than {files[0].path}."
            )
        verify(file)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        if files[i].sha256 == files[j].sha256:
            raise DataError(
                f"{files[i].path} and {files[j].path} hold the same tokens; different "
                f"ones were expected for training, validation and test."
            )
    return files


def verify(file: TokenFile) -> None:
    """Compare the checksum of the tokens, which are read once.

    Args:
      file: an open token file.

    Raises:
      DataError: if it is another one than that of the header.
    """
    with open(file.path, "rb") as content:
        content.seek(file.offset)
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if found != file.sha256:
        raise DataError(f"{file.path} is damaged: its tokens have another checksum.")
