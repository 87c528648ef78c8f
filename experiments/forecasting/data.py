"""The time series from settings."""

from experiments.common.console import note
from experiments.common.workdir import RunConfig
from experiments.forecasting.config import DataConfig
from seqjax.data import series
from seqjax.data.series import Scaling, Series


def load_series(config: DataConfig, run: RunConfig) -> tuple[Series, Scaling | None]:
    """The series in the units that the models read, and its Scaling.

    The Scaling is None if the series is not standardized.

    Raises:
      DataError: if it cannot be read or standardized.
    """
    if config.csv is not None:
        found = series.load_csv(config.csv, config.target, config.time_column)
    else:
        found = series.load(config.dataset, run.data_dir, run.seed)
    found = found._replace(period=config.period)
    if config.standardize:
        return series.standardize(found)
    return found, None


def note_gaps(found: Series) -> None:
    """Print a note if time does not advance evenly."""
    gaps = series.time_gaps(found.times)
    if len(gaps):
        lines = ", ".join(str(row + 2) for row in gaps[:3])
        more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
        note(
            f"{found.name}: the time step before line {lines}{more} differs from the "
            f"most frequent one; rows are read as successive."
        )
