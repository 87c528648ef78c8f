"""Equality of two results of our own, where nan never equals nan.

`numpy.testing` takes nan and nan for equal. Two runs through the same wrong code, such
as a resumed and an uninterrupted one, would then agree on nothing but nan.
"""

import jax
import numpy as np


def assert_same(got, want):
    """Check that two pytrees have one structure and the very same values, none nan."""
    _each(np.testing.assert_array_equal, got, want)


def assert_close(got, want, rtol=1e-7, atol=1e-6):
    """Check that two pytrees have one structure and nearly the same values, no nan."""
    _each(
        lambda g, w: np.testing.assert_allclose(g, w, rtol=rtol, atol=atol), got, want
    )


def _each(check, got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for (path, g), w in zip(
        jax.tree_util.tree_leaves_with_path(got), jax.tree.leaves(want), strict=True
    ):
        g, w = _numbers(g), _numbers(w)
        assert g.shape == w.shape, jax.tree_util.keystr(path)
        is_float = np.issubdtype(g.dtype, np.floating)
        assert not (is_float and np.isnan(g).any()), f"nan{jax.tree_util.keystr(path)}"
        check(g, w)


def _numbers(leaf):
    """An array; random keys as integers, small floats in float32."""
    if jax.numpy.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    leaf = np.asarray(leaf)
    return leaf.astype(np.float32) if leaf.dtype.kind == "V" else leaf
