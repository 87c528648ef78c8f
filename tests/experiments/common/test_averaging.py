"""When the average begins, starts again and ends the run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common.averaging import AveragingConfig, after_validation
from experiments.common.optimizer import OptimizerConfig, make_optimizer
from seqjax import training
from seqjax.training.averages import average_state, averaged


def events(config, curve):
    """{index of a validation: what happens after it}, and whether the run ended."""
    optimizer = make_optimizer(OptimizerConfig(averaging="nt_asgd"), 10)
    state = training.init_state(jnp.ones(2), optimizer, None, jax.random.key(0))
    values, found = [], {}
    for i, value in enumerate(curve):
        values = [*values, value]
        state, values, ends, event = after_validation(config, state, values)
        if event:
            found[i] = event
        if ends:
            return found, True
    return found, False


CURVE = [9, 8, 8.5, 8.5, 7, 6, 6.5, 6.5, 5, 5.5, 5.5, 5.5]


@pytest.mark.parametrize(
    ("finetunings", "expected", "ends"),
    [
        (None, {3: "averaging begins"}, False),
        (0, {3: "averaging begins", 7: "the trigger ends the run"}, True),
        (
            1,
            {
                3: "averaging begins",
                7: "averaging starts again from the mean",
                10: "the trigger ends the run",
            },
            True,
        ),
    ],
)
def test_the_trigger_begins_starts_again_and_ends(finetunings, expected, ends):
    """With a window of 1, each fires at the second validation after a best one."""
    config = AveragingConfig("nt_asgd", nonmonotone=1, finetunings=finetunings)
    assert events(config, CURVE) == (expected, ends)


@pytest.mark.parametrize("averaging", ["none", "ema"])
def test_without_nt_asgd_nothing_is_decided(averaging):
    assert events(AveragingConfig(averaging), CURVE * 2) == ({}, False)


def test_a_validation_sees_the_average():
    optimizer = make_optimizer(OptimizerConfig(averaging="ema", ema_decay=0.5), 10)
    state = training.init_state(jnp.ones(2), optimizer, None, jax.random.key(0))
    updates, opt_state = optimizer.update(jnp.ones(2), state.opt_state, state.params)
    state = state.replace(opt_state=opt_state, params=state.params + updates)
    assert int(average_state(state).number) == 1
    np.testing.assert_allclose(averaged(state), state.params, rtol=1e-6)


def test_the_average_of_accumulated_updates_is_that_of_the_parameters():
    """Also where a plateau has lowered the rate."""
    config = OptimizerConfig(
        optimizer="sgd",
        learning_rate=1.0,
        schedule="plateau",
        clip_norm=0,
        averaging="ema",
        ema_decay=0.5,
    )
    optimizer = make_optimizer(config, 10, accumulate=2)

    def loss_fn(w, carry, batch, key):
        return ((w * batch).sum(), jnp.ones(())), carry

    step = training.make_train_step(loss_fn, optimizer)
    state = training.init_state(jnp.zeros(()), optimizer, None, jax.random.key(0))
    state = state.replace(learning_rate_scale=jnp.asarray(0.1))
    for batch in (1.0, 3.0, 5.0, 7.0):  # mean gradients 2 and 6
        state, _ = step(state, jnp.asarray(batch))
    np.testing.assert_allclose(state.params, -0.8, rtol=1e-6)
    np.testing.assert_allclose(averaged(state), (-0.2 / 4 - 0.8 / 2) / 0.75, rtol=1e-6)
