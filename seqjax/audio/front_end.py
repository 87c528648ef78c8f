"""Front ends: from samples to the features that a network reads."""

import dataclasses

import jax
import jax.numpy as jnp

from seqjax.audio.features import (
    EPSILON,
    dct_matrix,
    deltas,
    frames,
    mel_filters,
    normalize,
    num_frames,
    power_spectrum,
    zero_padding,
)
from seqjax.nn.masks import as_lengths

NORMALIZATIONS = ("all", "each", "none")


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """Log-mel features or cepstra of a recording.

        x_n  = s_n / sqrt(mean s^2) - preemphasis * s_{n-1} / sqrt(mean s^2)
        p_t  = power_spectrum(frame t of x)
        xs_t = log(p_t @ mel_filters + floor)           log-mel
        xs_t = xs_t @ dct_matrix                        cepstra (MFCC)

    optionally with deltas, and normalized to mean 0 and variance 1.

    Args:
      rate: samples per second.
      frame_size, hop: in samples; the defaults are 25 and 10 ms.
      fft_size: at least frame_size.
      num_mels: number of mel filters.
      num_cepstra: number of cepstra; 0 gives log-mel features.
      with_deltas: append the deltas of the features.
      normalized: "each" normalizes each feature over the frames of a sequence, "all"
        all features together, "none" nothing; see `normalize`.
      preemphasis: coefficient of the pre-emphasis filter.
      floor: added before the logarithm; the samples are scaled to power 1.

    Raises:
      ValueError: if frame_size is above fft_size, num_cepstra is above num_mels, or
        normalized is unknown.

    Example:
      >>> front = FrontEnd(num_mels=40)
      >>> samples, lengths = jnp.ones((1000, 2)), jnp.array([1000, 600])
      >>> xs, lengths = front.apply(samples, lengths)
      >>> xs.shape, lengths.tolist()
      ((11, 2, 40), [11, 6])
    """

    rate: int = 8000
    frame_size: int = 200
    hop: int = 80
    fft_size: int = 256
    num_mels: int = 40
    num_cepstra: int = 0
    with_deltas: bool = False
    normalized: str = "all"
    preemphasis: float = 0.97
    floor: float = 1e-2

    def __post_init__(self) -> None:
        if self.frame_size > self.fft_size or self.num_cepstra > self.num_mels:
            raise ValueError(
                f"FrontEnd: frame_size must be at most fft_size, num_cepstra at most "
                f"num_mels, got {self.frame_size}, {self.fft_size}, "
                f"{self.num_cepstra} and {self.num_mels}"
            )
        if self.normalized not in NORMALIZATIONS:
            raise ValueError(
                f"FrontEnd: normalized must be one of {', '.join(NORMALIZATIONS)}, got "
                f"{self.normalized!r}"
            )

    @property
    def size(self) -> int:
        """D, the number of features per frame."""
        return (self.num_cepstra or self.num_mels) * (2 if self.with_deltas else 1)

    def num_frames(self, num_samples: jax.Array) -> jax.Array:
        """T for a number of samples."""
        return num_frames(num_samples, self.frame_size, self.hop)

    def apply(
        self, samples: jax.Array, lengths: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Features of each sequence.

        Args:
          samples: [N, ...]; any values past the lengths.
          lengths: integers [...], in samples.

        Returns:
          (xs [T, ..., D], lengths [...] in frames); xs is zero past the lengths.
        """
        lengths = as_lengths(lengths, len(samples), samples.shape[1:], of="samples")
        samples = zero_padding(samples[..., None], lengths)[..., 0]
        count = jnp.maximum(lengths, 1).astype(samples.dtype)
        power = (samples**2).sum(axis=0) / count
        samples = samples / jnp.sqrt(power + EPSILON)
        previous = jnp.concatenate([jnp.zeros_like(samples[:1]), samples[:-1]])
        cut = frames(
            samples - self.preemphasis * previous, self.frame_size, self.hop
        )  # [T, ..., W]
        lengths = self.num_frames(lengths)
        filters = jnp.asarray(
            mel_filters(self.num_mels, self.fft_size, self.rate), samples.dtype
        )
        xs = jnp.log(power_spectrum(cut, self.fft_size) @ filters + self.floor)
        if self.num_cepstra:
            xs = xs @ jnp.asarray(dct_matrix(self.num_mels, self.num_cepstra), xs.dtype)
        if self.with_deltas:
            xs = jnp.concatenate([xs, deltas(xs, lengths)], axis=-1)
        if self.normalized == "none":
            return zero_padding(xs, lengths), lengths
        return normalize(xs, lengths, self.normalized == "each"), lengths


@dataclasses.dataclass(frozen=True)
class ConcatFrontEnd:
    """The features of several front ends, concatenated.

        xs_t = xs_t of the first ; xs_t of the second ; ...

    Args:
      fronts: FrontEnds with the same rate, frame_size and hop.

    Raises:
      ValueError: if there are none, or their frames differ.

    Example:
      >>> mfcc = FrontEnd(num_cepstra=13, normalized="each")
      >>> front = ConcatFrontEnd((FrontEnd(), mfcc))
      >>> front.size
      53
    """

    fronts: tuple[FrontEnd, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "fronts", tuple(self.fronts))  # hashable
        framings = {(f.rate, f.frame_size, f.hop) for f in self.fronts}
        if len(framings) != 1:
            raise ValueError(
                f"ConcatFrontEnd: fronts with one rate, frame_size and hop are "
                f"needed, got {sorted(framings)}"
            )

    @property
    def rate(self) -> int:
        """Samples per second."""
        return self.fronts[0].rate

    @property
    def frame_size(self) -> int:
        """Width of a frame, in samples."""
        return self.fronts[0].frame_size

    @property
    def hop(self) -> int:
        """Distance between consecutive frames, in samples."""
        return self.fronts[0].hop

    @property
    def size(self) -> int:
        """D, the number of features per frame."""
        return sum(front.size for front in self.fronts)

    def num_frames(self, num_samples: jax.Array) -> jax.Array:
        """T for a number of samples."""
        return self.fronts[0].num_frames(num_samples)

    def apply(
        self, samples: jax.Array, lengths: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """See `FrontEnd.apply`."""
        found, counts = zip(
            *(f.apply(samples, lengths) for f in self.fronts), strict=True
        )
        return jnp.concatenate(found, axis=-1), counts[0]
