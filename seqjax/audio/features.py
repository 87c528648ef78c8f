"""Frames, mel spectrograms, cepstra, their slopes; and what training does to them.

Time comes first, as everywhere: samples [N, ...], frames [T, ..., W], features
[T, ..., D]. Frame t holds samples t * hop .. t * hop + W - 1 and counts only if they
all lie within the sequence, so that padding never enters.
"""

import jax
import jax.numpy as jnp
import numpy as np

from seqjax.nn.masks import valid_steps

EPSILON = 1e-8  # beside a variance or a power, which may be 0


def num_frames(num_samples, size, hop):
    """1 + floor((N - W) / hop), and 0 of fewer than W samples.

    Args:
      num_samples: N, integers of any shape.
      size, hop: W and the step from frame to frame, in samples.
    """
    return 1 + (jnp.maximum(num_samples, size - hop) - size) // hop


def frames(samples, size, hop):
    """Overlapping pieces: [N, ...] -> [T, ..., W], with T of `num_frames`.

    Example:
      >>> frames(jnp.arange(7), size=3, hop=2).tolist()
      [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    """
    count = 1 + (max(len(samples), size - hop) - size) // hop
    # Counted within the program, which would hold a table as large as the frames.
    places = hop * jnp.arange(count)[:, None] + jnp.arange(size)
    return jnp.moveaxis(
        jnp.asarray(samples)[places], 1, -1
    )  # [T, W, ...] -> [T, ..., W]


def power_spectrum(frames, fft_size):
    """|F(w * x)|^2 of each frame x, w being Hamming's window: [..., W] -> [..., F].

    w_n = 0.54 - 0.46 cos(2 pi n / (W - 1)),    F = fft_size / 2 + 1
    """
    window = jnp.asarray(np.hamming(frames.shape[-1]), frames.dtype)
    spectrum = jnp.fft.rfft(frames * window, fft_size)
    return spectrum.real**2 + spectrum.imag**2


def mel(hertz):
    """The pitch that is heard, 2595 log10(1 + f / 700); 1000 Hz are about 1000 mel.

    Source: Young et al., "The HTK Book", version 3.4, equation 5.13.
    """
    return 2595 * np.log10(1 + np.asarray(hertz) / 700)


def mel_filters(num_mels, fft_size, rate, low=0.0, high=None):
    """Triangles at equal distances in mel, each reaching to its neighbors' centers.

        weight_{f,m} = max(0, 1 - |mel(f) - c_m| / d)
        c_m = mel(low) + (m + 1) d,   d = (mel(high) - mel(low)) / (num_mels + 1)

    so that between the first and the last center the weights of a frequency sum to 1.

    Args:
      num_mels: M.
      fft_size: of `power_spectrum`, F = fft_size / 2 + 1.
      rate: samples a second.
      low, high: where the first triangle begins and the last ends, in Hz; None is half
        the rate.

    Returns:
      [F, M], float64.

    Source: The HTK Book, section 5.4.
    """
    ends = mel([low, rate / 2 if high is None else high])
    distance = (ends[1] - ends[0]) / (num_mels + 1)
    centers = ends[0] + distance * np.arange(1, num_mels + 1)
    bins = mel(np.arange(fft_size // 2 + 1) * rate / fft_size)
    return np.maximum(0, 1 - np.abs(bins[:, None] - centers) / distance)


def cosines(num_mels, num_cepstra):
    """The first columns of the orthonormal DCT-II, [M, C].

        c_k = s_k sum_m x_m cos(pi k (m + 1/2) / M),  s_0 = sqrt(1/M), others sqrt(2/M)

    Source: Davis and Mermelstein, "Comparison of parametric representations for
    monosyllabic word recognition", IEEE Transactions on Acoustics, Speech and Signal
    Processing 28, 1980; scaled to keep lengths.
    """
    k, m = np.arange(num_cepstra), np.arange(num_mels)[:, None]
    scales = np.where(k == 0, 1.0, 2.0) / num_mels
    return np.sqrt(scales) * np.cos(np.pi * k * (m + 0.5) / num_mels)


def deltas(xs, lengths, reach=2):
    """The slope of each feature over time, by least squares over 2 reach + 1 frames.

        d_t = sum_{n=1..N} n (x_{t+n} - x_{t-n}) / (2 sum_n n^2),   N = reach

    Beyond its ends a sequence goes on as its first or last frame; past its length the
    slopes are zero.

    Args:
      xs: [T, ..., D].
      lengths: integers [...].

    Source: The HTK Book, equation 5.16.
    """
    times = jnp.arange(len(xs)).reshape(-1, *[1] * lengths.ndim)
    last = jnp.maximum(lengths - 1, 0)[None]

    def moved(n):
        places = jnp.clip(times + n, 0, last.astype(times.dtype))  # [T, ...]
        return jnp.take_along_axis(xs, places[..., None], axis=0)

    steps = range(1, reach + 1)
    slopes = sum(n * (moved(n) - moved(-n)) for n in steps)
    slopes = slopes / (2 * sum(n * n for n in steps))
    return only(slopes, lengths)


def normalize(xs, lengths, each=True):
    """Mean 0 and variance 1 over the frames of each sequence.

    Args:
      xs: [T, ..., D]; past the lengths it may hold anything.
      lengths: integers [...].
      each: whether each feature is brought there by itself, which takes away the
        microphone, and from a short word much of its vowel; or all of them by one mean
        and one variance.

    Returns:
      [T, ..., D], zero past the lengths.
    """
    count = jnp.maximum(lengths, 1)[..., None].astype(xs.dtype)

    def mean(xs):
        found = xs.sum(axis=0) / count  # [..., D]
        return found if each else found.mean(axis=-1, keepdims=True)

    centered = only(only(xs, lengths) - mean(only(xs, lengths)), lengths)
    return centered / jnp.sqrt(mean(centered**2) + EPSILON)


def tilt(key, xs, lengths, deviation):
    """Add a slope and a bow over the bands, the same at all times: another microphone.

        xs_{t,d} + deviation * (a u_d + b (3 u_d^2 - 1) / 2),   u_d from -1 to 1

    with a and b from N(0, 1) for each sequence, for training on log-mel features.

    Args:
      key: a random key.
      xs: [T, ..., D].
      lengths: integers [...]; past them there are zeros.
      deviation: in the unit of xs.
    """
    u = np.linspace(-1, 1, xs.shape[-1])
    shapes = jnp.asarray([u, (3 * u**2 - 1) / 2], xs.dtype)  # [2, D]
    drawn = jax.random.normal(key, (*lengths.shape, 2), xs.dtype)
    return only(xs + deviation * (drawn @ shapes), lengths)


def warp(key, xs, lengths, most, rate):
    """Move what was heard at a f to the place of f: a throat of another length.

        log a  from  [-log(1 + most), log(1 + most)],   evenly, for each sequence

    for training on log-mel features. Between bands it is linear; beyond the first and
    the last they go on as these.

    Args:
      key: a random key.
      xs: [T, ..., M], by the triangles of `mel_filters` from 0 to half the rate.
      lengths: integers [...]; past them there are zeros, and remain.
      most: 0.1 is up to a tenth higher or deeper.
      rate: samples a second.

    Source: Jaitly and Hinton, "Vocal tract length perturbation (VTLP) improves speech
    recognition", 2013.
    """
    num_mels, span = xs.shape[-1], np.log1p(most)
    distance = mel(rate / 2) / (num_mels + 1)
    centers = 10 ** (distance * np.arange(1, num_mels + 1) / 2595) - 1  # 700 Hz each
    centers, bands = jnp.asarray([centers, np.arange(num_mels)], xs.dtype)
    factors = jnp.exp(jax.random.uniform(key, lengths.shape, xs.dtype, -span, span))
    places = jnp.log10(1 + factors[..., None] * centers) * 2595 / distance - 1
    places = jnp.clip(places, 0, num_mels - 1)[..., None]  # [..., M, 1]
    weights = jnp.maximum(0, 1 - jnp.abs(places - bands))
    return jnp.einsum("t...k,...dk->t...d", xs, weights)


def mask(key, xs, lengths, number=2, longest_time=0, widest_band=0):
    """Zero some stretches of frames and some bands of features, for training.

    Each stretch has 0 .. longest_time frames, drawn evenly, no more than half of the
    sequence; each band 0 .. widest_band features. Places are drawn evenly, too.

    Args:
      key: a random key.
      xs: [T, ..., D], of mean zero.
      lengths: integers [...].
      number: stretches, and as many bands.

    Source: Park et al., "SpecAugment", 2019, arXiv:1904.08779.
    """
    k_time, k_band = jax.random.split(key)
    size = jnp.full(lengths.shape, xs.shape[-1], lengths.dtype)
    shortest = jnp.minimum(lengths // 2, longest_time)
    hidden = jnp.zeros(xs.shape, bool)
    if longest_time:
        places = jnp.arange(len(xs)).reshape(-1, *[1] * lengths.ndim)
        inside = _stretches(k_time, places, lengths, shortest, number)  # [T, ...]
        hidden = hidden | inside[..., None]
    if widest_band:
        widest = jnp.minimum(size, widest_band)
        places = jnp.arange(xs.shape[-1]).reshape(-1, *[1] * lengths.ndim)
        inside = _stretches(k_band, places, size, widest, number)  # [D, ...]
        hidden = hidden | jnp.moveaxis(inside, 0, -1)[None]
    return jnp.where(hidden, jnp.zeros_like(xs), xs)


def _stretches(key, places, lengths, longest, number):
    """Whether each place lies in one of `number` stretches: places [N, ...]."""
    inside = False
    for k in jax.random.split(key, number):
        k_width, k_begin = jax.random.split(k)
        widths = jax.random.randint(k_width, lengths.shape, 0, longest + 1)
        begins = jax.random.randint(k_begin, lengths.shape, 0, lengths - widths + 1)
        inside = inside | ((begins <= places) & (places < begins + widths))
    return inside


def only(xs, lengths):
    """xs [T, ..., D], zero past the lengths [...]."""
    real = valid_steps(len(xs), lengths)[..., None]
    return jnp.where(real, xs, jnp.zeros_like(xs))
