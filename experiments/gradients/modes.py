"""Backpropagation through time laid open: how gradients fade, and what that costs.

Examples:
    python -m experiments.gradients
    python -m experiments.gradients --tasks= --input_scale=1 --workdir=runs/bent
    python -m experiments.gradients --tasks=adding --lengths=50,100,200 --epochs=50

First the norm of dL/dh_t against T - t for L = <u, h_T>, u a random unit vector, in
networks before training: RNNs whose recurrent matrix has the spectral radii of --radii,
a GRU, LSTMs with the biases of --forget_biases. Then the synthetic tasks: each of
--cells is trained, in a folder of its own, on each of --tasks at each of --lengths, and
solves it or does not; and the norms again, in the trained networks. Where --help, which
all experiments share, says otherwise, `DEFAULTS` holds.
"""

import sys
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags

from experiments import (
    backprop,
    build,
    fit,
    gradient_figures,
    gradient_norms,
    run,
    tasks,
)
from experiments.workdir import Workdir
from seqjax.data.corpora import unknown_name

FLAGS = flags.FLAGS
for module in (run, build, fit, backprop, gradient_norms):
    flags.adopt_module_key_flags(module)
flags.DEFINE_list("tasks", ["adding", "copy"], "of adding, copy; empty: none")
flags.DEFINE_list("lengths", ["50"], "steps to add over, or between hearing and saying")
flags.DEFINE_list("cells", ["rnn", "gru", "lstm"], "names as of --cell")
flags.DEFINE_integer("batch_size", 32, "sequences in a minibatch", lower_bound=1)
flags.DEFINE_integer("epochs", 20, f"of {tasks.EPOCH} minibatches, all new", 1)

FREE_FLAGS = {
    *("workdir", "data_dir", "checkpoint_every", "average_checkpoints"),
    *("radii", "forget_biases", "num_steps", "input_scale"),
    *("tasks", "lengths", "cells"),  # the names of folders tell them
}
DEFAULTS = {
    "hidden_size": 64,
    "dropout": 0.0,
    "forget_bias": 1.0,
    "schedule": "constant",
    "learning_rate": 0.002,
}
ALONE = {"cell": "lstm", "num_layers": 1, "bidirectional": False, "dropout": 0.0}


def main():
    settle_flags()
    with build.precision():
        lay_open()


def settle_flags():
    """Defaults of this command, and flags that do not go together."""
    run.set_defaults(DEFAULTS)
    for name, value in ALONE.items():
        if FLAGS[name].value != value:
            raise run.UserError(
                f"--{name}={FLAGS[name].value} is not for this command: its networks "
                f"are single layers, --cells, in one direction, without dropout."
            )
    build.check_flags()
    backprop.check_flags()
    for flag in ("cells", "lengths"):
        if FLAGS.tasks and not FLAGS[flag].value:
            raise run.UserError(f"--{flag} names no {flag.removesuffix('s')}.")
    for flag, options in (("cells", build.CELLS), ("tasks", tasks.TASKS)):
        for name in FLAGS[flag].value:
            if name not in options:
                sentence = unknown_name(flag.removesuffix("s"), name, list(options))
                raise run.UserError(f"--{flag}: {sentence}")


def open_workdir(name=""):
    """The run's folder, or that of one network."""
    free = set(FREE_FLAGS)
    if FLAGS.schedule in ("constant", "plateau"):  # the others are laid over the run
        free |= {"epochs"}
    module = sys.modules[__name__]
    workdir = Workdir(Path(run.workdir(module)) / name, module, free)
    workdir.check()
    return workdir


def lay_open():
    workdir = open_workdir()
    networks = gradient_norms.untrained()
    team = members()
    folders = {member.name: open_workdir(member.name) for member in team}
    with workdir.open_for_training():
        norms = report_norms(workdir, networks)
        results = {}
        for member in team:
            print(member.name, flush=True)
            results[member] = train_member(member, folders[member.name])
        if team:
            report_tasks(workdir, results)
        workdir.write_summary(
            {
                "norms": {name: found.summary() for name, found in norms.items()},
                "tasks": {m.name: r.numbers for m, r in results.items()},
                "seconds": sum(r.numbers["seconds"] for r in results.values()),
            }
        )
    print(f"files in {workdir.path}")


# ---------------------------------------------------------------- norms


def report_norms(workdir, networks):
    """{name: Norms}, with the figure, the numbers and the table of them."""
    found = {name: gradient_norms.measure(*net) for name, net in networks.items()}
    chosen = gradient_norms.nearest_to_one(networks)
    cuts = gradient_norms.measure_cuts(*networks[chosen])
    workdir.write("gradient_norms.tsv", gradient_norms.table(found, cuts))
    path = workdir.path / "gradient_norms.png"
    gradient_figures.draw_norms(path, found, cuts, chosen, FLAGS.clip_norm)
    distances = [d for d in (1, 10, 50) if d < FLAGS.num_steps - 1]
    distances.append(FLAGS.num_steps - 1)
    rows = []
    for name, norms in found.items():
        shown = (f"{norms.hidden[d]:.1e}" for d in distances)
        factor, clip = f"{norms.per_step:.3f}", f"{norms.clip_factor:.1e}"
        rows.append((name, *shown, factor, f"{norms.of_parameters:.1e}", clip))
    header = (
        *("network", *(f"T - t = {d}" for d in distances)),
        *("a step", "all parameters", "clipped by"),
    )
    run.print_columns("Norm of dL/dh_t, 1 at T", header, rows)
    return found


# ---------------------------------------------------------------- tasks


class Member(NamedTuple):
    """A network of the run, under the name its folder has."""

    name: str
    title: str  # of the task
    cell_name: str
    task: Any


class Result(NamedTuple):
    """What came of a member."""

    numbers: dict  # for summary.json
    metrics: list  # the lines of metrics.jsonl
    norms: gradient_norms.Norms


def members():
    """Every cell on every task at every length."""
    found = []
    for task_name in dict.fromkeys(FLAGS.tasks):
        for length in gradient_norms.numbers("lengths", int, 2):
            for cell_name in dict.fromkeys(FLAGS.cells):
                make = build.CELLS[cell_name]
                cell = make(FLAGS.hidden_size, **build.initializers())
                task = tasks.TASKS[task_name](cell, length)
                name = f"{task_name}_{length}_{cell_name}"
                title = f"{task_name}, length {length}"
                found.append(Member(name, title, cell_name, task))
    return found


def train_member(member, folder):
    """The Result of one network, from its folder's last checkpoint on."""
    task = member.task
    params, progress = tasks.train(task, folder)
    metrics = folder.read_metrics()
    test = tasks.make_score(task, *tasks.TEST)(params)
    inputs = tasks.draw_batches(task, tasks.TEST[0], 1, gradient_norms.BATCH)[0][0]
    xs = task.features(inputs)
    norms = gradient_norms.measure(task.cell, params.cell, xs)
    numbers = {
        **{f"test_{name}": value for name, value in test.items()},
        "baseline": task.baseline,
        "solved": bool(task.is_solved(test)),
        "solved_from_step": tasks.solved_from(task, metrics),
        "steps": progress.step,
        "parameters": sum(p.size for p in jax.tree.leaves(params)),
        "seconds": progress.seconds,
        **norms.summary(),
    }
    return Result(numbers, metrics, norms)


def report_tasks(workdir, results):
    """The table and the figure of the tasks."""
    sections, figures = {}, {}
    for member, result in results.items():
        numbers, since = result.numbers, result.numbers["solved_from_step"]
        right = numbers.get("test_right")
        row = (
            *(member.cell_name, f"{numbers['test_loss']:.5f}"),
            *(f"{numbers['baseline']:.5f}", "" if right is None else f"{right:.1%}"),
            "yes" if numbers["solved"] else "no",
            *("" if since is None else f"{since:,}", f"{numbers['seconds']:.0f}"),
        )
        sections.setdefault(member.title, []).append(row)
        _, cells = figures.setdefault(member.title, (numbers["baseline"], {}))
        cells[member.cell_name] = result.metrics, result.norms
    header = ("cell", "loss", "baseline", "right", "solved", "from step", "seconds")
    run.print_columns("Tasks, on sequences not seen before", header, sections)
    goals = {member.title.split(",")[0]: member.task.goal for member in results}
    print("(solved: " + "; ".join(": ".join(goal) for goal in goals.items()) + ")")
    gradient_figures.draw_tasks(workdir.path / "tasks.png", figures)


if __name__ == "__main__":
    run.launch(main, sys.modules[__name__])
