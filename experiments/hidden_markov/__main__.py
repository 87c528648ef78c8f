"""Learns word classes from unlabeled text with a hidden Markov model.

Examples:
    python -m experiments.hidden_markov
    python -m experiments.hidden_markov --corpus=my.txt --num_states=32
    python -m experiments.hidden_markov --mode=evaluate --input=new.txt
    python -m experiments.hidden_markov --mode=tag --input=sentences.txt
    python -m experiments.hidden_markov --dataset=regimes --num_states=3

The Baum-Welch algorithm trains the model; the words that are typical of a state show
what it stands for. The perplexities compare with those of experiments.language_model:
the same flags give the same vocabulary and the same predictions, of all held-out tokens
but the first. With --dataset=regimes the observations are numbers with Gaussian
emissions, which the command draws itself.

The state of a word depends on the words before and after it: Viterbi and smoothing
combine a pass over the past with one over the future, as a bidirectional network does.
Perplexities and samples depend on the past alone.
"""

from collections.abc import Sequence

from experiments.common.command_line import launch
from experiments.hidden_markov import Config, evaluate, sample, tag, train

MODES = {"train": train, "evaluate": evaluate, "tag": tag, "sample": sample}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    launch(__doc__, Config, MODES, argv, input_modes=("evaluate", "tag"))


if __name__ == "__main__":
    main()
