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


@pytest.fixture(autouse=True, scope="module")
def compilation(request):
    """Without most of XLA's optimizations, which take longer than small runs do.

    Files whose subject is what is compiled are marked "optimized"; what other files
    compiled before is forgotten.
    """
    optimized = request.node.get_closest_marker("optimized") is not None
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", not optimized)
