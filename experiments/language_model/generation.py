"""Texts that a trained language model continues."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from experiments.common.recurrent import with_precision
from experiments.common.text import known_prompt, text_pieces
from experiments.language_model.config import Config
from experiments.language_model.evaluation import load_model
from experiments.language_model.workdirs import open_workdir, read_tokenizer
from seqjax import decoding
from seqjax.data.text_tokenizer import TextTokenizer
from seqjax.models.language_model import LanguageModel

BETWEEN = "---"  # the line between two samples


@with_precision
def generate(config: Config) -> str:
    """The prompt and its continuations, printed; the text."""
    workdir = open_workdir(config, training=False)
    tokenizer = read_tokenizer(config, workdir)
    model, params = load_model(config, workdir, tokenizer)
    texts = []
    for number, pieces in enumerate(samples(config, model, params, tokenizer)):
        if number:
            print(BETWEEN)
        shown = []
        for piece in pieces:
            print(piece, end="", flush=True)
            shown.append(piece)
        print()
        texts.append("".join(shown))
    return f"\n{BETWEEN}\n".join(texts)


def samples(
    config: Config, model: LanguageModel, params: Any, tokenizer: TextTokenizer
) -> Iterator[Iterator[str]]:
    """Each sample as pieces of text; a single one comes token by token."""
    prompt = known_prompt(config.data, config.prompt, tokenizer)
    step, state = config.decode.penalized(
        lambda state, token, params: model.step(params, state, token),
        model.initial_state(),
        (model.vocab_size,),
    )
    number = config.generate.num_samples
    stream = decoding.stream(
        step,
        state,
        prompt.indices,
        jax.random.key(config.run.seed),
        context=params,
        num_samples=None if number == 1 else number,
        **config.decode.options(),
    )
    tokens = itertools.islice(stream, config.prompt.length)
    rows: Iterable[Iterable[int]] = [tokens]
    if number > 1:
        rows = np.array(list(tokens), np.int32).reshape(-1, number).T
    for row in rows:
        pieces = text_pieces(prompt, row, tokenizer)
        yield itertools.chain([next(pieces)], until(pieces, config.generate.stop or ()))


def sample_text(
    config: Config, model: LanguageModel, params: Any, tokenizer: TextTokenizer
) -> str:
    """The first sample."""
    return "".join(next(samples(config, model, params, tokenizer)))


def until(pieces: Iterable[str], stops: Sequence[str]) -> Iterator[str]:
    """Pieces of a text up to the first of the stop strings, which is left out.

    What may be the beginning of one is held back.
    """
    held = ""
    most = max(map(len, stops), default=1) - 1
    for piece in pieces:
        held += piece
        ends = [end for end in (held.find(stop) for stop in stops) if end >= 0]
        if ends:
            yield held[: min(ends)]
            return
        safe = len(held) - most
        if safe > 0:
            yield held[:safe]
            held = held[safe:]
    yield held
