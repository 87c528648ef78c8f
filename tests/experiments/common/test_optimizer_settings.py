"""Learning rate schedules by their formulas."""

import numpy as np
import pytest

from experiments.common.errors import UserError
from experiments.common.optimizer import OptimizerConfig, make_schedule


@pytest.mark.parametrize("step", [0, 10, 20, 55, 80, 99, 100])
def test_schedules_are_their_formulas(step):
    options = {"learning_rate": 0.3, "warmup_steps": 20, "decay": 0.1, "hold": 0.5}

    def rate(schedule, step=step, accumulate=1):
        config = OptimizerConfig(schedule=schedule, **options)
        return make_schedule(config, 100 * accumulate, accumulate)(step)

    if step < 20:
        assert rate("cosine") == pytest.approx(0.3 * step / 20)
    else:
        share = (step - 20) / 80
        expected = 0.15 * (1 + np.cos(np.pi * share))
        assert rate("cosine") == pytest.approx(expected, abs=1e-7)
    expected = 0.3 * 0.1 ** max(0.0, (step - 50) / 50)
    assert rate("exponential") == pytest.approx(expected)
    assert rate("constant") == rate("plateau") == 0.3
    assert rate("cosine", accumulate=3) == rate("cosine")


def test_weight_decay_needs_adamw():
    with pytest.raises(
        UserError, match="--weight_decay needs --optimizer=adamw or sgd"
    ):
        OptimizerConfig(weight_decay=0.1)
    assert OptimizerConfig(weight_decay=0.1, optimizer="adamw").weight_decay == 0.1


def test_only_a_plateau_lowers_the_rate_after_a_validation():
    assert OptimizerConfig(schedule="plateau", decay=0.5).plateau_factor == 0.5
    assert OptimizerConfig(schedule="cosine", decay=0.5).plateau_factor == 1.0
