"""Counts the n-grams of a text and scores n-gram models on it.

Examples:
    python -m experiments.ngrams
    python -m experiments.ngrams --dataset=wikitext2 --level=word
    python -m experiments.ngrams --corpus=my.txt --order=3 --eps=0.1,10,5
    python -m experiments.ngrams --mode=evaluate --input=new.txt

The counts come from the training text. The perplexities compare with those of
experiments.language_model: the same flags give the same vocabulary and the same
predictions, of all held-out tokens but the first. Every order up to --order is scored,
with Laplace smoothing and with Kneser-Ney smoothing.
"""

from collections.abc import Sequence

from experiments.common.command_line import launch
from experiments.ngrams import Config, evaluate, run

MODES = {"run": run, "evaluate": evaluate}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    launch(__doc__, Config, MODES, argv, input_modes=("evaluate",))


if __name__ == "__main__":
    main()
