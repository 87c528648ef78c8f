"""A recurrent language model on text: train, evaluate, generate.

Example:
  >>> from experiments.language_model import Config, train
  >>> summary = train(Config.of(corpus="my.txt", workdir="runs/mine", epochs=3))
  >>> summary["test_perplexity"]
"""

from experiments.language_model.config import Config
from experiments.language_model.modes import evaluate, generate, train

__all__ = ["Config", "evaluate", "generate", "train"]
