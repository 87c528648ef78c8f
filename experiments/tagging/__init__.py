"""A recurrent tagger of sentences: train, evaluate, tag.

Example:
  >>> from experiments.tagging import Config, train
  >>> summary = train(Config.of(train_file="my.conll", workdir="runs/my_tags"))
  >>> summary["test_accuracy"]
"""

from experiments.tagging.config import Config
from experiments.tagging.modes import evaluate, tag, train

__all__ = ["Config", "evaluate", "tag", "train"]
