"""What a run keeps besides checkpoints, so that its models can read other data.

fitted.npz holds the columns, the Scaling, the training rows, the parameters of the
linear models, and the validation error and the interval widths of every model.
"""

import io
import zipfile
from typing import Any, NamedTuple

import numpy as np

from experiments.common.errors import UserError
from experiments.common.workdir import Workdir
from experiments.forecasting.evaluate import Validation
from seqjax.baselines.autoregressive import LinearParams
from seqjax.data.series import Scaling

FITTED = "fitted.npz"


class Fitted(NamedTuple):
    """The content of fitted.npz."""

    columns: tuple[str, ...]
    scaling: Scaling | None  # None if the series is not standardized
    train: np.ndarray  # the training rows in the units of the models, [N, D]
    last_time: np.ndarray | None  # of the rows that train and validate, []
    linear: dict[str, LinearParams]  # by the name of the forecaster
    validations: dict[str, Validation]  # by the name of the forecaster
    sha256: str

    def best_first(self, names: list[str]) -> list[str]:
        """Names of forecasters in the order of their validation errors."""
        return sorted(names, key=lambda name: self.validations[name].mse)


def write_fitted(workdir: Workdir, fitted: Fitted) -> None:
    """Write fitted.npz, with what is in it of other forecasters on the same data."""
    path = workdir.file(FITTED)
    if path.exists():
        earlier = read_fitted(workdir)
        if earlier.sha256 == fitted.sha256:
            fitted = fitted._replace(
                linear={**earlier.linear, **fitted.linear},
                validations={**earlier.validations, **fitted.validations},
            )
    arrays: dict[str, Any] = {
        "columns": np.array(fitted.columns),
        "train": fitted.train,
        "sha256": np.array(fitted.sha256),
    }
    if fitted.scaling is not None:
        arrays |= {"mean": fitted.scaling.mean, "std": fitted.scaling.std}
    if fitted.last_time is not None:
        arrays["last_time"] = fitted.last_time
    for name, params in fitted.linear.items():
        arrays |= {f"{name}/w": params.w, f"{name}/b": params.b}
    for name, validation in fitted.validations.items():
        arrays[f"{name}/mse"] = np.array(validation.mse)
        if validation.widths is not None:
            arrays[f"{name}/widths"] = validation.widths
    content = io.BytesIO()
    np.savez(content, **arrays)
    workdir.write_bytes(FITTED, content.getvalue())


def read_fitted(workdir: Workdir) -> Fitted:
    """The content of fitted.npz.

    Raises:
      UserError: if there is none, or it is damaged.
    """
    path = workdir.file(FITTED)
    if not path.exists():
        raise UserError(f"{workdir.path} holds no {FITTED}; start its training again.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        return _parse(arrays)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile):
        raise UserError(f"{path} is damaged; start the training again.") from None


def _parse(arrays: dict[str, np.ndarray]) -> Fitted:
    scaling = None
    if "mean" in arrays:
        scaling = Scaling(arrays["mean"], arrays["std"])

    def named(part: str) -> list[str]:
        return [key.removesuffix(part) for key in arrays if key.endswith(part)]

    return Fitted(
        columns=tuple(map(str, arrays["columns"])),
        scaling=scaling,
        train=arrays["train"],
        last_time=arrays.get("last_time"),
        linear={
            name: LinearParams(arrays[f"{name}/w"], arrays[f"{name}/b"])
            for name in named("/w")
        },
        validations={
            name: Validation(float(arrays[f"{name}/mse"]), arrays.get(f"{name}/widths"))
            for name in named("/mse")
        },
        sha256=str(arrays["sha256"]),
    )
