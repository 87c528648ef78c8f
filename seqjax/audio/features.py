"""Spectral features: frames, mel spectrograms, cepstra and their deltas.

Time comes first: samples [N, ...], frames [T, ..., W], features [T, ..., D]. Frame t
holds samples t * hop .. t * hop + W - 1. It counts only if all of them are within the
sequence, so that padding never enters.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from seqjax.nn.masks import as_lengths, valid_steps

EPSILON = 1e-8  # added to variances and powers, which may be 0


def num_frames(num_samples: jax.Array, size: int, hop: int) -> jax.Array:
    """1 + floor((N - W) / hop), or 0 for fewer than W samples.

    Args:
      num_samples: N, integers of any shape.
      size: W, in samples.
      hop: distance between the starts of consecutive frames, in samples.

    Returns:
      T, int32 of the same shape.

    Example:
      >>> num_frames(jnp.array([7, 8, 2]), size=3, hop=2).tolist()
      [3, 3, 0]
    """
    num_samples = as_lengths(num_samples, name="num_samples")
    return 1 + (jnp.maximum(num_samples, size - hop) - size) // hop


def frames(samples: jax.Array, size: int, hop: int) -> jax.Array:
    """Overlapping frames, as many as `num_frames` says.

    Args:
      samples: [N, ...].
      size: W, in samples.
      hop: distance between the starts of consecutive frames, in samples.

    Returns:
      [T, ..., W].

    Example:
      >>> frames(jnp.arange(7), size=3, hop=2).tolist()
      [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    """
    count = 1 + (max(len(samples), size - hop) - size) // hop
    # jnp.arange, since a NumPy table would be a constant as large as the frames.
    indices = hop * jnp.arange(count)[:, None] + jnp.arange(size)
    return jnp.moveaxis(
        jnp.asarray(samples)[indices], 1, -1
    )  # [T, W, ...] -> [T, ..., W]


def power_spectrum(frames: jax.Array, fft_size: int) -> jax.Array:
    """|FFT(w * x)|^2 of each frame x with a Hamming window w.

        w_n = 0.54 - 0.46 cos(2 pi n / (W - 1)),    F = fft_size / 2 + 1

    Args:
      frames: [..., W], of any float dtype.
      fft_size: the length of the FFT, even; frames are padded with zeros, or cut.

    Returns:
      [..., F].

    Example:
      >>> tone = jnp.cos(2 * jnp.pi * 5 * jnp.arange(32.0) / 32)  # 5 periods a frame
      >>> power = power_spectrum(tone[None], fft_size=32)
      >>> power.shape, power[0].argmax().item()
      ((1, 17), 5)
    """
    window = jnp.asarray(np.hamming(frames.shape[-1]), frames.dtype)
    spectrum = jnp.fft.rfft(frames * window, fft_size)
    return spectrum.real**2 + spectrum.imag**2


def hertz_to_mel(hertz: float | np.ndarray | Sequence[float]) -> np.ndarray:
    """Perceived pitch, 2595 log10(1 + f / 700); 1000 Hz are about 1000 mel.

    Args:
      hertz: frequencies f, at least 0.

    Returns:
      float64 of the same shape, in mel.

    Example:
      >>> hertz_to_mel([0.0, 1000.0]).round(1)
      array([   0., 1000.])

    Source: Young et al., "The HTK Book", version 3.4, equation 5.13.
    """
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def mel_filters(
    num_mels: int,
    fft_size: int,
    rate: float,
    low: float = 0.0,
    high: float | None = None,
) -> np.ndarray:
    """Triangular filters, equally spaced in mel, that end at their neighbors' centers.

        weight_{f,m} = max(0, 1 - |mel(f) - c_m| / d)
        c_m = mel(low) + (m + 1) d,   d = (mel(high) - mel(low)) / (num_mels + 1)

    Between the first and the last center, the weights of a frequency sum to 1.

    Args:
      num_mels: M.
      fft_size: as in `power_spectrum`; F = fft_size / 2 + 1.
      rate: samples per second.
      low, high: start of the first filter and end of the last one, in Hz; None is half
        the rate.

    Returns:
      [F, M], float64.

    Example:
      >>> filters = mel_filters(num_mels=10, fft_size=256, rate=8000)
      >>> filters.shape, np.allclose(filters[5:104].sum(axis=1), 1)
      ((129, 10), True)

    Source: The HTK Book, section 5.4.
    """
    ends = hertz_to_mel([low, rate / 2 if high is None else high])
    distance = (ends[1] - ends[0]) / (num_mels + 1)
    centers = ends[0] + distance * np.arange(1, num_mels + 1)
    bins = hertz_to_mel(np.arange(fft_size // 2 + 1) * rate / fft_size)
    return np.maximum(0, 1 - np.abs(bins[:, None] - centers) / distance)


def dct_matrix(num_mels: int, num_cepstra: int) -> np.ndarray:
    """The first columns of the orthonormal DCT-II, float64 [M, C].

        c_k = s_k sum_m x_m cos(pi k (m + 1/2) / M),  s_0 = sqrt(1/M), others sqrt(2/M)

    Args:
      num_mels: M.
      num_cepstra: C, at most M.

    Returns:
      [M, C], float64, with orthonormal columns.

    Example:
      >>> matrix = dct_matrix(num_mels=4, num_cepstra=3)
      >>> matrix.shape, np.allclose(matrix.T @ matrix, np.eye(3))
      ((4, 3), True)

    Source: Davis and Mermelstein, "Comparison of parametric representations for
    monosyllabic word recognition", IEEE Transactions on Acoustics, Speech and Signal
    Processing 28, 1980; scaled to be orthonormal.
    """
    k, m = np.arange(num_cepstra), np.arange(num_mels)[:, None]
    scales = np.where(k == 0, 1.0, 2.0) / num_mels
    return np.sqrt(scales) * np.cos(np.pi * k * (m + 0.5) / num_mels)


def deltas(xs: jax.Array, lengths: jax.Array, reach: int = 2) -> jax.Array:
    """The slope of each feature over time, by least squares over 2 reach + 1 frames.

        d_t = sum_{n=1..N} n (x_{t+n} - x_{t-n}) / (2 sum_n n^2),   N = reach

    Beyond its ends, a sequence is extended by its first and last frame. Past its
    length, the deltas are zero.

    Args:
      xs: [T, ..., D].
      lengths: integers [...].
      reach: N.

    Returns:
      [T, ..., D].

    Raises:
      ValueError: if lengths are not integers [...] in 0 .. T.

    Example:
      >>> xs = jnp.array([0.0, 3.0, 6.0, 9.0, 12.0, 7.0]).reshape(6, 1, 1)  # [T, B, D]
      >>> np.asarray(deltas(xs, jnp.array([5]), reach=1)).ravel()
      array([1.5, 3. , 3. , 3. , 1.5, 0. ], dtype=float32)

    Source: The HTK Book, equation 5.16.
    """
    lengths = as_lengths(lengths, len(xs), xs.shape[1:-1])
    times = jnp.arange(len(xs), dtype=jnp.int32).reshape(-1, *[1] * lengths.ndim)
    last = jnp.maximum(lengths - 1, 0)[None]

    def moved(n: int) -> jax.Array:
        indices = jnp.clip(times + n, 0, last)  # [T, ...]
        return jnp.take_along_axis(xs, indices[..., None], axis=0)

    steps = range(1, reach + 1)
    weighted = sum((n * (moved(n) - moved(-n)) for n in steps), jnp.zeros_like(xs))
    return zero_padding(weighted / (2 * sum(n * n for n in steps)), lengths)


def normalize(xs: jax.Array, lengths: jax.Array, per_feature: bool = True) -> jax.Array:
    """Mean 0 and variance 1 over the frames of each sequence.

    Args:
      xs: [T, ..., D]; any values past the lengths.
      lengths: integers [...].
      per_feature: use one mean and variance per feature, which removes the response of
        the microphone and, in short words, much of the vowel. False uses one mean and
        variance for all features.

    Returns:
      [T, ..., D], zero past the lengths.

    Raises:
      ValueError: if lengths are not integers [...] in 0 .. T.

    Example:
      >>> xs = jnp.array([[[1.0, 10.0]], [[3.0, 30.0]], [[9.0, 9.0]]])  # [T, B, D]
      >>> np.asarray(normalize(xs, jnp.array([2]))).round(3)[:, 0]
      array([[-1., -1.],
             [ 1.,  1.],
             [ 0.,  0.]], dtype=float32)
    """
    lengths = as_lengths(lengths, len(xs), xs.shape[1:-1])
    count = jnp.maximum(lengths, 1)[..., None].astype(xs.dtype)

    def mean(xs: jax.Array) -> jax.Array:
        means = xs.sum(axis=0) / count  # [..., D]
        return means if per_feature else means.mean(axis=-1, keepdims=True)

    xs = zero_padding(xs, lengths)
    centered = zero_padding(xs - mean(xs), lengths)
    return centered / jnp.sqrt(mean(centered**2) + EPSILON)


def zero_padding(xs: jax.Array, lengths: jax.Array) -> jax.Array:
    """xs with zeros past the lengths.

    Args:
      xs: [T, ..., D].
      lengths: integers [...].

    Returns:
      [T, ..., D].

    Raises:
      ValueError: if lengths are not integers in 0 .. T.

    Example:
      >>> xs = jnp.arange(1.0, 7.0).reshape(3, 2, 1)  # [T, B, D]
      >>> zero_padding(xs, jnp.array([3, 1]))[:, :, 0].tolist()
      [[1.0, 2.0], [3.0, 0.0], [5.0, 0.0]]
    """
    real = valid_steps(len(xs), lengths)[..., None]
    return jnp.where(real, xs, jnp.zeros_like(xs))
