"""The settings of the forecasting command; many defaults depend on the data set."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Self

from experiments.common.errors import UserError
from experiments.common.job import TrainConfig
from experiments.common.line_io import OutputConfig
from experiments.common.optimizer import OptimizerConfig
from experiments.common.recurrent import RecurrentConfig
from experiments.common.settings import Settings, setting
from experiments.common.workdir import RunConfig
from seqjax.data import series
from seqjax.nn import forecast_heads

MODELS = ("naive", "linear", "mlp", "latent", "encoder_decoder", "direct")
HEADS: dict[str, Callable[[float], Any]] = {
    "point": lambda coverage: forecast_heads.POINT,
    "gaussian": forecast_heads.Gaussian,
    "quantiles": forecast_heads.Quantiles,
}
NORMALIZERS = {
    "none": forecast_heads.by_nothing,
    "last": forecast_heads.by_last,
    "window": forecast_heads.by_window,
}


@dataclasses.dataclass(frozen=True)
class DataConfig(Settings):
    """The time series."""

    dataset: str = setting("sine", "Data set to use.", choices=series.NAMES)
    csv: str | None = setting(
        None,
        "CSV file to use instead of a data set; its first line names the columns.",
        resumable=True,  # the checksum of the data decides
    )
    target: tuple[str, ...] | None = setting(
        None,
        "Columns of --csv to forecast; all but the time column if none is given.",
    )
    time_column: str | None = setting(
        None, "Column of --csv that holds dates or increasing numbers."
    )
    period: int = setting(1, "Number of rows in a season.", minimum=1, maximum=10**6)
    standardize: bool = setting(
        False,
        "Whether to standardize each column by the mean and standard deviation of its "
        "training rows.",
    )

    def check(self) -> None:
        columns = self.target, self.time_column
        if self.csv is None and columns != (None, None):
            raise UserError("--target and --time_column need a --csv.")


@dataclasses.dataclass(frozen=True)
class ModelConfig(RecurrentConfig):
    """The models, and what they read and output."""

    dropout: float = setting(
        0.0,
        "Dropout rate between the layers of latent, encoder_decoder and direct, and on "
        "the last output of direct.",
        minimum=0,
        maximum=0.99,
    )
    models: tuple[str, ...] = setting(
        ("linear", "mlp", "latent"),
        "Models to compare.",
        choices=MODELS,
        resumable=True,
    )
    tau: tuple[int, ...] = setting(
        (4, 16, 64),
        "Numbers of values that a forecast is made from. There is a linear model and "
        "an mlp for each of them; the recurrent models read the largest number.",
        minimum=1,
        resumable=True,  # the name of a model contains its tau
    )
    horizon: int = setting(64, "Number of steps to forecast.", minimum=1, maximum=10**5)
    multistep: str = setting(
        "recursive",
        "How linear and mlp forecast several steps: by feeding forecasts back, or all "
        "steps at once.",
        choices=("recursive", "direct"),
    )
    channels: str = setting(
        "independent",
        "How recurrent models read the columns: all together, or each as a sequence of "
        "its own.",
        choices=("joint", "independent"),
    )
    head: str = setting(
        "point",
        "Output of mlp and the recurrent models: a value, a Gaussian, or the median "
        "and two other quantiles.",
        choices=list(HEADS),
    )
    interval: float = setting(
        0.9,
        "Share of the values that a forecast interval should contain.",
        minimum=0.01,
        maximum=0.999,
    )
    normalize: str = setting(
        "none",
        "How mlp and the recurrent models normalize a history: not at all, by its last "
        "value, or by its mean and standard deviation.",
        choices=list(NORMALIZERS),
    )
    segment: int = setting(
        1,
        "Number of successive values that the model direct reads in one step; it must "
        "divide --tau.",
        minimum=1,
    )
    mlp_size: int = setting(
        10, "Number of hidden units of the mlp.", minimum=1, maximum=10**6
    )
    teacher_forcing: bool = setting(
        True,
        "Whether latent and encoder_decoder are trained on observed values instead of "
        "their own forecasts.",
    )

    def check(self) -> None:
        if not self.models:
            raise UserError("--models names no model.")
        if not self.tau:
            raise UserError("--tau names no number of values.")


@dataclasses.dataclass(frozen=True)
class EvaluationConfig(Settings):
    """The errors to report."""

    steps: tuple[int, ...] = setting(
        (1, 4, 16, 64),
        "Numbers of steps k at which the error of forecasts k steps ahead is reported; "
        "those above --horizon are left out.",
        minimum=1,
        resumable=True,
    )

    def check(self) -> None:
        if not self.steps:
            raise UserError("--steps names no number of steps.")


CSV = "--csv"  # the key of a file of the user, which no data set has
# Where other data differ from the sine, whose defaults are those of `Config`.
ALL_OTHERS = {
    "standardize": True,
    "models": ("naive", "linear", "mlp", "direct"),
    "multistep": "direct",
    "epochs": 10,
    "eval_every": 5,
    "optimizer": "adam",
    "learning_rate": 0.004,
    "weight_decay": 0.0,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "sine": {},
    "etth1": {
        **ALL_OTHERS,
        "period": 24,
        "tau": (336,),
        "horizon": 96,
        "segment": 24,
        "normalize": "last",
    },
    "airline": {
        **ALL_OTHERS,
        "period": 12,
        "tau": (24,),
        "horizon": 12,
        "epochs": 100,
    },
    "sunspots": {**ALL_OTHERS, "period": 132, "tau": (132,), "horizon": 12},
    "temperatures": {**ALL_OTHERS, "period": 365, "tau": (60,), "horizon": 7},
    CSV: {**ALL_OTHERS, "tau": (24,), "horizon": 12, "epochs": 30},
}


@dataclasses.dataclass(frozen=True)
class Config(Settings):
    """All settings of the command, by default those of the sine."""

    run: RunConfig = RunConfig(workdir="runs/forecasting")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig(cell="gru", hidden_size=32, dropout=0.0)
    optimizer: OptimizerConfig = OptimizerConfig(
        optimizer="adamw", learning_rate=0.01, weight_decay=0.3
    )
    train: TrainConfig = TrainConfig(epochs=30, eval_every=10)
    evaluation: EvaluationConfig = EvaluationConfig()
    output: OutputConfig = OutputConfig()

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """The defaults for --dataset, or for --csv if that is given.

        There is no weight decay by default for optimizers other than adamw.
        """
        source = CSV if given.get("csv") is not None else given.get("dataset")
        config = cls().replace(**DEFAULTS.get(source or "sine", {}))
        if given.get("optimizer", "adamw") != "adamw":
            config = config.replace(weight_decay=0.0)
        return config
