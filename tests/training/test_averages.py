"""Averages of parameters against NumPy loops, and the trigger on hand-made curves."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from seqjax import training
from seqjax.training import averages

TARGETS = jnp.asarray(np.random.default_rng(0).normal(size=(9, 3)))


def loss_fn(w, carry, batch, key):
    return (((w - batch) ** 2).sum(), jnp.ones(())), carry


def make(average, **options):
    optimizer = optax.chain(optax.sgd(0.1), average)
    step = jax.jit(training.make_train_step(loss_fn, optimizer, **options))
    state = training.init_state(jnp.zeros(3), optimizer, None, jax.random.key(0))
    return step, state


def descend(scales=(1.0,) * 9):
    """The parameters after each update, by hand: w - scale * 0.1 * 2 (w - target)."""
    w, found = np.zeros(3), []
    for target, scale in zip(np.asarray(TARGETS), scales, strict=True):
        w = w - scale * 0.2 * (w - target)
        found.append(w)
    return found


def test_an_exponential_average_is_that_of_the_parameters():
    step, state = make(averages.exponential_average(0.6))
    np.testing.assert_array_equal(averages.averaged(state), 0)
    weights = np.array([])
    for i, target in enumerate(TARGETS):
        state, _ = step(state, target)
        weights = np.append(0.6 * weights, 0.4)
        expected = weights @ np.stack(descend()[: i + 1]) / weights.sum()
        np.testing.assert_allclose(averages.averaged(state), expected, atol=1e-6)
    np.testing.assert_allclose(state.params, descend()[-1], atol=1e-6)


def test_a_polyak_average_begins_when_told_and_starts_again():
    step, state = make(averages.polyak_average())
    for target in TARGETS[:3]:
        state, _ = step(state, target)
        np.testing.assert_array_equal(averages.averaged(state), state.params)
    state = averages.begin_average(state)
    for target in TARGETS[3:6]:
        state, _ = step(state, target)
    expected = np.mean(descend()[2:6], axis=0)  # from the one at the beginning
    np.testing.assert_allclose(averages.averaged(state), expected, atol=1e-6)
    np.testing.assert_allclose(state.params, descend()[5], atol=1e-6)

    state = averages.restart_average(state)
    np.testing.assert_allclose(state.params, expected, atol=1e-6)
    assert int(averages.average_state(state).restarts) == 1
    w = [expected]
    for target in TARGETS[6:]:
        state, _ = step(state, target)
        w.append(w[-1] - 0.2 * (w[-1] - np.asarray(target)))
    np.testing.assert_allclose(averages.averaged(state), np.mean(w, axis=0), atol=1e-6)


def test_averages_are_of_the_scaled_updates():
    """A plateau, and a factor for each minibatch, change the parameters averaged."""
    scales = np.linspace(0.2, 1.0, 9)
    step, state = make(averages.polyak_average(), rate_of=lambda batch: jnp.array(0.5))
    state = averages.begin_average(state)
    for target, s in zip(TARGETS, scales, strict=True):
        state = state.replace(learning_rate_scale=jnp.asarray(s / 0.5, jnp.float32))
        state, _ = step(state, target)
    w = [np.zeros(3), *descend(scales)]
    np.testing.assert_allclose(state.params, w[-1], atol=1e-6)
    np.testing.assert_allclose(averages.averaged(state), np.mean(w, axis=0), atol=1e-6)


def test_an_average_shares_no_buffer_with_the_parameters():
    _, begun = make(averages.polyak_average())
    for state in (begun, averages.begin_average(begun)):
        leaves = [
            a for a in jax.tree.leaves(state) if hasattr(a, "unsafe_buffer_pointer")
        ]
        arrays = [a for a in leaves if jnp.issubdtype(a.dtype, jnp.number)]
        assert len({a.unsafe_buffer_pointer() for a in arrays}) == len(arrays)


def test_without_an_average_the_parameters_are_used():
    optimizer = training.make_optimizer("adam", 0.1)
    state = training.init_state(jnp.ones(3), optimizer, None, jax.random.key(0))
    assert averages.averaged(state) is state.params
    assert averages.average_state(state) is None


def test_an_average_needs_the_parameters():
    average = averages.polyak_average()
    with pytest.raises(ValueError, match="needs the parameters"):
        average.update(jnp.ones(3), average.init(jnp.ones(3)))


def test_a_decay_of_one_is_refused():
    with pytest.raises(ValueError, match=r"must be in \[0, 1\), got 1"):
        averages.exponential_average(1)


@pytest.mark.parametrize(
    ("curve", "window", "fires_at"),
    [
        ([9, 8, 7, 6, 5, 4, 3], 2, None),  # it keeps falling
        ([9, 8, 7, 8, 8, 8, 8], 2, 5),  # 8 > 7, once 7 is older than two validations
        ([9, 8, 7, 8, 6, 8, 8, 8], 2, 5),  # min of 9, 8, 7
        ([5, 6], 1, None),  # nothing is old enough
        ([5, 6, 5.5], 1, 2),
        ([5, 5, 5, 5], 1, None),  # equal is not worse
        ([float("inf"), 4, 5, 4.5], 1, 3),
    ],
)
def test_the_trigger_fires_at_the_first_validation_worse_than_the_old_best(
    curve, window, fires_at
):
    fired = [averages.is_nonmonotone(curve[: i + 1], window) for i in range(len(curve))]
    assert (fired.index(True) if any(fired) else None) == fires_at
