"""Forecasters from flags: the models of a run, and their forecasts of a whole part."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import build, run
from seqjax import metrics
from seqjax.baselines.autoregressive import MLP, LinearAR, SeasonalNaive
from seqjax.data.corpora import unknown_name
from seqjax.data.series import windows
from seqjax.models.forecaster import Direct, Recursive
from seqjax.nn import forecast_heads

FLAGS = flags.FLAGS
flags.DEFINE_list(
    "models", None, "of naive, linear, mlp, latent, encoder_decoder, direct"
)
flags.DEFINE_list("tau", None, "values read; linear and mlp: for each, others the most")
flags.DEFINE_integer("horizon", None, "steps to forecast", 1, 10**5)
flags.DEFINE_list("steps", ["1", "4", "16", "64"], "k of the k-step errors")
flags.DEFINE_enum(
    "multistep",
    None,
    ["recursive", "direct"],
    "linear and mlp: feed forecasts back, or all steps at once",
)
flags.DEFINE_enum(
    "channels",
    "independent",
    ["joint", "independent"],
    "recurrent models read the columns together, or each alone",
)
flags.DEFINE_string("normalize", "none", "none, last or window: of each history")
flags.DEFINE_integer("segment", 1, "direct: values read in a step", 1)
flags.DEFINE_integer("mlp_size", 10, "units of the mlp's layer", 1, 10**6)
flags.DEFINE_bool("teacher_forcing", True, "latent, encoder_decoder: train on values")
flags.DEFINE_string("head", "point", "point, gaussian or quantiles")
flags.DEFINE_float("interval", 0.9, "share that an interval is to hold", 0.01, 0.999)

HEADS = {
    "point": lambda coverage: forecast_heads.POINT,
    "gaussian": forecast_heads.Gaussian,
    "quantiles": forecast_heads.Quantiles,
}
NORMALIZERS = {
    "none": forecast_heads.by_nothing,
    "last": forecast_heads.by_last,
    "window": forecast_heads.by_window,
}
FAILING = 2, 32  # times the one-step error, as the mean over so many steps


class Member(NamedTuple):
    """A model of the run, under the name its files and rows have."""

    name: str
    model: Any

    @property
    def is_trained(self):
        """Whether by gradient steps; the others are computed."""
        return hasattr(self.model, "loss")

    @property
    def runs_free(self):
        """Whether it goes on for as long as one likes."""
        model = self.model
        return isinstance(model, (SeasonalNaive, Recursive)) or model.horizon == 1


class Scores(NamedTuple):
    """Of one member on the test part; forecasts in the units it was trained on."""

    numbers: dict  # for summary.json
    steps: dict  # k: forecasts of each test row from k rows before, [rows, D]
    free: np.ndarray | None  # forecasts from the first test row on, [rows, D]
    windows: forecast_heads.Forecast  # one after the other, [horizon, n, D]


def whole_numbers(flag):
    """The list flag as rising integers of at least 1.

    Raises:
      UserError: for anything else.
    """
    try:
        numbers = sorted({int(text) for text in FLAGS[flag].value})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise run.UserError(
            f"--{flag} must be whole numbers of at least 1 joined by commas, got "
            f"{','.join(FLAGS[flag].value)!r}."
        )
    return numbers


def members(series):
    """The models that the flags describe.

    Raises:
      UserError: for names that are not there and flags that do not go together.
    """
    taus, horizon, found = whole_numbers("tau"), FLAGS.horizon, []
    head = run.choose("head", HEADS)(FLAGS.interval)
    normalize = run.choose("normalize", NORMALIZERS)
    outputs = 1 if FLAGS.multistep == "recursive" else horizon
    kind = (taus[-1], horizon, len(series.columns), FLAGS.channels, head, normalize)

    def recursive(**options):
        options["teacher_forcing"] = FLAGS.teacher_forcing
        return [Recursive(build.cell(), *kind, **options)]

    makers = {
        "naive": lambda: [SeasonalNaive(series.period)],
        "linear": lambda: [LinearAR(tau, outputs) for tau in taus],
        "mlp": lambda: [
            MLP(tau, outputs, FLAGS.mlp_size, head, normalize) for tau in taus
        ],
        "latent": recursive,
        "encoder_decoder": lambda: recursive(separate_decoder=True),
        "direct": lambda: [
            Direct(build.cell(), *kind, segment=FLAGS.segment, dropout=FLAGS.dropout)
        ],
    }
    for name in FLAGS.models:
        if name not in makers:
            near = unknown_name("model", name, list(makers))
            raise run.UserError(f"--models: {near}")
        try:
            models = makers[name]()
        except ValueError as error:
            raise run.UserError(f"--models={name}: {error}.") from None
        found += [Member(f"{name}_{model.tau}", model) for model in models]
    return found


def score(member, params, series, key):
    """The Scores of a member on the test part of a (standardised) series."""
    model, horizon = member.model, FLAGS.horizon
    begin, end = series.test
    steps = [k for k in whole_numbers("steps") if k <= horizon]
    values = jnp.asarray(series.values, jnp.float32)
    first = max(begin - max(steps, default=1) + 1, model.tau)
    origins = np.arange(first, end)
    found = forecast_heads.forecast_all(model, params, values, origins, horizon, key)

    inside = slice(begin - first, end - horizon + 1 - first)
    whole = jax.tree.map(lambda a: a[:, inside], found)
    truth = windows(series.values, origins[inside], horizon)  # [horizon, n, D]
    train = series.values[slice(*series.train)]
    numbers = {
        "mse": metrics.mse(whole.mean, truth),
        "mae": metrics.mae(whole.mean, truth),
        "mase": metrics.mase(whole.mean, truth, train, series.period),
        "coverage": None,
        "parameters": sum(p.size for p in jax.tree.leaves(params)),
    }
    if whole.lower is not None:
        numbers["coverage"] = metrics.coverage(whole.lower, whole.upper, truth)

    def k_steps_ahead(k):
        """Of each test row, from the origin k - 1 rows before it."""
        return found.mean[k - 1, begin - k + 1 - first : end - k + 1 - first]

    actual = series.values[begin:end]
    by_step = {k: k_steps_ahead(k) for k in steps if begin - k + 1 >= first}
    numbers["k_step_mse"] = {
        str(k): metrics.mse(forecast, actual) for k, forecast in by_step.items()
    }
    free = None
    if member.runs_free:
        start = np.array([begin])
        free = forecast_heads.forecast_all(
            model, params, values, start, end - begin
        ).mean[:, 0]
        numbers["free_running_mse"] = metrics.mse(free, actual)
        one_step = metrics.mse(k_steps_ahead(1), actual)
        times, width = FAILING
        errors = ((free - actual) ** 2).mean(axis=-1)
        place = metrics.fails_from(errors, times * one_step, width)
        numbers["fails_from_step"] = None if place is None else place + 1
    every = jax.tree.map(lambda a: a[:, ::horizon], whole)
    return Scores(numbers, by_step, free, every)
