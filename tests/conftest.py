"""Strict settings for every test: no silent promotion of dtypes, warnings are errors.

Ranks may be promoted: a bias [H] is added to [T, ..., H], which is the contract.
"""

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_default_matmul_precision", "highest")


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture
def x64():
    """float64 for as long as a test runs."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def quick_compilation():
    """Without most of XLA's optimizations, which take longer than small runs do."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
