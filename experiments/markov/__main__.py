"""Fits a Markov chain to a text and looks at it forward, in the long run and reversed.

Examples:
    python -m experiments.markov
    python -m experiments.markov --dataset=time_machine --order=2
    python -m experiments.markov --dataset=time_machine --level=word --min_freq=20
    python -m experiments.markov --mode=evaluate --input=new.txt

The chain is a table of all contexts, so their number must be small: characters, or few
words. The perplexities are those of the same held-out tokens as in experiments.ngrams.
The reversed chain, by Bayes' rule, reads the text from its end.
"""

from collections.abc import Sequence

from experiments.common.command_line import launch
from experiments.markov import Config, evaluate, run

MODES = {"run": run, "evaluate": evaluate}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    launch(__doc__, Config, MODES, argv, input_modes=("evaluate",))


if __name__ == "__main__":
    main()
