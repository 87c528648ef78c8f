"""Small runs of the translation command, for several test files."""

import numpy as np

from experiments.translation.__main__ import main
from tests import commands

SMALL = {
    "cell": "rnn",
    "bidirectional": False,
    "hidden_size": 24,
    "embed_size": 12,
    "batch_size": 16,
    "epochs": 2,
    "log_every": 5,
    "checkpoint_every": 1000,
    "decode_batch": 8,
    "min_freq": 1,
    "figures": 0,
}
WELL = (  # with few validations, which take most of the time
    *("--epochs=60", "--learning_rate=0.01", "--dropout=0", "--log_every=50"),
    *("--eval_every=10", "--cell=gru", "--bidirectional"),
    "--figures=1",
)
FAST = ("--max_length=14", "--beam_size=1", "--figures=0")
SENTENCES = b"red cat\nbig dog sees cat\ndog\nsees big red dog\n"
WORDS = {"red": "rouge", "big": "grand", "cat": "chat", "dog": "chien", "sees": "voit"}
SUMMARY_KEYS = {
    *("test_bleu", "test_bleu_signature", "test_chrf", "valid_perplexity"),
    *("sentences_per_second", "parameters", "seconds", "tokens_per_second"),
    *("dataset_sha256", "test_references", "best_step"),
}
BY_SOURCE = {"test_bleu_multi", "test_bleu_multi_signature"}  # where sources repeat


def write_pairs(path, number=300, longest=5):
    """Sentences of two words and more, translated word by word, the order reversed."""
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(number):
        words = rng.choice(list(WORDS), rng.integers(2, longest + 1))
        lines.append(f"{' '.join(words)}\t{' '.join(WORDS[w] for w in words[::-1])}")
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def train(corpus, workdir, *more):
    """A run of `SMALL` and other flags."""
    small = [f"--{name}={value}" for name, value in SMALL.items()]
    flags = f"--corpus={corpus}", f"--workdir={workdir}"
    return commands.run(main, *flags, *small, *more)


def use(workdir, mode, *more, stdin=b""):
    """A mode that uses a trained run."""
    flags = f"--mode={mode}", f"--workdir={workdir}"
    return commands.run(main, *flags, *more, stdin=stdin)
