"""Wav files in and out: PCM of 8, 16, 24 or 32 bits as float32 at 8 kHz."""

import io
import wave

import numpy as np

from seqjax.data.text import DataError, read_bytes

RATE = 8000  # samples a second
HALF_WIDTH = 32  # of the low-pass filter, in samples at RATE
CUTOFF = 0.45  # of RATE, below the half that it can hold
PIECE, NEAR = 200, 60  # samples at RATE: pieces of speech, and how far they may move
HIGHEST = 24 * RATE  # a filter is as long as the rate is high
LONGEST = 60  # seconds; a search over labels takes the square of it
EXTENSIBLE = b"\xfe\xff"  # a header's format where the format proper stands behind
PROPER = bytes.fromhex("000000001000800000aa00389b71")  # behind that one


def read(path):
    """The samples of a wav file, float32 [N] in [-1, 1).

    Files at a multiple of 8 kHz (16, 24, 32, 48 .. 192 kHz) are brought down to it.

    Raises:
      DataError: naming the file, if it cannot be read, is no PCM wav file, is cut
        short, holds no sample, lasts more than a minute, or has more than one channel,
        more than 32 bits or another rate.

    Example:
      >>> read("0_george_0.wav").shape
      (2384,)
    """
    content = read_bytes(path, "wav")
    return parse(content, path)


def parse(content, path):
    """The samples that the bytes of a wav file hold; see `read`."""
    try:
        with wave.open(io.BytesIO(_plain(content))) as file:
            channels, width, rate, count, *_ = file.getparams()
            data = file.readframes(count)
    except (wave.Error, EOFError, RuntimeError, ValueError) as error:
        reason = f" ({error})" if str(error) else ""
        raise DataError(f"{path} is not a PCM wav file{reason}.") from None
    if channels != 1:
        raise DataError(f"{path} has {channels} channels, only one is read.")
    if width > 4:
        raise DataError(f"{path} has {8 * width} bits a sample, 32 at most are read.")
    if not RATE <= rate <= HIGHEST or rate % RATE:
        raise DataError(
            f"{path} has {rate} samples a second, only {RATE} and its multiples up to "
            f"{HIGHEST} are read."
        )
    if len(data) != count * width:
        raise DataError(
            f"{path} is cut short: {count} samples are announced, {len(data) // width} "
            f"are there."
        )
    if not count:
        raise DataError(f"{path} holds no sample.")
    if count > LONGEST * rate:
        raise DataError(
            f"{path} lasts {count / rate:.2f} seconds, {LONGEST} at most are read."
        )
    return decimate(_floats(data, width), rate // RATE)


def _plain(content):
    """An extensible header as a plain one: Python's wave before 3.12 has no other."""
    at = content.find(b"fmt ")
    is_extensible = content[at + 8 : at + 10] == EXTENSIBLE
    if at < 0 or not is_extensible or content[at + 34 : at + 48] != PROPER:
        return content
    return content[: at + 8] + content[at + 32 : at + 34] + content[at + 10 :]


def write(path, samples):
    """Write samples in [-1, 1), float [N], as 16-bit PCM at 8 kHz."""
    scaled = np.round(np.asarray(samples, np.float64) * 2**15)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(np.clip(scaled, -(2**15), 2**15 - 1).astype("<i2").tobytes())


def _floats(data, width):
    if width == 1:  # the only unsigned one
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    octets = np.frombuffer(data, np.uint8).reshape(-1, width)
    wide = np.zeros((len(octets), 4), np.uint8)  # 32 bits, the highest ones filled
    wide[:, 4 - width :] = octets
    return (wide.view("<i4")[:, 0] / 2.0**31).astype(np.float32)


def decimate(samples, factor):
    """Every factor-th sample, after what these cannot hold is taken away.

    The low-pass filter is a sinc under Hamming's window, of gain 1 for a constant.

    Args:
      samples: [N], at `factor` * 8 kHz.
      factor: a whole number.

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


def stretch(samples, factor):
    """Samples played `factor` times as slowly, and as much deeper: float32 [N factor].

    Between samples it is linear, which takes some of the highest tones away.
    """
    count = max(1, round(len(samples) * factor))
    found = np.interp(np.arange(count) / factor, np.arange(len(samples)), samples)
    return found.astype(np.float32)


def tempo(samples, factor):
    """Samples said `factor` times as slowly at the same pitch: float32 [N factor].

    Pieces of 25 ms, a half of it apart, are laid over each other under Hann's window:
    of those that begin near the place to be heard, the one that is most like what
    followed the piece before, by the sum of products (waveform similarity
    overlap-add).

    Source: Verhelst and Roelands, "An overlap-add technique based on waveform
    similarity (WSOLA) for high quality time-scale modification of speech", 1993.
    """
    count = max(1, round(len(samples) * factor))
    window = np.hanning(PIECE + 1)[:-1].astype(np.float32)  # two halves sum to 1
    hop = PIECE // 2
    behind = 2 * (PIECE + NEAR) + round(hop / factor)  # the last piece begins there
    padded = np.pad(samples, (PIECE + NEAR, behind))
    found = np.zeros(count + 2 * PIECE, np.float32)
    at = PIECE + NEAR - hop
    for begin in range(0, count + hop, hop):
        wanted = PIECE + NEAR - hop + round(begin / factor)
        if begin:
            follows = padded[at + hop :][:PIECE]
            around = padded[wanted - NEAR :][: PIECE + 2 * NEAR]
            likeness = np.correlate(around, follows, "valid")  # [2 NEAR + 1]
            places = np.flatnonzero(likeness == likeness.max()) - NEAR
            at = wanted + int(places[np.abs(places).argmin()])  # silence is all alike
        found[begin : begin + PIECE] += window * padded[at:][:PIECE]
    return found[hop : hop + count]
