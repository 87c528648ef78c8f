"""The settings of the gradients command."""

import dataclasses

from experiments.common import job
from experiments.common.backprop import BackpropConfig
from experiments.common.devices import DevicesConfig
from experiments.common.errors import UserError
from experiments.common.optimizer import OptimizerConfig
from experiments.common.recurrent import CELLS, RecurrentConfig
from experiments.common.settings import Settings, setting
from experiments.common.workdir import RunConfig
from experiments.gradients.tasks import EPOCH, TASKS

SINGLE_LAYER = {
    "cell": "lstm",
    "num_layers": 1,
    "bidirectional": False,
    "dropout": 0.0,
}


@dataclasses.dataclass(frozen=True)
class ModelConfig(RecurrentConfig):
    """Networks of a single layer in one direction, without dropout."""

    cell: str = setting(
        "lstm",
        "Recurrent cell; this command accepts lstm only, because --cells names the "
        "cells.",
        choices=list(CELLS),
    )
    num_layers: int = setting(
        1, "Number of recurrent layers; this command accepts 1 only.", minimum=1
    )
    bidirectional: bool = setting(
        False,
        "Whether each layer reads the sequence in both directions; this command "
        "accepts false only.",
    )
    dropout: float = setting(
        0.0, "Dropout rate; this command accepts 0 only.", minimum=0, maximum=0.99
    )

    def check(self) -> None:
        for name, value in SINGLE_LAYER.items():
            if getattr(self, name) != value:
                raise UserError(
                    f"--{name}={getattr(self, name)} is not for this command: its "
                    f"networks are single layers of --cells in one direction, without "
                    f"dropout."
                )


@dataclasses.dataclass(frozen=True)
class NormsConfig(Settings):
    """The untrained networks whose gradients are measured."""

    radii: tuple[float, ...] = setting(
        (0.9, 1.0, 1.1),
        "Spectral radii of the recurrent matrices of the RNNs.",
        minimum=0,
        resumable=True,
    )
    forget_biases: tuple[float, ...] = setting(
        (0.0, 1.0, 5.0),
        "Forget biases of the LSTMs.",
        minimum=-100,
        resumable=True,
    )
    num_steps: int = setting(
        100,
        "Number of time steps T over which gradients flow back.",
        minimum=2,
        maximum=10**5,
        resumable=True,
    )
    input_scale: float = setting(
        1e-4,
        "Standard deviation of the inputs; tanh saturates at 1 and is linear near 0.",
        minimum=0,
        resumable=True,
    )


@dataclasses.dataclass(frozen=True)
class TasksConfig(Settings):
    """The tasks and the cells that are trained on them."""

    tasks: tuple[str, ...] = setting(
        ("adding", "copy"),
        "Tasks to train on; an empty list trains nothing.",
        choices=list(TASKS),
        resumable=True,  # names of folders contain task, length and cell
    )
    lengths: tuple[int, ...] = setting(
        (50,),
        "Lengths of the tasks: number of time steps of adding; number of time steps "
        "between the letters and their copy.",
        minimum=2,
        resumable=True,
    )
    cells: tuple[str, ...] = setting(
        ("rnn", "gru", "lstm"),
        "Cells to train.",
        choices=list(CELLS),
        resumable=True,
    )

    def check(self) -> None:
        for name in ("cells", "lengths"):
            if self.tasks and not getattr(self, name):
                raise UserError(f"--{name} names no {name.removesuffix('s')}.")


@dataclasses.dataclass(frozen=True)
class TrainConfig(job.TrainConfig):
    """The length of the training on a task."""

    epochs: int = setting(
        20,
        f"Number of epochs, each of {EPOCH} minibatches of new sequences.",
        minimum=1,
    )


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """All settings of the command."""

    run: RunConfig = RunConfig(workdir="runs/gradients")
    norms: NormsConfig = NormsConfig()
    tasks: TasksConfig = TasksConfig()
    model: ModelConfig = ModelConfig(hidden_size=64, forget_bias=1.0)
    backprop: BackpropConfig = BackpropConfig()
    optimizer: OptimizerConfig = OptimizerConfig(
        schedule="constant", learning_rate=0.002
    )
    train: TrainConfig = TrainConfig()
    devices: DevicesConfig = DevicesConfig()
