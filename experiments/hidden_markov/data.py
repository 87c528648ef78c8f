"""The observations of a hidden Markov model: tokens of a text, or drawn numbers."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.text import load_text
from experiments.hidden_markov.config import REGIMES, Config
from seqjax.baselines.emissions import (
    CategoricalEmission,
    GaussianEmission,
    GaussianParams,
)
from seqjax.baselines.hmm import HMM, HMMParams
from seqjax.data.vocab import Vocab

NUM_REGIME_STEPS = 4000


class Observations(NamedTuple):
    """What a run reads: tokens [N], or numbers [N, 1], of each part."""

    name: str
    sha256: str
    vocab: Vocab | None
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def load_data(config: Config) -> Observations:
    """The data of the settings."""
    if config.data.is_text:
        corpus, tokens = load_text(config.data, config.run.data_dir)
        parts = tokens.train, tokens.valid, tokens.test
        return Observations(corpus.name, corpus.sha256, tokens.vocab, *parts)
    _, xs = draw_regimes(config.run.seed)
    xs = (xs - xs.mean()) / xs.std()
    ends = [NUM_REGIME_STEPS * 90 // 100, NUM_REGIME_STEPS * 95 // 100]
    return Observations(REGIMES, "drawn", None, *np.split(np.asarray(xs), ends))


def draw_regimes(seed: int) -> tuple[jax.Array, jax.Array]:
    """(states [N], xs [N, 1]) of a market that is calm, rising or falling."""
    stay = jnp.log(jnp.full((3, 3), 0.01) + 0.97 * jnp.eye(3))
    mean, deviation = jnp.array([[0.0, 1.5, -2.0]]).T, jnp.array([[0.3, 0.5, 1.0]]).T
    emission = GaussianParams(mean, 2 * jnp.log(deviation))
    params = HMMParams(jnp.log(jnp.full(3, 1 / 3)), stay, emission)
    return HMM(3, GaussianEmission(1)).sample(
        jax.random.key(seed), params, NUM_REGIME_STEPS
    )


def minibatches(
    part: np.ndarray, num_steps: int, batch_size: int
) -> tuple[jax.Array, jax.Array]:
    """A part cut into minibatches: (xs [N, T, B, ...], lengths [N, B])."""
    rows, lengths = cut(part, num_steps)
    batch_size = min(batch_size, len(rows))
    padding = -len(rows) % batch_size
    rows = np.pad(rows, [(0, padding), *[(0, 0)] * part.ndim])
    xs = rows.reshape(-1, batch_size, *rows.shape[1:])
    lengths = np.pad(lengths, (0, padding)).reshape(-1, batch_size)
    return jnp.asarray(np.swapaxes(xs, 1, 2)), jnp.asarray(lengths)


def cut(part: np.ndarray, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Consecutive pieces, the last one padded: ([N, T, ...], lengths [N])."""
    num_pieces = -(-len(part) // num_steps)
    padding = num_pieces * num_steps - len(part)
    padded = np.pad(part, [(0, padding), *[(0, 0)] * (part.ndim - 1)])
    lengths = np.full(num_pieces, num_steps, np.int32)
    lengths[-1] -= padding
    return padded.reshape(num_pieces, num_steps, *part.shape[1:]), lengths


def build_model(num_states: int, vocab: Vocab | None) -> HMM:
    """The model of tokens, or without a vocabulary of numbers."""
    emission: Any = (
        GaussianEmission(1) if vocab is None else CategoricalEmission(len(vocab))
    )
    return HMM(num_states, emission)
