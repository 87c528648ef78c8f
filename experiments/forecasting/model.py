"""Forecasters from settings."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from experiments.common.errors import UserError
from experiments.common.recurrent import make_cell
from experiments.forecasting.config import HEADS, NORMALIZERS, ModelConfig
from seqjax.baselines.autoregressive import MLP, LinearAR, SeasonalNaive
from seqjax.data.series import Series
from seqjax.data.series_windows import check_length
from seqjax.models import DirectForecaster, RecursiveForecaster


class Forecaster(NamedTuple):
    """A model and the name of its folder, such as "mlp_16"."""

    name: str
    model: Any

    @property
    def is_trained(self) -> bool:
        """Whether its parameters are found by gradient descent."""
        return isinstance(self.model, MLP | RecursiveForecaster | DirectForecaster)

    @property
    def is_fitted(self) -> bool:
        """Whether it has parameters that are found on the training part."""
        return not isinstance(self.model, SeasonalNaive)

    @property
    def is_unbounded(self) -> bool:
        """Whether it can forecast any number of steps."""
        if isinstance(self.model, SeasonalNaive | RecursiveForecaster):
            return True
        return self.model.horizon == 1


def build_forecasters(
    config: ModelConfig,
    series: Series,
    parts: Sequence[str] = ("train", "valid", "test"),
) -> list[Forecaster]:
    """All forecasters of the settings, in their order.

    Args:
      config: the settings, after `data.settle`.
      series: the series.
      parts: the parts that need a window of tau and horizon rows.

    Raises:
      UserError: for settings that do not go together.
      DataError: if the series is too short for one of them.
    """
    makers, found = _makers(config, series), []
    for name in dict.fromkeys(config.models):
        try:
            models = makers[name]()
        except ValueError as error:
            raise UserError(f"--models={name}: {error}.") from None
        found += [Forecaster(f"{name}_{model.tau}", model) for model in models]
    for forecaster in found:
        needed = [part for part in parts if part != "train" or forecaster.is_fitted]
        check_length(series, forecaster.model.tau, config.horizon, needed)
    return found


def _makers(config: ModelConfig, series: Series) -> dict[str, Callable[[], list[Any]]]:
    """{name in --models: a function that makes the models}."""
    taus = sorted(set(config.tau or ()))
    head = HEADS[config.head](config.interval)
    normalize = NORMALIZERS[config.normalize]
    outputs = 1 if config.multistep == "recursive" else config.horizon
    columns = len(series.columns)
    common = (taus[-1], config.horizon, columns, config.channels, head, normalize)

    def recursive(separate_decoder: bool) -> list[Any]:
        return [
            RecursiveForecaster(
                make_cell(config),
                *common,
                separate_decoder=separate_decoder,
                teacher_forcing=config.teacher_forcing,
            )
        ]

    def direct() -> list[Any]:
        cell, options = make_cell(config), (config.segment, config.dropout)
        return [DirectForecaster(cell, *common, *options)]

    return {
        "naive": lambda: [SeasonalNaive(series.period)],
        "linear": lambda: [LinearAR(tau, outputs) for tau in taus],
        "mlp": lambda: [
            MLP(tau, outputs, config.mlp_size, head, normalize) for tau in taus
        ],
        "latent": lambda: recursive(separate_decoder=False),
        "encoder_decoder": lambda: recursive(separate_decoder=True),
        "direct": direct,
    }
