"""The networks of the memory tasks: their losses against NumPy, and cut gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from experiments.gradients import tasks
from seqjax.data.synthetic import memory_tasks
from tests import references
from tests.parameters import drawn


def float64(params):
    return jax.tree.map(lambda p: np.asarray(p, np.float64), params)


def test_the_loss_of_adding_is_the_squared_error_of_the_last_step(key):
    task = tasks.Adding(seqjax.RNN(5), 6)
    params = drawn(task.init)
    xs, targets = task.draw(np.random.default_rng(0), 7)
    (total, count), _ = jax.jit(task.loss)(params, xs, targets)
    cell, out = float64(params.cell), float64(params.out)
    errors = []
    for i in range(7):
        h = np.zeros(5)
        for x in xs[:, i]:
            h, _ = references.rnn_step(cell, h, x)
        errors.append(float(h @ out.w[:, 0] + out.b[0]) - targets[i])
    assert float(total) == pytest.approx(np.sum(np.square(errors)), rel=1e-5)
    assert float(count) == 7


def test_the_loss_of_copying_is_the_cross_entropy_of_every_step(key):
    task = tasks.Copying(seqjax.RNN(5), 3)
    params = drawn(task.init)
    tokens, targets = task.draw(np.random.default_rng(0), 4)
    (total, count), more = jax.jit(task.loss)(params, tokens, targets)
    cell, out = float64(params.cell), float64(params.out)
    nats, right = 0.0, []
    for i in range(4):
        h = np.zeros(5)
        for t, token in enumerate(tokens[:, i]):
            h, _ = references.rnn_step(cell, h, np.eye(10)[token])
            logits = h @ out.w + out.b
            nats -= logits[targets[t, i]] - np.log(np.exp(logits).sum())
            if t >= 3 + 10:
                right.append(logits.argmax() == targets[t, i])
    assert float(total) == pytest.approx(nats, rel=1e-5)
    assert float(count) == 4 * 23
    assert float(more["right"]) == pytest.approx(np.mean(right))


def test_guessing_the_letters_has_the_baseline_loss_and_solves_nothing(key):
    task = tasks.Copying(seqjax.RNN(20), 12)
    tokens, targets = task.draw(np.random.default_rng(0), 500)
    likely = np.where(np.arange(32) < 22, memory_tasks.BLANK, -1)

    class Guessing(tasks.Copying):
        """Predicts the blanks surely, and each letter with the same probability."""

        @property
        def model(self):
            class Model:
                initial_state = staticmethod(lambda shape: None)

                @staticmethod
                def apply(params, tokens, state, factors=None):
                    sure = jax.nn.one_hot(likely, 10) * 50.0
                    letters = jnp.where(jnp.arange(10) < 8, 0.0, -50.0)
                    logits = jnp.where((likely < 0)[:, None], letters, sure)
                    return state, jnp.repeat(logits[:, None], tokens.shape[1], 1)

            return Model

    (total, count), more = Guessing(task.cell, 12).loss(None, tokens, targets)
    assert float(total / count) == pytest.approx(task.baseline, rel=1e-5)
    numbers = {"loss": float(total / count), "right": float(more["right"])}
    assert numbers["right"] == pytest.approx(1 / 8, abs=0.02)
    assert not task.is_solved(numbers)
    assert task.is_solved({"loss": 0.0, "right": 0.995})


@pytest.mark.parametrize("task", tasks.TASKS.values())
def test_factors_cut_a_tasks_gradient(task, key):
    task = task(seqjax.GRU(5), 6)
    params = drawn(task.init)
    batch = task.draw(np.random.default_rng(0), 4)

    def gradient(factors):
        loss = lambda p: task.loss(p, *batch, factors)[0][0]  # noqa: E731
        return jax.device_get(jax.jit(jax.grad(loss))(params))

    steps = len(batch[0])
    full, kept, cut = map(gradient, (None, jnp.ones(steps), jnp.zeros(steps)))
    for a, b in zip(jax.tree.leaves(full), jax.tree.leaves(kept), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert np.abs(full.cell.w_x - cut.cell.w_x).max() > 1e-4
