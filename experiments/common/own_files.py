"""Files of the user in place of a data set: one, or train, valid and test."""

from collections.abc import Sequence
from typing import Any

from experiments.common.errors import UserError
from experiments.common.settings import setting
from seqjax.data.text import STANDARD_INPUT

ONE_OR_THREE = (
    "one, or three for training, validation and test, joined by commas; - is standard "
    "input."
)


def columns_setting(names: str, usual: str) -> Any:
    """The setting of the columns of tables.

    Args:
      names: what the columns hold, in their order, joined by commas.
      usual: the columns that are read by default.
    """
    return setting(
        None,
        f"Names of the columns of Parquet files, JSON lines and data sets of Hugging "
        f"Face, in the order {names}; by default {usual}.",
        resumable=True,  # the checksum of the data and the vocabulary decide
    )


def check_columns(
    columns: Sequence[str] | None, names: str, flag: str, files: Sequence[str] | None
) -> None:
    """Refuse another number of columns than those of `columns_setting`.

    Args:
      columns: the names that the user gave.
      names: as for `columns_setting`.
      flag: the flag of the files, without dashes.
      files: their names.

    Raises:
      UserError: also for one column given twice, and for columns of no files.
    """
    expected = names.split(",")
    if columns is None:
        return
    if not files:
        raise UserError(f"--columns needs --{flag}.")
    if len(columns) != len(expected) or len(set(columns)) < len(columns):
        raise UserError(
            f"--columns takes {len(expected)} name{'s' * (len(expected) > 1)} "
            f"({names}), got {', '.join(map(repr, columns))}."
        )


def check_files(flag: str, files: Sequence[str] | None) -> None:
    """Refuse files that are neither one nor three.

    Args:
      flag: the flag that names them, without dashes.
      files: their names; None if the flag is not given.

    Raises:
      UserError: also for standard input given twice.
    """
    if files is None:
        return
    if len(files) not in (1, 3):
        raise UserError(
            f"--{flag} takes one file, or three for training, validation and test, got "
            f"{len(files)}: {', '.join(files)}; a name that holds a comma is written "
            f"in double quotes."
        )
    if list(files).count(STANDARD_INPUT) > 1:
        raise UserError(f"--{flag}: standard input (-) can be read only once.")
