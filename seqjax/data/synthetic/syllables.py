"""Spoken digits from a formant synthesizer: recordings for speech recognition.

    source          pulses at the pitch of the voice, and white noise
    filter          three formants for the pulses, one broad band for the noise
    a sound         the loudness of each source, formants and band, a duration
    a word          a few sounds, with smooth transitions
    an utterance    one to three words of one voice, with pauses and background noise

Voices differ in pitch, in the length of the vocal tract (which scales all formants), in
tempo and in spectral tilt. Every word is said a little differently each time. No voice
is in two of the three parts, so that a recognizer must generalize to new voices.

The speech is not natural: a model trained on it does not recognize people. The vowels
are those of American English (Peterson and Barney, "Control methods used in a study of
the vowels", Journal of the Acoustical Society of America 24, 1952); all other values
were set by ear.

Source of the model: Fant, "Acoustic theory of speech production", 1960.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

RATE = 8000
HOP = 64  # samples between two filters
FFT = 256

# Formants in Hz of vowels and of voiced consonants.
VOWELS = {
    "ee": (270, 2290, 3010),
    "i": (390, 1990, 2550),
    "e": (530, 1840, 2480),
    "u": (640, 1190, 2390),
    "o": (570, 840, 2410),
    "oo": (300, 870, 2240),
    "a": (730, 1090, 2440),
    "r": (400, 1150, 1600),
    "w": (300, 650, 2200),
    "n": (250, 1350, 2300),
    "v": (260, 1100, 2200),
    "z": (260, 1500, 2500),
}
VOICE = {"r": 0.7, "w": 0.7, "n": 0.5, "v": 0.35, "z": 0.35}  # loudness; a vowel has 1
# Loudness, center and half width in Hz of the noise of a sound.
NOISES = {
    "s": (0.5, 3600, 500),
    "z": (0.3, 3600, 500),
    "f": (0.16, 2400, 1500),
    "v": (0.08, 2400, 1500),
    "th": (0.14, 3000, 700),
    "t!": (0.6, 3300, 900),  # bursts
    "k!": (0.5, 1700, 500),
}
SECONDS = {"t": 0.05, "k": 0.05, "t!": 0.024, "k!": 0.03, "r": 0.06, "w": 0.07}
OTHERWISE = {True: 0.11, False: 0.08}  # of other vowels, and of other consonants
WORDS = {
    "zero": "z i r o oo",
    "one": "w u n",
    "two": "t t! oo",
    "three": "th r ee",
    "four": "f o r",
    "five": "f a i v",
    "six": "s i k k! s",
    "seven": "s e v u n",
    "eight": "e i t t!",
    "nine": "n a i n",
}
MOST_WORDS = 3
VOICES = {"train": 60, "valid": 12, "test": 12}


Spoken = tuple[str, tuple[str, ...], np.ndarray]  # voice's name, words, samples


class Voice(NamedTuple):
    """The properties of a speaker."""

    name: str
    pitch: float  # Hz
    tract: float  # factor on all formants
    tempo: float  # factor on all durations
    tilt: float  # dB per octave above 500 Hz
    room: float  # standard deviation of the background noise


def corpus(
    num_train: int = 1200, num_held_out: int = 120, seed: int = 0
) -> dict[str, list[Spoken]]:
    """Utterances in three parts; see the module.

    Args:
      num_train: the number of training utterances.
      num_held_out: the number of validation utterances, and of test utterances.
      seed: an integer.

    Returns:
      {"train", "valid", "test": lists of (voice's name, words, float32 samples [N])}.

    Example:
      >>> name, words, samples = corpus(10, 5)["test"][0]
      >>> name
      'test_0'
    """
    parts = {}
    for index, (part, number) in enumerate(VOICES.items()):
        rng = np.random.default_rng([seed, index])
        voices = [_voice(f"{part}_{i}", rng) for i in range(number)]
        wanted = num_train if part == "train" else num_held_out
        parts[part] = [utterance(voices[i % number], rng) for i in range(wanted)]
    return parts


def _voice(name: str, rng: np.random.Generator) -> Voice:
    return Voice(
        name,
        pitch=float(np.exp(rng.uniform(np.log(90), np.log(240)))),
        tract=float(rng.uniform(0.86, 1.18)),
        tempo=float(rng.uniform(0.8, 1.2)),
        tilt=float(rng.uniform(-9, -3)),
        room=float(10 ** rng.uniform(-3, -1.7)),
    )


def utterance(
    voice: Voice, rng: np.random.Generator, words: tuple[str, ...] | None = None
) -> Spoken:
    """An utterance of `words`; None draws one to three words."""
    if words is None:
        drawn = rng.choice(list(WORDS), int(rng.integers(1, MOST_WORDS + 1)))
        words = tuple(str(word) for word in drawn)
    pieces = [np.zeros(int(rng.uniform(0.03, 0.12) * RATE))]
    for word in words:
        pieces.append(say(WORDS[word].split(), voice, rng))
        pieces.append(np.zeros(int(rng.uniform(0.02, 0.12) * RATE)))
    samples = np.concatenate(pieces)
    samples += voice.room * rng.normal(size=len(samples))
    loudness = 10 ** rng.uniform(-1.2, -0.2)
    return voice.name, words, (loudness * np.clip(samples, -1, 1)).astype(np.float32)


def say(sounds: Sequence[str], voice: Voice, rng: np.random.Generator) -> np.ndarray:
    """The samples of the sounds of a word, float64 [N], with a maximum of 0.7."""
    tracks = _tracks(sounds, voice, rng)
    steps = len(tracks)
    source = np.zeros((2, (steps - 1) * HOP + FFT // 2))
    size = source.shape[1]
    fall = np.linspace(1.1, 0.9, size) * rng.uniform(0.9, 1.1)  # a falling pitch
    periods = np.floor(np.cumsum(voice.pitch * fall / RATE))
    source[0, 1:] = np.diff(periods) * np.sqrt(RATE / voice.pitch)
    source[1] = rng.normal(size=size)

    positions = HOP * np.arange(steps)[:, None] + np.arange(FFT // 2)
    window = np.hanning(FFT // 2 + 1)[:-1]
    spectra = np.fft.rfft(source[:, positions] * window, FFT)  # [2, steps, F]
    filtered = (spectra * _filters(tracks, voice)).sum(axis=0)
    found = np.zeros((steps - 1) * HOP + FFT)
    np.add.at(
        found, HOP * np.arange(steps)[:, None] + np.arange(FFT), np.fft.irfft(filtered)
    )
    return 0.7 * found / np.abs(found).max()


def _tracks(
    sounds: Sequence[str], voice: Voice, rng: np.random.Generator
) -> np.ndarray:
    """Loudness of voice and noise, F1, F2, F3, center and width of the band, [S, 7]."""
    rows: list[tuple[float, ...]] = []
    before = VOWELS["u"]
    for i, sound in enumerate(sounds):
        # A sound without formants has those of the next sound with formants.
        after = next((VOWELS[s] for s in sounds[i:] if s in VOWELS), before)
        formants = VOWELS.get(sound, after)
        loudness, middle, width = NOISES.get(sound, (0.0, 2500, 1000))
        is_vowel = sound in VOWELS and sound not in VOICE
        voiced = 1.0 if is_vowel else VOICE.get(sound, 0.0)
        moved = np.asarray(formants) * rng.normal(1, 0.03, 3) * voice.tract
        seconds = SECONDS.get(sound, OTHERWISE[is_vowel])
        steps = seconds * voice.tempo * rng.uniform(0.8, 1.25) * RATE / HOP
        row = (voiced, loudness * rng.uniform(0.7, 1.4), *moved, middle, width)
        rows += [row] * max(2, round(steps))
        before = formants
    tracks = np.asarray(rows)
    ends = np.pad(tracks, ((2, 2), (0, 0)), "edge")
    kernel = np.array([1, 2, 3, 2, 1]) / 9
    smooth = [np.convolve(column, kernel, "valid") for column in ends.T]
    return np.stack(smooth, axis=1)


def _filters(tracks: np.ndarray, voice: Voice) -> np.ndarray:
    """The factor on each source at each frequency, [2, S, F]."""
    hertz = np.arange(FFT // 2 + 1) * RATE / FFT
    voiced, noise, *formants, middle, width = (track[:, None] for track in tracks.T)
    response = np.zeros(())
    for formant, gain, breadth in zip(
        formants, (1, 0.6, 0.35), (70, 90, 130), strict=True
    ):
        response = response + gain / np.sqrt(1 + ((hertz - formant) / breadth) ** 2)
    tilt = 10 ** (voice.tilt / 20 * np.log2(np.maximum(hertz, 500) / 500))
    band = np.exp(-(((hertz - middle * voice.tract**0.5) / width) ** 2))
    return np.stack([voiced * response * tilt, 0.25 * noise * band])
