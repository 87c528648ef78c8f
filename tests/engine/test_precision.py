"""Products in bfloat16, sums in float32, by `jax.default_matmul_precision`."""

from functools import partial

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import seqjax
from seqjax.nn import layers
from seqjax.nn.layers import matmul
from tests import quick, references
from tests.gradients import compiled, inputs, outputs_and_gradients
from tests.law_cells import ALL

POLICY = "BF16_BF16_F32"


def rounded(a):
    """To bfloat16, which has 8 significant bits, and back."""
    return np.asarray(a, np.float32).astype(ml_dtypes.bfloat16).astype(np.float64)


def normal(*shapes):
    rng = np.random.default_rng(0)
    return [np.float32(1 + rng.normal(size=shape)) for shape in shapes]


@pytest.mark.parametrize("shape", [(), (4,), (3, 2), (2, 3, 2)])
def test_a_product_rounds_its_operands_and_adds_in_float32(shape):
    """512 terms of about 1: a sum in bfloat16 would have an error of a percent."""
    xs, w, ct = normal((*shape, 512), (512, 7), (*shape, 7))

    @quick.optimized
    def run(xs, w, ct):
        ys, pull = jax.vjp(matmul, xs, w)
        return ys, *pull(ct)

    with jax.default_matmul_precision(POLICY):
        got = run(xs, w, ct)
    flat, flat_ct = rounded(xs).reshape(-1, 512), rounded(ct).reshape(-1, 7)
    want = (rounded(xs) @ rounded(w), rounded(ct) @ rounded(w).T, flat.T @ flat_ct)
    for g, w in zip(got, want, strict=True):
        assert (g.dtype, g.shape) == (jnp.float32, w.shape)
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-4)
    assert np.abs(got[0] - np.float64(xs) @ w).max() > 1e-3


def test_logits_are_kept_in_bfloat16_and_their_gradients_added_in_float32():
    """512 positions: a sum of them in bfloat16 would have an error of a percent."""
    xs, w, b, ct = normal((4, 128, 9), (9, 7), (7,), (4, 128, 7))

    @quick.optimized
    def run(xs, w, b, ct):
        made, pull = jax.vjp(layers.logits, xs, w, b)
        return made, *pull(ct.astype(made.dtype))

    with jax.default_matmul_precision(POLICY):
        made, *gradients = run(xs, w, b, ct)
    assert made.dtype == jnp.bfloat16
    exact = rounded(xs) @ rounded(w) + b
    np.testing.assert_allclose(np.float64(made), exact, rtol=0.01, atol=0.05)
    flat, flat_ct = rounded(xs).reshape(-1, 9), rounded(ct).reshape(-1, 7)
    want = rounded(ct) @ rounded(w).T, flat.T @ flat_ct, flat_ct.sum(axis=0)
    for got, expected in zip(gradients, want, strict=True):
        assert (got.dtype, got.shape) == (jnp.float32, expected.shape)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)
    assert layers.logits(xs, w, b).dtype == jnp.float32
    half = [jnp.asarray(a, jnp.float16) for a in (xs, w, b)]
    with jax.default_matmul_precision(POLICY):
        assert jax.eval_shape(layers.logits, *half).dtype == jnp.float16


@pytest.mark.parametrize("policy", [None, "highest", "float32"])
def test_without_the_policy_a_product_is_bitwise_that_of_jax(policy):
    xs, w = normal((6, 512), (512, 7))
    with jax.default_matmul_precision(policy):
        np.testing.assert_array_equal(matmul(xs, w), jnp.matmul(xs, w))


def lstm_step(params, state, x):
    """The reference with rounded operands of the products; the state is not rounded."""
    w_x, w_h, b = params
    h, c = state
    gates = rounded(x) @ rounded(w_x) + rounded(h) @ rounded(w_h) + b
    i, f, g, o = np.split(gates, 4)
    c = references.sigmoid(f) * c + references.sigmoid(i) * np.tanh(g)
    h = references.sigmoid(o) * np.tanh(c)
    return (h, c), h


@pytest.mark.parametrize("options", [{}, {"fused": False}, {"checkpoint_every": 4}])
def test_an_lstm_is_the_loop_with_rounded_operands(options):
    cell, lengths = seqjax.LSTM(5), [6, 0, 2, 5]
    params, xs, state = inputs(cell, dtype=jnp.float32)
    rows = list(zip(np.float64(state.h), np.float64(state.c), strict=True))
    last, want = references.unroll(lstm_step, params, xs, rows, lengths)
    run = quick.optimized(partial(seqjax.unroll, cell, **options))
    with jax.default_matmul_precision(POLICY):
        (h, c), ys = run(params, xs, state, jnp.asarray(lengths))
    np.testing.assert_allclose(ys, want, atol=1e-6)
    np.testing.assert_allclose(h, [h for h, _ in last], atol=1e-6)
    np.testing.assert_allclose(c, [c for _, c in last], atol=1e-6)
    exact = seqjax.unroll(cell, params, xs, state, jnp.asarray(lengths))[1]
    assert np.abs(exact - want).max() > 1e-4


@pytest.mark.parametrize("name", ["gru", "own", "stack"])
def test_outputs_and_gradients_are_float32_and_close_to_full_precision(name):
    args = inputs(ALL[name], dtype=jnp.float32)
    run = compiled(lambda args: outputs_and_gradients(ALL[name], *args))
    want = jax.tree.leaves(run(args))
    with jax.default_matmul_precision(POLICY):
        got = jax.tree.leaves(run(args))
    assert [g.dtype for g in got] == [w.dtype for w in want]
    off = [
        np.abs(g - w).max() / np.abs(w).max() for g, w in zip(got, want, strict=True)
    ]
    assert 1e-3 < max(off) < 0.02  # rounding one operand: 2^-9
