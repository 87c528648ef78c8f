"""Trains an encoder and a decoder on sentence pairs, evaluates them and translates.

Examples:
    python -m experiments.translation
    python -m experiments.translation --corpus=pairs.tsv --level=subword
    python -m experiments.translation --mode=translate --input=sentences.txt
"""

from collections.abc import Sequence

from experiments.common.command_line import launch
from experiments.translation import Config, evaluate, interactive, train, translate

MODES = {
    "train": train,
    "evaluate": evaluate,
    "translate": translate,
    "interactive": interactive,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    launch(__doc__, Config, MODES, argv, input_modes=("translate", "evaluate"))


if __name__ == "__main__":
    main()
