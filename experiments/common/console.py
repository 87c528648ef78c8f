"""What a command prints: progress, notes and tables."""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self, TextIO

import numpy as np
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from experiments.common import activity
from experiments.common.terms import explanations
from seqjax.data.vocab import UNK

LINE_SECONDS = 5.0  # between two lines of a bar where there is no terminal
WIDTH = 140  # of a table with long texts in its first column
UNKNOWN_SHOWN = 8  # different tokens in a note


def note(message: str) -> None:
    """Print a sentence for the user to stderr."""
    print(message, file=sys.stderr, flush=True)


def note_unknown(texts: Iterable[tuple[Sequence[str], np.ndarray]]) -> None:
    """Note how many tokens are unknown, and which are the most frequent of these.

    Args:
      texts: (tokens, their indices) of each text; tokens after the last index are
        ignored.
    """
    number, unknown = 0, Counter[str]()
    for tokens, indices in texts:
        number += len(indices)
        unknown.update(tokens[i] for i in np.flatnonzero(indices == UNK).tolist())
    if not unknown:
        return
    shown = [
        repr(token) + (f" ({n:,} times)" if n > 1 else "")
        for token, n in unknown.most_common(UNKNOWN_SHOWN)
    ]
    if len(unknown) > len(shown):
        shown.append(f"{len(unknown) - len(shown):,} others")
    *first, last = shown
    note(
        f"{unknown.total():,} of {number:,} tokens are unknown, read as <unk>: "
        f"{', '.join(first)}{' and ' * bool(first)}{last}."
    )


def _console(file: TextIO | None = None, width: int | None = None) -> Console:
    """A console of rich for a stream, by default standard output.

    The stream alone decides whether it is a terminal: a notebook, which shows texts as
    well, sets FORCE_COLOR for the commands that it starts.
    """
    stream = file or sys.stdout
    is_terminal = stream.isatty()
    return Console(
        file=stream, width=width, force_terminal=is_terminal, force_jupyter=False
    )


class _Activity(ProgressColumn):
    """What the command does now; drawn again all the time."""

    def render(self, task: Task) -> Text:
        del task
        return Text(activity.described().removesuffix(" so far"))


class ProgressBar:
    """A bar on a terminal; plain lines elsewhere, at least one every LINE_SECONDS.

    Example:
      >>> with ProgressBar(total=1000, done=0) as bar:
      ...     bar.advance(50, "perplexity 4.1")
      ...     bar.line("epoch 1: perplexity 4.0")
    """

    def __init__(self, total: int, done: int = 0) -> None:
        console = _console(sys.stderr)
        self._progress = Progress(
            _Activity(Column(no_wrap=True)),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=total, completed=done)
        self._done, self._last_line = done, time.monotonic()
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if not self._progress.disable:
            self._open.enter_context(activity.bar())
        self._open.enter_context(self._progress)
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def advance(self, steps: int, text: str) -> None:
        """Move on by `steps` and show `text` beside the bar."""
        self._progress.update(self._task, advance=steps, description=text)
        self._done += steps
        if self._progress.disable and time.monotonic() - self._last_line > LINE_SECONDS:
            self.line(f"step {self._done}: {text}")

    def line(self, text: str) -> None:
        """Print a line that stays."""
        self._last_line = time.monotonic()
        if self._progress.disable:
            print(text, flush=True)
        else:
            self._progress.console.print(Text(text))


Rows = Sequence[Sequence[Any]]


class Printed(NamedTuple):
    """A table or a text that was printed."""

    title: str
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    terms: tuple[str, ...] = ()  # what the names mean
    text: str = ""


_records: list[list[Printed]] = []


@contextlib.contextmanager
def recorded() -> Iterator[list[Printed]]:
    """Collect what `print_table`, `print_columns` and `print_text` print."""
    record: list[Printed] = []
    _records.append(record)
    try:
        yield record
    finally:
        _records.pop()


def _record(item: Printed) -> None:
    for record in _records:
        record.append(item)


def print_text(text: str, title: str = "") -> None:
    """Print a text to stdout; the title is for the report of the run."""
    print(text)
    _record(Printed(title, text=text))


def print_table(title: str, rows: Rows) -> None:
    """Print two columns, name and value, to stdout, and what the names mean.

    Nothing is cut: a table that is wider than the terminal becomes plain lines.
    """
    table = Table(show_header=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    for name, value in rows:
        table.add_row(Text(name), Text(str(value)))
    console = _console()
    width = _natural_width(table)
    if console.is_terminal and width > console.width:
        for line in (title, *(f"{name}: {value}" for name, value in rows)):
            print(line)
    else:
        _print_titled(title, table, width)
    terms = _explain((title, *(name for name, _ in rows)))
    shown = tuple((str(name), str(value)) for name, value in rows)
    _record(Printed(title, rows=shown, terms=terms))


def print_columns(
    title: str, header: Sequence[str], sections: Rows | Mapping[str, Rows]
) -> None:
    """Print a table to stdout, and what its names mean.

    Only the first column is cut, where the table is wider than `WIDTH`.

    Args:
      title: the line above it.
      header: the names of the columns.
      sections: rows as long as `header`, or {heading: rows}.
    """
    if not isinstance(sections, Mapping):
        sections = {"": sections}
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    others = Table(box=box.SIMPLE_HEAD, pad_edge=False)  # of the columns that stay
    for i, column in enumerate(header):
        table.add_column(column, justify="right" if i else "left", no_wrap=i > 0)
        others.add_column(column, no_wrap=True)
    for heading, rows in sections.items():
        if heading:
            table.add_row(Text(heading, style="bold"))
        for first, *rest in rows:
            name = Text(str(first), no_wrap=True, overflow="ellipsis")
            table.add_row(name, *(Text(str(cell)) for cell in rest))
            others.add_row(Text(str(first)[:20]), *(Text(str(cell)) for cell in rest))
        table.add_section()
    _print_titled(title, table, max(WIDTH, _natural_width(others)))
    cells = [str(row[0]) for rows in sections.values() for row in rows]
    terms = _explain((title, *header), cells)
    shown: list[tuple[str, ...]] = []
    for heading, rows in sections.items():
        shown += [(heading,)] if heading else []
        shown += [tuple(map(str, row)) for row in rows]
    _record(Printed(title, tuple(header), tuple(shown), terms))


def _natural_width(table: Table) -> int:
    """The width at which nothing is cut."""
    console = _console(width=10**5)
    return Measurement.get(console, console.options, table).maximum


def _print_titled(title: str, table: Table, width: int) -> None:
    _console().print(Text(title, style="italic"), soft_wrap=True)
    _console(width=width).print(table)


def _explain(names: Iterable[str], cells: Iterable[str] = ()) -> tuple[str, ...]:
    """Print a line for each term in a table, and return them; see `explanations`."""
    lines = tuple(explanations(names, cells))
    for line in lines:
        _console().print(Text(f"  {line}", style="dim"), soft_wrap=True)
    return lines


def percent(share: float | None) -> str:
    """A share for a table, in percent; "-" for None."""
    return "-" if share is None else f"{100 * share:.2f}"
