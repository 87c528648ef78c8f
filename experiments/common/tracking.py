"""What a run records on request: event files for TensorBoard, and a profile."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax

from experiments.common import processes
from experiments.common.console import note
from experiments.common.errors import UserError
from experiments.common.job import TrainConfig
from experiments.common.workdir import Workdir


class Tracking:
    """The event files and the profile of a run; nothing unless the settings ask.

    Args:
      workdir: the run.
      config: its settings.
      step: where training begins; events after it, of a start before, are dropped.

    Raises:
      UserError: if tensorboardX is missing.
    """

    def __init__(self, workdir: Workdir, config: TrainConfig, step: int) -> None:
        self.workdir, self.calls = workdir, 0
        self.wants_profile = config.profile and processes.is_first()
        self.writer: Any = None
        if config.tensorboard and processes.is_first():
            folder = str(workdir.file("tensorboard"))
            self.writer = _tensorboard()(folder, purge_step=step + 1)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Write numbers as events."""
        if self.writer is not None:
            for name, value in numbers.items():
                self.writer.add_scalar(name, value, step)
            self.writer.flush()

    @contextlib.contextmanager
    def call(self) -> Iterator[None]:
        """A compiled call of training; the third is profiled, after the warm-up."""
        self.calls += 1
        if not self.wants_profile or self.calls != 3:
            yield
            return
        folder = self.workdir.file("profile")
        with jax.profiler.trace(str(folder), create_perfetto_trace=True):
            yield
        note(
            f"a call of training is profiled in {folder}: open perfetto_trace.json.gz "
            f"at ui.perfetto.dev, or the folder in TensorBoard."
        )

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


def _tensorboard() -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise UserError(
            '--tensorboard needs tensorboardX: pip install "seqjax[tensorboard]".'
        ) from None
    return SummaryWriter
