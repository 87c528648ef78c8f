"""Strict settings for every test: no silent promotion of dtypes, warnings are errors.

Ranks may be promoted: a bias [H] is added to [T, ..., H], by the contract.
"""

import os

import jax
import pytest

from tests import quick

# XLA reads its flags at the first program. The user's flags override the quick ones.
os.environ["XLA_FLAGS"] = f"{quick.XLA_FLAGS} {os.environ.get('XLA_FLAGS', '')}"
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
