"""A script: the language model recipes, computed in PyTorch with the same random draws.

    python -m tests.interop.recipes_in_torch
    python -m tests.interop.recipes_in_torch --recipes=ptb_awd_lstm

Each recipe trains for a few hundred minibatches in float64, with its own settings but
with few units, a small text and a learning rate of at most 1: in seqjax by its training
loop, and in a PyTorch loop over time steps that shares no code with it but the dropout
masks, which are drawn once. The losses of all minibatches and the parameters at the
end, and their averages, must agree to 1e-4 of their size.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.command_line import parse
from experiments.common.errors import UserError
from experiments.common.optimizer import (
    initial_train_state,
    make_optimizer,
    make_schedule,
)
from experiments.language_model.config import Config as LanguageModelConfig
from experiments.language_model.model import build_model, build_train_loop, make_plan
from seqjax.data import corpora
from seqjax.data.batching import epoch_rng, longest
from seqjax.training import windows
from seqjax.training.averages import averaged, begin_average
from tests.interop.torch_model import TorchModel, TorchOptimizer

FOLDER = Path(__file__).parents[2] / "experiments" / "recipes"
TOLERANCE = 1e-4
# With few units a rate of 20 or 30 is chaotic: differences of 1e-16 grow to 1 within
# 300 minibatches.
MOST_RATE = 1.0
RECIPES = (
    *("wikitext2_2x200_tied", "wikitext2_one_hour", "wikitext2_awd_lstm"),
    *("wikitext2_mogrifier", "ptb_2x200_tied", "ptb_2x650_tied", "ptb_awd_lstm"),
    *("ptb_mogrifier", "enwik8_lstm", "shakespeare_char", "python_docs_best"),
)
SMALL = (
    *("--hidden_size=16", "--last_size=12", "--embed_size=12", "--batch_size=3"),
    *("--num_steps=12", "--mogrifier_rank=0", "--log_every=1", "--split=90,5,5"),
)
NUM_CHARACTERS = 90_000  # of the text
MAX_WORDS = 20  # occurrences of a word that is in the vocabulary


def small_config(name: str) -> LanguageModelConfig:
    """The settings of a recipe with few units."""
    path = FOLDER / f"{name}.flags"
    given = [line.partition("=")[0] for line in path.read_text().splitlines()]
    small = [flag for flag in SMALL if flag.partition("=")[0] in given]
    argv = (f"--flagfile={path}", *small, "--dataset=python_docs")
    config = parse("", LanguageModelConfig, {"train": None}, argv)[1]
    assert isinstance(config, LanguageModelConfig)
    sizes = config.model
    if sizes.tie_embeddings and not sizes.last_size:
        config = config.replace(hidden_size=12)
    rate = min(config.optimizer.learning_rate, MOST_RATE)
    return config.replace(corpus=None, learning_rate=rate)


def small_tokens(config: LanguageModelConfig) -> tuple[np.ndarray, int]:
    """(tokens, size of the vocabulary) of a text for a level."""
    corpus = corpora.load("python_docs")
    corpus = corpus._replace(train=corpus.train[:NUM_CHARACTERS])
    level = config.data.level
    data = corpora.tokenize_corpus(corpus, level, MAX_WORDS if level == "word" else 1)
    return data.train, len(data.vocab)


@dataclasses.dataclass
class Compared:
    """The largest differences of a recipe, relative."""

    loss: float
    parameters: float
    average: float


def compare(name: str, steps: int) -> Compared:
    """Train a recipe in both libraries."""
    config = small_config(name)
    tokens, vocab_size = small_tokens(config)
    model = build_model(config, vocab_size)
    total_steps = 2 * steps
    optimizer = make_optimizer(config.optimizer, total_steps)
    rows = (config.train.batch_size,)
    carry = jax.tree.map(jnp.float64, model.initial_state(rows))
    state = initial_train_state(model, optimizer, 0)
    state = state.replace(params=jax.tree.map(jnp.float64, state.params), carry=carry)
    state = state.replace(opt_state=optimizer.init(state.params))
    theirs = TorchModel(model, state.params)
    updates = TorchOptimizer(
        config.optimizer, theirs, make_schedule(config.optimizer, total_steps)
    )
    loop = build_train_loop(config, model, optimizer)
    plan = make_plan(config.train, epoch_rng(0, 0), len(tokens))
    if len(plan) < steps:
        raise UserError(f"{name}: the text has {len(plan)} minibatches, not {steps}.")
    text, worst = jnp.asarray(tokens), 0.0
    for i in range(steps):
        if i == steps // 2 and config.optimizer.averaging == "nt_asgd":
            state = begin_average(state)
            updates.begin_average()
        key = jax.random.fold_in(state.key, i)
        state, found = loop(state, text, jnp.asarray(plan), i, i + 1)
        starts, size = plan[i], config.train.num_steps
        length = width = size
        if config.train.vary_steps:
            length, starts, width = int(plan[i][0]), plan[i][1:], longest(size)
        window = np.asarray(windows(text, jnp.asarray(starts), width))
        loss = theirs.loss(window, length, key)
        updates.step(loss, float(np.float32(length) / np.float32(size)))
        worst = max(worst, abs(float(found.total / found.count) / theirs.value - 1))
    return Compared(
        worst,
        largest_difference(state.params, theirs.parameters()),
        largest_difference(averaged(state), updates.averages()),
    )


def largest_difference(ours: Any, theirs: Sequence[np.ndarray]) -> float:
    """Of any array, relative to its largest number."""
    pairs = zip(jax.tree.leaves(ours), theirs, strict=True)
    return max(
        float(np.abs(np.asarray(a) - b).max() / max(np.abs(b).max(), 1e-9))
        for a, b in pairs
    )


def main():
    parser = argparse.ArgumentParser("python -m tests.interop.recipes_in_torch")
    parser.add_argument("--recipes", default=",".join(RECIPES))
    parser.add_argument("--steps", type=int, default=300)
    options = parser.parse_args()
    print(f"largest differences over {options.steps} minibatches")
    print(f"{'recipe':24}{'loss':>10}{'parameters':>12}{'averages':>10}")
    with jax.enable_x64(True):
        for name in options.recipes.split(","):
            numbers = dataclasses.astuple(compare(name, options.steps))
            print(f"{name:24}{numbers[0]:10.1e}{numbers[1]:12.1e}{numbers[2]:10.1e}")
            assert max(numbers) <= TOLERANCE, name


if __name__ == "__main__":
    main()
