# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Write your own cell
#
# This tutorial writes a cell that the library does not have, the LSTM with peephole
# connections, checks it against a NumPy loop and against the laws of the test suite,
# times it, and trains it beside the LSTM of the library. It takes about half a minute
# on two CPU cores.

# %%
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import seqjax
from seqjax import training

# %% [markdown]
# ## The equations
#
# In an LSTM the gates read the input and the output h, but not the memory cell c. Gers,
# Schraudolph and Schmidhuber ("Learning precise timing with LSTM recurrent networks",
# Journal of Machine Learning Research 3, 2002) add peephole connections: the input gate
# and the forget gate also read the old c, the output gate reads the new c.
#
#     x_i, x_f, x_g, x_o = split(x @ w_x + h @ w_h + b)
#     i  = sigmoid(x_i + p_i * c)
#     f  = sigmoid(x_f + p_f * c)
#     c' = f * c + i * tanh(x_g)
#     o  = sigmoid(x_o + p_o * c')
#     h' = o * tanh(c')
#     y  = h'
#
# ## The cell
#
# A cell is a frozen dataclass with five members:
#
# | member | what it is |
# |---|---|
# | `output_size` | width of y |
# | `init(key, input_size)` | the parameters |
# | `initial_state(batch_shape)` | the state before the first step |
# | `project(params, xs)` | all products without the state, for all time steps at once |
# | `step(params, state, z, dot)` | one time step: the new state and y |
#
# `step` multiplies by its recurrent weights through `dot`, so that the fused loop
# computes each weight gradient as one product after the loop. `gate_size` is optional,
# a hint for speed. The next cell writes the class to a file, because the tests below
# import it.

# %%
# %%writefile peephole.py
import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from seqjax.nn.activations import tanh
from seqjax.nn.layers import matmul


class PeepholeParams(NamedTuple):
    w_x: jax.Array  # [D, 4H]
    w_h: jax.Array  # [H, 4H]
    b: jax.Array  # [4H]
    p_i: jax.Array  # [H]
    p_f: jax.Array  # [H]
    p_o: jax.Array  # [H]


@dataclasses.dataclass(frozen=True)
class PeepholeLSTM:
    hidden_size: int

    @property
    def output_size(self):
        return self.hidden_size

    @property
    def gate_size(self):
        return self.hidden_size

    def init(self, key, input_size):
        size = self.hidden_size
        shapes = [(input_size, 4 * size), (size, 4 * size), (4 * size,), *3 * [(size,)]]
        bound = size**-0.5
        return PeepholeParams(
            *(
                jax.random.uniform(k, shape, minval=-bound, maxval=bound)
                for k, shape in zip(jax.random.split(key, 6), shapes, strict=True)
            )
        )

    def initial_state(self, batch_shape=()):
        shape = (*batch_shape, self.hidden_size)
        return jnp.zeros(shape), jnp.zeros(shape)

    def project(self, params, xs):
        return matmul(xs, params.w_x)  # [T, ..., D] -> [T, ..., 4H]

    def step(self, params, state, z, dot=jnp.dot):
        h, c = state
        z = z + dot(h, params.w_h) + params.b
        x_i, x_f, x_g, x_o = jnp.split(z, 4, axis=-1)  # 4 x [..., H]
        i = jax.nn.sigmoid(x_i + params.p_i * c)
        f = jax.nn.sigmoid(x_f + params.p_f * c)
        c = f * c + i * tanh(x_g)
        h = jax.nn.sigmoid(x_o + params.p_o * c) * tanh(c)
        return (h, c), h


# %% [markdown]
# ## Run it
#
# `unroll` runs the cell over xs `[T, B, D]`, time first. With `lengths`, the state of a
# sequence is held after its last step and its outputs are zero from there on. The same
# cell goes into a `Stack` and a `Bidirectional`.

# %%
from peephole import PeepholeLSTM

cell = PeepholeLSTM(hidden_size=32)
print("satisfies the protocol:", isinstance(cell, seqjax.Cell))

xs = jax.random.normal(jax.random.key(1), (20, 3, 8))  # [T, B, D]
lengths = jnp.array([20, 11, 0])

params = cell.init(jax.random.key(0), input_size=8)
(h, c), ys = seqjax.unroll(cell, params, xs, lengths=lengths)
print("ys", ys.shape, "h", h.shape, "c", c.shape)
print("outputs after step 11 of the second sequence are zero:", not ys[11:, 1].any())

encoder = seqjax.Bidirectional(seqjax.Stack((cell, PeepholeLSTM(16))))
encoder_params = encoder.init(jax.random.key(0), input_size=8)
_, encoded = seqjax.unroll(encoder, encoder_params, xs, lengths=lengths)
print("both directions of two layers", encoded.shape)

# %% [markdown]
# ## Compare it with the equations
#
# A NumPy loop in float64, one sequence and one step at a time, is the reference.
# `unroll` runs in float64 too. The largest difference is that of rounding.


# %%
def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_outputs(params, xs):
    """One sequence: xs [T, D] -> ys [T, H]."""
    w_x, w_h, b, p_i, p_f, p_o = (np.asarray(p, np.float64) for p in params)
    h = c = np.zeros(len(w_h))
    ys = []
    for x in xs:
        x_i, x_f, x_g, x_o = np.split(x @ w_x + h @ w_h + b, 4)
        i, f = sigmoid(x_i + p_i * c), sigmoid(x_f + p_f * c)
        c = f * c + i * np.tanh(x_g)
        h = sigmoid(x_o + p_o * c) * np.tanh(c)
        ys.append(h)
    return np.array(ys)


want = np.zeros(ys.shape)
for row, length in enumerate(lengths.tolist()):
    if length:
        sequence = np.asarray(xs, np.float64)[:length, row]
        want[:length, row] = numpy_outputs(params, sequence)

with jax.enable_x64(True):
    in_float64 = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), (params, xs))
    _, got = seqjax.unroll(cell, *in_float64, lengths=lengths)
    difference = np.abs(np.asarray(got) - want).max()

print("float64:", got.dtype == np.float64)
print("largest difference below 1e-14:", bool(difference < 1e-14))

# %% [markdown]
# ## The laws
#
# `tests/test_cell_laws.py` states what every cell must satisfy. For example: a batch
# gives what its sequences give one by one; padding of any value, also nan, changes
# nothing and receives no gradient; a sequence read in two parts gives the same as
# the whole; gradients are those of finite differences in float64; all recurrent
# products go through `dot`.
#
# In a clone of the repository, with the file `peephole.py` in it, one command runs the
# laws on the cell. `--cell` names the module and the class, which is called with the
# number of units. `-k` selects the laws on this cell.
#
# ```sh
# python -m pytest tests/test_cell_laws.py --cell=peephole:PeepholeLSTM -k PeepholeLSTM
# ```
#
# The next cell does the same from this folder and prints the last line of the report.
# It needs the clone that `seqjax` was imported from, and pytest.

# %%
CLONE = Path(seqjax.__file__).parents[1]


def run_laws(cell, selected):
    paths = [str(Path.cwd()), str(CLONE), os.environ.get("PYTHONPATH", "")]
    command = [sys.executable, "-m", "pytest", "tests/test_cell_laws.py"]
    done = subprocess.run(
        [*command, f"--cell={cell}", "-k", selected, "--color=no"],
        cwd=CLONE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
    )
    last = done.stdout.splitlines()[-1]
    return last.split(" in ")[0]  # without the seconds


print(run_laws("peephole:PeepholeLSTM", "PeepholeLSTM"))

# %% [markdown]
# A cell with a mistake fails. This one multiplies by `w_h` itself instead of through
# `dot`. Its results are right, but the fused loop cannot compute the weight gradient
# after the loop. One law finds that.

# %%
# %%writefile without_dot.py
import jax.numpy as jnp

from peephole import PeepholeLSTM


class WithoutDot(PeepholeLSTM):
    def step(self, params, state, z, dot=jnp.dot):
        return super().step(params, state, z, dot=jnp.dot)


# %%
print(run_laws("without_dot:WithoutDot", "WithoutDot and recurrent_product"))

# %% [markdown]
# ## Time it
#
# The same gradient, once by `unroll` and once by a `lax.scan` over the steps. The calls
# alternate, and the medians are compared. A ratio below 1 means that `unroll` takes
# less time. The ratio depends on the sizes and on the machine.


# %%
def plain_scan(cell, params, xs):
    def step(state, x):
        return cell.step(params, state, cell.project(params, x))

    return jax.lax.scan(step, cell.initial_state(xs.shape[1:-1]), xs)


def gradient_of(run, cell):
    return jax.jit(jax.grad(lambda p, xs: jnp.sin(run(cell, p, xs)[1]).sum()))


cell = PeepholeLSTM(256)
params = cell.init(jax.random.key(0), input_size=128)
xs = jax.random.normal(jax.random.key(1), (200, 32, 128))  # [T, B, D]
runs = {
    "unroll": gradient_of(seqjax.unroll, cell),
    "lax.scan": gradient_of(plain_scan, cell),
}
seconds = {name: [] for name in runs}
for _ in range(8):
    for name, run in runs.items():
        start = time.perf_counter()
        jax.block_until_ready(run(params, xs))
        seconds[name].append(time.perf_counter() - start)

unrolled, scanned = (statistics.median(times[1:]) for times in seconds.values())
print(f"time of unroll / time of lax.scan: {unrolled / scanned:.1f}")

# %% [markdown]
# ## Train it
#
# The task is to measure time. A sequence has a spike every n steps; n is from 10 to 30
# and differs from sequence to sequence. After each step the network predicts whether
# the next step has a spike. Only the steps after the second spike count, since no one
# can know n before.

# %%
STEPS, ROWS, MINIBATCHES = 100, 32, 1500


def spike_trains(rng, number):
    """(spikes, spikes one step later, what counts), each [number, STEPS, ROWS]."""
    periods = rng.integers(10, 31, (number, 1, ROWS))
    first = rng.integers(0, periods)
    since = np.arange(STEPS + 1)[:, None] - first
    spikes = ((since >= 0) & (since % periods == 0)).astype(np.float32)
    return spikes[:, :-1], spikes[:, 1:], (since >= periods)[:, :-1]


train_set = jax.tree.map(jnp.asarray, spike_trains(np.random.default_rng(0), 1500))
test_set = jax.tree.map(jnp.asarray, spike_trains(np.random.default_rng(1), 20))
print("spikes", train_set[0].shape)
print("".join("|" if s else "." for s in train_set[0][0, :, 0].tolist()))

# %% [markdown]
# The network is one cell of 32 units and a linear layer. `make_train_loop` compiles
# many steps of training into one call; a minibatch is one entry of the training set.
# The learning rate falls from 0.01 to 0.


# %%
def loss_fn(cell, params, carry, batch, key):
    spikes, following, counts = batch  # [T, B]
    _, ys = seqjax.unroll(cell, params["cell"], spikes[..., None])  # [T, B, H]
    losses = optax.sigmoid_binary_cross_entropy(ys @ params["out"], following)
    return (jnp.where(counts, losses, 0).sum(), counts.sum().astype(jnp.float32)), carry


def minibatch(data, index):
    return jax.tree.map(lambda a: a[index], data)


def train(cell):
    """The training loss of each tenth of the run, and the test loss."""
    k_cell, k_out = jax.random.split(jax.random.key(0))
    params = {
        "cell": cell.init(k_cell, 1),
        "out": jax.random.normal(k_out, (cell.output_size,)) * 0.1,
    }
    schedule = optax.cosine_decay_schedule(0.01, MINIBATCHES)
    optimizer = training.make_optimizer("adam", schedule, clip_norm=1.0)
    step = training.make_train_step(partial(loss_fn, cell), optimizer)
    loop = training.make_train_loop(step, minibatch)
    state = training.init_state(params, optimizer, None, jax.random.key(0))
    curve, plan, part = [], jnp.arange(MINIBATCHES), MINIBATCHES // 10
    for begin in range(0, MINIBATCHES, part):
        state, found = loop(state, train_set, plan, begin, begin + part)
        curve.append(float(found.total / found.count))
    sums = jax.vmap(partial(loss_fn, cell, state.params, None), (0, None))
    total, count = sums(test_set, None)[0]
    return curve, float(total.sum() / count.sum())


curves = {}
for cell in (PeepholeLSTM(32), seqjax.LSTM(32)):
    name = type(cell).__name__
    curves[name], test_loss = train(cell)
    print(f"{name:12} test loss {test_loss:.4f}")

_, following, counts = test_set
share = float((following * counts).sum() / counts.sum())
entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
print(f"{'constant':12} test loss {entropy:.4f}")

# %% [markdown]
# The last number is the loss of the best constant prediction, the share of the spikes.
# Both cells are far below it.

# %%
figure, axes = plt.subplots(figsize=(6, 3), dpi=80, layout="constrained")
steps = range(MINIBATCHES // 10, MINIBATCHES + 1, MINIBATCHES // 10)
for style, (name, curve) in zip(("o-", "s--"), curves.items(), strict=True):
    axes.plot(steps, curve, style, label=name)
axes.axhline(entropy, color="black", linestyle=":", label="constant")
axes.set(xlabel="minibatches", ylabel="training loss", yscale="log")
axes.legend(frameon=False)
axes.grid(alpha=0.3)
plt.show()

# %% [markdown]
# ## Save it
#
# `save` works for a cell of your own. `load` needs its class.

# %%
cell = PeepholeLSTM(8)
seqjax.save("peephole_model", cell, cell.init(jax.random.key(0), 3))
loaded, loaded_params, _ = seqjax.load("peephole_model", classes=[PeepholeLSTM])
print(loaded, loaded_params.w_x.shape)
