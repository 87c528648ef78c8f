"""Two short runs, and what they leave: the arrays, the metrics, the summary."""

import hashlib
import json
from pathlib import Path

import numpy as np

from seqjax.checkpoint import Checkpoints
from tests.sealed import is_whole
from tests.small_language_model import arrays

SMALL = (
    *("--hidden_size=2", "--epochs=2", "--log_every=2", "--checkpoint_every=1000"),
    *("--dropout=0.2", "--average_checkpoints=1", "--keep_last=1"),
)
RUNS = {
    "language_model": (
        *("--cell=rnn", "--embed_size=2", "--batch_size=4", "--num_steps=10"),
        *("--length=2", "--ngram_order=0", *SMALL),
    ),
    "classification": (
        *("--cell=rnn", "--embed_size=2", "--batch_size=8", "--nobidirectional"),
        *SMALL,
    ),
}
TIMES = ("seconds", "per_second")  # parts of names of what differs from run to run


def write_data(name: str, path: Path) -> Path:
    """The data of a run: a text, or documents of several lengths with labels."""
    rng = np.random.default_rng(0)
    if name == "language_model":
        path.write_text("".join(rng.choice(list("abcd \n"), 350)))
    else:
        lines = (
            f"{rng.choice(['x', 'y'])}\t{' '.join(rng.choice(list('abc'), size))}\n"
            for size in rng.choice([3, 12], 60)
        )
        path.write_text("".join(lines))
    return path


def left_by(workdir: Path) -> dict[str, object]:
    """Whatever must be equal, bit for bit, of two runs with the same settings."""
    found: dict[str, object] = {
        kind: digest(workdir / "checkpoints" / kind) for kind in ("last", "best")
    }
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    found["metrics"] = [timeless(json.loads(line)) for line in lines]
    found["summary"] = timeless(json.loads((workdir / "summary.json").read_text()))
    flags = (workdir / "flags.txt").read_text().splitlines()
    found["flags"] = [line for line in flags if not line.startswith("--workdir=")]
    found["vocab"] = (workdir / "vocab.json").read_bytes()
    return found


def digest(directory: Path) -> dict[str, str]:
    """The checksums of the arrays and the progress of the newest checkpoint."""
    newest = directory / str(Checkpoints(directory).steps()[-1])
    found = {
        name: hashlib.sha256(np.asarray(array).tobytes()).hexdigest()
        for name, array in arrays(newest).items()
    }
    progress = Checkpoints(directory).progress()
    return found | {"progress": str(timeless(progress))}


def timeless(numbers: dict[str, object]) -> dict[str, object]:
    return {k: v for k, v in numbers.items() if not any(t in k for t in TIMES)}


def damaged(workdir: Path) -> list[str]:
    """The checkpoints whose files do not match their checksums."""
    return [
        str(path.relative_to(workdir))
        for kind in ("last", "best")
        for path in sorted((workdir / "checkpoints" / kind).glob("*"))
        if path.name.isdigit() and not is_whole(path)
    ]
