"""Flag files: one flag a line, comments, and other flag files."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from experiments.common.errors import UserError
from seqjax.data.text import decode, read_bytes, split_lines


def flag_lines(path: str | Path) -> list[str]:
    """The lines of a flag file; see `seqjax.data.text.split_lines`.

    Raises:
      DataError: if the file cannot be read or is not UTF-8.
    """
    return split_lines(decode(read_bytes(path, "flag"), path, may_be_empty=True))


def expand(argv: Sequence[str], within: tuple[str, ...] = ()) -> Iterator[str]:
    """The arguments of a command line, with those of its flag files in their places.

    In a flag file, lines that begin with # or // are comments. absl reads flag files
    too, but ends a line at a lone carriage return.

    Args:
      argv: the arguments; --flagfile=FILE or --flagfile FILE names a file.
      within: the flag files that led here.

    Raises:
      UserError, DataError: if --flagfile has no file, the file cannot be read, or it
        names itself.
    """
    rest = iter(argv)
    for argument in rest:
        name, equals, path = argument.partition("=")
        if name not in ("--flagfile", "-flagfile"):
            yield argument
            if argument == "--":
                yield from rest
            continue
        path = path if equals else next(rest, "")
        if not path:
            raise UserError("--flagfile names no file.")
        path = str(Path(path).expanduser())
        if path in within:
            raise UserError(f"--flagfile={path}: the file names itself.")
        yield from expand(list(_arguments(flag_lines(path))), (*within, path))


def _arguments(lines: Iterable[str]) -> Iterator[str]:
    """The lines that are no comments, without the spaces around them."""
    for line in lines:
        line = line.strip(" \t")
        if line and not line.startswith(("#", "//")):
            yield line
