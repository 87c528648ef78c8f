"""One training step: clipping, optimizers, the learning rate's scale, truncation."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from seqjax import training
from tests.training_parts import TOKENS, B, T, parts


@pytest.mark.parametrize("theta", [0.01, 1e6, None])
def test_sgd_step_is_the_clipped_gradient_times_the_rate(theta):
    """g <- min(1, theta / ||g||) g over the global norm."""
    model, state, step, _, plan = parts(rate=0.3, clip=theta)
    window = training.windows(jnp.asarray(TOKENS), plan[0], T)

    def mean_loss(params):
        (total, count), _ = model.loss(params, window, state=state.carry)
        return total / count

    before, grads = jax.device_get(
        (state.params, jax.jit(jax.grad(mean_loss))(state.params))
    )
    squares = [np.sum(np.float64(g) ** 2) for g in jax.tree.leaves(grads)]
    norm = np.sqrt(np.sum(squares))
    factor = 1.0 if theta is None else min(1.0, theta / norm)
    after, metrics = jax.jit(step)(state, window)
    np.testing.assert_allclose(metrics.grad_norm, norm, rtol=1e-5)
    jax.tree.map(
        lambda p, g, q: np.testing.assert_allclose(q, p - 0.3 * factor * g, atol=1e-6),
        before,
        grads,
        jax.device_get(after.params),
    )
    assert after.step == 1


def test_learning_rate_scale_scales_the_step():
    _, state, step, _, plan = parts()
    step = jax.jit(step)
    window = training.windows(jnp.asarray(TOKENS), plan[0], T)
    before, whole = jax.device_get((state.params, step(state, window)[0].params))
    slower = state.replace(learning_rate_scale=jnp.asarray(0.5))
    halved = jax.device_get(step(slower, window)[0].params)
    jax.tree.map(
        lambda p, a, b: np.testing.assert_allclose(b - p, (a - p) / 2, atol=1e-6),
        before,
        whole,
        halved,
    )


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_optimizers_are_torchs(name):
    torch = pytest.importorskip("torch")
    decay = {"weight_decay": 0.1} if name != "adam" else {}
    ours = training.make_optimizer(name, 0.02, None, **decay)
    start = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    theirs = torch.nn.Parameter(torch.from_numpy(start.copy()))
    classes = {"sgd": "SGD", "adam": "Adam", "adamw": "AdamW"}
    optimizer = getattr(torch.optim, classes[name])([theirs], lr=0.02, **decay)
    params, opt_state = jnp.asarray(start), ours.init(jnp.asarray(start))
    for k in range(5):
        updates, opt_state = ours.update(jnp.cos(params + k), opt_state, params)
        params = optax.apply_updates(params, updates)
        theirs.grad = torch.cos(theirs.detach() + k)
        optimizer.step()
    np.testing.assert_allclose(params, theirs.detach(), atol=1e-6)


def test_wrong_optimizers_are_refused():
    with pytest.raises(ValueError, match="'lion'"):
        training.make_optimizer("lion", 0.1)
    with pytest.raises(ValueError, match="needs sgd or adamw, got 'adam'"):
        training.make_optimizer("adam", 0.1, weight_decay=0.1)


def test_state_is_carried_but_no_gradient_crosses_a_minibatch():
    """Truncated BPTT: minibatch 2 starts from minibatch 1's state as a constant."""
    model, state, step, _, plan = parts(rate=0.0)
    step = jax.jit(step)
    tokens = jnp.asarray(TOKENS)
    first, second = (training.windows(tokens, starts, T) for starts in plan[:2])
    state, _ = step(state, first)
    start = model.initial_state((B,))
    _, carry = jax.jit(model.loss)(state.params, first, state=start)
    np.testing.assert_allclose(state.carry, carry, atol=1e-6)
    _, metrics = step(state, second)

    def truncated(params):
        start = jax.lax.stop_gradient(carry)
        (total, count), _ = model.loss(params, second, state=start)
        return total / count

    def through(params):
        _, carry = model.loss(params, first, state=model.initial_state((B,)))
        (total, count), _ = model.loss(params, second, state=carry)
        return total / count

    def norm_of_gradient(loss):
        return jax.jit(lambda p: optax.tree.norm(jax.grad(loss)(p)))(state.params)

    norm = norm_of_gradient(truncated)
    np.testing.assert_allclose(metrics.grad_norm, norm, rtol=1e-5)
    assert abs(norm_of_gradient(through) - norm) > 1e-4


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_minibatch_without_predictions_has_a_gradient_of_zero(name):
    def loss(params, carry, batch, key):
        total, count = jnp.sum(params * batch), jnp.sum(batch != 0, dtype=jnp.float32)
        return (total, count), carry

    optimizer = training.make_optimizer(name, 0.1, 1.0)
    step = jax.jit(training.make_train_step(loss, optimizer))
    state = training.init_state(jnp.ones(3), optimizer, None, jax.random.key(0))
    state, metrics = step(state, jnp.zeros(3))
    assert (float(metrics.total), float(metrics.count)) == (0.0, 0.0)
    assert float(metrics.grad_norm) == 0.0
    np.testing.assert_array_equal(state.params, np.ones(3))
    state, metrics = step(state, jnp.asarray([2.0, 0.0, 0.0]))
    assert float(metrics.grad_norm) == 2.0  # of the mean, over a count of 1
    assert np.isfinite(state.params).all() and state.params[0] < 1
