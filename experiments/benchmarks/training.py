"""Whole training steps of the language model beside the same model in PyTorch.

    python -m experiments.benchmarks.training

The Time Machine recipe's model: one-hot characters, one layer, softmax, clipping, SGD,
the state carried. Both arms start from the same weights and read the same minibatches;
their losses over the first steps must agree before anything is timed. Then they take
turns, and the table shows medians of tokens a second. torch is needed
(`pip install torch`); both arms use all cores.
"""

import os
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

import seqjax
from experiments import run
from seqjax import training
from seqjax.models.language_model import LanguageModel

FLAGS = flags.FLAGS
flags.DEFINE_integer("vocab_size", 28, "V", lower_bound=2)
flags.DEFINE_integer("hidden_size", 256, "H", lower_bound=1)
flags.DEFINE_integer("batch_size", 32, "B", lower_bound=1)
flags.DEFINE_integer("num_steps", 35, "T", lower_bound=1)
flags.DEFINE_integer("minibatches", 40, "in a timed call", lower_bound=5)
flags.DEFINE_integer("rounds", 9, "timed calls of each arm", lower_bound=1)

CELLS = {
    "RNN": lambda size: seqjax.RNN(size),
    "GRU": lambda size: seqjax.GRU(size),
    "LSTM": lambda size: seqjax.LSTM(size),
}


def seqjax_arm(name, params, tokens):
    """() -> mean loss over the minibatches, which it trains on."""
    model = LanguageModel(FLAGS.vocab_size, CELLS[name](FLAGS.hidden_size))
    optimizer = training.make_optimizer("sgd", 1.0, 1.0)
    step = training.make_train_step(
        lambda p, carry, window, key: model.loss(p, window, carry), optimizer
    )
    loop = training.make_train_loop(step, lambda windows, i: windows[i])
    carry = model.initial_state((FLAGS.batch_size,))
    state = training.init_state(params, optimizer, carry, jax.random.key(0))
    windows, plan = jnp.asarray(tokens), jnp.arange(len(tokens))

    def train(count):
        nonlocal state
        state, summed = loop(state, windows, plan, 0, count)
        return float(summed.total / summed.count)

    return train


def torch_arm(name, params, tokens):
    """The same in PyTorch, as its own tutorials write it."""
    import torch

    layer = getattr(torch.nn, name)(FLAGS.vocab_size, FLAGS.hidden_size)
    out = torch.nn.Linear(FLAGS.hidden_size, FLAGS.vocab_size)
    cell = params.cell
    b_x, b_h = cell[2], cell[3] if name == "GRU" else np.zeros_like(cell[2])
    with torch.no_grad():
        for own, ours in (
            (layer.weight_ih_l0, cell.w_x.T),
            (layer.weight_hh_l0, cell.w_h.T),
            (layer.bias_ih_l0, b_x),
            (layer.bias_hh_l0, b_h),
            (out.weight, params.out.w.T),
            (out.bias, params.out.b),
        ):
            own.copy_(torch.from_numpy(np.array(ours)))
    if name != "GRU":  # our one bias, not two that move together
        layer.bias_hh_l0.requires_grad_(False)
    weights = [p for p in (*layer.parameters(), *out.parameters()) if p.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=1.0)
    windows = torch.from_numpy(tokens.astype(np.int64))
    state = None

    def train(count):
        nonlocal state
        total = 0.0
        for window in windows[:count]:
            xs = torch.nn.functional.one_hot(window[:-1], FLAGS.vocab_size).float()
            ys, state = layer(xs, state)
            labels = window[1:].reshape(-1)
            logits = out(ys).reshape(len(labels), -1)
            loss = torch.nn.functional.cross_entropy(logits, labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            state = (
                tuple(s.detach() for s in state) if name == "LSTM" else state.detach()
            )
            total += loss.detach()
        return float(total) / count

    return train


def main():
    try:
        import torch
    except ImportError:
        raise run.UserError(
            "the peer is missing: pip install torch, then run this again."
        ) from None
    torch.set_num_threads(os.cpu_count())
    rng = np.random.default_rng(FLAGS.seed)
    sizes = FLAGS.minibatches, FLAGS.num_steps + 1, FLAGS.batch_size
    tokens = rng.integers(0, FLAGS.vocab_size, sizes).astype(np.int32)
    per_call = FLAGS.minibatches * FLAGS.num_steps * FLAGS.batch_size
    rows = []
    for name, cell in CELLS.items():
        model = LanguageModel(FLAGS.vocab_size, cell(FLAGS.hidden_size))
        params = jax.device_get(model.init(jax.random.key(FLAGS.seed)))
        arms = [arm(name, params, tokens) for arm in (seqjax_arm, torch_arm)]
        check_equal(name, [arm(5) for arm in arms])
        seconds = measure(arms)
        ours, theirs = (per_call / statistics.median(s) for s in seconds)
        spread = [f"{per_call / max(s):,.0f}-{per_call / min(s):,.0f}" for s in seconds]
        rows.append(
            (
                name,
                f"seqjax {ours:,.0f} ({spread[0]}), torch {theirs:,.0f} ({spread[1]}), "
                f"ratio {ours / theirs:.2f}",
            )
        )
    run.print_table("tokens/s, median (range)", rows)


def check_equal(name, losses):
    if abs(losses[0] - losses[1]) > 1e-5:
        raise run.UserError(f"{name}: the arms differ, mean losses {losses}.")


def measure(arms):
    """Seconds of each timed call of each arm, in turn, after three untimed steps."""
    seconds = [[] for _ in arms]
    for _ in range(FLAGS.rounds):
        for arm, times in zip(arms, seconds, strict=True):
            time.sleep(0.002)  # torch's idle workers spin for a while
            arm(3)
            clock = time.perf_counter()
            arm(FLAGS.minibatches)
            times.append(time.perf_counter() - clock)
    return seconds


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
