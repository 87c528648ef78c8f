"""The cross-entropy by parts of the vocabulary, against the one of all logits."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax.nn import layers, losses
from tests import equality

T, B, H, V = 4, 3, 5, 23


def draw(dtype):
    rng = np.random.default_rng(0)
    hidden, w, b = (rng.normal(size=s) for s in ((T, B, H), (H, V), (V,)))
    mask = rng.random((T, B)) < 0.7
    labels = rng.integers(0, V, (T, B))
    return *(jnp.asarray(a, dtype) for a in (hidden, w, b)), labels, mask


def plain(hidden, w, b, labels, mask, smoothing):
    logits = layers.matmul(hidden, w) + (0 if b is None else b)
    return losses.cross_entropy(logits, labels, mask, smoothing)


@pytest.mark.parametrize("chunk", [1, 7, 23, 100])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("biased", [True, False])
def test_value_and_gradients_are_those_of_all_logits(chunk, smoothing, biased, x64):
    hidden, w, b, labels, mask = draw(jnp.float64)
    args = (hidden, w, b if biased else None)

    @jax.jit
    def both(*args):
        def ours(*args):
            return losses.chunked_cross_entropy(
                *args, labels, mask, chunk=chunk, label_smoothing=smoothing
            )

        def theirs(*args):
            return plain(*args, labels, mask, smoothing)

        run = (jax.value_and_grad(f, (0, 1, 2), has_aux=True) for f in (ours, theirs))
        return [f(*args) for f in run]

    equality.assert_close(*both(*args), rtol=1e-12, atol=1e-12)


def test_it_is_a_numpy_loop_in_float32():
    hidden, w, b, labels, mask = draw(jnp.float32)
    run = jax.jit(partial(losses.chunked_cross_entropy, chunk=6))
    total, count = run(hidden, w, b, labels, mask)
    logits = np.einsum("tbh,hv->tbv", hidden, w, dtype=np.float64) + np.asarray(b)
    terms = np.log(np.exp(logits).sum(-1))
    terms -= np.take_along_axis(logits, labels[..., None], -1)[..., 0]
    np.testing.assert_allclose(total, terms[mask].sum(), rtol=1e-5)
    assert int(count) == mask.sum() and total.dtype == jnp.float32


def test_a_table_of_embeddings_may_be_tied(x64):
    table = draw(jnp.float64)[1].T
    labels = np.arange(T * B).reshape(T, B)

    def loss(run):
        return lambda table: run(table[labels], table.T, None, labels)[0]

    chunked = jax.jit(
        jax.grad(loss(lambda *a: losses.chunked_cross_entropy(*a, chunk=4)))
    )
    whole = jax.jit(jax.grad(loss(lambda *a: plain(*a, None, 0.0))))
    np.testing.assert_allclose(chunked(table), whole(table), rtol=1e-12)


def test_what_the_mask_excludes_may_be_nan():
    hidden, w, b, labels, mask = draw(jnp.float32)
    hidden = jnp.where(mask[..., None], hidden, jnp.nan)
    total, gradients = jax.jit(
        jax.value_and_grad(
            lambda *a: losses.chunked_cross_entropy(*a, labels, mask, chunk=5)[0],
            (0, 1, 2),
        )
    )(hidden, w, b)
    assert np.isfinite(total)
    assert all(np.isfinite(g).all() for g in gradients)
    assert not gradients[0][~mask].any()


def test_bfloat16_logits_are_summed_in_float32():
    hidden, w, b, labels, mask = draw(jnp.bfloat16)
    args = (hidden, w, b, labels, mask)
    total, _ = jax.jit(partial(losses.chunked_cross_entropy, chunk=5))(*args)
    want, _ = jax.jit(partial(plain, smoothing=0.0))(*args)
    assert total.dtype == jnp.float32
    np.testing.assert_allclose(total, want, rtol=1e-3)  # logits have 8 bits
    gradient = jax.grad(lambda w: losses.chunked_cross_entropy(hidden, w, *args[2:])[0])
    assert jax.eval_shape(gradient, w).dtype == jnp.bfloat16


def test_no_array_has_all_logits():
    shapes = [(64, 8), (8, 5000), (5000,), (64,)]
    args = [jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes[:3]]
    labels = jax.ShapeDtypeStruct(shapes[3], jnp.int32)

    def gradient(run):
        grad = jax.jit(jax.grad(lambda *a: run(*a)[0], (0, 1, 2)))
        program = grad.lower(*args, labels).compile()
        return program.memory_analysis().temp_size_in_bytes / (4 * 64 * 5000)

    assert gradient(lambda *a: plain(*a, None, 0.0)) >= 1
    assert gradient(lambda *a: losses.chunked_cross_entropy(*a, chunk=100)) < 0.1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"chunk": 0}, "chunk must be at least 1, got 0"),
        ({"b": jnp.zeros(3)}, r"got \(4, 3, 5\), \(5, 23\), \(3,\) and \(4, 3\)"),
        ({"w": jnp.zeros((4, V))}, r"hidden must be \[\.\.\., H\], w \[H, V\]"),
        ({"mask": np.ones(3, bool)}, r"shape of labels, \(4, 3\), got \(3,\)"),
    ],
)
def test_arguments_that_do_not_fit_raise(change, words):
    names = ("hidden", "w", "b", "labels", "mask")
    with pytest.raises(ValueError, match=words):
        losses.chunked_cross_entropy(
            **dict(zip(names, draw(jnp.float32), strict=True)) | change
        )
