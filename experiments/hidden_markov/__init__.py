"""A hidden Markov model of a text: train, evaluate, tag tokens with states, sample.

Example:
  >>> from experiments.hidden_markov import Config, train
  >>> summary = train(Config.of(corpus="my.txt", num_states=32, workdir="runs/mine"))
  >>> summary["test_perplexity"]
"""

from experiments.hidden_markov.config import Config
from experiments.hidden_markov.modes import evaluate, sample, tag, train

__all__ = ["Config", "evaluate", "sample", "tag", "train"]
