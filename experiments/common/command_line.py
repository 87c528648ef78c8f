"""What every run shares: flags, start and end, progress, tables, figures.

A user's mistake is a `UserError`: one sentence on stderr and exit code 2, with nothing
touched that was there.
"""

import ctypes
import math
import os
import sys
import time
from pathlib import Path

import jax
import pooch
from absl import app, flags, logging
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from seqjax.checkpoint import CheckpointError
from seqjax.data.corpora import unknown_name
from seqjax.data.text import DataError

FLAGS = flags.FLAGS
flags.DEFINE_string("workdir", None, "where the run's files go (runs/NAME)")
flags.DEFINE_string("data_dir", None, "where data sets lie ($SEQJAX_DATA_DIR or cache)")
flags.DEFINE_integer(
    "seed", 0, "decides parameters, dropout and data order", 0, 2**32 - 1
)


class UserError(Exception):
    """A mistake of the user's; the message is one sentence."""


def launch(main, module, argv=None):
    """Parse the flags, run `main()`, turn a user's mistake into exit code 2.

    Args:
      main: a function of nothing.
      module: the experiment's module, whose key flags make up flags.txt.
      argv: the program's name and flags; None is sys.argv.
    """
    logging.set_verbosity(logging.WARNING)
    if hasattr(sys.stdout, "reconfigure"):
        if sys.stdout.isatty():  # it may not have our characters
            sys.stdout.reconfigure(errors="replace")
        else:
            sys.stdout.reconfigure(encoding="utf-8")
    parse = _parse_flags(module)
    app.run(lambda argv: _guarded(main, argv), argv=argv, flags_parser=parse)


def _parse_flags(module):
    def parse(argv):
        try:
            "".join(argv).encode()
            rest = FLAGS(argv)
            stored = Path(workdir(module)) / "flags.txt"
            uses_a_run = "mode" in FLAGS and FLAGS.mode != "train"
            if uses_a_run and stored.exists():
                FLAGS([argv[0], f"--flagfile={stored}", *argv[1:]])
            for flag in FLAGS.get_key_flags_for_module(module):
                if isinstance(flag.value, float) and not math.isfinite(flag.value):
                    raise UserError(f"--{flag.name} must be finite, got {flag.value}.")
            return rest
        except UnicodeError:
            _fail("a flag or a flag file holds what is not UTF-8.")
        except (flags.Error, UserError, OSError, ValueError) as error:
            _fail(str(error).removeprefix("ERROR:: ").replace("\n", " "))

    return parse


def _guarded(main, argv):
    try:
        if argv[1:]:
            raise UserError(f"unexpected argument {argv[1]!r}; flags begin with --.")
        _use_compilation_cache()
        _keep_freed_memory()
        main()
    except (UserError, DataError, CheckpointError) as error:
        _fail(error)
    except (MemoryError, OverflowError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, RuntimeError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _fail("there is not memory enough for sizes like these; lower them.")
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # a full disk, a folder that went away
        _fail(f"{error.filename or 'a file'}: {error.strerror}.")
    except KeyboardInterrupt:
        note("interrupted.")
        sys.exit(130)


def _fail(error):
    note(f"error: {error}")
    sys.exit(2)


def note(message):
    """A sentence for the user beside the output, on stderr."""
    print(message, file=sys.stderr, flush=True)


def choose(flag, options):
    """The entry of the dict `options` that --flag names.

    Raises:
      UserError: for another name, with the nearest ones.
    """
    name = FLAGS[flag].value
    if name not in options:
        raise UserError(f"--{flag}: {unknown_name(flag, name, list(options))}")
    return options[name]


def set_defaults(values):
    """Give flags that the user has not set an experiment's own defaults."""
    for name, value in values.items():
        FLAGS.set_default(name, value)


def _use_compilation_cache():
    """Keep compiled programs in the user's cache, so a second start trains at once."""
    if jax.config.jax_compilation_cache_dir is None:
        cache = Path(pooch.os_cache("seqjax")) / "xla"
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def _keep_freed_memory():
    """Keep blocks that a step frees for the next one; a training gains a tenth or more.

    glibc gives large blocks back to the system and gets them anew, page by page, at
    every call. Settings of mallopt: one arena, no mmap, and no trimming.
    """
    mallopt = (
        getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    )
    if mallopt is not None:
        for name, value in (
            (-8, 1),
            (-4, 0),
            (-1, 2**31 - 1),
        ):  # malloc.h has the names
            mallopt(name, value)


def workdir(module):
    """--workdir, or runs/NAME for the experiment's module."""
    return FLAGS.workdir or f"runs/{Path(module.__file__).stem}"


class ProgressBar:
    """A bar on a terminal; plain lines elsewhere, one at least every half minute.

    Example:
      >>> with ProgressBar(total=1000, done=0) as bar:
      ...     bar.advance(50, "perplexity 4.1")
      ...     bar.line("epoch 1: perplexity 4.0")
    """

    def __init__(self, total, done=0):
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.description}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("", total=total, completed=done)
        self._done, self._last_line = done, time.monotonic()

    def __enter__(self):
        self._progress.start()
        return self

    def __exit__(self, *_):
        self._progress.stop()

    def advance(self, steps, text):
        self._progress.update(self._task, advance=steps, description=text)
        self._done += steps
        if self._progress.disable and time.monotonic() - self._last_line > 30:
            self.line(f"step {self._done}: {text}")

    def line(self, text):
        self._last_line = time.monotonic()
        if self._progress.disable:
            print(text, flush=True)
        else:
            self._progress.console.print(Text(text))


def print_table(title, rows):
    """Two columns, a name and a value, on stdout."""
    table = Table(title=Text(title), show_header=False)
    for name, value in rows:
        table.add_row(Text(name), Text(str(value)))
    Console().print(table)


def print_columns(title, header, sections):
    """A table on stdout, its first column cut where there is not room for all.

    Args:
      sections: rows as long as `header`, or {heading: rows}.
    """
    if not isinstance(sections, dict):
        sections = {"": sections}
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, pad_edge=False)
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left", no_wrap=i > 0)
    for heading, rows in sections.items():
        if heading:
            table.add_row(Text(heading, style="bold"))
        for first, *rest in rows:
            name = Text(str(first), no_wrap=True, overflow="ellipsis")
            table.add_row(name, *(Text(str(cell)) for cell in rest))
        table.add_section()
    Console(width=140).print(table)  # a number cut short would be a wrong one


def draw_learning_curve(path, metrics, measure="perplexity"):
    """Perplexity against steps, training and validation, as a PNG.

    Args:
      path: the file.
      metrics: dicts with "step" and "train_perplexity" or "valid_perplexity".
      measure: what stands there instead of the perplexity.
    """
    from matplotlib.figure import Figure  # only where a figure is drawn: 0.7 s to load
    from matplotlib.ticker import LogLocator, NullFormatter

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    values = []
    for key, style in ((f"train_{measure}", "-"), (f"valid_{measure}", "o-")):
        points = [(m["step"], m[key]) for m in metrics if m.get(key) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=key.split("_")[0])
            values += [value for _, value in points]
    axes.set(xlabel="minibatches", ylabel=measure)
    if min(values, default=1) > 0:  # the logarithm of a density may be anything
        axes.set(yscale="log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(path, dpi=120)
