"""Commands run as a user runs them, in the test process."""

import jax
import pytest

from seqjax.data import buckets


@pytest.fixture(autouse=True, scope="module")
def as_a_user():
    """Standard promotion of dtypes and precision of products."""
    with jax.numpy_dtype_promotion("standard"), jax.default_matmul_precision(None):
        yield


@pytest.fixture(autouse=True, scope="module")
def few_padded_lengths():
    """Sequences are padded to 8 or 32 steps: few programs are compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buckets, "LENGTHS", (8, 32))
        yield
