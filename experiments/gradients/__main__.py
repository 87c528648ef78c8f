"""Measures how gradients vanish or explode in time, and trains cells on memory tasks.

First, the norm of dL/dh_t against T - t for L = <u, h_T>, u a random unit vector, in
untrained networks: RNNs whose recurrent matrices have the spectral radii of --radii, a
GRU, and LSTMs with the forget biases of --forget_biases. Then each of --cells is
trained on each of --tasks at each of --lengths, in its own folder, and its norms are
measured again.

Examples:
    python -m experiments.gradients
    python -m experiments.gradients --tasks= --input_scale=1 --workdir=runs/saturated
    python -m experiments.gradients --tasks=adding --lengths=50,100,200 --epochs=50
"""

from collections.abc import Sequence

from experiments.common.command_line import launch
from experiments.gradients import Config, run


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    launch(__doc__, Config, {"run": run}, argv)


if __name__ == "__main__":
    main()
