"""The front end of a run, and the augmentation of recordings and features."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.speech.config import AugmentationConfig, FeatureConfig
from seqjax.audio.augmentation import (
    spec_augment,
    spectral_tilt,
    vocal_tract_perturbation,
)
from seqjax.audio.front_end import ConcatFrontEnd, FrontEnd
from seqjax.data import wav


def build_front_end(config: FeatureConfig) -> FrontEnd | ConcatFrontEnd:
    """The front end of the settings.

    With both kinds of features, --normalized applies to the log-mel features. Each
    cepstrum has its own mean and variance, or the first would outweigh the others.
    """

    def front(num_cepstra: int, normalized: str) -> FrontEnd:
        return FrontEnd(
            rate=wav.RATE,
            num_mels=config.num_mels,
            num_cepstra=num_cepstra,
            with_deltas=config.deltas,
            normalized=normalized,
            floor=config.floor,
        )

    if config.features == "both":
        cepstra = front(config.num_cepstra, "each")
        return ConcatFrontEnd((front(0, config.normalized), cepstra))
    is_mfcc = config.features == "mfcc"
    return front(config.num_cepstra if is_mfcc else 0, config.normalized)


def augment_samples(
    config: AugmentationConfig, samples: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A training recording with random speed, tempo and noise."""
    for most, change in ((config.speed, wav.stretch), (config.tempo, wav.tempo)):
        if most:
            span = np.log1p(most)
            samples = change(samples, float(np.exp(rng.uniform(-span, span))))
    if config.noise:
        loudness = float(np.sqrt(np.mean(samples**2)))
        level = rng.uniform(0, config.noise) * loudness
        noise = rng.standard_normal(len(samples), np.float32)
        samples = samples + np.float32(level) * noise
    return samples


def augment_features(
    config: AugmentationConfig,
    key: jax.Array,
    xs: jax.Array,
    lengths: jax.Array,
    front: Any,
    num_mels: int,
) -> jax.Array:
    """Features [T, B, D] of a minibatch with random warps, tilts and masks.

    A tilt changes the log-mel features alone: normalized cepstra do not depend on it.

    Args:
      config: the strengths.
      key: a random key.
      xs: the features.
      lengths: integers [B], in frames.
      front: the front end, for its rate.
      num_mels: the number of log-mel features, which come first.
    """
    k_mask, k_tilt, k_warp = jax.random.split(key, 3)
    if config.warp:
        xs = vocal_tract_perturbation(k_warp, xs, lengths, config.warp, front.rate)
    if config.tilt:
        bands, cepstra = jnp.split(xs, [num_mels], axis=-1)
        bands = spectral_tilt(k_tilt, bands, lengths, config.tilt)
        xs = jnp.concatenate([bands, cepstra], axis=-1)
    return spec_augment(
        k_mask,
        xs,
        lengths,
        max_frames=config.time_mask,
        max_bands=config.band_mask,
    )
