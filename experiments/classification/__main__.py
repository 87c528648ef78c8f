"""Trains a recurrent classifier of documents, evaluates it and classifies lines.

Examples:
    python -m experiments.classification
    python -m experiments.classification --corpus=mails.tsv --pooling=max
    python -m experiments.classification --mode=classify --input=lines.txt
"""

from collections.abc import Sequence

from experiments.classification import Config, classify, evaluate, train
from experiments.common.command_line import launch

MODES = {"train": train, "evaluate": evaluate, "classify": classify}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    launch(__doc__, Config, MODES, argv, input_modes=("classify", "evaluate"))


if __name__ == "__main__":
    main()
