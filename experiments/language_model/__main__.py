"""Trains a recurrent language model on text, evaluates it and generates text.

Examples:
    python -m experiments.language_model
    python -m experiments.language_model --corpus=my.txt --workdir=runs/mine
    python -m experiments.language_model --mode=evaluate --input=new.txt
    python -m experiments.language_model --mode=evaluate --dynamic=rms --cache=2000
    python -m experiments.language_model --mode=score --input=new.txt
    python -m experiments.language_model --mode=generate --prompt="The " --top_p=0.9
"""

from collections.abc import Sequence

from experiments.common.command_line import launch
from experiments.language_model import Config, evaluate, generate, score, train

MODES = {"train": train, "evaluate": evaluate, "score": score, "generate": generate}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    launch(__doc__, Config, MODES, argv, input_modes=("evaluate", "score"))


if __name__ == "__main__":
    main()
