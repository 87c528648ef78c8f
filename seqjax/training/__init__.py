"""Training: the state, one step, loops over many steps, evaluation.

step          TrainState, StepMetrics, init_state, make_optimizer, make_train_step
loops         Metrics, make_train_loop, make_batch_loop
averages      averages of the parameters: Polyak's, exponential
evaluation    windows, make_evaluate
"""

from seqjax.training import averages
from seqjax.training.evaluation import make_evaluate, windows
from seqjax.training.loops import (
    Metrics,
    TrainLoop,
    make_batch_loop,
    make_train_loop,
)
from seqjax.training.step import (
    LossFn,
    StepMetrics,
    TrainState,
    TrainStep,
    init_state,
    make_optimizer,
    make_train_step,
)

__all__ = [
    "LossFn",
    "Metrics",
    "StepMetrics",
    "TrainLoop",
    "TrainState",
    "TrainStep",
    "averages",
    "init_state",
    "make_batch_loop",
    "make_evaluate",
    "make_optimizer",
    "make_train_loop",
    "make_train_step",
    "windows",
]
