"""The softmax with clusters of rare words, against NumPy and torch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax.nn import adaptive_softmax, losses
from seqjax.nn.adaptive_softmax import adaptive_init, tie
from tests import equality
from tests.parameters import drawn

H, V, CLUSTERS = 16, 40, (7, 19)
SHAPE = (25, 4)


def draw(dtype=jnp.float32, tied=False):
    rng = np.random.default_rng(0)
    params = drawn(
        lambda key: adaptive_init(key, H, V, CLUSTERS, tied), dtype=jnp.dtype(dtype)
    )
    if tied:
        table = jnp.asarray(rng.normal(size=(V, H)), dtype)
        params = tie(params, table)
    hidden = jnp.asarray(rng.normal(size=(*SHAPE, H)), dtype)
    return params, hidden, rng.integers(0, V, SHAPE), rng.random(SHAPE) < 0.8


def numpy_log_probs(params, hidden):
    """Each cluster's probability times that within it, [..., V], in float64."""
    params, hidden = jax.tree.map(np.float64, (params, hidden))

    def softmax(logits):
        powers = np.exp(logits)
        return powers / powers.sum(axis=-1, keepdims=True)

    head = softmax(hidden @ params.head.w + params.head.b)
    parts = [head[..., : CLUSTERS[0]]]
    for i, tail in enumerate(params.tails):
        within = softmax(hidden @ tail.projection @ tail.words.w + tail.words.b)
        parts.append(head[..., CLUSTERS[0] + i, None] * within)
    return np.log(np.concatenate(parts, axis=-1))


@pytest.mark.parametrize("tied", [False, True])
def test_log_probabilities_are_exact_and_sum_to_1(tied):
    params, hidden, *_ = draw(tied=tied)
    found = jax.jit(losses.adaptive_log_softmax)(params, hidden)
    np.testing.assert_allclose(found, numpy_log_probs(params, hidden), 2e-5, 1e-6)
    np.testing.assert_allclose(np.exp(found).sum(axis=-1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("rows, devices", [(16, 1), (256, 1), (8, 2)])
@pytest.mark.parametrize("tied", [False, True])
def test_value_and_gradients_are_those_of_all_log_probabilities(
    tied, rows, devices, x64, monkeypatch
):
    """In several blocks of positions and chunks of words, also for several devices."""
    monkeypatch.setattr(adaptive_softmax, "ROWS", rows)
    monkeypatch.setattr(adaptive_softmax, "several_devices", lambda: devices > 1)
    params, hidden, labels, mask = draw(jnp.float64, tied)

    def ours(params, hidden):
        return losses.adaptive_cross_entropy(params, hidden, labels, mask, chunk=5)

    def theirs(params, hidden):
        log_probs = losses.adaptive_log_softmax(params, hidden)
        picked = jnp.take_along_axis(log_probs, labels[..., None], axis=-1)[..., 0]
        return -jnp.where(mask, picked, 0.0).sum(), mask.sum().astype(float)

    @jax.jit
    def both(*args):
        run = (jax.value_and_grad(f, (0, 1), has_aux=True) for f in (ours, theirs))
        return [f(*args) for f in run]

    equality.assert_close(*both(params, hidden), rtol=1e-10, atol=1e-10)


def test_it_is_torchs():
    torch = pytest.importorskip("torch")
    params, hidden, labels, _ = draw()
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(
        H, V, CLUSTERS, div_value=4.0, head_bias=True
    )
    with torch.no_grad():
        theirs.head.weight.copy_(torch.tensor(np.asarray(params.head.w.T)))
        theirs.head.bias.copy_(torch.tensor(np.asarray(params.head.b)))
        for ours, (projection, words) in zip(params.tails, theirs.tail, strict=True):
            projection.weight.copy_(torch.tensor(np.asarray(ours.projection.T)))
            words.weight.copy_(torch.tensor(np.asarray(ours.words.w.T)))
        flat = torch.tensor(np.asarray(hidden.reshape(-1, H)))
        want = theirs.log_prob(flat)
        loss = theirs(flat, torch.tensor(labels.reshape(-1))).loss
    without_bias = params._replace(
        tails=tuple(
            tail._replace(words=tail.words._replace(b=jnp.zeros_like(tail.words.b)))
            for tail in params.tails
        )
    )
    found = jax.jit(losses.adaptive_log_softmax)(without_bias, hidden)
    np.testing.assert_allclose(found.reshape(-1, V), want, rtol=1e-4)
    loss_of = jax.jit(losses.adaptive_cross_entropy)
    total, count = loss_of(without_bias, hidden, labels)
    np.testing.assert_allclose(total / count, loss, rtol=1e-5)


def test_a_mask_excludes_nan_and_clusters_may_have_no_label():
    params, hidden, labels, mask = draw()
    labels = np.where(mask, labels % CLUSTERS[0], V - 1)
    hidden = jnp.where(mask[..., None], hidden, jnp.nan)
    total, gradients = jax.jit(
        jax.value_and_grad(
            lambda *args: losses.adaptive_cross_entropy(*args, labels, mask)[0], (0, 1)
        )
    )(params, hidden)
    assert np.isfinite(total)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert not gradients[1][~mask].any()
    for tail in gradients[0].tails:
        assert not any(leaf.any() for leaf in jax.tree.leaves(tail))


def test_gradients_of_bfloat16_are_added_in_float32(monkeypatch):
    """125 blocks of positions: a sum of them in bfloat16 would lose the last ones."""
    monkeypatch.setattr(adaptive_softmax, "ROWS", 16)
    params, *_ = draw()
    rng = np.random.default_rng(1)
    hidden = jnp.asarray(rng.normal(size=(2000, H)), jnp.float32)
    labels = np.full(2000, V - 1)

    def gradient(dtype):
        def loss(b):
            words = params.tails[1].words._replace(b=b)
            tail = params.tails[1]._replace(words=words)
            tails = (params.tails[0], tail)
            cast = jax.tree.map(lambda a: a.astype(dtype), params._replace(tails=tails))
            return losses.adaptive_cross_entropy(cast, hidden.astype(dtype), labels)[0]

        return jax.jit(jax.grad(loss))(params.tails[1].words.b)

    exact = np.asarray(gradient(jnp.float32))
    error = np.abs(np.asarray(gradient(jnp.bfloat16)) - exact).max()
    assert error < 0.01 * np.abs(exact).max()


@pytest.mark.parametrize("clusters", [(), (0, 5), (5, 5), (9, 3), (5, V), (-3, 5)])
def test_clusters_that_do_not_rise_within_the_vocabulary_raise(clusters):
    with pytest.raises(ValueError, match=r"rising and in 1 \.\. 39 for a vocabulary"):
        adaptive_init(jax.random.key(0), H, V, clusters)


def test_arguments_that_do_not_fit_raise():
    params, hidden, labels, mask = draw()
    with pytest.raises(ValueError, match="chunk must be at least 1, got 0"):
        losses.adaptive_cross_entropy(params, hidden, labels, chunk=0)
    with pytest.raises(ValueError, match="mask must have the shape of labels"):
        losses.adaptive_cross_entropy(params, hidden, labels, mask[1:])
