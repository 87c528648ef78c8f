"""Lines in, lines out: --input and --output of the modes that use a trained model."""

import codecs
import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from experiments.common import activity
from experiments.common.console import note
from experiments.common.errors import UserError
from experiments.common.settings import Settings, setting
from seqjax import durable
from seqjax.data.formats import CONLL, WITH_TABS, describe_format
from seqjax.data.tables import is_json_lines
from seqjax.data.text import (
    STANDARD_INPUT,
    decode,
    read_bytes,
    shown_path,
    split_lines,
)


@dataclasses.dataclass(frozen=True)
class OutputConfig(Settings):
    """The file that a mode writes."""

    output: str | None = setting(
        None,
        "File to write the results to; standard output if none is given.",
        resumable=True,
    )

    def check(self) -> None:
        check_output(self.output)


@dataclasses.dataclass(frozen=True)
class InputConfig(Settings):
    """The file that --mode=evaluate scores."""

    input: str | None = setting(
        None,
        "File that --mode=evaluate scores in place of the held-out parts; - is "
        "standard input.",
        resumable=True,
    )


def evaluation_title(name: str, config: Any) -> str:
    """The title of a table of scores: of a model, and of --input if that is given."""
    return name if config.input is None else f"{name}, {shown_path(config.input)}"


@dataclasses.dataclass(frozen=True)
class InputOutputConfig(OutputConfig):
    """The file that a mode reads and the file that it writes."""

    input: str | None = setting(
        None,
        "File to read; - is standard input, which is read if none is given, except in "
        "--mode=evaluate, which then scores held-out parts.",
        resumable=True,
    )


def check_output(output: str | None) -> None:
    """Refuse an --output that cannot be written, before any work is done."""
    if output == "":
        raise UserError("--output is empty; a file was expected.")
    if output and Path(output).is_dir():
        raise UserError(f"--output={output} is a folder.")
    if output and not Path(output).parent.is_dir():
        raise UserError(f"--output={output}: its folder does not exist.")


def read_lines(path: str | None) -> list[str]:
    """All lines of a file, or of standard input.

    Raises:
      UserError: for a file of JSON lines.
    """
    path = STANDARD_INPUT if path is None else path
    if is_json_lines(path):
        raise UserError(f"{path} is JSON lines; a text on each line was expected.")
    is_typed = path == STANDARD_INPUT
    content = _typed(lambda: read_bytes(path)) if is_typed else read_bytes(path)
    name, text = shown_path(path), decode(content, path, may_be_empty=True)
    if "\r" in text and "\n" not in text:
        note(f"{name} is one line: only LF or CRLF ends a line, no carriage return.")
    if (kind := describe_format(text)) in (*WITH_TABS, CONLL):
        note(f"{name} looks like {kind}; each line is read as one text.")
    return split_lines(text)


def typed_lines() -> Iterator[str]:
    """The lines of standard input one by one, as they are typed."""
    lines = iter(lambda: _typed(sys.stdin.buffer.readline), b"")
    for number, line in enumerate(lines):
        # Only the first line may begin with a byte-order mark: `decode` removes one.
        mark = "\ufeff" if number and line.startswith(codecs.BOM_UTF8) else ""
        text = mark + decode(line, "standard input", may_be_empty=True)
        yield text.removesuffix("\n")
        sys.stdout.flush()


def _typed(read: Callable[[], bytes]) -> bytes:
    """What `read` returns; the command is silent while it waits for the user."""
    activity.begin(None)
    content = read()
    activity.begin("the answer")
    return content


def write_lines(path: str | None, lines: Iterable[str]) -> None:
    """Write lines to a file, whole or not at all, or to standard output ("-")."""
    write_text(path, "".join(f"{line}\n" for line in lines))


def write_text(path: str | None, text: str) -> None:
    """Write a text to a file, whole or not at all, or to standard output ("-")."""
    if path is None or path == STANDARD_INPUT:
        sys.stdout.write(text)
        return
    target = Path(path)
    if target.exists() and not target.is_file():  # a pipe or a device
        target.write_bytes(text.encode())
        return
    target = target.resolve()  # a symbolic link stays one
    durable.write_bytes(target, text.encode())
