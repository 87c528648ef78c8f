"""Augmentation of features: what it changes, and by how much."""

import jax
import numpy as np

from seqjax.audio import augmentation
from seqjax.audio.features import hertz_to_mel

RATE = 8000


def test_a_tilt_is_linear_plus_quadratic_and_equal_in_all_frames(key):
    xs = np.random.default_rng(0).normal(size=(6, 500, 9)).astype(np.float32)
    lengths = np.full(500, 6, np.int32)
    lengths[0] = 2
    added = np.asarray(jax.jit(augmentation.spectral_tilt)(key, xs, lengths, 0.5)) - xs
    np.testing.assert_allclose(added[2:, 0], -xs[2:, 0])  # zero past the end
    added = added[:, 1:]
    np.testing.assert_allclose(added - added[:1], 0, atol=1e-6)
    u = np.linspace(-1, 1, 9)
    found, rest, *_ = np.linalg.lstsq(
        np.stack([u, (3 * u**2 - 1) / 2], axis=1), added[0].T, rcond=None
    )
    assert rest.max() < 1e-9
    np.testing.assert_allclose(found.std(axis=1), 0.5, rtol=0.1)
    np.testing.assert_allclose(np.corrcoef(found)[0, 1], 0, atol=0.1)


def test_vocal_tract_perturbation_scales_frequencies_by_one_factor(key):
    """Features equal to the band index show which band was moved where."""
    strength, number = 0.25, 300
    distance = hertz_to_mel(RATE / 2) / 41
    xs = np.broadcast_to(np.arange(40.0), (3, number, 40)).astype(np.float32)
    lengths = np.full(number, 3, np.int32)
    run = jax.jit(augmentation.vocal_tract_perturbation, static_argnums=(3, 4))
    found = np.asarray(run(key, xs, lengths, strength, RATE))
    assert (found == found[:1]).all() and found.min() >= 0 and found.max() <= 39
    # The center of each band before and after, in Hz.
    hertz = [700 * (10 ** ((b + 1) * distance / 2595) - 1) for b in (xs[0], found[0])]
    factors = hertz[1] / hertz[0]
    inside = (found[0] > 0) & (found[0] < 39)
    middle = np.asarray(np.ma.array(factors, mask=~inside).mean(axis=1))
    np.testing.assert_allclose((factors / middle[:, None])[inside], 1, rtol=1e-4)
    assert 1 / 1.25 < middle.min() < 1 / 1.2 and 1.2 < middle.max() < 1.25
    assert abs(np.log(middle).mean()) < 0.03
    xs = np.random.default_rng(0).normal(size=(3, 2, 7)).astype(np.float32)
    np.testing.assert_allclose(run(key, xs, lengths[:2], 0.0, RATE), xs, atol=1e-5)


def test_spec_augment_masks_the_given_widths_and_no_more(key):
    xs = np.ones((40, 64, 10), np.float32)
    lengths = np.full(64, 30, np.int32)
    lengths[0] = 1
    run = jax.jit(augmentation.spec_augment, static_argnums=(3, 4, 5))
    hidden = np.asarray(run(key, xs, lengths, 1, 8, 0)) == 0
    rows = hidden.all(axis=-1)
    assert (hidden == rows[..., None]).all()
    widths = rows.sum(axis=0)
    assert widths.max() == 8 and widths.min() == 0 and widths[0] == 0
    assert set(widths.tolist()) == set(range(9))
    assert not rows[30:].any() and rows[:30].any(axis=1).all()
    begins = np.diff(rows.astype(int), axis=0, prepend=0) == 1
    assert (begins.sum(axis=0) <= 1).all()  # one interval
    bands = np.asarray(run(key, xs, lengths, 2, 0, 3)) == 0
    assert (bands == bands[:1]).all()
    assert bands[0].sum(axis=-1).max() <= 6 and bands[0].any(axis=0).all()
    np.testing.assert_array_equal(run(key, xs, lengths, 2, 0, 0), xs)
