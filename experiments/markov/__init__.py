"""A text as a Markov chain: perplexity, the long run, and the chain reversed.

Example:
  >>> from experiments.markov import Config, run
  >>> summary = run(Config.of(corpus="my.txt", order=2, workdir="runs/mine"))
  >>> summary["test_perplexity"]
"""

from experiments.markov.config import Config
from experiments.markov.modes import evaluate, run

__all__ = ["Config", "evaluate", "run"]
