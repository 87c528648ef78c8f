"""The environment of a measurement: packages, cores, the device, versions."""

import datetime
import importlib
import importlib.metadata
import os
import platform
import re
from pathlib import Path
from typing import Any

import jax

from experiments.common import activity
from experiments.common.errors import UserError
from seqjax.backend import on_gpu

PACKAGES = ("jax", "jaxlib", "flax", "dm-haiku", "torch", "dynamax", "nltk", "numpy")


def prepare() -> None:
    """Let every library use all CPU cores or the GPU; disable the compilation cache.

    Without the cache, compile times are those of a first compilation. Where JAX runs on
    a GPU, new tensors of torch are on the GPU, too, and float32 products of both run in
    TF32.

    Raises:
      UserError: if JAX runs neither on a CPU nor on a GPU.
    """
    activity.begin("measuring")
    # JAX would else take most of the GPU's memory before torch has any.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    jax.config.update("jax_enable_compilation_cache", False)
    if jax.default_backend() not in ("cpu", "gpu"):
        raise UserError("the benchmarks run on CPUs and GPUs; set JAX_PLATFORMS=cpu.")
    if installed("torch"):
        import torch

        torch.set_num_threads(os.cpu_count() or 1)
        if on_gpu():
            torch.set_default_device("cuda")
            torch.backends.cuda.matmul.allow_tf32 = True
            torch.backends.cudnn.allow_tf32 = True


def synchronize_torch() -> None:
    """Wait until the GPU has computed what torch has started."""
    if on_gpu():
        import torch

        torch.cuda.synchronize()


def installed(package: str) -> bool:
    """Whether a package can be imported, and torch also use the GPU that JAX uses."""
    try:
        module = importlib.import_module(package)
    except ImportError:
        return False
    return package != "torch" or not on_gpu() or module.cuda.is_available()


def require(package: str) -> None:
    """Refuse to continue without a package.

    Args:
      package: the name that both `import` and `pip install` use.

    Raises:
      UserError: if it is not installed.
    """
    if not installed(package):
        device = " in a build for the GPU" if on_gpu() else ""
        raise UserError(
            f"this benchmark needs {package}{device}: pip install {package}."
        )


def describe_machine() -> dict[str, Any]:
    """The CPU, the platform, the versions of packages and the date."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "device": jax.devices()[0].device_kind,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": {package: _version(package) for package in PACKAGES},
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:  # not Linux
        return platform.processor()
    match = re.search(r"^model name\s*:\s*(.*)$", text, re.MULTILINE)
    return match.group(1) if match else platform.processor()
