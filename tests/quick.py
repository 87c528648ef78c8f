"""Quick compilation, for the many small programs of tests that run a few times."""

from importlib.metadata import version

OPTIONS = {  # of jax.jit(..., compiler_options=): most optimizations are left out
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
}
# XLA has two ways to write fusions, and the plainer one compiles in two thirds of the
# time. Later versions have no such choice, and end a process that asks for it.
if version("jaxlib").startswith("0.10."):
    OPTIONS["xla_cpu_use_fusion_emitters"] = False
    OPTIONS["xla_cpu_parallel_codegen_split_count"] = 1

# The same for a process of its own, read from its environment as jax is loaded.
XLA_FLAGS = " ".join(f"--{name}={value}".lower() for name, value in OPTIONS.items())
