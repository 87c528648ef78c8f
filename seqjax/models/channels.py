"""Series with several columns: one joint sequence, or one sequence per column."""

from typing import Protocol

import jax

from seqjax.recurrence import Unrollable, is_bidirectional


class ChannelModel(Protocol):
    """A forecaster of series with D columns.

    channels="joint" reads all columns as one sequence with F = D features;
    "independent" reads each column as a sequence with F = 1 feature, D being one more
    batch axis, with the same parameters for all.
    """

    @property
    def cell(self) -> Unrollable: ...

    @property
    def num_features(self) -> int: ...

    @property
    def channels(self) -> str: ...


def check_channels(model: ChannelModel) -> None:
    """Check the fields of a ChannelModel.

    Raises:
      ValueError: if `channels` is unknown or the cell is bidirectional.
    """
    if model.channels not in ("joint", "independent"):
        raise ValueError(
            f'channels must be "joint" or "independent", got {model.channels!r}'
        )
    if is_bidirectional(model.cell):
        raise ValueError(
            "a bidirectional cell cannot be a forecaster: its backward half would "
            "read the values to be forecast"
        )


def features_per_sequence(model: ChannelModel) -> int:
    """F."""
    return 1 if model.channels == "independent" else model.num_features


def split_channels(model: ChannelModel, values: jax.Array) -> jax.Array:
    """[T, ..., D] -> [T, ..., F], with a batch axis D before F = 1 if independent."""
    return values[..., None] if model.channels == "independent" else values
