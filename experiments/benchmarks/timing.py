"""What the benchmarks share: flags, taking turns, ratios, the machine, JSON."""

import datetime
import importlib.metadata
import json
import os
import platform
import re
import statistics
import time
from pathlib import Path

import jax
from absl import flags

import seqjax
from experiments import run
from seqjax.data.corpora import unknown_name

FLAGS = flags.FLAGS
flags.DEFINE_list("cells", ["lstm", "gru", "rnn"], "which of lstm, gru and rnn")
flags.DEFINE_list("shapes", None, "sizes joined by x, several by commas")
flags.DEFINE_integer("rounds", None, "timed calls of each arm (9; 3 with --quick)", 1)
flags.DEFINE_bool("quick", False, "small and few, within a minute")
flags.declare_key_flag("seed")
flags.DEFINE_string("json", None, "where the numbers go (runs/benchmarks/NAME.json)")

CELLS = {"lstm": seqjax.LSTM, "gru": seqjax.GRU, "rnn": seqjax.RNN}
PACKAGES = ("jax", "jaxlib", "flax", "dm-haiku", "torch", "dynamax", "nltk", "numpy")


def choose_all(flag, options):
    """The names that the list --flag holds, all of them keys of `options`, once each.

    Raises:
      UserError: for another name, with the nearest ones.
    """
    names = list(dict.fromkeys(FLAGS[flag].value))
    for name in names:
        if name not in options:
            one = flag.removesuffix("s")
            raise run.UserError(f"--{flag}: {unknown_name(one, name, list(options))}")
    return names


def chosen_cells():
    """The names in --cells.

    Raises:
      UserError: for an unknown name, or none.
    """
    cells = choose_all("cells", CELLS)
    if not cells:
        raise run.UserError(f"--cells is empty; name some of {', '.join(CELLS)}.")
    return cells


def chosen_shapes(letters, full, quick):
    """The shapes in --shapes as tuples, else `quick` or `full` as --quick says.

    Args:
      letters: what the sizes mean, such as "TxBxDxH".

    Raises:
      UserError: for a shape of another form, or none.
    """
    if FLAGS.shapes is None:
        return quick if FLAGS.quick else full
    if not FLAGS.shapes:
        raise run.UserError(f"--shapes is empty; give sizes {letters}.")
    return [_parse_shape(text, letters) for text in dict.fromkeys(FLAGS.shapes)]


def _parse_shape(text, letters):
    sizes = text.split("x")
    whole = all(re.fullmatch("[0-9]{1,9}", size) and int(size) > 0 for size in sizes)
    if not whole or len(sizes) != letters.count("x") + 1:
        raise run.UserError(
            f"--shapes: {text!r} is not {letters}: that many whole numbers above 0, "
            f"joined by x."
        )
    return tuple(map(int, sizes))


def chosen_rounds():
    """--rounds, else 9, or 3 with --quick."""
    return FLAGS.rounds or (3 if FLAGS.quick else 9)


def json_path(name):
    """--json, or the file of the benchmark `name`.

    Raises:
      UserError: if no file can be written there, before hours of measuring.
    """
    path = Path(FLAGS.json or f"runs/benchmarks/{name}.json")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise run.UserError(f"--json {path}: {error.strerror}.") from None
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise run.UserError(f"--json {path} cannot be written.")
    return path


def write_json(path, module, records, summary):
    """Write the machine, the module's flags and all numbers, whole or not at all."""
    key_flags = FLAGS.get_key_flags_for_module(module)
    numbers = {
        "benchmark": Path(module.__file__).stem,
        "machine": machine(),
        "flags": {flag.name: flag.value for flag in key_flags},
        "rounds": chosen_rounds(),
        "results": records,
        "summary": summary,
    }
    partial = path.with_name(path.name + ".partial")
    text = json.dumps(numbers, indent=1, allow_nan=False)
    partial.write_text(text + "\n", encoding="utf-8")
    os.replace(partial, path)


def prepare():
    """Give every library all cores of a CPU, and compile anew in each run.

    Raises:
      UserError: if JAX computes elsewhere, which would be no comparison.
    """
    jax.config.update("jax_enable_compilation_cache", False)
    if jax.default_backend() != "cpu":
        raise run.UserError(
            "this compares libraries on the CPU: set JAX_PLATFORMS=cpu and start again."
        )
    if installed("torch"):
        import torch

        torch.set_num_threads(os.cpu_count())


def installed(package):
    """Whether a package is there to be imported."""
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


def take_turns(calls, rounds):
    """Seconds of each timed call, the arms interleaved round by round.

    Args:
      calls: {name: (untimed, timed)}, functions of nothing that return when all is
        done; `untimed` brings caches and threads back to this arm.

    Returns:
      {name: [seconds]}.
    """
    seconds = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (untimed, timed) in calls.items():
            time.sleep(0.002)  # torch's idle workers spin for a while
            untimed()
            clock = time.perf_counter()
            timed()
            seconds[name].append(time.perf_counter() - clock)
    return seconds


def warmed(call):
    """`call` for `take_turns`, after two untimed calls of it."""
    return (lambda: (call(), call()), call)


def spread(values):
    """The median and the range of some numbers."""
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
    }


def summarize(ratios):
    """The geometric mean of ratios, and the worst of them with its shape.

    Args:
      ratios: {shape: this project's time over the peer's}.
    """
    worst = max(ratios, key=ratios.get)
    return {
        "geometric_mean": statistics.geometric_mean(ratios.values()),
        "worst": ratios[worst],
        "worst_shape": worst,
    }


def machine():
    """What the numbers were measured on, as a dict for the JSON."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": versions,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _cpu_model():
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return platform.processor()
    match = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return match.group(1) if match else platform.processor()


def joined(shape):
    """A shape as it is written on the command line."""
    return "x".join(map(str, shape))


def show(value, digits=1):
    """A number for a table; "-" for None."""
    if value is None:
        return "-"
    return f"{value:,.{digits}f}"
