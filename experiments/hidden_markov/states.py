"""What the states of a hidden Markov model stand for, as rows and as a figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.plots import SEQUENTIAL, new_figure, save_figure
from experiments.hidden_markov.data import Observations, draw_regimes
from seqjax.baselines.hmm import HMM, HMMParams
from seqjax.data.vocab import Vocab


def describe_words(
    params: HMMParams, vocab: Vocab, number: int = 8
) -> list[tuple[str, str]]:
    """(state and its share of the text, its most typical words), by falling share.

    A word is typical of a state by its part in the divergence of the state's emissions
    from those of the whole text: p(w | s) log(p(w | s) / p(w)).
    """
    emission, shares = np.exp(params.emission), stationary(params)
    overall = np.maximum(shares @ emission, 1e-12)
    typical = emission * np.log(np.maximum(emission, 1e-12) / overall)
    rows = []
    for state in np.argsort(-shares):
        words = vocab.to_tokens(np.argsort(-typical[state])[:number].tolist())
        shown = "  ".join(word if word.strip() else repr(word) for word in words)
        rows.append((f"{state} ({shares[state]:.1%})", shown))
    return rows


def describe_gaussians(params: HMMParams) -> list[tuple[str, str]]:
    """(state and its share, its mean and deviation), by falling share."""
    shares, (mean, log_variance) = stationary(params), params.emission
    deviation = np.exp(np.asarray(log_variance) / 2)
    return [
        (f"{k} ({shares[k]:.1%})", f"{mean[k, 0]:.2f} ± {deviation[k, 0]:.2f}")
        for k in np.argsort(-shares)
    ]


def stationary(params: HMMParams) -> np.ndarray:
    """The share of each state in the long run, float64 [K]."""
    power = np.exp(np.asarray(params.transition, np.float64))
    return np.linalg.matrix_power(power / power.sum(axis=1, keepdims=True), 4096)[0]


def regime_accuracy(
    seed: int, model: HMM, params: HMMParams, data: Observations
) -> float:
    """The share of training steps whose regime is the most frequent of their state."""
    truth, _ = draw_regimes(seed)
    states = jax.jit(model.posterior_states)(params, jnp.asarray(data.train))
    table = np.zeros((model.num_states, 3))
    np.add.at(table, (states, truth[: len(states)]), 1)
    return table.max(axis=1).sum() / table.sum()


def draw_training(
    path: Path, metrics: Sequence[dict[str, Any]], params: HMMParams
) -> None:
    """Draw the log-likelihood by iteration and the transition matrix, as a PNG."""
    figure, (curve, matrix) = new_figure(10, 4.2, 1, 2)
    points = [(m["step"], m["log_likelihood"]) for m in metrics]
    curve.plot(*zip(*points, strict=True))
    curve.set(xlabel="iterations", ylabel="log-likelihood of the training data")
    curve.grid(alpha=0.3)
    image = matrix.imshow(np.exp(params.transition), vmin=0, vmax=1, cmap=SEQUENTIAL)
    matrix.set(xlabel="to state", ylabel="from state", title="transitions")
    figure.colorbar(image, ax=matrix)
    save_figure(figure, path, dpi=120)
