"""What a recognizer hears: from samples to the features of frames."""

import dataclasses

import jax.numpy as jnp

from seqjax.audio.features import (
    EPSILON,
    cosines,
    deltas,
    frames,
    mel_filters,
    normalize,
    num_frames,
    only,
    power_spectrum,
)

NORMALIZED = ("all", "each", "none")


@dataclasses.dataclass(frozen=True)
class FrontEnd:
    """From samples to what a network reads.

        x_n  = s_n / sqrt(mean s^2) - preemphasis * s_{n-1} / sqrt(mean s^2)
        p_t  = power_spectrum(frame t of x)
        xs_t = log(p_t @ mel_filters + floor)           log-mel
        xs_t = xs_t @ cosines                           cepstra (MFCC)

    followed by its slopes (deltas), and brought to mean 0 and variance 1.

    Args:
      rate: samples a second.
      frame_size, hop: in samples; 25 and 10 ms.
      fft_size: at least frame_size.
      num_mels: triangles.
      num_cepstra: 0 is log-mel.
      with_deltas: whether slopes stand beside the features.
      normalized: "each", "all" or "none" of the features are brought to mean 0 and
        variance 1 over each sequence, see `normalize`.
      preemphasis: how far what is low is held down.
      floor: added before the logarithm; the samples have power 1.

    Raises:
      ValueError: for a frame that is longer than the transform, or more cepstra than
        triangles.

    Example:
      >>> front = FrontEnd(num_mels=40)
      >>> xs, lengths = front.apply(samples, lengths)  # [N, B] -> [T, B, 40]
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

    def __post_init__(self):
        if self.frame_size > self.fft_size or self.num_cepstra > self.num_mels:
            raise ValueError(
                f"FrontEnd: frame_size must be at most fft_size, num_cepstra at most "
                f"num_mels, got {self.frame_size}, {self.fft_size}, "
                f"{self.num_cepstra} and {self.num_mels}"
            )
        if self.normalized not in NORMALIZED:
            raise ValueError(
                f"FrontEnd: normalized must be one of {', '.join(NORMALIZED)}, got "
                f"{self.normalized!r}"
            )

    @property
    def size(self):
        """D, features of a frame."""
        return (self.num_cepstra or self.num_mels) * (2 if self.with_deltas else 1)

    def num_frames(self, num_samples):
        """T, of so many samples."""
        return num_frames(num_samples, self.frame_size, self.hop)

    def apply(self, samples, lengths):
        """Features of sequences, each by itself.

        Args:
          samples: [N, ...]; past the lengths they may be anything.
          lengths: integers [...], of samples.

        Returns:
          (xs [T, ..., D], zero past them; lengths [...], of frames).
        """
        samples = only(samples[..., None], lengths)[..., 0]
        count = jnp.maximum(lengths, 1).astype(samples.dtype)
        power = (samples**2).sum(axis=0) / count
        samples = samples / jnp.sqrt(power + EPSILON)
        before = jnp.concatenate([jnp.zeros_like(samples[:1]), samples[:-1]])
        pieces = frames(
            samples - self.preemphasis * before, self.frame_size, self.hop
        )  # [T, ..., W]
        lengths = self.num_frames(lengths)
        filters = mel_filters(self.num_mels, self.fft_size, self.rate)
        filters = jnp.asarray(filters, samples.dtype)
        xs = jnp.log(power_spectrum(pieces, self.fft_size) @ filters + self.floor)
        if self.num_cepstra:
            xs = xs @ jnp.asarray(cosines(self.num_mels, self.num_cepstra), xs.dtype)
        if self.with_deltas:
            xs = jnp.concatenate([xs, deltas(xs, lengths)], axis=-1)
        if self.normalized == "none":
            return only(xs, lengths), lengths
        return normalize(xs, lengths, self.normalized == "each"), lengths


@dataclasses.dataclass(frozen=True)
class SideBySide:
    """What several front ends make of the same samples, as features of one frame.

        xs_t = xs_t of the first ; xs_t of the second ; ...

    Args:
      fronts: FrontEnds of one rate, frame_size and hop.

    Raises:
      ValueError: for none, or frames that differ.

    Example:
      >>> front = SideBySide((FrontEnd(), FrontEnd(num_cepstra=13, normalized="each")))
      >>> front.size
      53
    """

    fronts: tuple

    def __post_init__(self):
        object.__setattr__(self, "fronts", tuple(self.fronts))  # hashable
        framings = {(f.rate, f.frame_size, f.hop) for f in self.fronts}
        if len(framings) != 1:
            raise ValueError(
                f"SideBySide: fronts of one rate, frame_size and hop are needed, got "
                f"{sorted(framings)}"
            )

    @property
    def rate(self):
        """Samples a second."""
        return self.fronts[0].rate

    @property
    def frame_size(self):
        """In samples."""
        return self.fronts[0].frame_size

    @property
    def hop(self):
        """From frame to frame, in samples."""
        return self.fronts[0].hop

    @property
    def size(self):
        """D, features of a frame."""
        return sum(front.size for front in self.fronts)

    def num_frames(self, num_samples):
        """T, of so many samples."""
        return self.fronts[0].num_frames(num_samples)

    def apply(self, samples, lengths):
        """As `FrontEnd.apply`."""
        found, counts = zip(
            *(f.apply(samples, lengths) for f in self.fronts), strict=True
        )
        return jnp.concatenate(found, axis=-1), counts[0]
