"""Forecasts of time series: train several models, compare them, forecast on.

Examples:
    python -m experiments.forecasting
    python -m experiments.forecasting --dataset=airline --models=naive,linear,latent
    python -m experiments.forecasting --csv=my.csv --target=load --time_column=date
    python -m experiments.forecasting --mode=forecast --output=next.csv

Each model that is trained has a folder of its own in the workdir and may be added
later. Where --help, which all experiments share, says otherwise, `DEFAULTS` holds.
"""

import csv
import functools
import io
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from experiments import build, fit, forecast_figures, forecasters, run
from experiments.workdir import Workdir, restore_params
from seqjax import metrics, training
from seqjax.data import batching
from seqjax.data import series as data
from seqjax.nn.forecast_heads import forecast_all

FLAGS = flags.FLAGS
for module in (run, build, fit, forecasters):
    flags.adopt_module_key_flags(module)
flags.DEFINE_enum("mode", "train", ["train", "forecast"], "what to do")

# Data.
flags.DEFINE_string("dataset", "sine", "one of " + ", ".join(data.NAMES))
flags.DEFINE_string("csv", None, "a CSV file of your own, instead")
flags.DEFINE_list("target", None, "its columns to forecast (all but the time's)")
flags.DEFINE_string("time_column", None, "its column of dates or rising numbers")
flags.DEFINE_integer("period", None, "rows in a season", 1, 10**6)
flags.DEFINE_bool("standardize", True, "by mean and deviation of the training rows")

# Training: build.py and fit.py have the rest.
flags.DEFINE_integer("batch_size", 32, "windows in a minibatch", lower_bound=1)
flags.DEFINE_integer("epochs", 10, "passes over the windows", lower_bound=1)

# Use of the trained models.
flags.DEFINE_enum("checkpoint", "best", ["best", "last"], "best on validation, or last")
flags.DEFINE_string("output", None, "where the next values go (standard output)")

FREE_FLAGS = {
    *("workdir", "data_dir", "mode", "checkpoint_every", "checkpoint", "output"),
    *("models", "tau", "steps", "average_checkpoints"),  # a model's name tells its tau
    "csv",  # the checksum tells
}
DEFAULTS = {"cell": "gru", "hidden_size": 32, "dropout": 0.0, "eval_every": 5}
OWN_DEFAULTS = {  # by data set; those of "" are for a file of one's own
    "sine": {
        "models": ["linear", "mlp", "latent"],
        "tau": ["4", "16", "64"],
        "horizon": 64,
        "multistep": "recursive",
        "standardize": False,
        "epochs": 30,
        "eval_every": 10,
        "optimizer": "adamw",
        "learning_rate": 0.01,
        "weight_decay": 0.3,
    },
    "etth1": {"tau": ["336"], "horizon": 96, "segment": 24, "normalize": "last"},
    "airline": {"tau": ["24"], "horizon": 12, "epochs": 100},
    "sunspots": {"tau": ["132"], "horizon": 12},
    "temperatures": {"tau": ["60"], "horizon": 7},
    "": {"tau": ["24"], "horizon": 12, "epochs": 30},
}
COMMON = {"models": ["naive", "linear", "mlp", "direct"], "multistep": "direct"}


def main():
    settle_flags()
    with build.precision():
        {"train": train, "forecast": forecast}[FLAGS.mode]()


def settle_flags():
    """Defaults that depend on the data, and flags that do not go together."""
    own = run.choose("dataset", {name: OWN_DEFAULTS[name] for name in data.NAMES})
    if FLAGS.csv is not None:
        own = OWN_DEFAULTS[""]
    elif FLAGS.target is not None or FLAGS.time_column is not None:
        raise run.UserError("--target and --time_column need a --csv.")
    run.set_defaults({**DEFAULTS, **COMMON, **own})
    if FLAGS.optimizer != "adamw" and not FLAGS["weight_decay"].present:
        FLAGS.weight_decay = 0.0
    build.check_flags()
    forecasters.whole_numbers("steps")


# ---------------------------------------------------------------- data and files


def load_data():
    """(the series as the models see it, its Scaling or None)."""
    if FLAGS.csv is not None:
        series = data.load_csv(FLAGS.csv, FLAGS.target, FLAGS.time_column)
    else:
        series = data.load(FLAGS.dataset, FLAGS.data_dir, FLAGS.seed)
    series = series._replace(period=FLAGS.period or series.period)
    if FLAGS.standardize:
        return data.standardize(series)
    return series, None


def load_members(series):
    """The models of the flags, each of which the series is long enough for."""
    found = forecasters.members(series)
    for member in found:
        data.check_length(series, member.model.tau, FLAGS.horizon)
    return found


def note_gaps(series):
    gaps = data.time_gaps(series.times)
    if len(gaps):
        lines = ", ".join(str(row + 2) for row in gaps[:3])
        more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
        run.note(
            f"{series.name}: time makes another step than mostly before line {lines}"
            f"{more}; rows are read as successive."
        )


def open_workdir(name="", must_hold_a_run=False):
    """The run's folder, or that of one of its models."""
    free = set(FREE_FLAGS)
    if FLAGS.schedule in ("constant", "plateau"):  # the others are laid over the run
        free |= {"epochs"}
    module = sys.modules[__name__]
    workdir = Workdir(Path(run.workdir(module)) / name, module, free)
    if must_hold_a_run and not workdir.holds_a_run():
        raise run.UserError(f"{workdir.path} holds no run; train one there first.")
    workdir.check()
    return workdir


def rounded(number):
    return "" if number is None else f"{number:.4f}"


# ---------------------------------------------------------------- training


def train():
    workdir = open_workdir()
    series, scaling = load_data()
    team = load_members(series)
    names = {m.name for m in team if m.is_trained}
    names |= {path.parent.name for path in workdir.path.glob("*/flags.txt")}
    folders = {name: open_workdir(name) for name in sorted(names)}
    for folder in folders.values():  # of this run or added to before: one data set
        folder.check_data(series.sha256)
    note_gaps(series)
    key, seconds, found = jax.random.key(FLAGS.seed), 0.0, {}
    with workdir.open_for_training():
        for member in team:
            params = None
            if member.is_trained:
                print(member.name, flush=True)
                folder = folders[member.name]
                params, progress = train_member(member, series, folder)
                seconds += progress.seconds
            elif hasattr(member.model, "fit"):
                params = fit_linear(member, series)
            found[member.name] = forecasters.score(member, params, series, key)
        report(workdir, series, scaling, found, seconds)


def fit_linear(member, series):
    params = member.model.fit(series.values[slice(*series.train)])
    return jax.tree.map(lambda p: jnp.asarray(p, jnp.float32), params)


def train_member(member, series, folder):
    """(parameters, Progress) of a model, trained in a folder of its own."""
    model = member.model
    values = jnp.asarray(series.values, jnp.float32)
    starts = data.origins(series.train, model.tau, model.horizon) - model.tau
    num_rows = model.tau + model.horizon

    @functools.lru_cache(maxsize=1)
    def plan(epoch):
        rng = batching.epoch_rng(FLAGS.seed, epoch)
        return jnp.asarray(data.shuffled(rng, starts, FLAGS.batch_size))

    def get_batch(values, starts):
        return training.windows(values, starts, num_rows - 1)

    def loss_fn(params, carry, window, key):
        return model.loss(params, window, key), carry

    total_steps = FLAGS.epochs * len(plan(0))
    optimizer = build.optimizer(total_steps)
    job = fit.Job(
        training.make_train_loop(
            training.make_train_step(loss_fn, optimizer), get_batch
        ),
        values,
        plan,
        total_steps,
        validate=make_validation(model, values, series.valid, get_batch),
        criterion="valid_loss",
        measure="loss",
        measure_of=mean,
        unit="values",
    )
    state = build.state(model, optimizer)
    with folder.open_for_training():
        folder.write_vocab(series.columns, series.sha256)
        state, progress = fit.fit(job, folder, state)
        curve = folder.path / "learning_curve.png"
        run.draw_learning_curve(curve, folder.read_metrics(), "loss")
    params = state.params
    if FLAGS.checkpoint == "best":
        params = restore_params(folder, "best", state)
    return params, progress


def mean(total, count):
    return total / count


def make_validation(model, values, part, get_batch, batch_size=256):
    """state -> the mean loss over all windows of a part."""
    starts = data.origins(part, model.tau, model.horizon) - model.tau
    batches = [
        jnp.asarray(starts[i : i + batch_size], jnp.int32)
        for i in range(0, len(starts), batch_size)
    ]

    @jax.jit
    def loss(params, values, starts):
        return model.loss(params, get_batch(values, starts))

    def validate(state):
        totals, counts = zip(
            *(loss(state.params, values, starts) for starts in batches), strict=True
        )
        return {"valid_loss": sum(map(float, totals)) / sum(map(float, counts))}

    return validate


def report(workdir, series, scaling, found, seconds):
    """The tables, summary.json and the figure."""
    summary = {
        "models": {name: scores.numbers for name, scores in found.items()},
        "test_rows": series.test,
        "seconds": seconds,
        "dataset_sha256": series.sha256,
    }
    noise = None
    if FLAGS.csv is None and FLAGS.dataset == "sine" and scaling is None:
        begin, end = series.test
        noise = metrics.mse(data.sine_signal()[begin:end], series.values[begin:end])
        summary |= {"noise_variance": data.NOISE**2, "noise_in_test": noise}
    workdir.write_summary(summary)
    forecast_figures.draw(workdir.path / "forecasts.png", series, scaling, found)
    scale = "standardised data" if FLAGS.standardize else "data as they are"
    rows = []
    for name, scores in found.items():
        numbers = [scores.numbers[k] for k in ("mse", "mae", "mase", "coverage")]
        parameters = f"{scores.numbers['parameters']:,}"
        rows.append((name, parameters, *map(rounded, numbers)))
    run.print_columns(
        f"{series.name}, {FLAGS.horizon} steps, {scale}",
        ("model", "parameters", "MSE", "MAE", "MASE", "coverage"),
        rows,
    )
    print_steps(series, found, noise)
    print(f"training took {seconds:.1f} s; files in {workdir.path}")


def print_steps(series, found, noise):
    """MSE by how far ahead, over the same rows for every k."""
    steps = sorted({k for scores in found.values() for k in scores.steps})
    rows = []
    for name, scores in found.items():
        numbers = scores.numbers
        by_step = (numbers["k_step_mse"].get(str(k)) for k in steps)
        fails = numbers.get("fails_from_step")
        if scores.free is None:
            place = ""
        else:
            place = "never" if fails is None else series.test[0] + fails
        free = rounded(numbers.get("free_running_mse"))
        rows.append((name, *map(rounded, by_step), free, place))
    if noise is not None:
        rows.append(("the noise itself", *(rounded(noise) for _ in steps), "", ""))
    header = ("model", *(f"k = {k}" for k in steps), "free", "fails from t")
    run.print_columns(
        f"MSE k steps ahead, and free-running from t = {series.test[0]}", header, rows
    )
    times, width = forecasters.FAILING
    print(f"(fails: over {width} steps {times} times the one-step error)")


# ---------------------------------------------------------------- forecast


def forecast():
    """The values after the last row, as CSV, in the units of the data."""
    open_workdir(must_hold_a_run=True)
    series, scaling = load_data()
    rows = []
    for member in load_members(series):
        params = load_params(member, series)
        origin = np.array([len(series.values)])
        values = jnp.asarray(series.values, jnp.float32)
        key = jax.random.key(FLAGS.seed)
        found = forecast_all(member.model, params, values, origin, FLAGS.horizon, key)
        if scaling is not None:
            found = jax.tree.map(lambda a: a * scaling.std + scaling.mean, found)
        rows += csv_rows(member.name, series, found)
    write_csv(rows)


def load_params(member, series):
    if not member.is_trained:
        has_fit = hasattr(member.model, "fit")
        return fit_linear(member, series) if has_fit else None
    folder = open_workdir(member.name, must_hold_a_run=True)
    folder.check_data(series.sha256)
    template = build.state(member.model, build.optimizer(total_steps=1))
    return restore_params(folder, FLAGS.checkpoint, template)


def csv_rows(name, series, found):
    """Lines of model, step, time, column, forecast and the ends of the interval."""
    times = [""] * FLAGS.horizon
    if series.times is not None and len(series.times) > 1:
        kinds, counts = np.unique(np.diff(series.times), return_counts=True)
        step = kinds[counts.argmax()]
        times = [series.times[-1] + step * (i + 1) for i in range(FLAGS.horizon)]
    for h, time in enumerate(times):
        for d, column in enumerate(series.columns):
            numbers = [a if a is None else f"{a[h, 0, d]:.6g}" for a in found]
            yield (name, h + 1, time, column, *numbers)


def write_csv(rows):
    """To --output, whole or not at all, or to standard output."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("model", "step", "time", "column", "forecast", "lower", "upper"))
    writer.writerows(rows)
    if FLAGS.output is None:
        sys.stdout.write(text.getvalue())
        return
    partial = Path(f"{FLAGS.output}.partial")
    partial.write_text(text.getvalue(), encoding="utf-8")
    partial.replace(FLAGS.output)


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
