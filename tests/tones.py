"""Recordings of tones, whose words are their pitches."""

import numpy as np

from seqjax.data import wav

TONES = {"low": 400, "mid": 1000, "high": 2200}  # Hz


def write_tones(folder, number=90, seed=0):
    """A folder of tones, one to three in a file, and its transcripts in three parts."""
    rng, lines = np.random.default_rng(seed), []
    folder.mkdir(exist_ok=True)
    for i in range(number):
        words = [list(TONES)[j] for j in rng.integers(0, 3, rng.integers(1, 3))]
        pieces = []
        for word in words:
            times = np.arange(int(rng.uniform(0.1, 0.14) * 8000)) / 8000
            turns = TONES[word] * rng.uniform(0.95, 1.05) * times
            pieces += [0.5 * np.sin(2 * np.pi * turns), np.zeros(400)]
        samples = np.concatenate(pieces)
        wav.write(folder / f"{i}.wav", samples + 0.01 * rng.normal(size=len(samples)))
        lines.append(f"{i}.wav\t{' '.join(words)}\n")
    for part, begin, end in (
        ("train", 0, -20),
        ("valid", -20, -10),
        ("test", -10, None),
    ):
        (folder / f"{part}.tsv").write_text("".join(lines[begin:end]))
    return flags_of(folder)


def flags_of(folder):
    paths = ",".join(str(folder / f"{part}.tsv") for part in ("train", "valid", "test"))
    return f"--wav_dir={folder}", f"--transcripts={paths}"
