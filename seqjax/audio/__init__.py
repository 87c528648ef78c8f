"""Speech features and their augmentation.

features       frames, mel spectrograms, cepstra, deltas, normalization
front_end      FrontEnd, ConcatFrontEnd: from samples to the features of a network
augmentation   spectral_tilt, vocal_tract_perturbation, spec_augment
"""

from seqjax.audio.augmentation import (
    spec_augment,
    spectral_tilt,
    vocal_tract_perturbation,
)
from seqjax.audio.front_end import ConcatFrontEnd, FrontEnd

__all__ = [
    "ConcatFrontEnd",
    "FrontEnd",
    "spec_augment",
    "spectral_tilt",
    "vocal_tract_perturbation",
]
