"""How far gradients go back in time, from flags: all the way, or cut short."""

import jax
from absl import flags

from experiments import run
from seqjax import truncation

FLAGS = flags.FLAGS
flags.DEFINE_enum(
    "backprop",
    "full",
    ["full", "truncated", "randomized"],
    "through all of a minibatch's steps, cut at fixed ones, or at random ones",
)
flags.DEFINE_integer("backprop_steps", None, "truncated: steps between the cuts", 1)
flags.DEFINE_float("backprop_keep", None, "randomized: how likely a step is not a cut")
APART = 2**31 - 1  # far from the keys that a loss splits off for dropout
NEEDED = {"backprop_steps": "truncated", "backprop_keep": "randomized"}


def check_flags():
    """Refuse a cut without its number, and a number without its cut."""
    for name, kind in NEEDED.items():
        is_given = FLAGS[name].value is not None
        if is_given and FLAGS.backprop != kind:
            raise run.UserError(f"--{name} needs --backprop={kind}.")
        if FLAGS.backprop == kind and not is_given:
            raise run.UserError(f"--backprop={kind} needs --{name}.")
    keep = FLAGS.backprop_keep
    if keep is not None and not 0 < keep <= 1:
        raise run.UserError(
            f"--backprop_keep must be above 0 and at most 1, got {keep}."
        )


def factors(key, num_steps):
    """xi [T] of `seqjax.truncation` for one minibatch; None is full backpropagation.

    Args:
      key: the minibatch's random key; what else is drawn from it does not change.
    """
    if FLAGS.backprop == "truncated":
        return truncation.fixed_factors(num_steps, FLAGS.backprop_steps)
    if FLAGS.backprop == "randomized":
        key = jax.random.fold_in(key, APART)
        return truncation.random_factors(key, num_steps, FLAGS.backprop_keep)
    return None
