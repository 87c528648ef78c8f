"""The folder of a run of the language model command, and its tokenizer."""

from typing import Any

from experiments.common.optimizer import UNSCHEDULED
from experiments.common.training_run import open_run
from experiments.common.workdir import Workdir
from experiments.language_model.config import Config
from seqjax.data.text_tokenizer import TextTokenizer
from seqjax.data.vocab import Vocab


def open_workdir(config: Config, training: bool) -> Workdir:
    """The run's folder, compared with the settings that it was started with."""
    free, schedule = set(), config.optimizer.schedule
    if schedule in UNSCHEDULED:
        free |= {"train_tokens"}
    if not training or not config.optimizer.needs_validation:
        free |= {"eval_every", "eval_rows"}
    return open_run(config, training=training, free=free)


def described(tokenizer: TextTokenizer) -> Any:
    """What vocab.json holds: the tokens of characters and words, else all."""
    if tokenizer.level in ("char", "word"):
        return tokenizer.vocab.tokens
    return tokenizer.describe()


def read_tokenizer(config: Config, workdir: Workdir) -> TextTokenizer:
    """The tokenizer of a trained run."""

    def make(stored: Any) -> TextTokenizer:
        if isinstance(stored, dict):
            return TextTokenizer.of_description(stored)
        vocab = Vocab.from_list(stored)
        return TextTokenizer(config.data.level, vocab, None, config.data.eos_per_line)

    return workdir.read_vocab(make)[0]
