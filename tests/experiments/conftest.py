"""Commands run as a user runs them, in the test process."""

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def as_a_user():
    """Standard promotion of dtypes and precision of products."""
    with jax.numpy_dtype_promotion("standard"), jax.default_matmul_precision(None):
        yield
