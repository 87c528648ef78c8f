"""Cells and optimizers from flags, named alike in every experiment."""

import contextlib

import jax
import optax
from absl import flags

import seqjax
from experiments import run
from seqjax import training

FLAGS = flags.FLAGS
flags.DEFINE_string(
    "cell", "lstm", "rnn, rnn_relu, gru, gru_textbook, lstm or (by hand) numpy_rnn"
)
flags.DEFINE_integer("hidden_size", 256, "units a layer", 1, 10**6)
flags.DEFINE_integer("num_layers", 1, "layers", 1, 10**3)
flags.DEFINE_bool("bidirectional", False, "read in both directions")
flags.DEFINE_string("init", "uniform", "uniform (torch's), orthogonal or normal (0.01)")
flags.DEFINE_float("forget_bias", 0.0, "added to the LSTM's initial forget bias")
flags.DEFINE_float("dropout", 0.1, "of inputs, outputs and between layers", 0, 0.99)
flags.DEFINE_bool("locked_dropout", False, "drop the same units at every time step")
flags.DEFINE_bool("bfloat16", False, "make products in bfloat16, all else in float32")

flags.DEFINE_string("optimizer", "adam", "sgd, adam or adamw")
flags.DEFINE_float("learning_rate", 0.004, "at its highest", lower_bound=0)
flags.DEFINE_float("weight_decay", 0.0, "of adamw", lower_bound=0)
flags.DEFINE_string("schedule", "cosine", "constant, cosine, exponential or plateau")
flags.DEFINE_integer("warmup_steps", 100, "rising steps before the cosine", 0)
flags.DEFINE_float(
    "decay", 0.25, "factor: on a plateau, or by an exponential's end", 1e-9
)
flags.DEFINE_float("hold", 0.0, "share of the run before an exponential falls", 0, 0.99)
flags.DEFINE_float("clip_norm", 1.0, "largest global gradient norm; 0: any", 0)

INITIALIZERS = {
    "uniform": {},
    "orthogonal": {"w_h_init": jax.nn.initializers.orthogonal()},
    "normal": {
        "w_x_init": jax.nn.initializers.normal(0.01),
        "w_h_init": jax.nn.initializers.normal(0.01),
        "b_init": jax.nn.initializers.zeros,
    },
}
CELLS = {
    "rnn": lambda size, **init: seqjax.RNN(size, **init),
    "rnn_relu": lambda size, **init: seqjax.RNN(size, activation="relu", **init),
    "gru": lambda size, **init: seqjax.GRU(size, **init),
    "gru_textbook": lambda size, **init: seqjax.GRU(size, reset_after=False, **init),
    "lstm": lambda size, **init: seqjax.LSTM(size, FLAGS.forget_bias, **init),
}
SCHEDULES = {
    "constant": lambda rate, steps: rate,
    "plateau": lambda rate, steps: rate,  # the loop lowers it after a validation
    "cosine": lambda rate, steps: optax.warmup_cosine_decay_schedule(
        0.0, rate, min(FLAGS.warmup_steps, steps // 2), steps
    ),
    "exponential": lambda rate, steps: optax.exponential_decay(
        rate, (1 - FLAGS.hold) * steps, FLAGS.decay, round(FLAGS.hold * steps)
    ),
}
OPTIMIZERS = ("sgd", "adam", "adamw")


def check_flags():
    """Refuse names that are not there and flags that do not go together."""
    run.choose("init", INITIALIZERS)
    run.choose("schedule", SCHEDULES)
    run.choose("optimizer", dict.fromkeys(OPTIMIZERS))
    if FLAGS.weight_decay and FLAGS.optimizer != "adamw":
        raise run.UserError("--weight_decay needs --optimizer=adamw.")


def precision():
    """What --bfloat16 says of products, a context manager."""
    if FLAGS.bfloat16:
        return jax.default_matmul_precision("BF16_BF16_F32")
    return contextlib.nullcontext()


def initializers():
    """What --init says of the cells' weights: keyword arguments of a cell."""
    return run.choose("init", INITIALIZERS)


def layer(hidden_size, cells=CELLS):
    """The cell that the flags describe, by name out of `cells`."""
    return run.choose("cell", cells)(hidden_size, **initializers())


def cell(cells=CELLS, hidden_size=None):
    """The layers that the flags describe, of --hidden_size unless it is given."""
    one = layer(hidden_size or FLAGS.hidden_size, cells)
    if FLAGS.bidirectional:
        one = seqjax.Bidirectional(one)
    if FLAGS.num_layers == 1:
        return one
    layers = (one,) * FLAGS.num_layers
    return seqjax.Stack(layers, FLAGS.dropout, FLAGS.locked_dropout)


def optimizer(total_steps, accumulate=1):
    """The optimizer that the flags describe, its schedule laid over `total_steps`.

    Args:
      accumulate: minibatches whose mean gradient makes one update.
    """
    updates = max(1, total_steps // accumulate)
    schedule = run.choose("schedule", SCHEDULES)(FLAGS.learning_rate, updates)
    chosen = training.make_optimizer(
        FLAGS.optimizer, schedule, FLAGS.clip_norm or None, FLAGS.weight_decay
    )
    if accumulate == 1:
        return chosen
    return optax.MultiSteps(chosen, accumulate).gradient_transformation()


def state(model, optimizer):
    """The TrainState before the first step, where minibatches stand alone."""
    k_params, k_run = jax.random.split(jax.random.key(FLAGS.seed))
    return training.init_state(model.init(k_params), optimizer, None, k_run)
