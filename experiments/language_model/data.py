"""The tokens that a run reads: of a text in memory, or of token files on the disk."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.common.console import note
from experiments.common.errors import UserError
from experiments.common.text import load_text, read_input
from experiments.language_model.config import SIZES, Config, DataConfig
from seqjax.data.text_tokenizer import NUM_SUBWORDS, TextSize, TextTokenizer
from seqjax.data.token_files import (
    TokenFile,
    is_token_file,
    open_corpus,
    open_token_file,
    verify,
)

ENOUGH_MINIBATCHES = 4  # in an epoch of a text for which the sizes shrink


class HeldOut(NamedTuple):
    """A text that a model is evaluated on."""

    tokens: jax.Array  # int32 [N], on the device
    size: TextSize


class TextData(NamedTuple):
    """What a run reads."""

    name: str
    sha256: str
    tokenizer: TextTokenizer
    train: jax.Array | TokenFile  # int32 [N] on the device, or a file on the disk
    held_out: dict[str, HeldOut]  # "valid" and "test"


def load_data(config: Config) -> TextData:
    """The corpus of the settings.

    Raises:
      DataError: if it cannot be read.
      UserError: for settings that do not fit token files.
    """
    paths = config.data.corpus
    if paths is not None and is_token_file(paths[0]):
        if config.model.cell == "numpy_rnn":
            raise UserError("--cell=numpy_rnn trains on texts, not on token files.")
        return _open_files(config.data)
    corpus, tokens = load_text(
        config.data, config.run.data_dir, config.data.subwords, config.data.eos_per_line
    )
    held_out = {
        part: HeldOut(jnp.asarray(getattr(tokens, part)), TextSize.of(text))
        for part, text in (("valid", corpus.valid), ("test", corpus.test))
    }
    train = jnp.asarray(tokens.train)
    return TextData(corpus.name, corpus.sha256, tokens.tokenizer, train, held_out)


def _open_files(config: DataConfig) -> TextData:
    assert config.corpus is not None
    train, *others = open_corpus(config.corpus)
    tokenizer = train.tokenizer
    if config.level != tokenizer.level:
        raise UserError(
            f"--level={config.level}: {train.path} has tokens of --level="
            f"{tokenizer.level}."
        )
    if config.eos_per_line != tokenizer.line_ends:
        flag = "--eos_per_line" if tokenizer.line_ends else "--noeos_per_line"
        raise UserError(f"{train.path} was made with {flag}; give it here, too.")
    for name, usual in (("min_freq", 1), ("subwords", NUM_SUBWORDS)):
        if getattr(config, name) != usual:
            raise UserError(f"--{name} is for texts; {train.path} has tokens already.")
    if config.max_tokens:
        most = min(config.max_tokens, len(train))
        train = dataclasses.replace(train, number=most)
    made = [tokenizer.describe(), train.sha256, *(file.sha256 for file in others)]
    sha256 = hashlib.sha256(json.dumps(made).encode()).hexdigest()
    held_out = {f.part: HeldOut(jnp.asarray(f.read()), f.size) for f in others}
    return TextData(Path(config.corpus[0]).name, sha256, tokenizer, train, held_out)


def read_held_out(config: Config, tokenizer: TextTokenizer) -> HeldOut:
    """The text, or the token file, of --input.

    Raises:
      DataError: if it cannot be read, or has fewer than 2 tokens.
      UserError: for a token file of another vocabulary.
    """
    path = config.files.input
    assert path is not None
    if not is_token_file(path):
        text, indices = read_input(config.data, path, tokenizer)
        return HeldOut(jnp.asarray(indices), TextSize.of(text))
    file = open_token_file(path)
    if file.tokenizer.describe() != tokenizer.describe():
        raise UserError(
            f"{path} was made with another vocabulary than the model in "
            f"{config.run.workdir}."
        )
    verify(file)
    return HeldOut(jnp.asarray(file.read()), file.size)


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
