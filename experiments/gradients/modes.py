"""The gradients command: measure untrained networks, train on tasks, measure again."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.common.console import print_columns, print_text
from experiments.common.recurrent import with_precision
from experiments.common.training_run import open_run
from experiments.common.workdir import Workdir
from experiments.gradients.config import Config
from experiments.gradients.figures import draw_norms, draw_tasks
from experiments.gradients.networks import name_of_stablest, untrained_networks
from experiments.gradients.norms import (
    Norms,
    measure_norms,
    measure_truncated,
    norms_table,
)
from experiments.gradients.training import TaskResult, task_networks, train_network

NORMS_TABLE, NORMS_FIGURE = "gradient_norms.tsv", "gradient_norms.png"
TASKS_FIGURE = "tasks.png"
FILES = (NORMS_TABLE, NORMS_FIGURE, TASKS_FIGURE)
DISTANCES = (1, 10, 50)  # in the printed table, and the largest


def open_workdir(config: Config, name: str = "") -> Workdir:
    """The folder of the run, or of the network `name` in it."""
    return open_run(config, FILES, path=Path(config.run.workdir) / name)


@with_precision
def run(config: Config) -> dict[str, Any]:
    """Measure gradient norms and train on the tasks; the entries of summary.json."""
    workdir = open_workdir(config)
    networks = task_networks(config)
    folders = [open_workdir(config, network.name) for network in networks]
    with workdir.open_for_training():
        norms = report_norms(config, workdir)
        results = []
        for network, folder in zip(networks, folders, strict=True):
            print(network.name, flush=True)
            results.append(train_network(config, network, folder))
        if results:
            report_tasks(workdir, results)
        summary = {
            "norms": {name: found.summary() for name, found in norms.items()},
            "tasks": {result.network.name: result.numbers for result in results},
            "seconds": sum(result.numbers["seconds"] for result in results),
        }
        workdir.write_summary(summary)
    print(f"files in {workdir.path}")
    return summary


def report_norms(config: Config, workdir: Workdir) -> dict[str, Norms]:
    """{name: Norms} of the untrained networks, also drawn, written and printed."""
    seed, clip_norm = config.run.seed, config.optimizer.clip_norm
    networks = untrained_networks(config.norms, config.model.hidden_size, seed)
    found = {
        name: measure_norms(network, seed, clip_norm)
        for name, network in networks.items()
    }
    chosen = name_of_stablest(config.norms)
    truncated = measure_truncated(networks[chosen], config.backprop, seed)
    workdir.write(NORMS_TABLE, norms_table(found, truncated))
    draw_norms(workdir.file(NORMS_FIGURE), found, truncated, chosen, clip_norm)
    last = config.norms.num_steps - 1
    distances = [*(d for d in DISTANCES if d < last), last]
    rows = []
    for name, norms in found.items():
        shown = (f"{norms.hidden[d]:.1e}" for d in distances)
        factor, clip = f"{norms.per_step:.3f}", f"{norms.clip_factor:.1e}"
        rows.append((name, *shown, factor, f"{norms.of_parameters:.1e}", clip))
    header = (
        *("network", *(f"T - t = {d}" for d in distances)),
        *("per step", "all parameters", "clip factor"),
    )
    print_columns("Norm of dL/dh_t for L = <u, h_T>", header, rows)
    return found


def report_tasks(workdir: Workdir, results: Sequence[TaskResult]) -> None:
    """Print the table of the tasks and draw their figure."""
    sections: dict[str, list[Any]] = {}
    for network, numbers, *_ in results:
        since, right = numbers["solved_from_step"], numbers.get("test_right")
        row = (
            network.cell_name,
            f"{numbers['test_loss']:.5f}",
            f"{numbers['baseline']:.5f}",
            "" if right is None else f"{right:.1%}",
            "yes" if numbers["solved"] else "no",
            "" if since is None else f"{since:,}",
            f"{numbers['seconds']:.0f}",
        )
        sections.setdefault(network.title, []).append(row)
    header = ("cell", "loss", "baseline", "right", "solved", "from step", "seconds")
    print_columns("Tasks, on held-out sequences", header, sections)
    goals = {network.title.split(",")[0]: network.task.goal for network, *_ in results}
    meaning = ", ".join(f"{goal} for {task}" for task, goal in goals.items())
    print_text(f"(Solved means {meaning}.)")
    draw_tasks(workdir.file(TASKS_FIGURE), results)
