"""N-grams of a text: their statistics, and the perplexity of two n-gram models.

Example:
  >>> from experiments.ngrams import Config, run
  >>> summary = run(Config.of(corpus="my.txt", order=3, workdir="runs/mine"))
  >>> summary["test_perplexity_kneser_ney_3"]
"""

from experiments.ngrams.config import Config
from experiments.ngrams.modes import evaluate, run

__all__ = ["Config", "evaluate", "run"]
