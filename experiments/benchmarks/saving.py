"""What checkpoints cost: whole runs of the default language model.

    python -m experiments.benchmarks.saving
    python -m experiments.benchmarks.saving --quick

  never    one checkpoint at the end
  often    a checkpoint every 100 minibatches as well
  resumed  a run that is finished but for one minibatch, started again

The runs are processes of their own, in turns. The table shows medians of the seconds of
training with compilation, their spread, and the share that saving adds. For resumed it
shows the seconds from the start of the process to the end of the compilation, beside
those of a fresh start.
"""

import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.benchmarks.config import BenchmarkConfig
from experiments.benchmarks.results import check_json, format_number, write_json
from experiments.common import activity
from experiments.common.command_line import launch
from experiments.common.console import print_columns
from experiments.common.errors import UserError
from experiments.common.settings import setting

NEVER = 10**9
TOKENS = 768  # of a minibatch of the default language model
COMPILED = "compiling the training step took"


@dataclasses.dataclass(frozen=True)
class Config(BenchmarkConfig):
    """The settings of this benchmark."""

    rounds: int = setting(5, "Number of runs of each arm.", minimum=1)
    steps: int = setting(1000, "Number of minibatches of a run.", minimum=2)
    every: int = setting(100, "Number of minibatches between checkpoints.", minimum=1)
    json: str = setting(
        "runs/benchmarks/saving.json", "JSON file for all measured numbers."
    )


def train(workdir: Path, steps: int, every: int) -> tuple[float, float]:
    """(seconds of training, seconds until the training step was compiled).

    Raises:
      UserError: if the run fails.
    """
    flags = (
        *(f"--workdir={workdir}", f"--train_tokens={TOKENS * steps}", "--length=1"),
        *(f"--checkpoint_every={every}", "--checkpoint_minutes=1000000"),
        *("--eval_every=1000000", "--ngram_order=0", "--schedule=constant"),
    )
    begin, compiled = time.perf_counter(), 0.0
    with subprocess.Popen(
        [sys.executable, "-m", "experiments.language_model", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        for line in process.stdout:
            if line.startswith(COMPILED):
                compiled = time.perf_counter() - begin
        error = process.stderr.read()
    if process.returncode:
        raise UserError(f"a run failed: {error.strip()}")
    summary = json.loads((workdir / "summary.json").read_text(encoding="utf-8"))
    return summary["seconds"], compiled


def benchmark(config: Config) -> dict[str, Any]:
    """Measure all arms; the summary of the JSON file."""
    check_json(config.json)
    activity.begin("measuring")
    steps, rounds = (20, 1) if config.quick else (config.steps, config.rounds)
    every = min(config.every, max(1, steps // 4))
    found: dict[str, list[float]] = {
        "never": [],
        "often": [],
        "fresh": [],
        "resumed": [],
    }
    with tempfile.TemporaryDirectory(prefix="seqjax-") as name:
        train(Path(name, "compiled"), 2, NEVER)
        for number in range(rounds):
            never, often = Path(name, f"never{number}"), Path(name, f"often{number}")
            seconds, compiled = train(never, steps, NEVER)
            found["never"].append(seconds)
            found["fresh"].append(compiled)
            found["often"].append(train(often, steps, every)[0])
            found["resumed"].append(train(never, steps + 1, NEVER)[1])
    medians = {arm: statistics.median(values) for arm, values in found.items()}
    summary = {
        "share_of_saving": medians["often"] / medians["never"] - 1,
        "resumed_minus_fresh": medians["resumed"] - medians["fresh"],
    }
    print_columns(
        f"{steps} minibatches, a checkpoint every {every}",
        ("arm", "seconds", ""),
        [row(arm, values) for arm, values in found.items()],
    )
    print(
        f"saving adds {100 * summary['share_of_saving']:.1f} %; a resumed run begins "
        f"{summary['resumed_minus_fresh']:.1f} s later than a fresh one"
    )
    write_json("saving", config, [found], summary)
    return summary


def row(arm: str, values: Sequence[float]) -> tuple[str, str, str]:
    low, high = format_number(min(values), 2), format_number(max(values), 2)
    return arm, format_number(statistics.median(values), 2), f"({low}-{high})"


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command with these arguments, by default those of the process."""
    launch(__doc__, Config, {"measure": benchmark}, argv)


if __name__ == "__main__":
    main()
