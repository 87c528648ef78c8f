"""Files of the user in place of a data set: one, or train, valid and test."""

from collections.abc import Sequence

from experiments.common.errors import UserError
from seqjax.data.text import STANDARD_INPUT

ONE_OR_THREE = (
    "one, or three for training, validation and test, joined by commas; - is standard "
    "input."
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
