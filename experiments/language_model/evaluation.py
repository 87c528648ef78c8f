"""The modes that read a text with a trained model: evaluate and score."""

import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.common import activity
from experiments.common.adaptation import check_cache, make_reader, training_squares
from experiments.common.console import print_table
from experiments.common.errors import UserError
from experiments.common.line_io import evaluation_title, write_lines
from experiments.common.recurrent import with_precision
from experiments.common.text import read_input
from experiments.common.training_run import load_params
from experiments.common.workdir import Workdir
from experiments.language_model.config import Config
from experiments.language_model.data import (
    HeldOut,
    TextData,
    load_data,
    read_held_out,
)
from experiments.language_model.measures import measures, rows_of
from experiments.language_model.model import build_model, make_perplexity, rows_state
from experiments.language_model.workdirs import open_workdir, read_tokenizer
from seqjax.adaptation import Reader, text_windows
from seqjax.data import batching
from seqjax.data.text import shown_path
from seqjax.data.text_tokenizer import TextTokenizer
from seqjax.data.token_files import TokenFile, is_token_file
from seqjax.models.language_model import LanguageModel


@with_precision
def evaluate(config: Config) -> dict[str, float]:
    """Perplexities and bits of held-out texts, also printed.

    They are the validation and the test part or, as test text, the file --input.
    """
    workdir = open_workdir(config, training=False)
    tokenizer = read_tokenizer(config, workdir)
    data = None
    if config.files.input is None:
        data = load_corpus(config, workdir)
        texts = data.held_out
    else:
        texts = {"test": read_held_out(config, tokenizer)}
    model, params = load_model(config, workdir, tokenizer)
    sums = sums_of(config, workdir, model, params, texts, data)
    found: dict[str, float] = {}
    for part, text in texts.items():
        found |= measures(part, tokenizer.level, text.size, *sums[part])
    tokens = texts["test"].tokens
    rows = rows_of(found)
    rows += [
        ("test tokens", f"{len(tokens):,}"),
        ("test tokens unknown", f"{float(jnp.mean(tokens == 0)):.2%}"),
    ]
    title = evaluation_title(f"{config.train.checkpoint} checkpoint", config.files)
    print_table(title, [*rows, ("files", workdir.path)])
    return found


def load_corpus(config: Config, workdir: Workdir) -> TextData:
    """The corpus that a run was trained on."""
    data = load_data(config)
    workdir.check_data(data.sha256)
    return data


def load_model(
    config: Config, workdir: Workdir, tokenizer: TextTokenizer
) -> tuple[LanguageModel, Any]:
    """The model of a trained run, and its parameters."""
    model = build_model(config, len(tokenizer))
    carry = rows_state(config, model)
    return model, load_params(config, workdir, model, carry=carry)


def sums_of(
    config: Config,
    workdir: Workdir,
    model: LanguageModel,
    params: Any,
    texts: Mapping[str, HeldOut],
    data: TextData | None,
) -> dict[str, tuple[float, float]]:
    """The summed loss of each text, and the number of its predictions.

    Args:
      data: the corpus, if it is loaded.
    """
    if not config.adaptation.adapts:
        tokens = {part: text.tokens for part, text in texts.items()}
        perplexity_of = make_perplexity(config, model, tokens)
        return {part: perplexity_of(params, part) for part in texts}
    found = {}
    names = {part: f"the {part} part" for part in texts}
    if config.files.input is not None:
        names = {"test": shown_path(config.files.input)}
    read = adapting(config, workdir, model, params, data)
    for part, text in texts.items():
        activity.begin(f"reading {names[part]}")
        losses = read(np.asarray(text.tokens), names[part])
        found[part] = float(losses.sum(dtype=np.float64)), float(len(losses))
    return found


def adapting(
    config: Config,
    workdir: Workdir,
    model: LanguageModel,
    params: Any,
    data: TextData | None = None,
) -> Callable[[np.ndarray, str], np.ndarray]:
    """(tokens, name of the text) -> the loss of each token but the first."""
    if config.train.eval_rows > 1:
        raise UserError("--dynamic and --cache read one row: they need --eval_rows=1.")
    adaptation, reader = config.adaptation, make_reader(config.adaptation, model)
    squares = None
    if adaptation.dynamic == "rms":
        data = data or load_corpus(config, workdir)
        squares = squares_of(config, data, model, params)

    def read(tokens: np.ndarray, name: str) -> np.ndarray:
        windows = text_windows(tokens, adaptation.window_steps)
        check_cache(adaptation, windows, name)
        return reader.losses(params, windows, squares)

    return read


def squares_of(
    config: Config, data: TextData, model: LanguageModel, params: Any
) -> Any:
    """The mean squares of the gradients of the training text's first minibatches."""
    adaptation = config.adaptation
    rows, steps = config.train.batch_size, config.train.num_steps
    needed = rows * steps * adaptation.dynamic_minibatches + 1
    tokens = data.train
    if isinstance(tokens, TokenFile):
        tokens = jnp.asarray(tokens.read(0, needed))
    tokens = tokens[:needed]
    rng = batching.epoch_rng(config.run.seed, 0)
    plan = batching.sequential_partition(rng, len(tokens), rows, steps)
    return training_squares(adaptation, model, params, tokens, plan, steps)


@with_precision
def score(config: Config) -> list[dict[str, Any]]:
    """The log probability of every token of --input, a JSON object for each line.

    The lines are read as `evaluate` reads them, one after the other: the first token of
    the file has none.
    """
    path = config.files.input
    if path is None:
        raise UserError("--mode=score needs --input: the text to score.")
    if config.train.eval_rows > 1:
        raise UserError("--mode=score reads one row: it needs --eval_rows=1.")
    if is_token_file(path):
        raise UserError(f"{path} is a token file; --mode=score takes a text.")
    workdir = open_workdir(config, training=False)
    tokenizer = read_tokenizer(config, workdir)
    text, indices = read_input(config.data, path, tokenizer)
    *lines, last = text.split("\n")
    lines = [f"{line}\n" for line in lines] + [last] * bool(last)
    model, params = load_model(config, workdir, tokenizer)
    losses = read_losses(config, workdir, model, params, indices)
    log_probs, found = iter([None, *(-losses).tolist()]), []
    for line in lines:
        tokens = tokenizer.split(line)
        own = list(itertools.islice(log_probs, len(tokens)))
        found.append(
            {
                "text": line.removesuffix("\n"),
                "log_probability": sum(x for x in own if x is not None),
                "tokens": tokens,
                "log_probabilities": own,
            }
        )
    written = (json.dumps(document, ensure_ascii=False) for document in found)
    write_lines(config.output.output, written)
    return found


def read_losses(
    config: Config,
    workdir: Workdir,
    model: LanguageModel,
    params: Any,
    indices: np.ndarray,
) -> np.ndarray:
    """The loss of each token but the first, with or without adaptation."""
    if config.adaptation.adapts:
        assert config.files.input is not None
        read = adapting(config, workdir, model, params)
        return read(indices, shown_path(config.files.input))
    windows = text_windows(indices, config.adaptation.window_steps)
    return Reader(model).losses(params, windows)
