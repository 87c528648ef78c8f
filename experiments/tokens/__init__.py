"""Token files of a text of any size, for the language model command.

Example:
  >>> from experiments.tokens import Config, run
  >>> summary = run(Config.of(corpus="my.txt", output="my_tokens", level="word"))
  >>> summary["train_tokens"]
"""

from experiments.tokens.config import Config
from experiments.tokens.modes import run

__all__ = ["Config", "run"]
