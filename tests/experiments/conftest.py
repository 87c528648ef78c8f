"""Commands run as a user runs them, in the test process."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def as_a_user(tmp_path_factory):
    """Standard promotion of dtypes, and compiled programs outside the user's cache."""
    cache = tmp_path_factory.getbasetemp() / "xla"
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    with (
        pytest.MonkeyPatch.context() as patch,
        jax.numpy_dtype_promotion("standard"),
        jax.default_matmul_precision(None),
    ):
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(cache))
        yield
    jax.config.update("jax_compilation_cache_dir", None)
