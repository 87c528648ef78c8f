"""Folders that `save_to_disk` of the library datasets wrote: Arrow streams of rows.

The folder of one data set names its files in state.json. That of several splits has
one such folder for each of them, which dataset_dict.json names.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from seqjax.data.text import STANDARD_INPUT, DataError, read_bytes

STREAM = b"\xff\xff\xff\xff"  # how an Arrow stream begins
_END = STREAM + bytes(4)  # and ends
_INDICES = "_indices_data_files"
_STATE, _SPLITS = "state.json", "dataset_dict.json"
PARTS = (("train",), ("validation", "valid", "dev"), ("test",))  # their usual names


def is_saved(path: str | Path) -> bool:
    """Whether a path is a folder of one data set."""
    return str(path) != STANDARD_INPUT and (Path(path) / _STATE).is_file()


def expand_splits(paths: Iterable[str | Path]) -> Iterator[str | Path]:
    """The paths, the folder of several splits as those of train, validation and test.

    Raises:
      DataError: if such a folder has other splits, or is one of several paths.
    """
    paths = list(paths)
    for path in paths:
        if str(path) == STANDARD_INPUT or not (Path(path) / _SPLITS).is_file():
            yield path
            continue
        splits = _read_json(Path(path) / _SPLITS, "splits")
        found = [[name for name in names if name in splits] for names in PARTS]
        if len(paths) > 1 or any(len(names) != 1 for names in found):
            raise DataError(
                f"{path} has the splits {', '.join(map(str, splits))}; the folder of "
                f"train, validation and test was expected, alone, or folders of single "
                f"splits, such as {path}/{splits[0] if splits else 'train'}."
            )
        yield from (Path(path) / names[0] for names in found)


def read_streams(folder: Path) -> bytes:
    """The Arrow streams of a folder, one after the other.

    Raises:
      DataError: if a file is missing, or a stream does not end.
    """
    files = _read_json(folder / _STATE, "_data_files")
    if json.loads(read_bytes(folder / _STATE, "JSON")).get(_INDICES):
        raise DataError(
            f"{folder} chooses rows by indices ({_INDICES}), as old versions of the "
            f"library datasets wrote them; load and save it by a newer one."
        )
    try:
        names = [file["filename"] for file in files]
        paths = [folder / name for name in names if Path(name).name == name]
    except (KeyError, TypeError):
        paths = []
    if not paths or len(paths) < len(files):
        raise DataError(f"{folder / _STATE} is damaged: it names no files.")
    streams = [read_bytes(path, "Arrow") for path in paths]
    for path, stream in zip(paths, streams, strict=True):
        check_stream(stream, path)
    return b"".join(streams)


def check_stream(content: bytes, path: str | Path) -> None:
    """Refuse an Arrow stream without its end: its last rows may be lost.

    Args:
      content: the bytes of the file.
      path: the file's name, for the error message.

    Raises:
      DataError: if the stream has no end.
    """
    if not (content.startswith(STREAM) and content.endswith(_END)):
        raise DataError(f"{path} is damaged: its Arrow stream has no end.")


def _read_json(path: Path, name: str) -> list[Any]:
    """The list with a name in a JSON file."""
    try:
        found = json.loads(read_bytes(path, "JSON"))[name]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        found = None
    if not isinstance(found, list):
        raise DataError(f"{path} is damaged: it holds no list {name!r}.")
    return found
