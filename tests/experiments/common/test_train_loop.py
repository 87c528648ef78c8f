"""The training loop: ties, early stopping, plateaus, logs, averaged checkpoints."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.common.job import Job, Objective, TrainConfig, mean_loss
from experiments.common.train_loop import fit
from experiments.common.training_run import restore_params
from experiments.common.workdir import Workdir
from experiments.language_model import Config
from seqjax import training
from seqjax.checkpoint import Checkpoints
from tests.commands import metrics
from tests.small_language_model import arrays

VALIDATIONS = (  # of the epochs: accuracy and perplexity
    *((0.5, 1.1), (1.0, 1.6), (1.0, 1.4), (1.0, 1.5), (1.0, 1.4), (0.9, 1.0)),
    *((1.0, 1.2), (1.0, 1.1)),
)


def fit_validations(path, epochs, plateau_factor=1.0, **settings):
    """A run of one minibatch an epoch, whose one weight counts them."""

    def train_loop(state, data, plan, begin, end, total=0.0, count=0.0):
        params = {"w": state.params["w"] + end - begin}
        state = state.replace(step=state.step + end - begin, params=params)
        return state, training.Metrics(1.0, 1.0, 0.0, 0.0, 0.0)

    def validate(state):
        accuracy, perplexity = VALIDATIONS[int(state.params["w"]) - 1]
        return {"valid_accuracy": accuracy, "valid_perplexity": perplexity}

    job = Job(
        train_loop,
        data=None,
        plan=lambda epoch: [None],
        total_steps=epochs,
        validate=validate,
        objective=Objective(criterion="valid_accuracy", maximize=True),
        learning_rate=lambda step: 0.5 / (step + 1),
        plateau_factor=plateau_factor,
    )
    state, config = counting_state(), TrainConfig(**settings)
    workdir = Workdir(path, Config())
    with workdir.open_for_training():
        _, progress = fit(job, workdir, state, config)
        return progress, float(restore_params(workdir, config, state)["w"])


def counting_state():
    params, key = {"w": jnp.zeros(())}, jax.random.key(0)
    return training.init_state(params, optax.sgd(1.0), None, key)


@pytest.mark.parametrize("stop", [2, 3, 5])
def test_of_equals_the_lower_perplexity_is_best(tmp_path, stop):
    """The third epoch of four, also where the run was stopped in between."""
    fit_validations(tmp_path, stop)
    progress, best = fit_validations(tmp_path, 6)
    assert (progress.best_step, best) == (3, 3.0)
    assert (progress.best_value, progress.best_perplexity) == (1.0, 1.4)


def test_an_equal_is_no_gain_to_patience_and_plateaus(tmp_path):
    """Last gained in epoch 2; the lower perplexity of epoch 3 does not count."""
    progress, best = fit_validations(tmp_path, 8, plateau_factor=0.5, patience=3)
    assert (progress.step, progress.stale, best) == (5, 3, 3.0)
    newest = arrays(tmp_path / "checkpoints" / "last" / "5")
    assert newest[".learning_rate_scale"] == 0.5**3


def test_a_best_of_unknown_perplexity_stays_until_there_is_a_gain(tmp_path):
    """As checkpoints before ties were decided have it."""
    fit_validations(tmp_path, 2)
    last = Checkpoints(tmp_path / "checkpoints" / "last")
    state, progress, _ = last.restore(counting_state())
    del progress["best_perplexity"]
    last.save(2, state, progress)
    assert fit_validations(tmp_path, 3)[1] == 2.0


@pytest.mark.parametrize(("number", "mean"), [(1, 6.0), (2, 4.0), (3, 3.0), (5, 3.0)])
def test_the_mean_of_checkpoints_is_of_the_newest(tmp_path, capsys, number, mean):
    workdir = Workdir(tmp_path, Config())
    best, optimizer = Checkpoints(tmp_path / "checkpoints" / "best", 9), optax.sgd(1.0)
    for step, value in enumerate((1.0, 2.0, 6.0), start=1):
        params = {"w": jnp.full((2, 3), value), "b": jnp.full(3, -value)}
        state = training.init_state(params, optimizer, None, jax.random.key(0))
        best.save(step, state, {})
    found = restore_params(workdir, TrainConfig(average_checkpoints=number), state)
    np.testing.assert_array_equal(found["w"], np.full((2, 3), mean, np.float32))
    np.testing.assert_array_equal(found["b"], np.full(3, -mean, np.float32))
    few = "--average_checkpoints=5: only 3 exist.\n"
    assert capsys.readouterr().err == (few if number == 5 else "")


def test_the_learning_rate_and_the_norms_are_logged(tmp_path):
    fit_validations(tmp_path, 4, plateau_factor=0.5)
    lines = [line for line in metrics(tmp_path) if "learning_rate" in line]
    # Epoch 2 improves on epoch 1, and epoch 3 on nothing.
    assert [line["learning_rate"] for line in lines] == [0.5, 0.25, 0.5 / 3, 0.0625]
    assert {"grad_norm", "param_norm", "update_norm"} <= set(lines[0])


def test_the_mean_of_no_predictions_is_never_the_best():
    assert mean_loss(6.0, 4) == 1.5
    assert mean_loss(0.0, 0) == np.inf
