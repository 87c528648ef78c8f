"""`top_k` in stages, against a stable sort."""

import jax
import numpy as np
import pytest

from seqjax.decoding import top_k as module
from seqjax.decoding.top_k import top_k


@pytest.fixture(params=["cpu", "gpu"])
def small_limits(request, monkeypatch):
    """Several stages for a few hundred numbers, in the form for each backend."""
    monkeypatch.setattr(module, "on_gpu", lambda: request.param == "gpu")
    monkeypatch.setattr(module, "KERNEL_MOST", 3)
    monkeypatch.setattr(module, "KERNEL_LEAST", 8)
    monkeypatch.setattr(module, "SMALL", 20)
    monkeypatch.setattr(module, "CHUNK", 4)


def check(x, k):
    values, indices = jax.device_get(jax.jit(lambda x: top_k(x, k))(x))
    want = np.argsort(-x, axis=-1, kind="stable")[..., :k]
    np.testing.assert_array_equal(values, np.take_along_axis(x, want, axis=-1))
    found = np.isfinite(values)
    np.testing.assert_array_equal(indices[found], want[found])
    assert indices.dtype == np.int32
    assert indices.min() >= 0 and indices.max() < x.shape[-1]


@pytest.mark.parametrize("k", [1, 3, 4, 9])
@pytest.mark.parametrize("size", [9, 20, 21, 64, 257, 601])
def test_small_limits_agree_with_a_stable_sort(size, k, small_limits):
    """With different numbers, many ties, and fewer than k above -inf."""
    rng = np.random.default_rng(size)
    different = rng.permutation(size).astype(np.float32)
    ties = rng.integers(0, 5, size).astype(np.float32)
    few = np.where(rng.uniform(size=size) < 2 / size, ties, -np.inf)
    check(np.stack([different, -different, ties, few.astype(np.float32)]), k)


def test_a_large_vocabulary_agrees_with_a_stable_sort():
    rng = np.random.default_rng(0)
    check(rng.integers(0, 3000, (2, 3, 50_001)).astype(np.float32), 7)


def test_more_numbers_than_chunks():
    rng = np.random.default_rng(0)
    check(rng.integers(0, 3000, 5000).astype(np.float32), 4000)
