"""Compilation of the programs of tests: most are small and run a few times.

tests/conftest.py sets XLA_FLAGS for the whole process, so every program compiles
without most optimizations. A test about the optimized program compiles it by
`optimized` instead.
"""

from functools import partial
from importlib.metadata import version

import jax

OPTIONS = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
DEFAULTS = {
    "xla_backend_optimization_level": 3,
    "xla_llvm_disable_expensive_passes": False,
}
# jaxlib 0.10 has two emitters of fusions, and the older one compiles in two thirds of
# the time. Later versions have one, and a process that sets these flags is aborted.
if version("jaxlib").startswith("0.10."):
    OPTIONS |= {
        "xla_cpu_use_fusion_emitters": False,
        "xla_cpu_parallel_codegen_split_count": 1,
    }
    DEFAULTS |= {
        "xla_cpu_use_fusion_emitters": True,
        "xla_cpu_parallel_codegen_split_count": 32,
    }

XLA_FLAGS = " ".join(f"--{name}={value}".lower() for name, value in OPTIONS.items())

# jax.jit with XLA's default optimizations, whatever XLA_FLAGS says.
optimized = partial(jax.jit, compiler_options=DEFAULTS)
