"""The files of a run: flags, metrics, vocabulary, summary, checkpoints.

A workdir holds flags.txt (accepted back by --flagfile), metrics.jsonl, summary.json,
checkpoints/, figures, and vocab.json where the data are words or characters.
"""

import contextlib
import json
import math
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None

import jax
from absl import flags

from experiments import run
from seqjax.checkpoint import SEAL, CheckpointError, Checkpoints
from seqjax.data.vocab import Vocab

FLAGS = flags.FLAGS
OURS = (
    "checkpoints",
    "metrics.jsonl",
    "summary.json",
    "vocab.json",
    "source.model",
    "target.model",
    "learning_curve.png",
    "frequencies.tsv",
    "rank_frequency.png",
    "forgetting.png",
    "posteriors.png",
    "gradient_norms.tsv",
    "gradient_norms.png",
    "tasks.png",
    "confusion.png",
    "attention.png",
)


UNSET = "not set"


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
        self._summary = self.path / "summary.json"
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

        One that is not written there, as it came later, was as it is by default.

        Raises:
          UserError: naming the flags that differ, or what stands in the way.
        """
        if not self.holds_a_run():
            there = [name for name in OURS if (self.path / name).exists()]
            if there:
                raise run.UserError(
                    f"{self.path} holds {there[0]} but no flags.txt: not a run that "
                    f"can be resumed; choose another --workdir."
                )
            return
        if not (self.has_checkpoints() or self._summary.exists()):
            return  # nothing to lose yet
        stored = _read(self._flags, str.splitlines)
        differ = [
            f"--{name} ({there} there, {here} here)"
            for name, line in self._fixed.items()
            if (there := _value(stored, name)) != (here := _value([line], name))
            and not (there == UNSET and FLAGS[name].value == FLAGS[name].default)
        ]
        if differ:
            more = f" and {len(differ) - 5} more" if len(differ) > 5 else ""
            raise run.UserError(
                f"{self.path} holds another run: {', '.join(differ[:5])}{more}; "
                f"choose another --workdir or the same flags."
            )

    def holds_a_run(self):
        """Whether a run was started here."""
        return self._flags.exists()

    def has_checkpoints(self):
        """Whether there is anything to go on from."""
        return any(self.checkpoints.glob(f"*/*/{SEAL}"))

    @contextlib.contextmanager
    def open_for_training(self):
        """Make the folder, write flags.txt, and keep other processes out meanwhile.

        Raises:
          UserError: if it cannot be written, or another process trains in it.
        """
        folder = self._prepare()
        try:
            yield
        finally:
            if folder is not None:
                os.close(folder)

    def _prepare(self):
        """The locked folder as a file descriptor, flags.txt written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            folder = _lock(self.path)
            lines = sorted(line for line in self._all if line and "\n" not in line)
            self.write("flags.txt", "\n".join(lines) + "\n")
        except OSError as error:
            raise run.UserError(
                f"--workdir {self.path} cannot be written: {error.strerror}."
            ) from None
        return folder

    def write(self, name, text):
        """Write a text file whole or not at all."""
        partial = self.path / (name + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(self.path / name)

    def write_bytes(self, name, content):
        """Write a file whole or not at all."""
        partial = self.path / (name + ".partial")
        partial.write_bytes(content)
        partial.replace(self.path / name)

    def write_vocab(self, tokens, sha256):
        """Keep a vocabulary, and the checksum of the data it was made from."""
        self.write("vocab.json", json.dumps([sha256, tokens]))

    def read_vocab(self, make=Vocab.from_list):
        """(make(tokens), sha256 of the data).

        Raises:
          UserError: if there is none, or it is damaged.
        """
        path = self.path / "vocab.json"
        if not path.exists():
            raise run.UserError(f"{self.path} holds no trained model; train one there.")

        def parse(text):
            sha256, tokens = json.loads(text)
            return make(tokens), sha256

        return _read(path, parse)

    def check_data(self, sha256):
        """Refuse to go on with other data than the run began with.

        Raises:
          UserError: if the checksums differ.
        """
        if not self.has_checkpoints():
            return
        stored = self.read_vocab(make=lambda tokens: tokens)[1]
        if stored != sha256:
            raise run.UserError(
                f"{self.path} holds a run on other data than --corpus or --dataset "
                f"name: its sha256 there is {stored}, now {sha256}."
            )

    def write_summary(self, summary):
        """The final numbers as JSON, null for what is not finite."""
        text = json.dumps(_finite(summary), indent=2, ensure_ascii=False)
        self.write("summary.json", text + "\n")

    def log(self, **metrics):
        """Append a line to metrics.jsonl; it reaches the file before this returns."""
        with open(self._metrics, "a", encoding="utf-8") as file:
            file.write(json.dumps(_finite(metrics)) + "\n")

    def read_metrics(self):
        """The lines of metrics.jsonl as dicts."""
        if not self._metrics.exists():
            return []
        return _read(
            self._metrics, lambda text: [json.loads(t) for t in text.splitlines()]
        )

    def rewind_metrics(self, step):
        """Drop the lines written after `step`, where training goes on."""
        if not self._metrics.exists():
            return
        kept = []
        for line in self._metrics.read_bytes().splitlines(keepends=True):
            try:
                if json.loads(line)["step"] <= step:
                    kept.append(line.decode())
            except (ValueError, TypeError, KeyError):  # cut short by a kill
                continue
        self.write("metrics.jsonl", "".join(kept))


def _lock(path):
    """Hold a folder until the file descriptor that is returned is closed."""
    if fcntl is None:
        return None
    folder = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        raise run.UserError(
            f"another process is training in {path}; choose another --workdir."
        ) from None
    return folder


def _read(path, parse):
    """What `parse` makes of a text file of ours, or one sentence."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (ValueError, TypeError, KeyError):
        raise run.UserError(
            f"{path} is damaged: it does not read as written."
        ) from None


def _finite(numbers):
    """JSON has no nan and no infinity."""
    return {
        k: None if isinstance(v, float) and not math.isfinite(v) else v
        for k, v in numbers.items()
    }


def _value(lines, name):
    """What the lines of a flag file set a flag to."""
    for line in lines:
        if line.startswith(f"--{name}="):
            return line.removeprefix(f"--{name}=")
        if line in (f"--{name}", f"--no{name}"):
            return str(line == f"--{name}").lower()
    return UNSET


def open_run(module, free_flags, must_hold_a_run=False):
    """The Workdir of an experiment's run, its flags checked.

    Args:
      module: the experiment's module.
      free_flags: as `Workdir`; beside them --seed may change where nothing is trained,
        and --epochs where no schedule is laid over the run.

    Raises:
      UserError: if there is another run, or none where one must be.
    """
    free = set(free_flags)
    if FLAGS.mode != "train":
        free |= {"seed"}
    if FLAGS.schedule in ("constant", "plateau"):
        free |= {"epochs"}
    workdir = Workdir(run.workdir(module), module, free)
    if must_hold_a_run and not workdir.holds_a_run():
        raise run.UserError(f"{workdir.path} holds no run; train one there first.")
    workdir.check()
    return workdir


def restore_params(workdir, kind, template):
    """Parameters from the "best" or the "last" checkpoint of a run.

    With --average_checkpoints above 1 the best are the mean of the newest so many best
    ones. A damaged best gives way to the last, and it is said.

    Args:
      template: a TrainState like the one saved.

    Raises:
      CheckpointError: if none can be read.
    """
    last = Checkpoints(workdir.checkpoints / "last")
    best = Checkpoints(workdir.checkpoints / "best")
    try:
        if kind == "best" and FLAGS.average_checkpoints > 1:
            return _average(best, FLAGS.average_checkpoints, template)
        chosen = best if kind == "best" else last
        state, _, unreadable = chosen.restore(template)
    except CheckpointError as error:
        if kind == "last":
            raise
        state, _, unreadable = last.restore(template)
        run.note(f"{error} Using the last.")
    for sentence in unreadable:
        run.note(f"{sentence} Using the one before.")
    return state.params


def _average(checkpoints, number, template):
    """The mean of the parameters of the newest checkpoints, `number` at most."""
    steps = checkpoints.steps()[-number:]
    if not steps:
        raise CheckpointError(f"there is no checkpoint in {checkpoints.directory}.")
    if len(steps) < number:
        run.note(f"--average_checkpoints={number}: {len(steps)} there, all averaged.")
    members = [checkpoints.restore(template, step)[0].params for step in steps]
    return jax.tree.map(lambda *leaves: sum(leaves) / len(leaves), *members)
