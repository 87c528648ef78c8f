"""How much of a gradient is left so many steps back: networks, norms, numbers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

import seqjax
from experiments import run
from seqjax import truncation

FLAGS = flags.FLAGS
flags.DEFINE_list("radii", ["0.9", "1.0", "1.1"], "spectral radii of the RNNs")
flags.DEFINE_list("forget_biases", ["0", "1", "5"], "forget biases of the LSTMs")
flags.DEFINE_integer("num_steps", 100, "T, how far back to look", 2, 10**5)
flags.DEFINE_float("input_scale", 1e-4, "deviation of the inputs; at 1 tanh bends", 0)

BATCH, DRAWS = 32, 1000  # sequences, and random truncations, that means are over
SHOWN = 20  # of the random truncations, each by itself
PERIOD, KEEP = 20, 0.95  # of the truncations shown, unless flags say otherwise


class Norms(NamedTuple):
    """What is left at a distance of 0, 1, ... steps from L = <u, h_T>."""

    hidden: np.ndarray  # [T], the norm of dL/dh_t, mean over sequences
    memory: np.ndarray | None  # [T], of dL/dc_t, in an LSTM
    of_parameters: float  # global norm of the gradient of the mean L

    @property
    def clip_factor(self):
        """min(1, theta / ||g||): what --clip_norm multiplies all gradients by."""
        if not FLAGS.clip_norm:
            return 1.0
        return min(1.0, FLAGS.clip_norm / max(self.of_parameters, 1e-30))

    @property
    def per_step(self):
        """The factor per step over the further half of the distance."""
        half = (len(self.hidden) - 1) // 2
        near, far = self.hidden[half], self.hidden[-1]
        steps = len(self.hidden) - 1 - half
        return float((far / near) ** (1 / steps)) if near > 0 else 0.0

    def summary(self):
        last = len(self.hidden) - 1
        at = [d for d in (0, 1, 10, 20, 50, 100, 200, 500) if d < last]
        return {
            "norm_by_distance": {str(d): float(self.hidden[d]) for d in [*at, last]},
            "factor_per_step": self.per_step,
            "parameter_gradient_norm": self.of_parameters,
            "clip_factor": self.clip_factor,
        }


def numbers(flag, kind, lowest):
    """The list flag as rising numbers of at least `lowest`.

    Raises:
      UserError: for anything else.
    """
    texts = FLAGS[flag].value
    try:
        found = sorted({kind(text) for text in texts})
    except ValueError:
        found = [np.nan]
    if not np.isfinite(found).all() or min(found, default=lowest) < lowest:
        what = "whole numbers" if kind is int else "numbers"
        raise run.UserError(
            f"--{flag} must be {what} of at least {lowest}, got {','.join(texts)!r}."
        )
    return found


def hidden(state):
    """h of a state, which may be h itself."""
    return getattr(state, "h", state)


def untrained():
    """{name: (cell, params, xs)} of the networks before training."""
    k_xs, k_params, k_matrix = jax.random.split(jax.random.key(FLAGS.seed), 3)
    size = FLAGS.hidden_size
    xs = jax.random.normal(k_xs, (FLAGS.num_steps, BATCH, 2)) * FLAGS.input_scale
    found = {}
    for radius in numbers("radii", float, 0):
        cell = seqjax.RNN(size, b_init=jax.nn.initializers.zeros)
        w_h = with_radius(jax.random.normal(k_matrix, (size, size)), radius)
        params = cell.init(k_params, 2)._replace(w_h=w_h)
        found[f"RNN, radius {radius:g}"] = cell, params, xs
    gru = seqjax.GRU(size)
    found["GRU"] = gru, gru.init(k_params, 2), xs
    for bias in numbers("forget_biases", float, -100):
        lstm = seqjax.LSTM(size, forget_bias=bias)
        found[f"LSTM, forget bias {bias:g}"] = lstm, lstm.init(k_params, 2), xs
    return found


def nearest_to_one(networks):
    """The name of the RNN that fades or explodes least; the GRU where there is none."""
    radii = numbers("radii", float, 0)
    nearest = min(radii, key=lambda radius: abs(radius - 1), default=None)
    return "GRU" if nearest is None else f"RNN, radius {nearest:g}"


def with_radius(matrix, radius):
    """The matrix, scaled so that the largest modulus of an eigenvalue is `radius`."""
    matrix = np.asarray(matrix, np.float64)
    largest = np.abs(np.linalg.eigvals(matrix)).max()
    return jnp.asarray(matrix * (radius / largest), jnp.float32)


def make_gradients(cell, params, xs):
    """xi [T] -> (dL/ds_t, gradient of the parameters) of L = sum_b <u_b, h_T,b>."""
    u = jax.random.normal(
        jax.random.key(FLAGS.seed), (xs.shape[1], cell.hidden_size), xs.dtype
    )
    u = u / jnp.linalg.norm(u, axis=-1, keepdims=True)  # [B, H]

    @jax.jit
    def gradients(params, xs, factors):
        def loss(state):
            return jnp.sum(u * hidden(state))

        return truncation.state_gradients(cell, params, xs, loss, factors)

    return lambda factors: gradients(params, xs, factors)


def norms_of(gradients):
    """dL/ds [T, B, H] -> the mean norm at each distance, [T]."""
    gradients = np.asarray(gradients, np.float64)  # float32 has no squares of 1e-25
    return np.linalg.norm(gradients, axis=-1).mean(axis=1)[::-1]


def measure(cell, params, xs):
    """The Norms of full backpropagation."""
    states, of_params = make_gradients(cell, params, xs)(jnp.ones(len(xs)))
    squares = sum(np.sum(np.asarray(g, np.float64) ** 2) for g in of_params)
    memory = norms_of(states.c) if hasattr(states, "c") else None
    of_parameters = float(np.sqrt(squares)) / xs.shape[1]
    return Norms(norms_of(hidden(states)), memory, of_parameters)


def measure_cuts(cell, params, xs):
    """{kind of backpropagation: norms [T], or [SHOWN, T]} of one network."""
    gradients, num_steps = make_gradients(cell, params, xs), len(xs)
    period, keep = FLAGS.backprop_steps or PERIOD, FLAGS.backprop_keep or KEEP
    keys = jax.random.split(jax.random.key(FLAGS.seed), DRAWS)

    def draw(key):
        factors = truncation.random_factors(key, num_steps, keep)
        return hidden(gradients(factors)[0])

    def add(total, key):  # a draw at a time: all of them would be gigabytes
        return total + draw(key) / DRAWS, None

    mean, _ = jax.lax.scan(add, jnp.zeros_like(draw(keys[0])), keys)
    full = gradients(jnp.ones(num_steps))[0]
    fixed = gradients(truncation.fixed_factors(num_steps, period))[0]
    return {
        "full": norms_of(hidden(full)),
        f"truncated every {period} steps": norms_of(hidden(fixed)),
        f"randomized (keep {keep:g}), single draws": np.stack(
            [norms_of(draw(key)) for key in keys[:SHOWN]]
        ),
        f"randomized, mean gradient of {DRAWS:,} draws": norms_of(mean),
    }


def table(found, cuts):
    """Tab-separated values: a line for each distance, a column for each curve."""
    columns = {}
    for name, norms in found.items():
        columns[name] = norms.hidden
        columns[f"{name}, clipped"] = norms.hidden * norms.clip_factor
        if norms.memory is not None:
            columns[f"{name}, memory c"] = norms.memory
    for name, norms in cuts.items():
        columns[f"by {name}"] = norms if norms.ndim == 1 else norms[0]
    lines = ["\t".join(["distance", *columns])]
    for d, row in enumerate(zip(*columns.values(), strict=True)):
        lines.append("\t".join([str(d), *(f"{x:.6g}" for x in row)]))
    return "\n".join(lines) + "\n"
