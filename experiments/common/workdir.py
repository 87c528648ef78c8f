"""The folder of a run: flags, metrics, vocabulary, summary, figures, checkpoints.

A workdir holds flags.txt (which --flagfile accepts), metrics.jsonl, summary.json,
report.html, checkpoints/, model/ (which `seqjax.load` reads), vocab.json where the data
are words or characters, and the files that the command declares.
"""

import contextlib
import dataclasses
import fnmatch
import json
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.common import console, processes
from experiments.common.errors import UserError
from experiments.common.processes import OF_ONE_START
from experiments.common.report_page import report_page
from experiments.common.run_files import finite, parse_object, read_file
from experiments.common.run_lock import check_shared, locked
from experiments.common.settings import Settings, entries, flag_line, setting
from experiments.common.stored_settings import (
    FORMAT,
    described,
    differences,
    grows,
    stored_value,
)
from seqjax import durable, model_files
from seqjax.checkpoint import Checkpoints
from seqjax.data.text import split_lines
from seqjax.data.vocab import Vocab

MODEL = "model"
COMMON_FILES = (
    MODEL,
    *("checkpoints", "metrics.jsonl", "summary.json", "vocab.json"),
    *("report.html", "profile", "tensorboard"),
)
# Settings that name the data; the first one that is set decides.
DATA_FLAGS = ("csv", "corpus", "source_file", "train_file", "wav_dir", "dataset")


@dataclasses.dataclass(frozen=True)
class RunConfig(Settings):
    """Where a run reads and writes, and its random seed."""

    workdir: str = setting(
        "runs/run", "Folder that receives all files of the run.", resumable=True
    )
    data_dir: str | None = setting(
        None,
        "Folder that holds the data sets ($SEQJAX_DATA_DIR or the user's cache if "
        "none is given).",
        resumable=True,
    )
    seed: int = setting(
        0,
        "Seed of the parameters, dropout, the order of the data and sampling.",
        minimum=0,
        maximum=2**32 - 1,
    )

    def check(self) -> None:
        if not self.workdir:
            raise UserError("--workdir is empty; a folder was expected.")


class Workdir:
    """The files of a run.

    Args:
      path: the folder; `open_for_training` makes it.
      config: the settings of the run.
      files: the names of the files that the command writes beside the common ones;
        `attention_*.png` stands for several.
      free: names of settings that may change from one start to the next; all others
        decide the model or the data.
      lengths: names of settings that may grow when the run is finished.
    """

    def __init__(
        self,
        path: str | Path,
        config: Settings,
        files: Sequence[str] = (),
        free: Collection[str] = (),
        lengths: Collection[str] = (),
    ) -> None:
        self.path = Path(path)
        self._written = self.path  # a folder of its own in all processes but the first
        self.checkpoints = self.path / "checkpoints"
        self._files = (*COMMON_FILES, *files)
        self._metrics = self.path / "metrics.jsonl"
        self._flags = self.path / "flags.txt"
        self._summary = self.path / "summary.json"
        self._values = {e.name: flag_line(e.name, e.value) for e in entries(config)}
        given = {e.name: e.value for e in entries(config)}
        self._settings = given
        self._defaults = {
            e.name: flag_line(e.name, e.value if e.before is None else e.before)
            for e in entries(type(config).defaults(given))
        }
        self._free, self._lengths = frozenset(free), frozenset(lengths)
        self._data: str | None = None  # the checksum, when it is known

    def file(self, name: str) -> Path:
        """The path of a file that the command has declared.

        Raises:
          ValueError: for a file that it has not.
        """
        if not any(fnmatch.fnmatch(name, pattern) for pattern in self._files):
            raise ValueError(f"{name} is not among the declared files {self._files}")
        return self._written / name

    def check(self) -> None:
        """Refuse a folder whose run was started with other settings.

        A setting that the run's flags.txt lacks was added later and had its default.

        Raises:
          UserError: naming the flags that differ, or what is in the way.
        """
        if not self.holds_a_run():
            self._check_empty()
            return
        stored = read_file(self._flags, split_lines)
        if stored[:1] != [FORMAT] and self._has_results():
            raise UserError(
                f"{self.path} holds a run of seqjax 0.1, which this version cannot "
                f"continue; choose another --workdir."
            )
        if not self._has_results():
            return
        differ = differences(stored, self._values, self._defaults, self._free)
        grown = {name for name in differ if name in self._lengths}
        grown = {name for name in grown if grows(*differ[name])}
        if grown == differ.keys() and (not differ or self.is_finished()):
            return
        advice = "choose another --workdir or the same flags"
        if grown == differ.keys():
            advice = (
                "the schedule of the learning rate spans the run, so that it can be "
                "given more only when it is finished"
            )
        raise UserError(
            f"{self.path} holds another run: {described(differ)}; {advice}."
        )

    def _check_empty(self) -> None:
        """Refuse to write into a folder that holds files of ours but no run."""
        if not self.path.is_dir():
            return
        for path in sorted(self.path.iterdir()):
            if any(fnmatch.fnmatch(path.name, pattern) for pattern in self._files):
                raise UserError(
                    f"{self.path} holds {path.name} but no flags.txt: not a run that "
                    f"can be resumed; choose another --workdir."
                )

    def holds_a_run(self) -> bool:
        """Whether a run was started here."""
        return self._flags.exists()

    def has_checkpoints(self) -> bool:
        """Whether there is a checkpoint to continue from."""
        kinds = (Checkpoints(self.checkpoints / kind) for kind in ("last", "best"))
        return any(kind.steps() for kind in kinds)

    def is_finished(self) -> bool:
        """Whether the run has ended; one in several folders, by its summary."""
        if not self.has_checkpoints():
            return self._summary.exists()
        return bool(Checkpoints(self.checkpoints / "last").progress().get("finished"))

    def _has_results(self) -> bool:
        return self.has_checkpoints() or self._summary.exists()

    @contextlib.contextmanager
    def open_for_training(self) -> Iterator[None]:
        """Make the folder, write flags.txt, and lock out other processes meanwhile.

        At the end a run with a summary gets its report.

        Raises:
          UserError: if it cannot be written, another process trains in it, or has
            begun another run there since `check`.
        """
        with contextlib.ExitStack() as opened:
            try:
                if processes.is_first():
                    durable.make_folder(self.path)
                    opened.enter_context(locked(self.path))
                    self.check()
                    if self._data is not None:
                        self.check_data(self._data)
                    values = self._values.items()
                    lines = sorted(v for k, v in values if v and k not in OF_ONE_START)
                    text = "\n".join([FORMAT, *lines, ""])
                    durable.write_bytes(self._flags, text.encode())
                check_shared(self.path)
            except OSError as error:
                raise UserError(
                    f"--workdir {self.path} cannot be written: {error.strerror}."
                ) from None
            if not processes.is_first():
                scratch = tempfile.TemporaryDirectory(prefix="seqjax-")
                self._written = Path(opened.enter_context(scratch))
            printed = opened.enter_context(console.recorded())
            yield
            if self._summary.exists() and processes.is_first():
                self._write_report(printed)

    def write(self, name: str, text: str) -> None:
        """Write a declared text file whole or not at all."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a declared file whole or not at all."""
        durable.write_bytes(self.file(name), content)

    def write_vocab(self, tokens: Any, sha256: str) -> None:
        """Keep a vocabulary and the checksum of the data that it was made from."""
        self.write("vocab.json", json.dumps([sha256, tokens]))

    def read_vocab(
        self, make: Callable[[Any], Any] = Vocab.from_list
    ) -> tuple[Any, str]:
        """(make(tokens), sha256 of the data).

        Raises:
          UserError: if there is none, or it is damaged.
        """
        path = self.path / "vocab.json"
        if not path.exists():
            raise UserError(f"{self.path} holds no trained model; train one there.")

        def parse(text: str) -> tuple[Any, str]:
            sha256, tokens = json.loads(text)
            return make(tokens), str(sha256)

        return read_file(path, parse)

    def check_data(self, sha256: str) -> None:
        """Refuse to continue with other data than those that the run began with.

        Raises:
          UserError: if the checksums differ, or process 0 has other data.
        """
        if self._data is None and not processes.agree(sha256):
            raise UserError(
                f"this process has other data than process 0: their sha256 is {sha256}."
            )
        self._data = sha256
        if self.has_checkpoints():
            stored = self.read_vocab(make=lambda tokens: tokens)[1]
        else:  # models that are counted anew have a summary alone
            stored = self.read_summary().get("dataset_sha256", sha256)
        if stored != sha256:
            lines = (self._values.get(name) or "" for name in DATA_FLAGS)
            source = next(line for line in lines if line.partition("=")[2])
            raise UserError(
                f"{self.path} holds a run on other data than {source}: the sha256 was "
                f"{stored}, now it is {sha256}."
            )

    def write_model(self, model: Any, params: Any) -> None:
        """Save a model for `seqjax.load`, with the settings and the vocabulary."""
        extra: dict[str, Any] = {"settings": self._settings}
        vocab = self.file("vocab.json")
        if vocab.exists():
            extra["vocabulary"] = json.loads(vocab.read_bytes())[1]
        model_files.save(self.file(MODEL), model, params, extra)

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the final numbers as JSON; null stands for what is not finite."""
        text = json.dumps(
            finite(summary), indent=2, ensure_ascii=False, allow_nan=False
        )
        self.write("summary.json", text + "\n")

    def read_summary(self) -> dict[str, Any]:
        """What `write_summary` wrote; empty if there is none."""
        if not self._summary.exists():
            return {}
        return read_file(self._summary, parse_object)

    def _write_report(self, printed: Sequence[console.Printed]) -> None:
        """Write report.html: what the run has printed, its figures and settings."""
        figures = [*self.path.glob("*.png"), *self.path.glob("*/learning_curve.png")]
        captions = {
            str(path.relative_to(self.path).with_suffix("")).replace("_", " "): path
            for path in sorted(figures, key=lambda path: (len(path.parts), path))
        }
        settings = {n: stored_value([v], n) for n, v in self._values.items() if v}
        changed = {n for n, v in self._values.items() if v != self._defaults[n]}
        page = report_page(str(self.path), printed, captions, settings, changed)
        self.write("report.html", page)

    def log(self, **metrics: Any) -> None:
        """Append a line to metrics.jsonl; it is in the file when this returns."""
        with open(self.file("metrics.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps(finite(metrics), allow_nan=False) + "\n")

    def sync_metrics(self) -> None:
        """Flush metrics.jsonl to the disk."""
        if self._metrics.exists():
            durable.sync(self._metrics)

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl."""
        if not self._metrics.exists():
            return []
        return read_file(
            self._metrics, lambda text: [parse_object(t) for t in split_lines(text)]
        )

    def rewind_metrics(self, step: int, without: str | None = None) -> None:
        """Drop the lines written after `step`, from which training continues.

        Args:
          without: a name that lines of this very step must lack.
        """
        if not self._metrics.exists():
            return
        kept = []
        for line in self._metrics.read_bytes().split(b"\n"):
            try:
                found = json.loads(line)
                if found["step"] < step or (
                    found["step"] == step and without not in found
                ):
                    kept.append(line.decode() + "\n")
            # A line cut short by a kill, or damaged.
            except (ValueError, TypeError, KeyError, RecursionError):
                continue
        self.write("metrics.jsonl", "".join(kept))
