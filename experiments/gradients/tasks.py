"""Networks that read a synthetic task, and their training in a folder of their own."""

import dataclasses
import functools
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import backprop, build, fit, run
from experiments.workdir import restore_params
from seqjax import training
from seqjax.data import batching
from seqjax.data.synthetic import memory_tasks
from seqjax.models.language_model import LanguageModel
from seqjax.nn import layers, losses
from seqjax.truncation import truncated_unroll

FLAGS = flags.FLAGS
EPOCH = 100  # minibatches between validations, of sequences never seen before
VALID, TEST = (2**32 - 1, 2), (2**32 - 1, 4)  # a place in the stream, batches of 250


class AddingParams(NamedTuple):
    cell: Any
    out: layers.DenseParams  # [H, 1]


@dataclasses.dataclass(frozen=True)
class Adding:
    """Reads the adding problem; the answer is an affine function of the last output.

    Args:
      cell: a cell.
      length: T.
    """

    cell: Any
    length: int
    goal = "MSE below 0.01"

    @property
    def baseline(self):
        return memory_tasks.adding_baseline(self.length)

    def draw(self, rng, number):
        return memory_tasks.adding(rng, self.length, number)

    def init(self, key):
        k_cell, k_out = jax.random.split(key)
        out = layers.dense_init(k_out, self.cell.hidden_size, 1)
        return AddingParams(self.cell.init(k_cell, 2), out)

    def features(self, xs):
        """What the cell reads: [T, B, 2]."""
        return xs

    def loss(self, params, xs, targets, factors=None):
        """((squared errors, their number), {})."""
        _, ys = truncated_unroll(self.cell, params.cell, xs, factors)
        errors = layers.dense(params.out, ys[-1])[..., 0] - targets
        count = jnp.asarray(errors.size, errors.dtype)
        return (jnp.sum(errors**2), count), {}

    def is_solved(self, numbers):
        return numbers["loss"] < 0.01


@dataclasses.dataclass(frozen=True)
class Copying:
    """Reads the copy problem, and answers by a softmax at every step.

    Args:
      cell: a cell.
      length: the delay.
    """

    cell: Any
    length: int
    goal = "more than 99 % of the letters right"

    @property
    def baseline(self):
        return memory_tasks.copying_baseline(self.length)

    @property
    def model(self):
        return LanguageModel(memory_tasks.GO + 1, self.cell)

    def draw(self, rng, number):
        return memory_tasks.copying(rng, self.length, number)

    def init(self, key):
        return self.model.init(key)

    def features(self, tokens):
        """What the cell reads: [T, B] -> [T, B, 10]."""
        return jax.nn.one_hot(tokens, memory_tasks.GO + 1)

    def loss(self, params, tokens, targets, factors=None):
        """((cross-entropy, number of steps), {"right": share of the letters})."""
        state = self.model.initial_state(tokens.shape[1:])
        _, logits = self.model.apply(params, tokens, state, factors=factors)
        right = jnp.argmax(logits, axis=-1) == targets
        letters = right[-memory_tasks.NUM_COPIED :]
        return losses.cross_entropy(logits, targets), {"right": jnp.mean(letters)}

    def is_solved(self, numbers):
        return numbers["right"] > 0.99


TASKS = {"adding": Adding, "copy": Copying}


@flax.struct.dataclass
class Batches:
    """An epoch's minibatches, each by its number."""

    inputs: jax.Array  # [n, T, B, ...]
    targets: jax.Array  # [n, ...]

    def __len__(self):
        return len(self.inputs)

    def __getitem__(self, i):
        return self.inputs[i], self.targets[i]


def draw_batches(task, stream, number, batch_size):
    """Batches of fresh sequences; (seed, stream) decides them."""
    rng = batching.epoch_rng(FLAGS.seed, stream)
    drawn = [task.draw(rng, batch_size) for _ in range(number)]
    return Batches(
        *(jnp.asarray(np.stack(arrays)) for arrays in zip(*drawn, strict=True))
    )


def make_score(task, stream, number):
    """params -> {"loss": ..., ...} over sequences that training does not draw."""
    batches = draw_batches(task, stream, number, 250)

    @jax.jit
    def means(params):
        def mean(batch):
            (total, count), more = task.loss(params, *batch)
            return {"loss": total / count, **more}

        found = jax.lax.map(mean, (batches.inputs, batches.targets))
        return jax.tree.map(jnp.mean, found)

    return lambda params: {name: float(x) for name, x in means(params).items()}


def train(task, folder):
    """(parameters best on validation, Progress), from the folder's last checkpoint."""

    def loss_fn(params, carry, batch, key):
        factors = backprop.factors(key, len(batch[0]))
        return task.loss(params, *batch, factors)[0], carry

    @functools.lru_cache(maxsize=1)
    def plan(epoch):
        return draw_batches(task, epoch, EPOCH, FLAGS.batch_size)

    def validate(state):
        return {f"valid_{name}": x for name, x in score(state.params).items()}

    score = make_score(task, *VALID)
    total_steps = FLAGS.epochs * EPOCH
    optimizer = build.optimizer(total_steps)
    step = training.make_train_step(loss_fn, optimizer)
    job = fit.Job(
        training.make_train_loop(step, lambda data, batch: batch),
        None,
        plan,
        total_steps,
        validate=validate,
        criterion="valid_loss",
        measure="loss",
        measure_of=lambda total, count: total / count,
        unit="predictions",
    )
    state = build.state(task, optimizer)
    with folder.open_for_training():
        state, progress = fit.fit(job, folder, state)
        curve = folder.path / "learning_curve.png"
        run.draw_learning_curve(curve, folder.read_metrics(), "loss")
    return restore_params(folder, "best", state), progress


def solved_from(task, metrics):
    """The minibatch whose validation was the first to reach the goal; None if none."""
    for line in metrics:
        numbers = {k.removeprefix("valid_"): v for k, v in line.items() if "valid" in k}
        if numbers and task.is_solved(numbers):
            return line["step"]
    return None
