"""Cross-entropy and perplexity, against float64 NumPy and by hand."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax.metrics import bits_per_character, perplexity
from seqjax.nn import losses
from seqjax.nn.adaptive_softmax import adaptive_init
from tests.equality import assert_same
from tests.parameters import drawn

cross_entropy = jax.jit(losses.cross_entropy)

V = 11
SHAPES = [(), (7,), (5, 3), (2, 3, 4)]
MASKS = {
    "no_mask": lambda rng, shape: None,
    "some": lambda rng, shape: rng.random(shape) < 0.6,
    "all": lambda rng, shape: np.ones(shape, bool),
    "none": lambda rng, shape: np.zeros(shape, bool),
}


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def reference(logits, labels, mask=None):
    """The definition, one position at a time: (total, count)."""
    logs = log_softmax(logits)
    total = count = 0.0
    for index in np.ndindex(labels.shape):
        if mask is None or mask[index]:
            total -= logs[index][labels[index]]
            count += 1
    return total, count


def draw(shape, scale=2.0, seed=0):
    rng = np.random.default_rng(seed)
    logits = scale * rng.normal(size=(*shape, V)).astype(np.float32)
    return rng, logits, rng.integers(V, size=shape, dtype=np.int32)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_cross_entropy_is_its_definition(shape, mask):
    rng, logits, labels = draw(shape)
    mask = mask(rng, shape)
    total, count = cross_entropy(
        jnp.asarray(logits),
        jnp.asarray(labels),
        None if mask is None else jnp.asarray(mask),
    )
    want_total, want_count = reference(logits, labels, mask)
    assert total.shape == count.shape == ()
    assert total.dtype == count.dtype == jnp.float32
    np.testing.assert_allclose(total, want_total, rtol=1e-5)
    assert count == want_count


def test_float64_stays_float64(x64):
    rng, logits, labels = draw((4, 5))
    mask = rng.random((4, 5)) < 0.5
    total, count = cross_entropy(
        jnp.asarray(logits, jnp.float64), jnp.asarray(labels), jnp.asarray(mask)
    )
    assert total.dtype == count.dtype == jnp.float64
    np.testing.assert_allclose(
        (total, count), reference(logits, labels, mask), rtol=1e-14
    )


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_summed_in_float32(dtype):
    _, logits, labels = draw((300, 7))
    logits = jnp.asarray(logits, dtype)
    mask = np.arange(2100).reshape(300, 7) % 11 > 0  # no bfloat16 is 1909
    total, count = cross_entropy(logits, jnp.asarray(labels), jnp.asarray(mask))
    want, _ = reference(np.asarray(logits, np.float64), labels, mask)
    assert total.dtype == count.dtype == jnp.float32
    np.testing.assert_allclose(total, want, rtol=1e-6)
    assert count == 1909


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e30])
def test_large_logits_do_not_overflow(scale):
    _, logits, labels = draw((6,), scale)
    total, _ = cross_entropy(jnp.asarray(logits), jnp.asarray(labels))
    np.testing.assert_allclose(total, reference(logits, labels)[0], rtol=1e-5)


@pytest.mark.parametrize("size", [2, 28, 10_000])
@pytest.mark.parametrize("level", [-40.0, 0.0, 3.5])
def test_the_loss_of_uniform_logits_is_ln_v(size, level):
    labels = jnp.asarray([[0, size - 1, size // 2], [1, 0, 1]])
    total, count = cross_entropy(jnp.full((2, 3, size), level), labels)
    assert count == 6
    rounding = 2.0**-23 * (abs(level) + math.log(size))  # of a log normalizer
    np.testing.assert_allclose(total / count, math.log(size), atol=rounding, rtol=0)
    assert perplexity(total, count) == pytest.approx(size, rel=2 * rounding)


def test_perplexity_is_one_for_certain_labels_and_infinite_for_impossible_ones():
    labels = jnp.asarray([3, 1, 0])
    certain = 100 * jax.nn.one_hot(labels, V)
    assert perplexity(*cross_entropy(certain, labels)) == 1
    impossible = certain.at[1, 1].set(-jnp.inf)
    assert perplexity(*cross_entropy(impossible, labels)) == math.inf


def test_totals_of_parts_add_up_to_the_whole():
    rng, logits, labels = draw((9, 4))
    mask = rng.random((9, 4)) < 0.5
    args = [jnp.asarray(x) for x in (logits, labels, mask)]
    whole = cross_entropy(*args)
    parts = [cross_entropy(*(x[cut] for x in args)) for cut in np.s_[:3, 3:6, 6:]]
    np.testing.assert_allclose(np.sum(parts, axis=0), whole, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, 1e30, np.nan, np.inf, -np.inf])
def test_masked_logits_do_not_change_the_total(value):
    rng, logits, labels = draw((6, 5))
    mask = rng.random((6, 5)) < 0.5
    changed = np.where(mask[..., None], logits, np.float32(value))
    total, count = cross_entropy(*(jnp.asarray(x) for x in (changed, labels, mask)))
    want_total, want_count = reference(logits, labels, mask)
    np.testing.assert_allclose(total, want_total, rtol=1e-5)
    assert count == want_count


def test_gradients_are_softmax_minus_one_hot_and_zero_where_masked():
    rng, logits, labels = draw((6, 5))
    mask = rng.random((6, 5)) < 0.5
    grads = jax.grad(
        lambda x: cross_entropy(x, jnp.asarray(labels), jnp.asarray(mask))[0]
    )(jnp.asarray(logits))
    want = (np.exp(log_softmax(logits)) - np.eye(V)[labels]) * mask[..., None]
    np.testing.assert_allclose(grads, want, atol=1e-6)
    assert not np.any(np.asarray(grads)[~mask])


def smoothed(logits, labels, mask, e):
    """The definition, one position at a time: (total, count)."""
    logs = log_softmax(logits)
    total = count = 0.0
    for index in np.ndindex(labels.shape):
        if mask is None or mask[index]:
            total -= (1 - e) * logs[index][labels[index]]
            total -= e * sum(logs[index]) / V
            count += 1
    return total, count


def smooth(e):
    return jax.jit(partial(losses.cross_entropy, label_smoothing=e))


@pytest.mark.parametrize("e", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_label_smoothing_is_its_definition(x64, mask, e):
    rng, logits, labels = draw((5, 3))
    mask = mask(rng, (5, 3))
    total, count = smooth(e)(
        jnp.asarray(logits, jnp.float64),
        jnp.asarray(labels),
        None if mask is None else jnp.asarray(mask),
    )
    assert total.dtype == count.dtype == jnp.float64
    np.testing.assert_allclose(
        (total, count), smoothed(logits, labels, mask, e), rtol=1e-13
    )


@pytest.mark.parametrize("e", [0.1, 0.9])
def test_label_smoothing_of_uniform_logits_changes_nothing(e):
    total, _ = smooth(e)(jnp.full((3, 28), 2.5), jnp.asarray([0, 27, 5]))
    np.testing.assert_allclose(total, 3 * math.log(28), rtol=1e-6)


@pytest.mark.parametrize("e", [0, 0.0])
def test_label_smoothing_of_zero_changes_nothing(e):
    rng, logits, labels = draw((6, 5))
    mask = jnp.asarray(rng.random((6, 5)) < 0.5)
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    logits = logits.at[0, 0].set(-jnp.inf).at[0, 0, labels[0, 0]].set(0)  # certain
    for args in ((logits, labels), (logits, labels, mask)):
        got, want = smooth(e)(*args), cross_entropy(*args)
        assert np.isfinite(want[0])
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("value", [0.0, 1e30, np.nan, np.inf, -np.inf])
def test_masked_logits_do_not_change_the_smoothed_total(value):
    rng, logits, labels = draw((6, 5))
    mask = rng.random((6, 5)) < 0.5
    changed = np.where(mask[..., None], logits, np.float32(value))
    total, grads = jax.value_and_grad(lambda *args: smooth(0.1)(*args)[0])(
        *(jnp.asarray(x) for x in (changed, labels, mask))
    )
    want_total, _ = smoothed(logits, labels, mask, 0.1)
    np.testing.assert_allclose(total, want_total, rtol=1e-5)
    wanted = 0.9 * np.eye(V)[labels] + 0.1 / V
    want = (np.exp(log_softmax(logits)) - wanted) * mask[..., None]
    np.testing.assert_allclose(grads, want, atol=1e-6)
    assert not np.any(np.asarray(grads)[~mask])


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_label_smoothing_of_half_precision_is_in_float32(dtype):
    _, logits, labels = draw((300, 7))
    logits = jnp.asarray(logits, dtype)
    total, count = smooth(0.2)(logits, jnp.asarray(labels))
    want, _ = smoothed(np.asarray(logits, np.float64), labels, None, 0.2)
    assert total.dtype == count.dtype == jnp.float32
    np.testing.assert_allclose(total, want, rtol=1e-6)


@pytest.mark.parametrize(
    ("total", "count", "want"),
    [
        (0.0, 17, 1.0),
        (3 * math.log(28), 3, 28.0),
        (5 * math.log(2) + math.log(32), 6, 2 ** (10 / 6)),
        (math.inf, 3, math.inf),
        (710.0, 1, math.inf),  # e^709.78 is the largest float64
        (709.0, 1, 8.218407461554972e307),  # by decimal.Decimal(709).exp()
        (1e308, 2, math.inf),
        (0.0, 0, math.nan),
        (4.0, 0, math.nan),
        (math.inf, 0, math.nan),
        (math.nan, 2, math.nan),
    ],
)
@pytest.mark.parametrize("kind", [float, np.float64])
def test_perplexity(kind, total, count, want):
    got = perplexity(kind(total), kind(count))
    assert isinstance(got, float)
    assert got == pytest.approx(want, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("kind", [np.float32, jnp.float32])
def test_perplexity_of_arrays_from_a_device(kind):
    assert math.isnan(perplexity(kind(3.0), kind(0.0)))
    assert perplexity(kind(1e4), kind(2.0)) == math.inf
    assert perplexity(kind(6.0), kind(4.0)) == pytest.approx(math.exp(1.5))


def test_perplexity_of_a_corpus_is_not_the_mean_of_its_batches():
    batches = [(math.log(2), 1), (3 * math.log(8), 3)]
    assert [perplexity(*batch) for batch in batches] == pytest.approx([2, 8])
    total, count = np.sum(batches, axis=0)
    # (2 * 8 * 8 * 8) ** (1 / 4), where the mean is 5 and the weighted mean 6.5.
    assert perplexity(total, count) == pytest.approx(4 * math.sqrt(2))


@pytest.mark.parametrize(
    ("total", "characters", "bits"),
    [
        (0.0, 3, 0.0),
        (12 * math.log(2), 12, 1.0),
        (7 * math.log(256), 7, 8.0),  # uniform over bytes
        (2 * math.log(1024), 5, 4.0),  # two words of five characters in all
        (math.inf, 4, math.inf),
        (5.0, 0, math.nan),
    ],
)
def test_bits_per_character(total, characters, bits):
    got = bits_per_character(total, characters)
    assert got == pytest.approx(bits, rel=1e-12, nan_ok=True)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint32"])
@pytest.mark.parametrize("name", ["full", "chunked", "adaptive"])
def test_labels_of_every_integer_dtype_are_int32(name, dtype):
    """Also of dtypes that cannot count the words of the vocabulary."""
    rng = np.random.default_rng(0)
    hidden = jnp.asarray(rng.normal(size=(5, 6)), jnp.float32)
    w = jnp.asarray(rng.normal(size=(6, 300)), jnp.float32)
    labels = np.array([5, 44, 100, 127, 0], dtype)
    params = drawn(lambda key: adaptive_init(key, 6, 300, (3, 100)))
    run = {
        "full": lambda h, labels: losses.cross_entropy(h @ w, labels),
        "chunked": lambda h, labels: losses.chunked_cross_entropy(
            h, w, None, labels, chunk=90
        ),
        "adaptive": lambda h, labels: losses.adaptive_cross_entropy(params, h, labels),
    }[name]
    both = jax.jit(
        lambda h, labels: [
            jax.value_and_grad(lambda h, n=n: run(h, n)[0])(h)
            for n in (labels, labels.astype(jnp.int32))
        ]
    )
    assert_same(*both(hidden, labels))


@pytest.mark.parametrize("shape", [(0,), (0, 4), (3, 0)])
def test_no_positions_have_no_loss(shape):
    params = drawn(lambda key: adaptive_init(key, 6, 30, (3, 10)))
    hidden, labels = jnp.zeros((*shape, 6)), np.zeros(shape, np.int32)
    for total, count in (
        losses.cross_entropy(jnp.zeros((*shape, 30)), labels),
        losses.chunked_cross_entropy(hidden, jnp.zeros((6, 30)), None, labels),
        losses.adaptive_cross_entropy(params, hidden, labels),
    ):
        assert (float(total), float(count)) == (0.0, 0.0)
