"""Turns texts of any size into token files, which the language model trains from.

Examples:
    python -m experiments.tokens --corpus=big.txt --output=big_tokens --level=word
    python -m experiments.language_model --level=word
        --corpus=big_tokens/train.tokens,big_tokens/valid.tokens,big_tokens/test.tokens

The texts are read twice in pieces of a few megabytes: once for the vocabulary, once for
the tokens. The files hold the vocabulary, and checksums.
"""

from collections.abc import Sequence

from experiments.common.command_line import launch
from experiments.tokens import Config, run


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    launch(__doc__, Config, {"run": run}, argv)


if __name__ == "__main__":
    main()
