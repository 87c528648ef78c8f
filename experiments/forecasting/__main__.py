"""Trains several forecasters of one time series, compares them, and forecasts.

Each trained model has its own folder in the workdir, so that models can be added to a
run. Defaults depend on the data: add --dataset or --csv to --help to see them.

Examples:
    python -m experiments.forecasting
    python -m experiments.forecasting --dataset=airline --models=naive,linear,latent
    python -m experiments.forecasting --csv=my.csv --target=load --time_column=date
    python -m experiments.forecasting --mode=forecast --output=next.csv
    python -m experiments.forecasting --mode=forecast --csv=newer.csv
    python -m experiments.forecasting --mode=evaluate --input=newer.csv
"""

from collections.abc import Sequence

from experiments.common.command_line import launch
from experiments.forecasting import Config, evaluate, forecast, train

MODES = {"train": train, "forecast": forecast, "evaluate": evaluate}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    launch(__doc__, Config, MODES, argv, input_modes=("forecast", "evaluate"))


if __name__ == "__main__":
    main()
