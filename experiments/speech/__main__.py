"""Trains a speech recognizer without alignments, evaluates it and transcribes files.

Examples:
    python -m experiments.speech
    python -m experiments.speech --dataset=fsdd --units=words --workdir=runs/fsdd
    python -m experiments.speech --wav_dir=wavs --transcripts=words.tsv
    python -m experiments.speech --mode=evaluate --input=words.tsv
    python -m experiments.speech --mode=transcribe --input=wavs

A recurrent network reads mel spectrograms of 25 ms frames and predicts a letter, a word
or a blank at each step (connectionist temporal classification). Greedy or prefix beam
search turns the predictions into words. The command reports the error rates of words
and letters.
"""

from collections.abc import Sequence

from experiments.common.command_line import launch
from experiments.speech import Config, evaluate, train, transcribe

MODES = {"train": train, "evaluate": evaluate, "transcribe": transcribe}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    launch(__doc__, Config, MODES, argv, input_modes=("evaluate", "transcribe"))


if __name__ == "__main__":
    main()
