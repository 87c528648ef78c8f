"""Strict settings for every test: no silent promotion of dtypes, warnings are errors.

Ranks may be promoted: a bias [H] is added to [T, ..., H], which is the contract.
"""

import jax
import pytest
from jax._src import compiler

from tests import quick

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


_compile_options = compiler.get_compile_options


def _quick(*args, env_options_overrides=None, **others):
    """Options for a program; of them jax has no setting but one read at its start."""
    options = quick.OPTIONS | (env_options_overrides or {})
    return _compile_options(*args, env_options_overrides=options, **others)


@pytest.fixture(autouse=True, scope="module")
def compilation(request):
    """Without most of XLA's optimizations, which take longer than small runs do.

    Files whose subject is what is compiled are marked "optimized"; what other files
    compiled before is forgotten.
    """
    optimized = request.node.get_closest_marker("optimized") is not None
    jax.clear_caches()
    compiler.get_compile_options = _compile_options if optimized else _quick
