"""A character-level model of whole poems: train, evaluate, generate.

Example:
  >>> from experiments.poems import Config, train
  >>> summary = train(Config.of(corpus="my.txt", workdir="runs/mine", epochs=3))
  >>> summary["test_perplexity"], summary["sample"]
"""

from experiments.poems.config import Config
from experiments.poems.modes import evaluate, generate, train

__all__ = ["Config", "evaluate", "generate", "train"]
