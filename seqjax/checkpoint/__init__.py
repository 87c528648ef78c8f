"""Checkpoints: the whole TrainState and the progress of a run.

checkpoints   Checkpoints, the newest checkpoints of a run
folder        one checkpoint: its files, format and checksums
writer        Writer, which saves while training goes on
"""

from seqjax.checkpoint.checkpoints import Checkpoints
from seqjax.checkpoint.folder import CheckpointError, DamagedError, size_of, snapshot
from seqjax.checkpoint.writer import Writer

__all__ = [
    "CheckpointError",
    "Checkpoints",
    "DamagedError",
    "Writer",
    "size_of",
    "snapshot",
]
