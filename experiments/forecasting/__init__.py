"""Forecasts of time series: train several models, compare them, forecast.

Example:
  >>> from experiments.forecasting import Config, train
  >>> summary = train(Config.of(csv="my.csv", horizon=24, workdir="runs/mine"))
  >>> summary["models"]["linear_24"]["mse"]
"""

from experiments.forecasting.config import Config
from experiments.forecasting.modes import evaluate, forecast, train

__all__ = ["Config", "evaluate", "forecast", "train"]
