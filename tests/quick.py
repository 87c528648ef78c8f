"""Quick compilation, for the many small programs of tests that run a few times."""

from importlib.metadata import version

# XLA has two ways to write fusions, and the plainer one compiles in two thirds of the
# time. Later versions have no such choice, and end a process that asks for it.
PLAIN_FUSIONS = version("jaxlib").startswith("0.10.")

OPTIONS = {"xla_backend_optimization_level": 0}  # of jax.jit(..., compiler_options=)
if PLAIN_FUSIONS:
    OPTIONS["xla_cpu_use_fusion_emitters"] = False
