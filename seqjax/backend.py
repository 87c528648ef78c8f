"""The choice between the forms of a loop for a CPU and for a GPU."""

import jax


def on_gpu() -> bool:
    """Whether programs are built in the form for GPUs."""
    return jax.default_backend() == "gpu"
