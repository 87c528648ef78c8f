"""How a training step scales over simulated devices and over processes on loopback.

    python -m experiments.benchmarks.scaling
    python -m experiments.benchmarks.scaling --quick

A language model is trained at one global minibatch on 1, 2, 4 and 8 simulated devices
of one process, and by 1, 2 and 4 processes of one device each. All share the cores of
this machine, so the time of a step cannot fall; what is measured is what the split
costs. The table shows medians:

  ms/step       of the whole training step
  collectives   of the sum of all gradients over the devices, alone
  MFLOP         that each device computes, and its share of one device's
  MB            that the collectives of the compiled step produce on each device
"""

import contextlib
import dataclasses
import json
import os
import socket
import statistics
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from experiments.benchmarks.config import BenchmarkConfig, format_shape, parse_shapes
from experiments.benchmarks.results import check_json, format_number, write_json
from experiments.common import activity
from experiments.common.command_line import launch
from experiments.common.console import print_columns
from experiments.common.errors import UserError
from experiments.common.settings import setting

LETTERS = "BxTxHxV"
MODULE = "experiments.benchmarks.scaling_step"
DEADLINE = 600  # seconds of one layout
TOLERANCE = 1e-5  # of the loss after some steps


class Layout(NamedTuple):
    """How many processes there are, and how many devices each has."""

    processes: int
    devices: int

    @property
    def name(self) -> str:
        if self.processes == 1:
            return f"1 process, {self.devices} devices"
        return f"{self.processes} processes"


LAYOUTS = (*(Layout(1, n) for n in (1, 2, 4, 8)), Layout(2, 1), Layout(4, 1))
QUICK = (Layout(1, 1), Layout(1, 2), Layout(2, 1))


@dataclasses.dataclass(frozen=True)
class Config(BenchmarkConfig):
    """The settings of this benchmark."""

    shapes: tuple[str, ...] = setting(
        ("32x35x256x10000",), f"Shapes {LETTERS} to measure, joined by commas."
    )
    rounds: int = setting(3, "Number of starts of each layout.", minimum=1)
    steps: int = setting(10, "Number of timed steps of each start.", minimum=1)
    json: str = setting(
        "runs/benchmarks/scaling.json", "JSON file for all measured numbers."
    )

    @classmethod
    def defaults(cls, given: Mapping[str, Any]) -> Self:
        """A small shape, once, with --quick."""
        if not given.get("quick"):
            return cls()
        return cls(shapes=("8x10x32x200",), rounds=1, steps=3)


def measure_once(layout: Layout, shape: tuple[int, ...], steps: int) -> dict[str, Any]:
    """What process 0 of a layout prints."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    flags = [f"--sizes={','.join(map(str, shape))}", f"--steps={steps}"]
    number = layout.processes * layout.devices
    if number > 1:
        flags.append(f"--mesh=data:{number}")
    if layout.processes > 1:
        meet = f"--coordinator=127.0.0.1:{port}"
        flags += [meet, f"--num_processes={layout.processes}"]
    count = f"--xla_force_host_platform_device_count={layout.devices}"
    environment = os.environ | {"XLA_FLAGS": count, "JAX_PLATFORMS": "cpu"}
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", MODULE, *flags, f"--process_id={i}"],
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for i in range(layout.processes)
        ]
        for process in processes:
            stack.callback(process.kill)
        out, err = processes[0].communicate(timeout=DEADLINE)
    if processes[0].returncode:
        raise UserError(f"{layout.name}: {err.strip()}")
    return json.loads(
        out.rstrip("\n").rpartition("\n")[2]
    )  # gloo prints lines of its own


def measure(config: Config, shape: tuple[int, ...]) -> dict[str, Any]:
    """The record of a shape.

    Raises:
      UserError: if the layouts do not compute the same losses.
    """
    layouts = QUICK if config.quick else LAYOUTS
    found: dict[Layout, list[dict[str, Any]]] = {layout: [] for layout in layouts}
    for _ in range(config.rounds):
        for layout in layouts:
            found[layout].append(measure_once(layout, shape, config.steps))
    expected = found[layouts[0]][0]["loss"]
    for layout, records in found.items():
        loss = records[0]["loss"]
        if not abs(loss - expected) <= TOLERANCE * abs(expected):
            raise UserError(f"{layout.name}: the loss is {loss}, not {expected}.")
    return {
        "shape": format_shape(shape),
        "layouts": {layout.name: summarized(r) for layout, r in found.items()},
    }


def summarized(records: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians of the times of several starts, and their spread."""
    times = sorted(record["seconds"] for record in records)
    alone = statistics.median(record["collective_seconds"] for record in records)
    return {
        **records[0],
        "seconds": statistics.median(times),
        "seconds_low": times[0],
        "seconds_high": times[-1],
        "collective_seconds": alone,
    }


def print_record(record: dict[str, Any]) -> None:
    rows = []
    one = record["layouts"][LAYOUTS[0].name]
    for name, found in record["layouts"].items():
        size = sum(kind["bytes"] for kind in found["collectives"].values())
        spread = f"({1e3 * found['seconds_low']:.1f}-{1e3 * found['seconds_high']:.1f})"
        rows.append(
            (
                name,
                format_number(1e3 * found["seconds"]),
                spread,
                format_number(1e3 * found["collective_seconds"]),
                format_number(found["flops"] / 1e6),
                format_number(found["flops"] / one["flops"], 3),
                format_number(size / 1e6, 2),
            )
        )
    titles = ("layout", "ms/step", "", "collectives", "MFLOP", "share", "MB")
    print_columns(f"{LETTERS} {record['shape']}", titles, rows)


def benchmark(config: Config) -> dict[str, Any]:
    """Measure all shapes; the content of the JSON file's results."""
    check_json(config.json)
    activity.begin("measuring")
    records = []
    for shape in parse_shapes(config.shapes, LETTERS):
        records.append(measure(config, shape))
        print_record(records[-1])
    layouts = records[0]["layouts"]
    ratio = (
        layouts["1 process, 2 devices"]["seconds"] / layouts["2 processes"]["seconds"]
    )
    print(f"throughput of 2 processes beside 2 devices of one: {ratio:.2f}")
    summary = {"two_processes_beside_two_devices": ratio}
    write_json("scaling", config, records, summary)
    return summary


def main(argv: list[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    launch(__doc__, Config, {"measure": benchmark}, argv)


if __name__ == "__main__":
    main()
