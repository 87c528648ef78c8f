"""Trains a tagger of sentences, evaluates it and tags sentences.

Examples:
    python -m experiments.tagging
    python -m experiments.tagging --train_file=my.conll --tag_column=3 --char_size=50
    python -m experiments.tagging --mode=evaluate --input=new.conll
    python -m experiments.tagging --mode=tag --input=sentences.txt

Spans of BIO tags are scored as conlleval does, beside a baseline that assigns each word
its most frequent tag in the training part.
"""

from collections.abc import Sequence

from experiments.common.command_line import launch
from experiments.tagging import Config, evaluate, tag, train

MODES = {"train": train, "evaluate": evaluate, "tag": tag}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    launch(__doc__, Config, MODES, argv, input_modes=("evaluate", "tag"))


if __name__ == "__main__":
    main()
