"""A recurrent language model on text: train, evaluate, score, generate.

Example:
  >>> from experiments.language_model import Config, train
  >>> summary = train(Config.of(corpus="my.txt", workdir="runs/mine", epochs=3))
  >>> summary["test_perplexity"]
"""

from experiments.language_model.config import Config
from experiments.language_model.evaluation import evaluate, score
from experiments.language_model.generation import generate
from experiments.language_model.modes import train

__all__ = ["Config", "evaluate", "generate", "score", "train"]
