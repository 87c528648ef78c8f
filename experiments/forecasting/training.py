"""The parameters of a forecaster: by least squares, by training, from a checkpoint."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common.devices import Placement
from experiments.common.job import Job, loss_objective
from experiments.common.optimizer import (
    initial_train_state,
    make_optimizer,
    make_schedule,
)
from experiments.common.training_run import (
    Trained,
    epoch_plan,
    load_params,
    train_model,
)
from experiments.common.workdir import Workdir
from experiments.forecasting.config import Config
from experiments.forecasting.model import Forecaster
from seqjax import training
from seqjax.baselines.autoregressive import LinearParams
from seqjax.data.series import Series
from seqjax.data.series_windows import origins, shuffled_passes
from seqjax.training import TrainState

VALID_BATCH_SIZE = 256


def on_device(params: LinearParams) -> LinearParams:
    """The least squares parameters on the device, in float32."""
    return jax.tree.map(lambda p: jnp.asarray(p, jnp.float32), params)


def load_forecaster_params(
    config: Config, forecaster: Forecaster, workdir: Workdir
) -> Any:
    """The parameters of a trained forecaster from its own folder."""
    return load_params(config, workdir, forecaster.model)


def train_forecaster(
    config: Config, forecaster: Forecaster, series: Series, workdir: Workdir
) -> Trained:
    """Train a forecaster in its own folder, from its last checkpoint if there is one.

    Args:
      config: the settings.
      forecaster: one that `is_trained`.
      series: the series in the units of the models.
      workdir: the forecaster's folder.
    """
    model = forecaster.model
    values = jnp.asarray(series.values, jnp.float32)
    starts = origins(series.train, model.tau, model.horizon) - model.tau

    def make_plan(rng: np.random.Generator) -> jax.Array:
        plan = shuffled_passes(
            rng, starts, config.train.batch_size, config.train.epoch_updates
        )
        return jnp.asarray(plan)

    def loss_fn(params: Any, carry: Any, window: jax.Array, key: jax.Array) -> Any:
        return model.loss(params, window, key), carry

    plan = epoch_plan(config.run.seed, make_plan)
    total_steps = config.train.epochs * len(plan(0))
    optimizer = make_optimizer(config.optimizer, total_steps)
    step = training.make_train_step(loss_fn, optimizer, config.train.skip_nonfinite)
    placement = Placement.of(config.devices, 1, config.train.batch_size)
    job = Job(
        training.make_train_loop(
            placement.step(step),
            lambda values, starts: read_windows(model, values, starts),
        ),
        values,
        plan,
        total_steps,
        validate=make_validation(model, values, series.valid, placement),
        objective=loss_objective("values"),
        learning_rate=make_schedule(config.optimizer, total_steps),
        plateau_factor=config.optimizer.plateau_factor,
        averaging=config.optimizer,
        placement=placement,
        model=model,
    )
    state = initial_train_state(model, optimizer, config.run.seed)
    with workdir.open_for_training():
        workdir.write_vocab(series.columns, series.sha256)
        return train_model(job, workdir, state, config.train)


def read_windows(model: Any, values: jax.Array, starts: jax.Array) -> jax.Array:
    """Windows for the model's loss, [tau + horizon, B, D], from values [N, D]."""
    return training.windows(values, starts, model.tau + model.horizon - 1)


def make_validation(
    model: Any, values: jax.Array, part: tuple[int, int], placement: Placement
) -> Callable[[TrainState], dict[str, float]]:
    """state -> the mean loss over all windows of a part.

    Args:
      model: a trainable model.
      values: the series [N, D].
      part: the rows [begin, end) of the part.
      placement: where the windows are computed.
    """
    starts = origins(part, model.tau, model.horizon) - model.tau
    batches = [
        jnp.asarray(starts[i : i + VALID_BATCH_SIZE], jnp.int32)
        for i in range(0, len(starts), VALID_BATCH_SIZE)
    ]

    values = placement.everywhere(values)

    @jax.jit
    def loss(params: Any, values: jax.Array, starts: jax.Array) -> Any:
        return model.loss(params, read_windows(model, values, starts))

    run = placement.held_out(lambda params, starts: loss(params, values, starts), 0)

    def validate(state: TrainState) -> dict[str, float]:
        sums = [run(state.params, starts) for starts in batches]
        totals, counts = zip(*sums, strict=True)
        return {"valid_loss": sum(map(float, totals)) / sum(map(float, counts))}

    return validate
