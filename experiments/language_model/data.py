"""The tokens that a run reads."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.common.console import note
from experiments.common.errors import UserError
from experiments.common.text import load_text
from experiments.language_model.config import SIZES, Config
from seqjax.data import corpora
from seqjax.data.vocab import Vocab

ENOUGH_MINIBATCHES = 4  # in an epoch of a text for which the sizes shrink


class TextData(NamedTuple):
    """What a run reads: the tokens of each part on the device, int32 [N]."""

    vocab: Vocab
    train: jax.Array
    valid: jax.Array
    test: jax.Array
    corpus: corpora.Corpus

    @property
    def held_out(self) -> dict[str, jax.Array]:
        """The tokens of the held-out parts."""
        return {"valid": self.valid, "test": self.test}


def load_data(config: Config) -> TextData:
    """The corpus of the settings.

    Raises:
      DataError: if it cannot be read.
    """
    corpus, tokens = load_text(config.data, config.run.data_dir)
    train, valid, test = map(jnp.asarray, (tokens.train, tokens.valid, tokens.test))
    return TextData(tokens.vocab, train, valid, test, corpus)


def fitted(config: Config, num_tokens: int) -> Config:
    """The settings, with smaller minibatches if the training text is too short.

    The sizes in `config.train.shrink` are halved, the number of rows first. Equal texts
    and settings give equal sizes, so that a run can be resumed.

    Args:
      config: the settings.
      num_tokens: the number of training tokens.

    Raises:
      UserError: if no minibatch fits into the text.
    """
    sizes = {name: getattr(config.train, name) for name in SIZES}

    def number() -> int:
        return (num_tokens - 1) // (sizes["batch_size"] * sizes["num_steps"])

    if number():
        return config
    needed = sizes["batch_size"] * sizes["num_steps"] + 1
    shown = " and ".join(f"--{name}={size}" for name, size in sizes.items())
    too_short = f"the training text has {num_tokens:,} tokens, too few for {shown}"
    for name in config.train.shrink:
        while sizes[name] > 1 and number() < ENOUGH_MINIBATCHES:
            sizes[name] //= 2
    if not number():
        raise UserError(f"{too_short}, which need {needed:,}; lower them.")
    lowered = " and ".join(f"--{name}={size}" for name, size in sizes.items())
    note(f"{too_short}: {lowered} are used.")
    return config.replace(**sizes)
