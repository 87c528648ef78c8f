"""What the forms of loops and of products depend on: the devices of jax."""

import jax


def on_gpu() -> bool:
    """Whether programs are built in the form for GPUs."""
    return jax.default_backend() == "gpu"


def several_devices() -> bool:
    """Whether a batch may be sharded over several devices."""
    return jax.device_count() > 1
