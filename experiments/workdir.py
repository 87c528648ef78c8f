"""The files of a run: flags, metrics, vocabulary, summary, checkpoints.

A workdir holds flags.txt (accepted back by --flagfile), metrics.jsonl, summary.json,
checkpoints/, figures, and vocab.json where the data are words or characters.
"""

import json
from pathlib import Path

from absl import flags

from experiments import run
from seqjax.checkpoint import CheckpointError, Checkpoints
from seqjax.data.vocab import Vocab

FLAGS = flags.FLAGS


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
          run.UserError: naming the flags that differ, or what stands in the way.
        """
        if not self.holds_a_run():
            ours = (self.checkpoints, self._metrics, self.path / "summary.json")
            there = [p.name for p in ours if p.exists()]
            if there:
                raise run.UserError(
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
            raise run.UserError(
                f"{self.path} holds another run: {', '.join(differ)}; choose another "
                f"--workdir or the same flags."
            )

    def holds_a_run(self):
        """Whether a run was started here."""
        return self._flags.exists()

    def open_for_training(self):
        """Make the folder and write flags.txt.

        Raises:
          run.UserError: if it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lines = sorted(line for line in self._all if line and "\n" not in line)
            self.write("flags.txt", "\n".join(lines) + "\n")
        except OSError as error:
            raise run.UserError(
                f"--workdir {self.path} cannot be written: {error.strerror}."
            ) from None

    def write(self, name, text):
        """Write a text file whole or not at all."""
        partial = self.path / (name + ".partial")
        partial.write_text(text, encoding="utf-8")
        partial.replace(self.path / name)

    def write_vocab(self, vocab, sha256):
        """Keep the vocabulary, and the checksum of the data it was made from."""
        self.write("vocab.json", json.dumps([sha256, vocab.tokens]))

    def read_vocab(self):
        """(Vocab, sha256 of the data).

        Raises:
          UserError: if there is none, or it is damaged.
        """
        path = self.path / "vocab.json"
        if not path.exists():
            raise run.UserError(f"{self.path} holds no trained model; train one there.")
        try:
            sha256, tokens = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise run.UserError(f"{path} is damaged: not the JSON it was.") from None
        return Vocab.from_list(tokens), sha256

    def check_data(self, sha256):
        """Refuse to go on with other data than the run began with.

        Raises:
          UserError: if the checksums differ.
        """
        if not (self.path / "vocab.json").exists():
            return
        stored = self.read_vocab()[1]
        if stored != sha256:
            raise run.UserError(
                f"{self.path} holds a run on other data: its sha256 there is {stored}, "
                f"now {sha256}."
            )

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


def restore_params(workdir, kind, template):
    """Parameters from the "best" or the "last" checkpoint of a run.

    A damaged best gives way to the last, and it is said.

    Args:
      template: a TrainState like the one saved.

    Raises:
      CheckpointError: if none can be read.
    """
    kinds = (kind, "last") if kind == "best" else (kind,)
    for name in kinds:
        try:
            state, _, unreadable = Checkpoints(workdir.checkpoints / name).restore(
                template
            )
        except CheckpointError as error:
            if name == kinds[-1]:
                raise
            run.note(f"{error} Using the last.")
            continue
        for sentence in unreadable:
            run.note(f"{sentence} Using the one before.")
        return state.params
