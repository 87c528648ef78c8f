"""New poems from a trained model: with a title, a beginning or an acrostic."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.console import note
from experiments.common.errors import UserError
from experiments.poems.config import DecodeConfig
from experiments.poems.data import PoemEncoder
from seqjax import decoding
from seqjax.data.poems import BREAKS
from seqjax.data.vocab import BOS, EOS, PAD, UNK, Vocab
from seqjax.decoding.constraints import acrostic
from seqjax.models.language_model import LanguageModel


def generate_poems(
    config: DecodeConfig,
    model: LanguageModel,
    params: Any,
    encoder: PoemEncoder,
    seed: int,
) -> list[str]:
    """Poems as the settings say, none of them empty, the best first."""
    encoder.known(config.title, "title")
    initials = encoder.known(config.acrostic, "acrostic")
    prefix = encoder.known(config.prompt, "prompt")
    opening = encoder.opening(config.title)
    breaks = np.asarray([c in BREAKS for c in encoder.vocab.tokens])
    if len(initials) > 1 and not breaks.any():
        raise UserError(
            "--acrostic needs lines, and no training poem has a mark that ends one."
        )
    options: dict[str, Any] = {
        "bos": int(opening[-1]),
        "min_length": 1,  # the most probable poem of a weak model may be empty
        "max_length": config.length + 1,  # the end is a token
        "prefix": np.asarray(prefix, np.int32)[None],
    }

    @jax.jit
    def search(params: Any, key: jax.Array) -> decoding.Hypotheses:
        state = model.initial_state((1,))
        state, _ = model.apply(params, jnp.asarray(opening[:-1, None]), state)
        step: Any = partial(_step, model, params)
        step, state = config.penalized(step, state, (1, model.vocab_size))
        step, state = acrostic(step, state, initials, breaks, EOS)
        if config.beam_size == 1:
            return _sample(
                config, step, state, key, num_samples=config.number, **options
            )
        return decoding.beam_search(
            step,
            state,
            eos=EOS,
            beam_size=config.beam_size,
            n_best=config.number,
            **options,
        )

    found = jax.device_get(search(params, jax.random.key(seed)))
    read = [
        _read(tokens[:length], encoder.vocab, config.length)
        for tokens, length in zip(found.tokens[0], found.lengths[0], strict=True)
    ]
    poems = [(text, ended) for text, ended in read if text]  # a beam may find fewer
    if cut := sum(not ended for _, ended in poems) if config.acrostic else 0:
        note(f"{cut} of {len(poems)} poems are truncated at --length={config.length}.")
    return [text for text, _ in poems]


def sample_poems(
    config: DecodeConfig,
    model: LanguageModel,
    params: Any,
    encoder: PoemEncoder,
    titles: Sequence[str],
    seed: int,
) -> list[tuple[str, bool]]:
    """A poem for each title, without constraints: [(text, whether it ended)].

    A model that does not read titles gets none.
    """
    openings = [encoder.opening(title)[1:] for title in titles]
    width = max(map(len, openings))
    prefix = np.full((len(titles), width), -1, np.int32)  # -1: not forced
    for row, opening in zip(prefix, openings, strict=True):
        row[: len(opening)] = opening

    @jax.jit
    def search(params: Any, key: jax.Array) -> decoding.Hypotheses:
        step: Any = partial(_step, model, params)
        state = model.initial_state((len(titles),))
        seen = len(titles), model.vocab_size
        step, state = config.penalized(step, state, seen)
        longest = width + config.length + 1
        return _sample(
            config, step, state, key, bos=BOS, max_length=longest, prefix=prefix
        )

    found = jax.device_get(search(params, jax.random.key(seed)))
    rows = zip(openings, found.tokens[:, 0], found.lengths[:, 0], strict=True)
    return [
        _read(tokens[len(opening) : length], encoder.vocab, config.length)
        for opening, tokens, length in rows
    ]


def _sample(
    config: DecodeConfig,
    step: Callable[..., Any],
    state: Any,
    key: jax.Array,
    **options: Any,
) -> decoding.Hypotheses:
    drawing = config.options()
    return decoding.sample(step, state, key, eos=EOS, **drawing, **options)


def _step(
    model: LanguageModel, params: Any, state: Any, token: jax.Array
) -> tuple[Any, jax.Array]:
    """The model's step, without unk, pad and bos."""
    state, logits = model.step(params, state, token)
    return state, logits.at[jnp.asarray((UNK, PAD, BOS))].set(-jnp.inf)


def _read(tokens: np.ndarray, vocab: Vocab, limit: int) -> tuple[str, bool]:
    """(text, whether it ended) of a poem's tokens, of at most `limit` characters."""
    ended = len(tokens) > 0 and tokens[-1] == EOS
    text = "".join(vocab.to_tokens(tokens[:-1] if ended else tokens))
    return text[:limit], bool(ended and len(text) <= limit)
