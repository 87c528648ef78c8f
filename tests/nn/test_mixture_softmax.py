"""The mixture of softmaxes against its formula in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax.nn.layers import DenseParams
from seqjax.nn.mixture_softmax import (
    mixture_cross_entropy,
    mixture_init,
    mixture_latents,
    mixture_log_softmax,
)

T, B, H, L, K, V = 4, 3, 5, 6, 3, 11


def softmax(a):
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.fixture
def case(key, x64):
    """(parameters of the mixture, of the softmax, ys), in float64."""
    rng = np.random.default_rng(0)
    draw = lambda a: jnp.asarray(rng.normal(size=a.shape))  # noqa: E731
    mixture = jax.tree.map(draw, mixture_init(key, H, L, K))
    words = DenseParams(draw(jnp.zeros((L, V))), draw(jnp.zeros(V)))
    return mixture, words, draw(jnp.zeros((T, B, H)))


def probabilities(mixture, words, ys):
    """Yang et al. 2018, equation of section 3, one component at a time."""
    prior = softmax(np.asarray(ys) @ np.asarray(mixture.prior))
    found = np.zeros((T, B, V))
    for k in range(prior.shape[-1]):
        block = slice(k * L, (k + 1) * L)
        h = np.tanh(ys @ mixture.latent.w[:, block] + mixture.latent.b[block])
        found += prior[..., k : k + 1] * softmax(np.asarray(h @ words.w + words.b))
    return found


def test_log_probabilities_are_the_formula_and_sum_to_one(case):
    mixture, words, ys = case
    found = np.exp(mixture_log_softmax(*mixture_latents(mixture, ys), words))
    np.testing.assert_allclose(found, probabilities(*case), atol=1e-14)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-14)


def test_one_component_is_a_plain_softmax(case, key):
    _, words, ys = case
    one = jax.tree.map(lambda a: a.astype(jnp.float64), mixture_init(key, H, L, 1))
    log_prior, hidden = mixture_latents(one, ys)
    found = mixture_log_softmax(log_prior, hidden, words)
    np.testing.assert_array_equal(log_prior, 0)
    expected = jax.nn.log_softmax(hidden[..., 0, :] @ words.w + words.b)
    np.testing.assert_allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize("chunk", [4, 100])
@pytest.mark.parametrize("masked", [False, True])
def test_cross_entropy_is_that_of_the_log_probabilities(case, chunk, masked):
    rng = np.random.default_rng(1)
    labels = jnp.asarray(rng.integers(0, V, (T, B)))
    mask = jnp.asarray(rng.random((T, B)) < 0.5) if masked else None

    def chunked(args):
        mixture, words, ys = args
        latents = mixture_latents(mixture, ys)
        return mixture_cross_entropy(*latents, words, labels, mask, chunk)

    def plain(args):
        mixture, words, ys = args
        log_probs = mixture_log_softmax(*mixture_latents(mixture, ys), words)
        found = -jnp.take_along_axis(log_probs, labels[..., None], -1)[..., 0]
        counted = jnp.ones((T, B)) if mask is None else mask.astype(jnp.float64)
        return (found * counted).sum(), counted.sum()

    (got, count), (want, number) = chunked(case), plain(case)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    assert int(count) == int(number)
    found, wanted = (jax.grad(lambda a, f=f: f(a)[0])(case) for f in (chunked, plain))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-12), found, wanted
    )


def test_nothing_flows_from_masked_positions(case):
    mixture, words, ys = case
    mask = jnp.arange(T)[:, None] < jnp.asarray([T, 2, 0])
    labels = jnp.zeros((T, B), int)
    log_prior, hidden = mixture_latents(mixture, ys)
    bad = (
        jnp.where(mask[..., None], log_prior, jnp.nan),
        jnp.where(mask[..., None, None], hidden, jnp.nan),
    )

    def loss(latents):
        return mixture_cross_entropy(*latents, words, labels, mask)[0]

    value, found = jax.value_and_grad(loss)(bad)
    np.testing.assert_allclose(value, loss((log_prior, hidden)), rtol=1e-12)
    assert np.array_equal(np.asarray(found[0] != 0).any(-1), mask)
    assert np.array_equal(np.asarray(found[1] != 0).any((-2, -1)), mask)


def test_latents_are_dropped_alike_at_all_steps(case):
    mixture, _, ys = case
    _, hidden = mixture_latents(mixture, ys, jax.random.key(0), 0.5)
    dropped = np.asarray(hidden) == 0
    assert 0 < dropped.mean() < 1
    assert (dropped == dropped[:1]).all()


def test_a_mixture_of_nothing_is_refused(key):
    with pytest.raises(ValueError, match="mixtures must be at least 1, got 0"):
        mixture_init(key, H, L, 0)
