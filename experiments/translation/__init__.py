"""Translation by an encoder and a decoder: train, evaluate, translate.

Example:
  >>> from experiments.translation import Config, train
  >>> summary = train(Config.of(corpus="pairs.tsv", workdir="runs/pairs", epochs=3))
  >>> summary["test_bleu"]
"""

from experiments.translation.config import Config
from experiments.translation.modes import evaluate, interactive, train, translate

__all__ = ["Config", "evaluate", "interactive", "train", "translate"]
