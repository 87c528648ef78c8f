"""Speech recognition without alignments (CTC): train, evaluate, transcribe.

Example:
  >>> from experiments.speech import Config, train
  >>> summary = train(Config.of(epochs=3, workdir="runs/short"))
  >>> summary["test_word_error_rate"]
"""

from experiments.speech.config import Config
from experiments.speech.modes import evaluate, train, transcribe

__all__ = ["Config", "evaluate", "train", "transcribe"]
