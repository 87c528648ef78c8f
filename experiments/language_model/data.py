"""The tokens that a run reads."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.common.text import load_text
from experiments.language_model.config import Config
from seqjax.data import batching, corpora
from seqjax.data.vocab import Vocab


class TextData(NamedTuple):
    """What a run reads: the tokens of each part on the device, int32 [N]."""

    vocab: Vocab
    train: jax.Array
    valid: jax.Array
    test: jax.Array
    corpus: corpora.Corpus


def load_data(config: Config) -> TextData:
    """The corpus of the settings.

    Raises:
      DataError: if it cannot be read, or is too short for a minibatch.
    """
    corpus, tokens = load_text(config.data, config.run.data_dir)
    sizes = config.train.batch_size, config.train.num_steps
    batching.num_minibatches(len(tokens.train), *sizes)
    train, valid, test = map(jnp.asarray, (tokens.train, tokens.valid, tokens.test))
    return TextData(tokens.vocab, train, valid, test, corpus)
