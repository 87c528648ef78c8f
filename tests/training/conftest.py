"""The standard promotion of dtypes, for every test of training."""

import jax
import pytest


@pytest.fixture(autouse=True)
def standard_promotion():
    """optax's adam computes a float to the power of an integer step."""
    with jax.numpy_dtype_promotion("standard"):
        yield
