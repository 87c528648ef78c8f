"""Whole training steps of language models beside the same models in PyTorch.

    python -m experiments.benchmarks.training
    python -m experiments.benchmarks.training --quick

Embedding (one-hot at a small vocabulary), layers, softmax, clipping, SGD, the state
carried. Both arms start from the same weights and read the same minibatches. First, and
without dropout, whose masks differ, their losses must agree. Then they take turns, deep
models with dropout, and the table shows medians of tokens a second. torch is needed
(`pip install torch`); both arms use all cores.
"""

import math
import sys
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

import seqjax
from experiments import run
from experiments.benchmarks import timing
from seqjax import training
from seqjax.models.language_model import LanguageModel

FLAGS = flags.FLAGS
flags.DEFINE_integer(
    "minibatches", None, "in a timed call (as many as take a second)", 1, 1000
)
flags.adopt_module_key_flags(timing)

LETTERS = "VxHxLxTxB"  # L: layers
SHAPES = [
    *((10000, 650, 2, 35, 20), (10000, 200, 2, 20, 20)),
    *((28, 256, 1, 35, 32), (5000, 256, 2, 35, 64)),
]
QUICK_SHAPES = [(28, 256, 1, 35, 32)]
MOST_MINIBATCHES = 1000  # in a timed call
SMALL_VOCABULARY = 100  # up to here the input is one-hot
CHECKED = 5  # minibatches whose losses are compared
WARMING = 3  # untimed ones before a timed call


class Sizes(NamedTuple):
    """What --shapes says of a model and its minibatches."""

    vocab_size: int
    hidden_size: int
    num_layers: int
    num_steps: int
    batch_size: int

    @property
    def embed_size(self):
        """H, or None for one-hot input."""
        return None if self.vocab_size <= SMALL_VOCABULARY else self.hidden_size

    @property
    def dropout(self):
        """As Zaremba et al. 2014 in deep models, none in a single layer."""
        return 0.5 if self.num_layers > 1 else 0.0


def make_model(cell_name, sizes, dropout):
    """The model of both arms; `init` gives the weights of both."""
    cell = timing.CELLS[cell_name](sizes.hidden_size)
    layers = seqjax.Stack((cell,) * sizes.num_layers, dropout)
    return LanguageModel(sizes.vocab_size, layers, sizes.embed_size, dropout=dropout)


def seqjax_arm(cell_name, sizes, dropout, params, tokens):
    """train(count): the mean loss over that many minibatches, which it trains on."""
    model = make_model(cell_name, sizes, dropout)
    optimizer = training.make_optimizer("sgd", 1.0, 1.0)
    step = training.make_train_step(
        lambda p, carry, window, key: model.loss(
            p, window, carry, key if dropout else None
        ),
        optimizer,
    )
    loop = training.make_train_loop(step, lambda windows, i: windows[i])
    params = jax.tree.map(jnp.array, params)  # a copy: the loop reuses its buffers
    carry = model.initial_state((sizes.batch_size,))
    state = training.init_state(params, optimizer, carry, jax.random.key(0))
    windows, plan = jnp.asarray(tokens), jnp.arange(len(tokens))

    def train(count):
        nonlocal state
        state, summed = loop(state, windows, plan, 0, count)
        return float(summed.total / summed.count)

    return train


def torch_arm(cell_name, sizes, dropout, params, tokens):
    """The same in PyTorch, as its own tutorials write it."""
    import torch

    model = make_torch_model(cell_name, sizes, dropout)
    load_weights(model, params)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, lr=1.0)
    windows = torch.from_numpy(tokens.astype(np.int64))
    state = None

    def train(count):
        nonlocal state
        total = 0.0
        for window in windows[:count]:
            logits, state = model(window[:-1], state)
            labels = window[1:].reshape(-1)
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
            is_pair = isinstance(state, tuple)
            state = tuple(s.detach() for s in state) if is_pair else state.detach()
            total += loss.detach()
        return float(total) / count

    return train


def make_torch_model(cell_name, sizes, dropout):
    """LanguageModel as a torch.nn.Module: (tokens, state) -> (logits, state)."""
    import torch

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            width = sizes.embed_size or sizes.vocab_size
            if sizes.embed_size:
                self.embed = torch.nn.Embedding(sizes.vocab_size, width)
            self.layers = getattr(torch.nn, cell_name.upper())(
                width, sizes.hidden_size, sizes.num_layers, dropout=dropout
            )
            self.dropout = torch.nn.Dropout(dropout)
            self.out = torch.nn.Linear(sizes.hidden_size, sizes.vocab_size)

        def forward(self, tokens, state):
            if sizes.embed_size:
                xs = self.dropout(self.embed(tokens))
            else:
                one_hot = torch.nn.functional.one_hot
                xs = one_hot(tokens, sizes.vocab_size).float()
            ys, state = self.layers(xs, state)
            return self.out(self.dropout(ys)), state

    return Model()


def load_weights(model, params):
    """Give a torch model our weights."""
    import torch

    ours = {"out.weight": params.out.w.T, "out.bias": params.out.b}
    if params.embed is not None:
        ours["embed.weight"] = params.embed
    for layer, cell in enumerate(params.cell):
        ours[f"layers.weight_ih_l{layer}"] = cell.w_x.T
        ours[f"layers.weight_hh_l{layer}"] = cell.w_h.T
        is_gru = hasattr(cell, "b_h")
        ours[f"layers.bias_ih_l{layer}"] = cell.b_x if is_gru else cell.b
        if is_gru:
            ours[f"layers.bias_hh_l{layer}"] = cell.b_h
    for name, parameter in model.named_parameters():
        if name in ours:
            parameter.data.copy_(torch.tensor(np.array(ours[name])))
        else:  # our one bias, not two that move together
            parameter.data.zero_()
            parameter.requires_grad_(False)


ARMS = {"seqjax": seqjax_arm, "torch": torch_arm}


def measure(cell_name, sizes):
    """The record of one cell at one shape: equality, then tokens a second."""
    rng = np.random.default_rng(FLAGS.seed)
    shape = (MOST_MINIBATCHES, sizes.num_steps + 1, sizes.batch_size)
    tokens = rng.integers(0, sizes.vocab_size, shape, dtype=np.int32)
    model = make_model(cell_name, sizes, 0.0)
    params = jax.device_get(model.init(jax.random.key(FLAGS.seed)))

    def make_arms(dropout):
        return {
            name: arm(cell_name, sizes, dropout, params, tokens)
            for name, arm in ARMS.items()
        }

    who = f"{cell_name} {timing.joined(sizes)}"
    arms = make_arms(dropout=0.0)
    check_equal(who, arms)
    if sizes.dropout:
        arms = make_arms(sizes.dropout)
    count = FLAGS.minibatches or minibatches_of_a_second(arms)
    calls = {
        name: (lambda train=train: train(WARMING), lambda train=train: train(count))
        for name, train in arms.items()
    }
    seconds = timing.take_turns(calls, timing.chosen_rounds())
    check_finite(who, arms)
    tokens_a_call = count * sizes.num_steps * sizes.batch_size
    spreads = {name: timing.spread(times) for name, times in seconds.items()}
    return {
        "cell": cell_name,
        "shape": timing.joined(sizes),
        "dropout": sizes.dropout,
        "minibatches": count,
        "arms": {
            name: {
                "seconds": spreads[name],
                "tokens_per_second": timing.spread([tokens_a_call / s for s in times]),
            }
            for name, times in seconds.items()
        },
        "ratio": spreads["seqjax"]["median"] / spreads["torch"]["median"],
    }


def check_equal(who, arms):
    """Refuse arms whose mean losses over the first minibatches differ.

    Raises:
      UserError: naming them.
    """
    ours, theirs = (train(CHECKED) for train in arms.values())
    if not math.isclose(ours, theirs, rel_tol=1e-5):
        raise run.UserError(f"{who}: the arms differ, mean losses {ours} and {theirs}.")


def check_finite(who, arms):
    """A loop that met an infinite loss stopped early: no time to report."""
    for name, train in arms.items():
        if not math.isfinite(train(1)):
            raise run.UserError(f"{who}: the loss of {name} is not finite any more.")


def minibatches_of_a_second(arms):
    """How many minibatches the slower arm trains on in about a second."""
    slowest = 0.0
    for train in arms.values():
        train(WARMING)
        clock = time.perf_counter()
        train(WARMING)
        slowest = max(slowest, (time.perf_counter() - clock) / WARMING)
    return min(max(round(1.0 / slowest), 2), MOST_MINIBATCHES)


def summarize(records):
    """{cell: geometric mean of the ratio over the shapes, the worst and where}."""
    ratios = {}
    for record in records:
        ratios.setdefault(record["cell"], {})[record["shape"]] = record["ratio"]
    return {cell: timing.summarize(by_shape) for cell, by_shape in ratios.items()}


def print_records(cell_name, records, summary):
    """The table of one cell: a row a shape, and the geometric mean of the ratios."""
    header = [LETTERS, "seqjax", "(range)", "torch", "(range)", "time seqjax/torch"]
    rows = []
    for record in records:
        row = [record["shape"]]
        for arm in record["arms"].values():
            tokens = arm["tokens_per_second"]
            low, high = (timing.show(tokens[end], 0) for end in ("low", "high"))
            row += [timing.show(tokens["median"], 0), f"({low}-{high})"]
        rows.append([*row, timing.show(record["ratio"], 2)])
    mean = timing.show(summary["geometric_mean"], 2)
    rows.append(["geometric mean", *[""] * 4, mean])
    run.print_columns(f"{cell_name}, tokens/s", header, rows)


def main():
    cells = timing.chosen_cells()
    if FLAGS.quick and not FLAGS["cells"].present:
        cells = ["lstm"]
    shapes = timing.chosen_shapes(LETTERS, SHAPES, QUICK_SHAPES)
    path = timing.json_path("training")
    if not timing.installed("torch"):
        raise run.UserError(
            "the peer is missing: pip install torch, then run this again."
        )
    timing.prepare()
    records = []
    for cell_name in cells:
        for shape in shapes:
            run.note(f"{cell_name} {timing.joined(shape)} ...")
            records.append(measure(cell_name, Sizes(*shape)))
            timing.write_json(path, sys.modules[__name__], records, summarize(records))
        of_cell = [record for record in records if record["cell"] == cell_name]
        print_records(cell_name, of_cell, summarize(records)[cell_name])


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
