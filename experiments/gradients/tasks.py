"""Synthetic tasks with long time lags, each with the network that learns it."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from seqjax.cell_protocol import Cell, Params
from seqjax.data.synthetic import memory_tasks
from seqjax.models import LanguageModel
from seqjax.nn import layers, losses
from seqjax.truncation import truncated_unroll

EPOCH = 100  # minibatches between validations, of new sequences

Numbers = dict[str, Any]
Loss = tuple[tuple[jax.Array, jax.Array], Numbers]  # ((total, count), further numbers)


class Task(Protocol):
    """A task at one length, with a network that reads it."""

    @property
    def cell(self) -> Cell: ...

    @property
    def goal(self) -> str:
        """When the task is solved, in words."""

    @property
    def baseline(self) -> float:
        """The loss of the best prediction without memory."""

    @property
    def target_axis(self) -> int:
        """The axis of the sequences in the targets."""

    def draw(self, rng: np.random.Generator, number: int) -> tuple[Any, Any]:
        """(inputs [T, B, ...], targets) of `number` new sequences."""

    def init(self, key: jax.Array) -> Any:
        """Initial parameters; those of the cell are `params.cell`."""

    def features(self, inputs: jax.Array) -> jax.Array:
        """What the cell reads: [T, B, ...] -> [T, B, D]."""

    def loss(
        self,
        params: Any,
        inputs: jax.Array,
        targets: jax.Array,
        factors: jax.Array | None = None,
    ) -> Loss:
        """((total, count), {name: further number}).

        Args:
          params: from `init`.
          inputs, targets: from `draw`.
          factors: xi [T] of truncated backpropagation, see `seqjax.truncation`.
        """

    def is_solved(self, numbers: Numbers) -> bool:
        """Whether a mean "loss" and the further numbers satisfy the goal."""


class AddingParams(NamedTuple):
    """Parameters of the network of `Adding`."""

    cell: Params
    out: layers.DenseParams  # [H, 1]


@dataclasses.dataclass(frozen=True)
class Adding:
    """The adding problem: the prediction is an affine function of the last output.

    Args:
      cell: a cell.
      length: T.
    """

    cell: Cell
    length: int
    goal: ClassVar[str] = "MSE below 0.01"
    target_axis: ClassVar[int] = 0

    @property
    def baseline(self) -> float:
        """The mean squared error of a constant prediction."""
        return memory_tasks.adding_baseline(self.length)

    def draw(self, rng: np.random.Generator, number: int) -> tuple[Any, Any]:
        """(xs [T, B, 2], targets [B])."""
        return memory_tasks.adding(rng, self.length, number)

    def init(self, key: jax.Array) -> AddingParams:
        """Initial parameters."""
        k_cell, k_out = jax.random.split(key)
        out = layers.dense_init(k_out, self.cell.output_size, 1)
        return AddingParams(self.cell.init(k_cell, 2), out)

    def features(self, inputs: jax.Array) -> jax.Array:
        """The inputs themselves, [T, B, 2]."""
        return inputs

    def loss(
        self,
        params: AddingParams,
        inputs: jax.Array,
        targets: jax.Array,
        factors: jax.Array | None = None,
    ) -> Loss:
        """((sum of squared errors, number of sequences), {})."""
        _, ys = truncated_unroll(self.cell, params.cell, inputs, factors)
        errors = layers.dense(params.out, ys[-1])[..., 0] - targets
        count = jnp.asarray(errors.size, errors.dtype)
        return (jnp.sum(errors**2), count), {}

    def is_solved(self, numbers: Numbers) -> bool:
        """Whether the mean squared error is below 0.01."""
        return numbers["loss"] < 0.01


@dataclasses.dataclass(frozen=True)
class Copying:
    """The copy problem: a softmax over the tokens at every step.

    Args:
      cell: a cell.
      length: the delay, in time steps.
    """

    cell: Cell
    length: int
    goal: ClassVar[str] = "more than 99 % of the letters right"
    target_axis: ClassVar[int] = 1

    @property
    def baseline(self) -> float:
        """The mean cross-entropy of uniform guesses of the letters."""
        return memory_tasks.copying_baseline(self.length)

    @property
    def model(self) -> Any:
        """The network, a LanguageModel on one-hot vectors."""
        return LanguageModel(memory_tasks.GO + 1, self.cell)

    def draw(self, rng: np.random.Generator, number: int) -> tuple[Any, Any]:
        """(tokens [T, B], targets [T, B])."""
        return memory_tasks.copying(rng, self.length, number)

    def init(self, key: jax.Array) -> Any:
        """Initial parameters."""
        return self.model.init(key)

    def features(self, inputs: jax.Array) -> jax.Array:
        """One-hot vectors, [T, B] -> [T, B, 10]."""
        return jax.nn.one_hot(inputs, memory_tasks.GO + 1)

    def loss(
        self,
        params: Any,
        inputs: jax.Array,
        targets: jax.Array,
        factors: jax.Array | None = None,
    ) -> Loss:
        """((cross-entropy in nats, number of steps), {"right": share of letters})."""
        state = self.model.initial_state(inputs.shape[1:])
        _, logits = self.model.apply(params, inputs, state, factors=factors)
        right = jnp.argmax(logits, axis=-1) == targets
        letters = right[-memory_tasks.NUM_COPIED :]
        return losses.cross_entropy(logits, targets), {"right": jnp.mean(letters)}

    def is_solved(self, numbers: Numbers) -> bool:
        """Whether more than 99 % of the letters are right."""
        return numbers["right"] > 0.99


TASKS: dict[str, Callable[[Cell, int], Task]] = {"adding": Adding, "copy": Copying}


@flax.struct.dataclass
class TaskBatches:
    """Minibatches of one shape, indexed by their number."""

    inputs: jax.Array  # [n, T, B, ...]
    targets: jax.Array  # [n, ...]

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, i: Any) -> tuple[jax.Array, jax.Array]:
        return self.inputs[i], self.targets[i]


def draw_batches(
    task: Task, rng: np.random.Generator, number: int, batch_size: int
) -> TaskBatches:
    """`number` minibatches of new sequences."""
    drawn = [task.draw(rng, batch_size) for _ in range(number)]
    inputs, targets = zip(*drawn, strict=True)
    return TaskBatches(jnp.asarray(np.stack(inputs)), jnp.asarray(np.stack(targets)))
