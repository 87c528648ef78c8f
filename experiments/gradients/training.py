"""Training of one network on one task, in its own folder."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.backprop import gradient_factors
from experiments.common.devices import Placement
from experiments.common.job import Job, loss_objective
from experiments.common.optimizer import (
    initial_train_state,
    make_optimizer,
    make_schedule,
)
from experiments.common.recurrent import CELLS, initializers
from experiments.common.training_run import (
    Trained,
    count_parameters,
    epoch_plan,
    train_model,
)
from experiments.common.workdir import Workdir
from experiments.gradients import tasks
from experiments.gradients.config import Config
from experiments.gradients.networks import BATCH_SIZE, Network
from experiments.gradients.norms import Norms, measure_norms
from experiments.gradients.tasks import Task, TaskBatches, draw_batches
from seqjax import training
from seqjax.data.batching import epoch_rng
from seqjax.training import TrainState

HELD_OUT = 2**32 - 1  # the epoch of held-out sequences, which training never reaches
# Numbers of held-out minibatches. Both parts begin with the same sequences, so that
# the test sequences include those of the validation.
VALID_BATCHES, TEST_BATCHES, HELD_OUT_BATCH_SIZE = 2, 4, 250


class TaskNetwork(NamedTuple):
    """A network to train on a task, under the name of its folder."""

    name: str  # such as "adding_50_lstm"
    title: str  # of the task and its length
    cell_name: str
    task: Task


class TaskResult(NamedTuple):
    """The outcome of training a TaskNetwork."""

    network: TaskNetwork
    numbers: dict[str, Any]  # for summary.json
    metrics: Sequence[Mapping[str, Any]]  # the lines of metrics.jsonl
    norms: Norms


def task_networks(config: Config) -> list[TaskNetwork]:
    """Every cell on every task at every length."""
    model, found = config.model, []
    for task_name in dict.fromkeys(config.tasks.tasks):
        for length in sorted(set(config.tasks.lengths)):
            for cell_name in dict.fromkeys(config.tasks.cells):
                make = CELLS[cell_name]
                cell = make(model.hidden_size, model.forget_bias, **initializers(model))
                task = tasks.TASKS[task_name](cell, length)
                name = f"{task_name}_{length}_{cell_name}"
                title = f"{task_name}, length {length}"
                found.append(TaskNetwork(name, title, cell_name, task))
    return found


def train_network(config: Config, network: TaskNetwork, workdir: Workdir) -> TaskResult:
    """Train a network, or continue, and measure its loss and its gradients."""
    task, seed = network.task, config.run.seed
    params, progress = train_on_task(config, task, workdir)
    metrics = workdir.read_metrics()
    test = make_score(task, seed, TEST_BATCHES)(params)
    inputs, _ = held_out_batches(task, seed, 1, BATCH_SIZE)[0]
    norms = measure_norms(
        Network(task.cell, params.cell, task.features(inputs)),
        seed,
        config.optimizer.clip_norm,
    )
    numbers = {
        **{f"test_{name}": value for name, value in test.items()},
        "baseline": task.baseline,
        "solved": bool(task.is_solved(test)),
        "solved_from_step": solved_from(task, metrics),
        "steps": progress.step,
        "parameters": count_parameters(params),
        "seconds": progress.seconds,
        **norms.summary(),
    }
    return TaskResult(network, numbers, metrics, norms)


def train_on_task(config: Config, task: Task, workdir: Workdir) -> Trained:
    """The parameters of a network and its Progress, from its last checkpoint on."""
    score = make_score(task, config.run.seed, VALID_BATCHES)

    def loss_fn(params: Any, carry: Any, batch: Any, key: jax.Array) -> Any:
        inputs, targets = batch
        factors = gradient_factors(config.backprop, key, len(inputs))
        return task.loss(params, inputs, targets, factors)[0], carry

    def make_plan(rng: np.random.Generator) -> TaskBatches:
        return draw_batches(task, rng, tasks.EPOCH, config.train.batch_size)

    def validate(state: TrainState) -> dict[str, float]:
        params = placement.whole(state).params
        return {f"valid_{name}": x for name, x in score(params).items()}

    total_steps = config.train.epochs * tasks.EPOCH
    optimizer = make_optimizer(config.optimizer, total_steps)
    step = training.make_train_step(loss_fn, optimizer, config.train.skip_nonfinite)
    placement = Placement.of(
        config.devices, (1, task.target_axis), config.train.batch_size
    )
    job = Job(
        training.make_train_loop(
            placement.step(step),
            lambda data, batch: batch,
        ),
        None,
        epoch_plan(config.run.seed, make_plan),
        total_steps,
        validate=validate,
        objective=loss_objective("predictions"),
        learning_rate=make_schedule(config.optimizer, total_steps),
        plateau_factor=config.optimizer.plateau_factor,
        averaging=config.optimizer,
        placement=placement,
    )
    state = initial_train_state(task, optimizer, config.run.seed)
    with workdir.open_for_training():
        return train_model(job, workdir, state, config.train)


def held_out_batches(
    task: Task, seed: int, number: int, batch_size: int = HELD_OUT_BATCH_SIZE
) -> TaskBatches:
    """Minibatches of sequences that training does not draw."""
    return draw_batches(task, epoch_rng(seed, HELD_OUT), number, batch_size)


def make_score(task: Task, seed: int, number: int) -> Callable[[Any], dict[str, float]]:
    """params -> {"loss": mean, ...} over `number` held-out minibatches."""
    batches = held_out_batches(task, seed, number)

    @jax.jit
    def means(params: Any) -> Any:
        def mean(batch: Any) -> Any:
            (total, count), more = task.loss(params, *batch)
            return {"loss": total / count, **more}

        found = jax.lax.map(mean, (batches.inputs, batches.targets))
        return jax.tree.map(jnp.mean, found)

    return lambda params: {name: float(x) for name, x in means(params).items()}


def solved_from(task: Task, metrics: Sequence[Mapping[str, Any]]) -> int | None:
    """The step of the first validation that solved the task; None if none did."""
    for line in metrics:
        numbers = {k.removeprefix("valid_"): v for k, v in line.items() if "valid" in k}
        if numbers and task.is_solved(numbers):
            return line["step"]
    return None
