"""A recurrent classifier of documents: train, evaluate, classify.

Example:
  >>> from experiments.classification import Config, train
  >>> summary = train(Config.of(corpus=["mails.tsv"], workdir="runs/mails"))
  >>> summary["test_accuracy"]
"""

from experiments.classification.config import Config
from experiments.classification.modes import classify, evaluate, train

__all__ = ["Config", "classify", "evaluate", "train"]
