"""The training of a small language model, for several test files."""

import jax
import jax.numpy as jnp
import numpy as np

import seqjax
from seqjax import training
from seqjax.data import batching
from seqjax.models.language_model import LanguageModel
from tests.parameters import drawn

V, B, T, H = 7, 2, 5, 4
TOKENS = np.random.default_rng(0).integers(0, V, 103).astype(np.int32)
CELLS = [seqjax.RNN(H), seqjax.Stack((seqjax.LSTM(H), seqjax.GRU(3)), dropout=0.2)]


def parts(cell=CELLS[0], name="sgd", rate=0.5, clip=1.0, dropout=0.0):
    """(model, state, train_step, train_loop, plan) of a small language model."""
    model = LanguageModel(V, cell, embed_size=3, dropout=dropout)
    optimizer = training.make_optimizer(name, rate, clip)
    state = training.init_state(
        drawn(model.init),
        optimizer,
        model.initial_state((B,)),
        jax.random.key(1),
    )
    step = training.make_train_step(
        lambda p, carry, window, key: model.loss(p, window, key, state=carry), optimizer
    )
    loop = training.make_train_loop(step, lambda d, s: training.windows(d, s, T))
    rng = batching.epoch_rng(0, 0)
    plan = batching.sequential_partition(rng, len(TOKENS), B, T)
    return model, state, step, loop, jnp.asarray(plan)


def copy(tree):
    return jax.tree.map(jnp.copy, tree)
