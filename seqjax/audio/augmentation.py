"""Augmentation of log-mel features in training."""

import jax
import jax.numpy as jnp
import numpy as np

from seqjax.audio.features import hertz_to_mel, zero_padding
from seqjax.nn.masks import as_lengths


def spectral_tilt(
    key: jax.Array, xs: jax.Array, lengths: jax.Array, deviation: float
) -> jax.Array:
    """Add a random linear and quadratic function of the band to all frames.

        xs_{t,d} + deviation * (a u_d + b (3 u_d^2 - 1) / 2),   u_d from -1 to 1

    with a and b from N(0, 1) for each sequence. This simulates another microphone.

    Args:
      key: a random key.
      xs: [T, ..., D], log-mel features of any float dtype.
      lengths: integers [...], in frames.
      deviation: standard deviation of a and b, in the unit of xs.

    Returns:
      [T, ..., D] in the dtype of xs; zero past the lengths.

    Raises:
      ValueError: if lengths are not integers [...] in 0 .. T.

    Example:
      >>> xs, lengths = jnp.zeros((4, 2, 8)), jnp.array([4, 1])  # [T, B, D]
      >>> tilted = spectral_tilt(jax.random.key(0), xs, lengths, deviation=2.0)
      >>> bool((tilted[0] != 0).all()), bool((tilted[0, 0] == tilted[3, 0]).all())
      (True, True)
      >>> tilted[1:, 1].any().item()  # padding
      False
    """
    lengths = as_lengths(lengths, len(xs), xs.shape[1:-1])
    u = np.linspace(-1, 1, xs.shape[-1])
    shapes = jnp.asarray([u, (3 * u**2 - 1) / 2], xs.dtype)  # [2, D]
    weights = jax.random.normal(key, (*lengths.shape, 2), xs.dtype)
    return zero_padding(xs + deviation * (weights @ shapes), lengths)


def vocal_tract_perturbation(
    key: jax.Array, xs: jax.Array, lengths: jax.Array, strength: float, rate: float
) -> jax.Array:
    """Vocal tract length perturbation: scale the frequency axis by a random factor.

    The band at frequency f gets the features at a f, with log a uniform in
    [-log(1 + strength), log(1 + strength)] for each sequence. Features are interpolated
    linearly between bands, and constant beyond the first and the last band.

    Args:
      key: a random key.
      xs: [T, ..., M], of any float dtype, from `mel_filters` between 0 and half the
        rate; zero past the lengths.
      lengths: integers [...], in frames.
      strength: maximum relative change of the frequencies, such as 0.1.
      rate: samples per second.

    Returns:
      [T, ..., M] in the dtype of xs.

    Raises:
      ValueError: if lengths are not integers [...] in 0 .. T.

    Example:
      >>> xs = jnp.arange(24.0).reshape(1, 2, 12)  # [T, B, M]
      >>> key, lengths = jax.random.key(0), jnp.array([1, 1])
      >>> same = vocal_tract_perturbation(key, xs, lengths, strength=0.0, rate=16_000)
      >>> jnp.allclose(same, xs, atol=1e-3).item()
      True
      >>> other = vocal_tract_perturbation(key, xs, lengths, strength=0.1, rate=16_000)
      >>> other.shape, jnp.allclose(other, xs, atol=1e-3).item()
      ((1, 2, 12), False)

    Source: Jaitly and Hinton, "Vocal tract length perturbation (VTLP) improves speech
    recognition", 2013.
    """
    lengths = as_lengths(lengths, len(xs), xs.shape[1:-1])
    num_mels, span = xs.shape[-1], np.log1p(strength)
    distance = hertz_to_mel(rate / 2) / (num_mels + 1)
    hertz = 10 ** (distance * np.arange(1, num_mels + 1) / 2595) - 1  # 700 Hz each
    centers, bands = jnp.asarray([hertz, np.arange(num_mels)], xs.dtype)
    factors = jnp.exp(jax.random.uniform(key, lengths.shape, xs.dtype, -span, span))
    scaled = jnp.log10(1 + factors[..., None] * centers) * 2595 / distance - 1
    scaled = jnp.clip(scaled, 0, num_mels - 1)[..., None]  # [..., M, 1]
    weights = jnp.maximum(0, 1 - jnp.abs(scaled - bands))
    return jnp.einsum("t...k,...dk->t...d", xs, weights)


def spec_augment(
    key: jax.Array,
    xs: jax.Array,
    lengths: jax.Array,
    number: int = 2,
    max_frames: int = 0,
    max_bands: int = 0,
) -> jax.Array:
    """Set random intervals of frames and of features to zero (SpecAugment).

    A time mask has 0 .. max_frames frames and at most half of the sequence, a band mask
    0 .. max_bands features. Widths and positions are uniform.

    Args:
      key: a random key.
      xs: [T, ..., D] of any float dtype, of mean zero.
      lengths: integers [...], in frames.
      number: number of time masks, and of band masks.
      max_frames, max_bands: maximum widths; 0 turns a kind of mask off.

    Returns:
      [T, ..., D] in the dtype of xs.

    Raises:
      ValueError: if lengths are not integers [...] in 0 .. T.

    Example:
      >>> xs = jnp.arange(1.0, 61.0).reshape(6, 1, 10)  # [T, B, D]
      >>> key, lengths = jax.random.key(1), jnp.array([6])
      >>> masked = spec_augment(key, xs, lengths, number=1, max_bands=4)
      >>> zeros = masked[:, 0] == 0
      >>> (zeros == zeros[0]).all().item(), int(zeros[0].sum()) <= 4
      (True, True)

    Source: Park et al., "SpecAugment", 2019, arXiv:1904.08779.
    """
    lengths = as_lengths(lengths, len(xs), xs.shape[1:-1])
    k_time, k_band = jax.random.split(key)
    size = jnp.full(lengths.shape, xs.shape[-1], lengths.dtype)
    longest = jnp.minimum(lengths // 2, max_frames)
    masked = jnp.zeros(xs.shape, bool)
    if max_frames:
        frames = jnp.arange(len(xs)).reshape(-1, *[1] * lengths.ndim)
        inside = _in_intervals(k_time, frames, lengths, longest, number)  # [T, ...]
        masked = masked | inside[..., None]
    if max_bands:
        widest = jnp.minimum(size, max_bands)
        bands = jnp.arange(xs.shape[-1]).reshape(-1, *[1] * lengths.ndim)
        inside = _in_intervals(k_band, bands, size, widest, number)  # [D, ...]
        masked = masked | jnp.moveaxis(inside, 0, -1)[None]
    return jnp.where(masked, jnp.zeros_like(xs), xs)


def _in_intervals(
    key: jax.Array,
    indices: jax.Array,
    lengths: jax.Array,
    longest: jax.Array,
    number: int,
) -> jax.Array:
    """Whether each index [N, ...] is in one of `number` random intervals."""
    inside = jnp.zeros((len(indices), *lengths.shape), bool)
    for k in jax.random.split(key, number):
        k_width, k_begin = jax.random.split(k)
        widths = jax.random.randint(k_width, lengths.shape, 0, longest + 1)
        begins = jax.random.randint(k_begin, lengths.shape, 0, lengths - widths + 1)
        inside = inside | ((begins <= indices) & (indices < begins + widths))
    return inside
