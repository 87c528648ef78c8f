"""The settings of the forecasting command; many defaults depend on the data set."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Self

from experiments.common.devices import DevicesConfig
from experiments.common.errors import UserError
from experiments.common.job import TrainConfig
from experiments.common.line_io import OutputConfig
from experiments.common.optimizer import OptimizerConfig
from experiments.common.own_files import ONE_OR_THREE, check_files
from experiments.common.recurrent import RecurrentConfig
from experiments.common.settings import Settings, setting
from experiments.common.workdir import RunConfig
from seqjax.data import csv_columns, series
from seqjax.nn import forecast_heads

MODELS = ("naive", "linear", "mlp", "latent", "encoder_decoder", "direct")
AUTO, AUTO_MODELS = "auto", ("naive", "linear", "mlp", "direct")
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
    csv: tuple[str, ...] | None = setting(
        None,
        "CSV files, whose first line names the columns, Parquet files, JSON lines or "
        f"data sets of Hugging Face to use instead of a data set: {ONE_OR_THREE}",
        resumable=True,  # the checksum of the data decides
    )
    target: tuple[str, ...] | None = setting(
        None,
        "Columns of --csv to forecast; all but the time column if none is given.",
    )
    time_column: str | None = setting(
        None, "Column of --csv that holds dates or increasing numbers."
    )
    missing: str = setting(
        "refuse",
        "What to do with cells of --csv that hold no number: refuse them, interpolate "
        "between the rows before and after, or repeat the last number.",
        choices=csv_columns.MISSING,
    )
    period: int = setting(
        1,
        "Number of rows in a season; 0 finds it in the rows before the test part.",
        minimum=0,
        maximum=10**6,
    )
    standardize: bool = setting(
        False,
        "Whether to standardize each column by the mean and standard deviation of its "
        "training rows.",
    )

    def check(self) -> None:
        check_files("csv", self.csv)
        columns = self.target, self.time_column
        if self.csv is None and (columns != (None, None) or self.missing != "refuse"):
            raise UserError("--target, --time_column and --missing need a --csv.")


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
        "Models to compare; auto is naive,linear,mlp,direct. The best on the "
        "validation part is marked, and its forecast is written first.",
        choices=(*MODELS, AUTO),
        resumable=True,
    )
    tau: tuple[int, ...] | None = setting(
        (4, 16, 64),
        "Numbers of values that a forecast is made from. There is a linear model and "
        "an mlp for each of them; the recurrent models read the largest number. If "
        "none is given, it is one season and a row, or 24 without a season.",
        minimum=1,
        resumable=True,  # the name of a model contains its tau
    )
    horizon: int = setting(
        64,
        "Number of steps to forecast; 0 is 12, or a sixth of the rows of a series that "
        "has fewer than 72.",
        minimum=0,
        maximum=10**5,
    )
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
    calibrate: bool = setting(
        False,
        "Whether all models get intervals as wide as their errors on the validation "
        "part require.",
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


@dataclasses.dataclass(frozen=True)
class ForecastTrainConfig(TrainConfig):
    """The length of a run, by epochs of a smallest number of updates."""

    epoch_updates: int = setting(
        1,
        "Smallest number of minibatches in an epoch; a short series is read several "
        "times in one epoch.",
        minimum=1,
        maximum=10**5,
    )


@dataclasses.dataclass(frozen=True)
class ForecastFilesConfig(OutputConfig):
    """The file that a mode of a trained run reads, and the file that it writes."""

    input: str | None = setting(
        None,
        "CSV file that --mode=forecast continues or --mode=evaluate scores, instead of "
        "--csv; - is standard input.",
        resumable=True,
    )


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
    "models": (AUTO,),
    "multistep": "direct",
    "calibrate": True,
    "epochs": 10,
    "eval_every": 5,
    "optimizer": "adam",
    "learning_rate": 0.004,
    "weight_decay": 0.0,
}
# A short series: many updates on few windows, stopped early.
SHORT = {
    **ALL_OTHERS,
    "multistep": "recursive",
    "tau": None,
    "normalize": "last",
    "epochs": 20,
    "epoch_updates": 100,
    "eval_every": 1,
    "patience": 4,
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
    "airline": {**SHORT, "period": 12, "horizon": 12},
    "sunspots": {**ALL_OTHERS, "period": 132, "tau": (132,), "horizon": 12},
    "temperatures": {**ALL_OTHERS, "period": 365, "tau": (60,), "horizon": 7},
    CSV: {**SHORT, "period": 0, "horizon": 0},
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
    train: ForecastTrainConfig = ForecastTrainConfig(epochs=30, eval_every=10)
    devices: DevicesConfig = DevicesConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    output: ForecastFilesConfig = ForecastFilesConfig()

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
