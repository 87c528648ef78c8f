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
