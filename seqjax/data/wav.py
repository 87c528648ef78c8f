"""Wav files: PCM with 8, 16, 24 or 32 bits, read as float32 at 8 kHz, and changed.

Changes for data augmentation: another speed, and another tempo at the same pitch.
"""

import io
import wave
from pathlib import Path

import numpy as np

from seqjax.data.text import DataError, read_bytes

RATE = 8000  # samples per second
HALF_WIDTH = 32  # of the low-pass filter, in samples at RATE
CUTOFF = (
    0.45  # of the low-pass filter, as a fraction of RATE; half of RATE is the limit
)
PIECE = 200  # samples at RATE in a segment of `tempo`
NEAR = 60  # samples at RATE by which `tempo` may move a segment
HIGHEST = 24 * RATE  # the length of the low-pass filter grows with the rate
LONGEST = 60  # seconds; the time of a search over labels grows with the square
EXTENSIBLE = 0xFFFE  # the format tag of a header with the format in an identifier
# The rest of an identifier, after the two bytes of the format.
IDENTIFIER = bytes.fromhex("000000001000800000aa00389b71")


def read(path: str | Path) -> np.ndarray:
    """The samples of a wav file, float32 [N] in [-1, 1).

    A file at a multiple of 8 kHz (16, 24, 32, 48 .. 192 kHz) is resampled to 8 kHz.

    Raises:
      DataError: with the file's name, if it cannot be read, is not a PCM wav file, is
        truncated, has no samples, is longer than a minute, or has more than one
        channel, more than 32 bits or another rate.
    """
    content = read_bytes(path, "wav")
    return parse(content, path)


def parse(content: bytes, path: str | Path) -> np.ndarray:
    """The samples in the bytes of a wav file; see `read`."""
    try:
        with wave.open(io.BytesIO(_plain(content))) as file:
            channels, width, rate, count, *_ = file.getparams()
            data = file.readframes(count)
    except (wave.Error, EOFError, RuntimeError, ValueError) as error:
        reason = f" ({error})" if str(error) else ""
        raise DataError(f"{path} is not a PCM wav file{reason}.") from None
    if channels != 1:
        raise DataError(f"{path} has {channels} channels; only one is supported.")
    if width > 4:
        raise DataError(
            f"{path} has {8 * width} bits per sample; at most 32 are supported."
        )
    if not RATE <= rate <= HIGHEST or rate % RATE:
        raise DataError(
            f"{path} has {rate} samples per second; only {RATE} and its multiples up "
            f"to {HIGHEST} are supported."
        )
    if len(data) != count * width:
        raise DataError(
            f"{path} is truncated: its header announces {count} samples, but there are "
            f"{len(data) // width}."
        )
    if not count:
        raise DataError(f"{path} has no samples.")
    if count > LONGEST * rate:
        raise DataError(
            f"{path} lasts {count / rate:.2f} seconds; at most {LONGEST} are supported."
        )
    return decimate(_floats(data, width), rate // RATE)


def _plain(content: bytes) -> bytes:
    """The file with a plain header in place of an extensible one.

    Python's wave reads no extensible header before version 3.12.

    Raises:
      wave.Error: if the identifier of an extensible header is not that of a format.
    """
    at = content.find(b"fmt ")
    tag = int.from_bytes(content[at + 8 : at + 10], "little")
    if at < 0 or tag != EXTENSIBLE or len(content) < at + 48:
        return content
    if content[at + 34 : at + 48] != IDENTIFIER:
        raise wave.Error(f"unknown format: {tag}")
    return content[: at + 8] + content[at + 32 : at + 34] + content[at + 10 :]


def write(path: str | Path, samples: np.ndarray) -> None:
    """Write samples in [-1, 1), float [N], as 16-bit PCM at 8 kHz."""
    scaled = np.round(np.asarray(samples, np.float64) * 2**15)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(np.clip(scaled, -(2**15), 2**15 - 1).astype("<i2").tobytes())


def _floats(data: bytes, width: int) -> np.ndarray:
    if width == 1:  # the only unsigned width
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    octets = np.frombuffer(data, np.uint8).reshape(-1, width)
    wide = np.zeros((len(octets), 4), np.uint8)  # 32 bits, the most significant filled
    wide[:, 4 - width :] = octets
    return (wide.view("<i4")[:, 0] / 2.0**31).astype(np.float32)


def decimate(samples: np.ndarray, factor: int) -> np.ndarray:
    """Every factor-th sample, after a low-pass filter against aliasing.

    The filter is a sinc with a Hamming window, with gain 1 for a constant.

    Args:
      samples: [N], at `factor` * 8 kHz.
      factor: a positive integer.

    Returns:
      float32 [ceil(N / factor)].

    Source: Oppenheim and Schafer, "Discrete-time signal processing", sections 4.6, 7.5.
    """
    if factor == 1:
        return samples
    half = HALF_WIDTH * factor
    times = np.arange(-half, half + 1) / factor
    taps = np.sinc(2 * CUTOFF * times) * np.hamming(len(times))
    low = np.convolve(samples, taps / taps.sum())[half : half + len(samples)]
    return low[::factor].astype(np.float32)


def stretch(samples: np.ndarray, factor: float) -> np.ndarray:
    """Speed perturbation: `factor` times as long, at a lower pitch; float32 [N factor].

    Linear interpolation between the samples attenuates the highest frequencies.

    Source: Ko et al., "Audio augmentation for speech recognition", 2015.
    """
    count = max(1, round(len(samples) * factor))
    found = np.interp(np.arange(count) / factor, np.arange(len(samples)), samples)
    return found.astype(np.float32)


def tempo(samples: np.ndarray, factor: float) -> np.ndarray:
    """Tempo perturbation: `factor` times as long, at one pitch; float32 [N factor].

    Waveform similarity overlap-add: segments of 25 ms with a Hann window are added at a
    distance of half a segment. Each segment is the one, of those that begin near the
    wanted sample, with the largest sum of products with the continuation of the segment
    before.

    Source: Verhelst and Roelands, "An overlap-add technique based on waveform
    similarity (WSOLA) for high quality time-scale modification of speech", 1993.
    """
    count = max(1, round(len(samples) * factor))
    window = np.hanning(PIECE + 1)[:-1].astype(np.float32)  # its two halves sum to 1
    hop = PIECE // 2
    behind = 2 * (PIECE + NEAR) + round(hop / factor)  # the last segment begins there
    padded = np.pad(samples, (PIECE + NEAR, behind))
    found = np.zeros(count + 2 * PIECE, np.float32)
    at = PIECE + NEAR - hop
    for begin in range(0, count + hop, hop):
        wanted = PIECE + NEAR - hop + round(begin / factor)
        if begin:
            follows = padded[at + hop :][:PIECE]
            around = padded[wanted - NEAR :][: PIECE + 2 * NEAR]
            likeness = np.correlate(around, follows, "valid")  # [2 NEAR + 1]
            offsets = np.flatnonzero(likeness == likeness.max()) - NEAR
            at = wanted + int(offsets[np.abs(offsets).argmin()])  # in silence all tie
        found[begin : begin + PIECE] += window * padded[at:][:PIECE]
    return found[hop : hop + count]
