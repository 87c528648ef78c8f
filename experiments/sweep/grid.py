"""The runs of a sweep: every combination of the values of a grid."""

import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.common.errors import UserError
from experiments.common.flag_files import flag_lines
from seqjax.data.names import unknown_name

COMMANDS = (
    *("language_model", "translation", "classification", "tagging", "poems", "speech"),
    *("forecasting", "ngrams", "markov", "hidden_markov", "gradients"),
)


class Run(NamedTuple):
    """One combination."""

    values: dict[str, str]  # flag -> its value
    workdir: Path
    flags: list[str]  # of its command


def command_of(name: str | None, argv: Sequence[str]) -> str:
    """The command to run: `name`, or the one that a comment of the flag file names.

    Raises:
      UserError: if there is no such command, or no file that names one.
    """
    if name is None:
        paths = [a.partition("=")[2] for a in argv if a.startswith("--flagfile=")]
        text = "\n".join(line for path in paths for line in flag_lines(path))
        found = re.search(r"python -m experiments\.(\w+)", text)
        if found is None:
            raise UserError(
                "--command names no command, and no comment of a --flagfile names one."
            )
        name = found[1]
    if name not in COMMANDS:
        raise UserError(f"--command: {unknown_name('command', name, COMMANDS)}")
    return name


def parse_grid(texts: Sequence[str]) -> dict[str, list[str]]:
    """{flag: its values} from texts such as "seed=0,1,2".

    Raises:
      UserError: naming a text that is none, or a flag that is there twice.
    """
    grid: dict[str, list[str]] = {}
    for text in texts:
        name, _, values = text.removeprefix("--").partition("=")
        listed = values.split(",")
        if len(set(listed)) < len(listed):
            raise UserError(f"--grid {text}: a value is there twice.")
        if not name or not all(listed):
            raise UserError(
                f"--grid {text}: a flag and its values, such as seed=0,1,2, were "
                f"expected."
            )
        if name in grid or name == "workdir":
            raise UserError(f"--grid {text}: --{name} cannot be given there.")
        grid[name] = listed
    return grid


def make_runs(
    grid: Mapping[str, Sequence[str]], argv: Sequence[str], folder: Path
) -> list[Run]:
    """Every combination.

    Args:
      grid: from `parse_grid`.
      argv: the flags that all runs share.
      folder: holds the workdirs.

    Raises:
      UserError: if two combinations would have one workdir.
    """
    runs: list[Run] = []
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        name = ",".join(f"{flag}={value}" for flag, value in chosen.items())
        workdir = folder / re.sub(r"[^\w.,=+-]", "_", name)
        if any(run.workdir == workdir for run in runs):
            raise UserError(f"--grid: two combinations have the folder {workdir}.")
        given = [f"--{flag}={value}" for flag, value in chosen.items()]
        runs.append(Run(chosen, workdir, [*argv, *given, f"--workdir={workdir}"]))
    return runs
