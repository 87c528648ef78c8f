"""What every run shares: flags, the workdir and its files, progress, errors.

A workdir holds flags.txt (accepted back by --flagfile), metrics.jsonl, summary.json,
checkpoints/ and figures. A user's mistake is a `UserError`: one sentence on stderr and
exit code 2, with nothing touched that was there.
"""

import json
import os
import sys
from pathlib import Path

import jax
import pooch
from absl import app, flags, logging
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from seqjax.checkpoint import CheckpointError
from seqjax.data.corpora import unknown_name
from seqjax.data.text import DataError

FLAGS = flags.FLAGS
flags.DEFINE_string("workdir", None, "where the run's files go (runs/NAME)")
flags.DEFINE_string("data_dir", None, "where data sets lie ($SEQJAX_DATA_DIR or cache)")
flags.DEFINE_integer("seed", 0, "decides parameters, dropout and data order", 0)


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
    parse = _parse_flags(module)
    app.run(lambda argv: _guarded(main, argv), argv=argv, flags_parser=parse)


def _parse_flags(module):
    def parse(argv):
        try:
            rest = FLAGS(argv)
            stored = Path(workdir(module)) / "flags.txt"
            uses_a_run = "mode" in FLAGS and FLAGS.mode != "train"
            if uses_a_run and stored.exists():
                FLAGS([argv[0], f"--flagfile={stored}", *argv[1:]])
            return rest
        except flags.Error as error:
            _fail(error)

    return parse


def _guarded(main, argv):
    try:
        if argv[1:]:
            raise UserError(f"unexpected argument {argv[1]!r}; flags begin with --.")
        _use_compilation_cache()
        main()
    except (UserError, DataError, CheckpointError) as error:
        _fail(error)
    except BrokenPipeError:  # the reader of our output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:  # a full disk, a folder that went away
        _fail(f"{error.filename or 'a file'}: {error.strerror}.")
    except KeyboardInterrupt:
        note("interrupted; the same command goes on from the last checkpoint.")
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


def _use_compilation_cache():
    """Keep compiled programs in the user's cache, so a second start trains at once."""
    if jax.config.jax_compilation_cache_dir is None:
        cache = Path(pooch.os_cache("seqjax")) / "xla"
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def workdir(module):
    """--workdir, or runs/NAME for the experiment's module."""
    return FLAGS.workdir or f"runs/{Path(module.__file__).stem}"


class Workdir:
    """The files of a run.

    Args:
      path: the folder; made by `open_for_training`, not before.
      module: the experiment's module.
      free_flags: flags that may change from one start to the next; all others decide
        the model or the data.
    """

    def __init__(self, path, module, free_flags):
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self._metrics = self.path / "metrics.jsonl"
        self._flags = self.path / "flags.txt"
        self._fixed = {
            flag.name: flag.serialize()
            for flag in FLAGS.get_key_flags_for_module(module)
            if flag.name not in free_flags
        }
        self._all = [
            flag.serialize() for flag in FLAGS.get_key_flags_for_module(module)
        ]

    def check(self):
        """Refuse a folder whose run was started with other flags.

        Raises:
          UserError: naming the flags that differ, or what stands in the way.
        """
        if not self.holds_a_run():
            ours = (self.checkpoints, self._metrics, self.path / "summary.json")
            there = [p.name for p in ours if p.exists()]
            if there:
                raise UserError(
                    f"{self.path} holds {there[0]} but no flags.txt: not a run that "
                    f"can be resumed; choose another --workdir."
                )
            return
        stored = self._flags.read_text(encoding="utf-8").split("\n")
        differ = [
            f"--{name} ({_value(stored, name)} there, {_value([line], name)} here)"
            for name, line in self._fixed.items()
            if _value(stored, name) != _value([line], name)
        ]
        if differ:
            raise UserError(
                f"{self.path} holds another run: {', '.join(differ)}; choose another "
                f"--workdir or the same flags."
            )

    def holds_a_run(self):
        return self._flags.exists()

    def open_for_training(self):
        """Make the folder and write flags.txt.

        Raises:
          UserError: if it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lines = sorted(line for line in self._all if line and "\n" not in line)
            self.write("flags.txt", "\n".join(lines) + "\n")
        except OSError as error:
            raise UserError(
                f"--workdir {self.path} cannot be written: {error.strerror}."
            ) from None

    def write(self, name, text):
        """Write a text file whole or not at all."""
        partial = self.path / (name + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(self.path / name)

    def write_summary(self, summary):
        self.write("summary.json", json.dumps(summary, indent=2, ensure_ascii=False))

    def log(self, **metrics):
        """Append a line to metrics.jsonl; it reaches the file before this returns."""
        with open(self._metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(metrics) + "\n")

    def read_metrics(self):
        """The lines of metrics.jsonl as dicts."""
        if not self._metrics.exists():
            return []
        lines = self._metrics.read_text(encoding="utf-8").split("\n")
        return [json.loads(line) for line in lines if line]

    def rewind_metrics(self, step):
        """Drop the lines written after `step`, where training goes on."""
        if not self._metrics.exists():
            return
        kept = []
        for line in self._metrics.read_text(encoding="utf-8").split("\n"):
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
            except ValueError:  # the last line of a killed process, cut short
                continue
        self.write("metrics.jsonl", "".join(kept))


def _value(lines, name):
    """What the lines of a flag file set a flag to."""
    for line in lines:
        if line.startswith(f"--{name}="):
            return line.removeprefix(f"--{name}=")
        if line in (f"--{name}", f"--no{name}"):
            return str(line == f"--{name}").lower()
    return "not set"


class ProgressBar:
    """A bar on a terminal; plain lines elsewhere.

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

    def __enter__(self):
        self._progress.start()
        return self

    def __exit__(self, *_):
        self._progress.stop()

    def advance(self, steps, text):
        self._progress.update(self._task, advance=steps, description=text)

    def line(self, text):
        if self._progress.disable:
            print(text, flush=True)
        else:
            self._progress.console.print(text, highlight=False)


def print_table(title, rows):
    """Two columns, a name and a value, on stdout."""
    table = Table(title=title, show_header=False)
    for name, value in rows:
        table.add_row(str(name), str(value))
    Console().print(table)


def draw_learning_curve(path, metrics):
    """Perplexity against steps, training and validation, as a PNG.

    Args:
      path: the file.
      metrics: dicts with "step" and "train_perplexity" or "valid_perplexity".
    """
    from matplotlib.figure import Figure  # only where a figure is drawn: 0.7 s to load

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for key, style in (("train_perplexity", "-"), ("valid_perplexity", "o-")):
        points = [(m["step"], m[key]) for m in metrics if key in m]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=key.split("_")[0])
    axes.set(xlabel="minibatches", ylabel="perplexity", yscale="log")
    axes.grid(alpha=0.3, which="both")
    axes.legend()
    figure.savefig(path, dpi=120)
