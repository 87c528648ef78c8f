"""Wav files read as one channel of float32 at 8 kHz, written, and changed.

Changes for data augmentation: another speed, and another tempo at the same pitch.
"""

import math
import struct
import wave
from pathlib import Path
from typing import NamedTuple

import numpy as np

from seqjax.data.text import DataError, read_bytes, shown_path

RATE = 8000  # samples per second
HALF_WIDTH = 32  # of the low-pass filter, in samples at RATE
CUTOFF = (
    0.45  # of the low-pass filter, as a fraction of RATE; half of RATE is the limit
)
PIECE = 200  # samples at RATE in a segment of `tempo`
NEAR = 60  # samples at RATE by which `tempo` may move a segment
HIGHEST = 192_000  # the length of the low-pass filter grows with the rate
LARGEST = 1e30  # floating-point sample; sums of larger ones may exceed float32
LONGEST = 60  # seconds; the time of a search over labels grows with the square
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE  # format tags
CODED = {2: "ADPCM", 6: "A-law", 7: "mu-law", 17: "ADPCM", 49: "GSM", 85: "MP3"}
# The rest of the identifier in an extensible header, after the two bytes of the tag.
IDENTIFIER = bytes.fromhex("000000001000800000aa00389b71")
UNKNOWN_SIZE = 0x7FFF0000  # programs that write to a pipe announce at least this


class _Wav(NamedTuple):
    """What a wav file holds."""

    tag: int
    channels: int
    rate: int
    bits: int
    data: bytes
    announced: int  # bytes of data, as the header has it


def read(path: str | Path) -> np.ndarray:
    """The samples of a wav file, float32 [N]; those of PCM files are in [-1, 1).

    The samples are PCM with 8 to 32 bits or floating-point numbers with 32 or 64, also
    with an extensible header. Several channels become their mean. A file at another
    rate than 8 kHz, up to 192 kHz, is resampled. A file that a program wrote to a pipe,
    with no size in its header, is read to its end.

    Args:
      path: the file.

    Returns:
      float32 [N].

    Raises:
      DataError: with the file's name, if it cannot be read, is not such a file, is
        truncated, has no samples, is longer than a minute, or has a rate below 8 kHz.

    Example:
      >>> import tempfile
      >>> path = tempfile.mkdtemp() + "/three.wav"
      >>> write(path, np.array([0.0, 0.5, -0.25]))
      >>> read(path)
      array([ 0.  ,  0.5 , -0.25], dtype=float32)
    """
    return parse(read_bytes(path, "wav"), shown_path(path))


def parse(content: bytes, path: str | Path) -> np.ndarray:
    """The samples in the bytes of a wav file; see `read`.

    Args:
      content: the bytes.
      path: the file's name, for the error message.

    Returns:
      float32 [N], as `read`.

    Raises:
      DataError: as `read`.
    """
    found = _chunks(content, path)
    _check_format(found, path)
    frame = found.channels * -(-found.bits // 8)
    count, there = found.announced // frame, len(found.data) // frame
    if there < count:
        raise DataError(
            f"{path} is truncated: its header announces {count} samples, but there are "
            f"{there}."
        )
    if not count:
        raise DataError(f"{path} has no samples.")
    if count > LONGEST * found.rate:
        raise DataError(
            f"{path} lasts {count / found.rate:.2f} seconds; at most {LONGEST} are "
            f"supported."
        )
    samples = _floats(found.data[: count * frame], found)
    if not (np.abs(samples) < LARGEST).all():
        raise DataError(
            f"{path} has a sample that is not a finite number below {LARGEST:g}."
        )
    if found.channels > 1:
        samples = samples.reshape(count, found.channels).mean(axis=1)
    return resample(samples, found.rate).astype(np.float32)


def _chunks(content: bytes, path: str | Path) -> _Wav:
    """The format and the data in the chunks of a wav file."""

    def refusal(reason: str) -> DataError:
        return DataError(f"{path} is not a PCM wav file ({reason}).")

    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise refusal("it does not begin with RIFF and WAVE")
    total, at, form = int.from_bytes(content[4:8], "little"), 12, b""
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        at += 8
        if name == b"data":
            break
        if name == b"fmt ":
            form = content[at : at + size]
        at += size + size % 2
    else:
        raise refusal("it has no data")
    if len(form) < 16:
        raise refusal("it has no format")
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if tag == EXTENSIBLE and form[26:40] == IDENTIFIER:
        tag = int.from_bytes(form[24:26], "little")
    rest = len(content) - at
    if size >= UNKNOWN_SIZE or (size == 0 and total != len(content) - 8):
        size = rest
    return _Wav(tag, channels, rate, bits, content[at : at + size], size)


def _check_format(found: _Wav, path: str | Path) -> None:
    if found.tag not in (PCM, FLOAT):
        coding = CODED.get(found.tag, "an unknown format")
        raise DataError(
            f"{path} is coded as {coding} ({found.tag}); only PCM and floating-point "
            f"samples are supported."
        )
    widths = range(1, 33) if found.tag == PCM else (32, 64)
    if found.bits not in widths:
        kind = "1 to 32" if found.tag == PCM else "32 or 64 floating-point"
        raise DataError(
            f"{path} has {found.bits} bits per sample; {kind} bits are supported."
        )
    if not found.channels:
        raise DataError(f"{path} has 0 channels; at least 1 is needed.")
    if not RATE <= found.rate <= HIGHEST:
        raise DataError(
            f"{path} has {found.rate} samples per second; {RATE} to {HIGHEST} are "
            f"supported."
        )


def write(path: str | Path, samples: np.ndarray) -> None:
    """Write samples as a wav file of 16-bit PCM at 8 kHz; see `read` for an example.

    Args:
      path: the file.
      samples: float [N] in [-1, 1); larger ones are clipped.

    Raises:
      OSError: if the file cannot be written.
    """
    scaled = np.round(np.asarray(samples, np.float64) * 2**15)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(np.clip(scaled, -(2**15), 2**15 - 1).astype("<i2").tobytes())


def _floats(data: bytes, form: _Wav) -> np.ndarray:
    """The samples of all channels, float32 or float64 [N]."""
    if form.tag == FLOAT:
        return np.frombuffer(data, f"<f{form.bits // 8}")
    width = -(-form.bits // 8)
    if width == 1:  # the only unsigned width
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    octets = np.frombuffer(data, np.uint8).reshape(-1, width)
    wide = np.zeros((len(octets), 4), np.uint8)  # 32 bits, the most significant filled
    wide[:, 4 - width :] = octets
    return (wide.view("<i4")[:, 0] / 2.0**31).astype(np.float32)


def resample(samples: np.ndarray, rate: int) -> np.ndarray:
    """Samples at another rate as samples at 8 kHz, after a low-pass filter.

    The filter prevents aliasing. It is a sinc with a Hamming window, with gain 1 for a
    constant; the polyphase form computes only the samples that are kept.

    Args:
      samples: float [N].
      rate: their number per second, at least 8000.

    Returns:
      float [ceil(N * 8000 / rate)].

    Example:
      >>> resample(np.ones(1600), rate=16_000).shape
      (800,)

    Source: Oppenheim and Schafer, "Discrete-time signal processing", sections 4.6, 7.5.
    """
    if rate == RATE:
        return samples
    from scipy.signal import resample_poly  # loads in a second: only where it is needed

    up, down = RATE // math.gcd(rate, RATE), rate // math.gcd(rate, RATE)
    times = np.arange(-HALF_WIDTH * down, HALF_WIDTH * down + 1) / down
    taps = np.sinc(2 * CUTOFF * times) * np.hamming(len(times))
    return resample_poly(samples.astype(float), up, down, window=taps / taps.sum())


def stretch(samples: np.ndarray, factor: float) -> np.ndarray:
    """Speed perturbation: `factor` times as long, at a lower pitch.

    Linear interpolation between the samples attenuates the highest frequencies.

    Args:
      samples: float [N], N at least 1.
      factor: above 0; above 1 it is slower.

    Returns:
      float32 [N factor], rounded.

    Example:
      >>> stretch(np.array([0.0, 1.0, 4.0]), factor=2)
      array([0. , 0.5, 1. , 2.5, 4. , 4. ], dtype=float32)

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
