"""The commands: flags, printing, figures and run folders."""

import sys

from experiments.common import interrupts

# `python -m experiments.NAME` is looking for its module: Ctrl-C counts from here on,
# also while jax is imported.
if sys.argv[:1] == ["-m"]:
    interrupts.install()
