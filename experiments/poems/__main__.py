"""Trains a character-level model of whole poems, evaluates it and writes poems.

Examples:
    python -m experiments.poems
    python -m experiments.poems --mode=generate --acrostic=春江花月 --number=3
    python -m experiments.poems --mode=evaluate --input=poems.txt
    python -m experiments.poems --corpus=my.txt --workdir=runs/mine
"""

from collections.abc import Sequence

from experiments.common.command_line import launch
from experiments.poems import Config, evaluate, generate, train

MODES = {"train": train, "evaluate": evaluate, "generate": generate}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    launch(__doc__, Config, MODES, argv, input_modes=("evaluate",))


if __name__ == "__main__":
    main()
