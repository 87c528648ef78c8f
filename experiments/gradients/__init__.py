"""Gradients through time: how they vanish or explode, and which tasks that prevents.

Example:
  >>> from experiments.gradients import Config, run
  >>> summary = run(Config.of(tasks=(), radii=(0.9, 1.1), workdir="runs/radii"))
  >>> summary["norms"]["RNN, radius 1.1"]["factor_per_step"]
"""

from experiments.gradients.config import Config
from experiments.gradients.modes import run

__all__ = ["Config", "run"]
