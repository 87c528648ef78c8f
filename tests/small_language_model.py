"""A small run of the language model command, for several test files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from experiments.language_model.__main__ import main
from tests import quick

ROOT = Path(__file__).parent.parent
SUMMARY_KEYS = {
    *("train_perplexity", "valid_perplexity", "test_perplexity", "sample"),
    *("bits_per_character", "tokens_per_second", "parameters", "seconds", "best_step"),
    *("dataset_sha256", "kneser_ney_perplexity"),
    *("perplexity_per_word", "bits_per_byte"),
}


SMALL = (
    *(
        "--cell=rnn",
        "--hidden_size=12",
        "--embed_size=8",
        "--batch_size=4",
        "--num_steps=10",
    ),
    *("--epochs=2", "--length=20", "--log_every=7", "--checkpoint_every=1000"),
)


UNSTABLE = (
    *("--cell=rnn_relu", "--optimizer=sgd", "--clip_norm=0", "--schedule=constant"),
)


PLAIN = (
    *("--cell=lstm", "--optimizer=sgd", "--learning_rate=1", "--embed_size=12"),
    *("--epochs=1", "--temperature=1"),
)


def write_corpus(path):
    """A file of 2,400 characters with some structure to learn."""
    rng = np.random.default_rng(0)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "ran", "Émile", "\n"]
    text = " ".join(rng.choice(words, 800))[:2400]
    path.write_text(text, encoding="utf-8")
    return path


def command(*argv):
    """Run the command in this process; its exit code."""
    try:
        main(list(argv))
    except SystemExit as stop:
        return stop.code or 0
    return 0


def train(corpus, workdir, *more):
    return command(f"--corpus={corpus}", f"--workdir={workdir}", *SMALL, *more)


def saved_steps(workdir):
    return sorted(int(p.name) for p in (workdir / "checkpoints" / "last").iterdir())


def arrays(checkpoint):
    """The arrays of a checkpoint, read without the project's code."""
    return load_file(checkpoint / "state.safetensors")


def start(corpus, workdir, *more, stdout=subprocess.DEVNULL):
    """The command as a process of its own, its stderr in a file beside the workdir.

    It compiles as this process does: their numbers are compared.
    """
    argv = [sys.executable, "-m", "experiments.language_model", *SMALL, *more]
    with open(f"{workdir}.err", "w") as err:
        return subprocess.Popen(
            [*argv, f"--corpus={corpus}", f"--workdir={workdir}"],
            cwd=ROOT,
            env=os.environ | {"XLA_FLAGS": quick.XLA_FLAGS},
            stdout=stdout,
            stderr=err,
        )


def kill_after(process, workdir, num_lines, number=signal.SIGKILL):
    """Send a signal once metrics.jsonl has so many lines; the exit code."""
    deadline = time.monotonic() + 60
    metrics = workdir / "metrics.jsonl"
    while not metrics.exists() or metrics.read_text().count("\n") < num_lines:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline, "the run is too slow to be killed"
        time.sleep(0.002)
    process.send_signal(number)
    return process.wait()


def refused(capsys, *argv, code=2):
    """The one sentence that a command ends with."""
    capsys.readouterr()
    assert command(*argv) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


def write(path, content):
    path.write_bytes(content)
    return path
