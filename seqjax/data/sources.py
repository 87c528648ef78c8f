"""Published data files: where they are, their checksums, fetching, hashed splits.

The file of a data set is at `data_dir/NAME/FILE`. A missing file is fetched from its
address and kept only if its sha256 is right: a dead address may return an error page.
"""

import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, TypeVar

from seqjax.data.text import DataError

Item = TypeVar("Item")


class Source(NamedTuple):
    """A published file: its name on disk, its checksum, and its address.

    If the address is that of a zip archive, `member` is the path of the file in the
    archive and `archive_hash` the checksum of the archive.
    """

    file: str
    sha256: str
    url: str | None
    member: str | None = None
    archive_hash: str | None = None


def default_data_dir() -> Path:
    """$SEQJAX_DATA_DIR if it is set, else the user's cache.

    Raises:
      DataError: if it is not set and pooch, which knows the cache, is missing.
    """
    if folder := os.environ.get("SEQJAX_DATA_DIR"):
        return Path(folder)
    pooch = _pooch("SEQJAX_DATA_DIR is not set, and the default data folder")
    return Path(pooch.os_cache("seqjax"))


def fetch(name: str, source: Source, data_dir: str | Path | None = None) -> Path:
    """The path of a published file, which is downloaded if it is missing.

    Args:
      name: of the data set.
      source: the file.
      data_dir: the folder of the data sets; None is `default_data_dir()`.

    Raises:
      DataError: if the file cannot be read or downloaded, or its checksum is wrong.
    """
    path = Path(data_dir or default_data_dir()) / name / source.file
    try:
        if not path.exists():
            _download(name, source, path)
        digest = sha256_of(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    if digest != source.sha256:
        raise DataError(
            f"{path} is not the published {name} file: its sha256 is {digest}, "
            f"expected {source.sha256}."
        )
    return path


def _download(name: str, source: Source, path: Path) -> None:
    if source.url is None:
        raise DataError(
            f"{path} does not exist and {name} has no download address; put the file "
            f"with sha256 {source.sha256} there."
        )
    pooch = _pooch(f"{path} does not exist, and its download")
    known_hash = source.archive_hash or f"sha256:{source.sha256}"
    unzip = source.member and pooch.Unzip([source.member], extract_dir=".")
    name = Path(source.url).name if unzip else path.name
    try:
        pooch.retrieve(source.url, known_hash, name, path.parent, processor=unzip)
        if source.member:
            (path.parent / source.member).replace(path)
    except (OSError, ValueError) as error:
        reason = str(error).split("\n")[0]
        raise DataError(
            f"{path} does not exist and could not be fetched from {source.url}: "
            f"{reason}"
        ) from None


def _pooch(purpose: str) -> ModuleType:
    """The module pooch, which downloads files and knows the user's cache."""
    try:
        import pooch
    except ImportError:
        raise DataError(
            f'{purpose} needs pooch: pip install "seqjax[experiments]".'
        ) from None
    return pooch


def sha256_of(*contents: bytes) -> str:
    """The sha256 of the bytes of a file or, for several files, of their checksums.

    The sha256 of the joined files would not change where the end of one file moves to
    the beginning of the next.

    >>> sha256_of(b"abc")[:16]
    'ba7816bf8f01cfea'
    """
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    return digests[0] if len(digests) == 1 else sha256_of("".join(digests).encode())


def hashed_share(text: str, num_shares: int) -> int:
    """The share of a text, 0 .. num_shares - 1: equal texts are in one share."""
    return int(sha256_of(text.encode())[:8], 16) % num_shares


def split_by_hash(
    name: str,
    items: Iterable[Item],
    text_of: Callable[[Item], str],
    percent: int,
    kind: str,
) -> dict[str, list[Item]]:
    """Parts by a hash of the text of each item: no text is in two parts.

    Args:
      name: of the data set, for the error message.
      items: the parts keep their order.
      text_of: item -> its text.
      percent: the percentage of all texts in the validation part; the test part has the
        same.
      kind: the noun for an item, for the error message.

    Returns:
      {"train": items, "valid": items, "test": items}.

    Raises:
      DataError: if a part is empty.
    """
    parts: dict[str, list[Item]] = {"train": [], "valid": [], "test": []}
    for item in items:
        share = hashed_share(text_of(item), 100)
        held_out = "valid" if share < percent else "test"
        parts[held_out if share < 2 * percent else "train"].append(item)
    for part, of_part in parts.items():
        if not of_part:
            raise DataError(
                f"{name} has no {kind} in its {part} part; more are needed."
            )
    return parts
