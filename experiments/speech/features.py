"""Features of recordings from flags, and what training does to both."""

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import run
from seqjax.audio import features
from seqjax.audio.front_end import NORMALIZED, FrontEnd, SideBySide
from seqjax.data import wav

FLAGS = flags.FLAGS
flags.DEFINE_enum(
    "features", "logmel", ["logmel", "mfcc", "both"], "what the network reads"
)
flags.DEFINE_integer("num_mels", 40, "bands of the mel spectrogram", 1, 128)
flags.DEFINE_integer("num_cepstra", 13, "of mfcc", 1, 128)
flags.DEFINE_enum("normalized", "all", NORMALIZED, "features with a mean of their own")
flags.DEFINE_float("floor", 1e-2, "added to the bands, of samples of power 1", 1e-9)
flags.DEFINE_bool("deltas", False, "read the slopes of the features, too")

# What is done to recordings and features in training, anew in each epoch.
flags.DEFINE_float("speed", 0.0, "play up to this share faster or slower", 0, 1)
flags.DEFINE_float("tempo", 0.0, "say it up to this share faster or slower", 0, 2)
flags.DEFINE_float("noise", 0.0, "add noise of up to this share of the loudness", 0, 10)
flags.DEFINE_float("tilt", 0.0, "slope and bow added to the bands, a deviation", 0)
flags.DEFINE_float("warp", 0.0, "move the bands up to this share up or down", 0, 1)
flags.DEFINE_integer("time_mask", 0, "frames hidden at most, twice; 0: none", 0)
flags.DEFINE_integer("band_mask", 0, "features hidden at most, twice; 0: none", 0, 256)


def check_flags():
    """Refuse flags that do not go together."""
    if FLAGS.features != "logmel" and FLAGS.num_cepstra > FLAGS.num_mels:
        raise run.UserError(
            f"--num_cepstra={FLAGS.num_cepstra} is above --num_mels={FLAGS.num_mels}."
        )
    for name, kinds in (("tilt", ("logmel", "both")), ("warp", ("logmel",))):
        if FLAGS[name].value and (FLAGS.deltas or FLAGS.features not in kinds):
            raise run.UserError(
                f"--{name} needs --features={' or '.join(kinds)} without --deltas."
            )
    if (FLAGS.time_mask or FLAGS.band_mask) and FLAGS.normalized == "none":
        raise run.UserError(
            "--time_mask and --band_mask hide by zeros: not with --normalized=none."
        )


def build_front():
    """The front end that the flags name.

    Of both, --normalized is of the log-mel features; each cepstrum has a mean of its
    own, or the first would be most of what is heard.
    """

    def front(num_cepstra, normalized):
        return FrontEnd(
            rate=wav.RATE,
            num_mels=FLAGS.num_mels,
            num_cepstra=num_cepstra,
            with_deltas=FLAGS.deltas,
            normalized=normalized,
            floor=FLAGS.floor,
        )

    if FLAGS.features == "both":
        fronts = front(0, FLAGS.normalized), front(FLAGS.num_cepstra, "each")
        return SideBySide(fronts)
    is_mfcc = FLAGS.features == "mfcc"
    return front(FLAGS.num_cepstra if is_mfcc else 0, FLAGS.normalized)


def augmented(samples, rng):
    """A recording of training as the flags change it, drawn by `rng`."""
    for most, change in ((FLAGS.speed, wav.stretch), (FLAGS.tempo, wav.tempo)):
        if most:
            span = np.log1p(most)
            samples = change(samples, float(np.exp(rng.uniform(-span, span))))
    if FLAGS.noise:
        loudness = float(np.sqrt(np.mean(samples**2)))
        share = rng.uniform(0, FLAGS.noise) * loudness
        noise = rng.standard_normal(len(samples), np.float32)
        samples = samples + np.float32(share) * noise
    return samples


def changed(key, xs, lengths, rate):
    """Features [T, B, D] of a minibatch as the flags change them in training.

    A tilt is of the log-mel features; cepstra with means of their own have none.
    """
    k_mask, k_tilt, k_warp = jax.random.split(key, 3)
    if FLAGS.warp:
        xs = features.warp(k_warp, xs, lengths, FLAGS.warp, rate)
    if FLAGS.tilt:
        bands, cepstra = jnp.split(xs, [FLAGS.num_mels], axis=-1)
        bands = features.tilt(k_tilt, bands, lengths, FLAGS.tilt)
        xs = jnp.concatenate([bands, cepstra], axis=-1)
    hidden = {"longest_time": FLAGS.time_mask, "widest_band": FLAGS.band_mask}
    return features.mask(k_mask, xs, lengths, **hidden)
