"""Wav files written and read, other widths and rates, refused files, changes."""

import io
import struct
import wave

import numpy as np
import pytest
from scipy.io import wavfile

from seqjax.data import wav
from seqjax.data.text import DataError


def content(data=b"\x00\x00" * 10, channels=1, width=2, rate=8000):
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((channels, width, rate, 0, "NONE", ""))
        out.writeframes(data)
    return file.getvalue()


def packed(values, width):
    """Integers as PCM."""
    if width == 1:
        return bytes(v + 128 for v in values)
    return b"".join(v.to_bytes(width, "little", signed=True) for v in values)


def tone(hertz, rate, seconds=0.5):
    return np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def test_what_is_written_is_read(tmp_path):
    samples = np.array([0, 0.5, -0.5, -1, 1, 2, -2, 0.1], np.float32)
    wav.write(tmp_path / "a.wav", samples)
    found = wav.read(tmp_path / "a.wav")
    assert found.dtype == np.float32
    want = [0, 0.5, -0.5, -1, 1 - 2**-15, 1 - 2**-15, -1, 3277 / 2**15]
    np.testing.assert_array_equal(found, np.array(want, np.float32))


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_width_has_the_same_scale(width):
    top = 2 ** (8 * width - 1)
    values = [0, 1, -1, top // 2, -top // 2, top - 1, -top]
    found = wav.parse(content(packed(values, width), width=width), "a.wav")
    np.testing.assert_array_equal(found, (np.array(values) / top).astype(np.float32))
    assert found.dtype == np.float32


@pytest.mark.parametrize(
    "rate", [11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 96000, 192000]
)
def test_other_rates_are_resampled(rate):
    """A tone below half of 8 kHz stays that tone, and a tone above it is removed."""
    inner = slice(100, -100)
    data = packed(np.round(2**14 * tone(1000, rate)).astype(int).tolist(), 2)
    found = wav.parse(content(data, rate=rate), "a.wav")
    assert len(found) == -(-(rate // 2) * 8000 // rate) and found.dtype == np.float32
    want = 0.5 * tone(1000, 8000)[inner]
    np.testing.assert_allclose(found[inner][: len(want)], want, atol=5e-4)
    for hertz in (4100, 5000, rate // 2 - 100):
        assert np.abs(wav.resample(tone(hertz, rate), rate)[inner]).max() < 5e-3
    constant = wav.resample(np.ones(rate), rate)[inner]
    np.testing.assert_allclose(constant, 1, atol=2e-3 if rate % 8000 else 1e-6)


@pytest.mark.parametrize("channels", [2, 3, 6])
def test_channels_become_their_mean(channels):
    values = np.arange(5 * channels).reshape(5, channels) ** 2
    found = wav.parse(content(packed(values.ravel().tolist(), 2), channels), "a.wav")
    np.testing.assert_allclose(found, values.mean(axis=1) / 2**15, rtol=1e-6)


def test_stereo_at_the_rate_of_compact_discs():
    """One tone in both channels, another one in opposite phases, which cancels."""
    left, right = tone(500, 44100) / 4, tone(900, 44100) / 4
    both = np.stack([left + right, left - right], axis=1)
    data = packed(np.round(2**15 * both.ravel()).astype(int).tolist(), 2)
    found = wav.parse(content(data, channels=2, rate=44100), "a.wav")
    np.testing.assert_allclose(found[99:-99], tone(500, 8000)[99:-99] / 4, atol=2e-4)


@pytest.mark.parametrize("dtype", ["<u1", "<i2", "<i4", "<f4", "<f8"])
@pytest.mark.parametrize("channels", [1, 2])
def test_files_of_scipy_are_read(dtype, channels):
    rng = np.random.default_rng(3)
    samples = rng.uniform(-1, 1, (50, channels))
    kind = np.dtype(dtype)
    stored, offset, scale = samples.astype(kind), 0, 1.0
    if kind.kind != "f":
        scale, offset = 2.0 ** (8 * kind.itemsize - 1), 128 * (kind.kind == "u")
        stored = np.round(samples * (scale - 1) + offset).astype(kind)
    file = io.BytesIO()
    wavfile.write(file, 8000, stored)
    found = wav.parse(file.getvalue(), "a.wav")
    want = ((stored.astype(float) - offset) / scale).mean(axis=1)
    np.testing.assert_allclose(found, want, rtol=1e-6, atol=1e-7)


def test_stretched_tones_are_lower():
    found = wav.stretch(tone(600, 8000), 1.5)
    assert len(found) == 6000 and found.dtype == np.float32
    np.testing.assert_allclose(found[:5900], tone(400, 8000, 0.75)[:5900], atol=0.05)
    np.testing.assert_array_equal(wav.stretch(np.ones(3, np.float32), 0.1), [1])
    same = np.float32([1, -1, 0.5])
    np.testing.assert_array_equal(wav.stretch(same, 1.0), same)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.5])
def test_another_tempo_changes_durations_and_keeps_the_pitch(factor):
    """A tone, silence, a higher tone: each lasts `factor` times as long."""
    silence = np.zeros(4000)
    said = np.concatenate([tone(500, 8000), silence, tone(1500, 8000)])
    found = wav.tempo(said.astype(np.float32), factor)
    assert len(found) == round(12000 * factor) and found.dtype == np.float32
    near = 2 * wav.PIECE
    for third, hertz in enumerate((500, None, 1500)):
        begin, end = (int(factor * 4000 * n) for n in (third, third + 1))
        part = found[begin + near : end - near]
        if hertz is None:
            assert not part.any()
            continue
        # A pure tone of amplitude 1 has a projection of length 1 and no remainder.
        turns = np.exp(2j * np.pi * hertz / 8000 * np.arange(len(part)))
        assert 2 * abs(np.vdot(turns, part)) / len(part) > 0.95
        assert np.sqrt(2 * np.mean(part**2)) == pytest.approx(1, abs=0.05)


def test_the_same_tempo_and_the_shortest_recordings():
    said = np.random.default_rng(0).normal(size=5000).astype(np.float32)
    found = wav.tempo(said, 1.0)
    np.testing.assert_allclose(found[: -wav.PIECE], said[: -wav.PIECE], atol=1e-6)
    later = np.concatenate([np.zeros(2000), said]).astype(np.float32)  # silence first
    found = wav.tempo(later, 1.0)
    np.testing.assert_allclose(found[: -wav.PIECE], later[: -wav.PIECE], atol=1e-6)
    for length, factor in ((1, 0.5), (1, 3.0), (7, 1.3), (300, 2.0), (300, 0.1)):
        found = wav.tempo(np.ones(length, np.float32), factor)
        assert len(found) == max(1, round(length * factor))


def by_hand(coding=1, bits=16, rate=8000, channels=1, data=None, sizes=(None, None)):
    """A file with a header of 44 bytes; `sizes` are those of the file and the data."""
    size = channels * -(-bits // 8)
    data = bytes(4 * size) if data is None else data
    total, of_data = (
        right if announced is None else announced
        for announced, right in zip(sizes, (36 + len(data), len(data)), strict=True)
    )
    return struct.pack(
        *("<4sI4s4sIHHIIHH4sI", b"RIFF", total, b"WAVE", b"fmt ", 16),
        *(coding, channels, rate, rate * size, size, bits, b"data", of_data),
    ) + bytes(data)


def extensible(coding=1, bits=16, end="000000001000800000aa00389b71", data=None):
    """A file with a header of 68 bytes, the format in an identifier of 16 bytes."""
    size = bits // 8
    data = bytes([0] * (4 * size - 1) + [0x40]) if data is None else data
    return struct.pack(
        *("<4sI4s4sIHHIIHHHHIH14s4sI", b"RIFF", 60 + len(data), b"WAVE", b"fmt ", 40),
        *(0xFFFE, 1, 8000, 8000 * size, size, bits, 22, bits, 4),
        *(coding, bytes.fromhex(end), b"data", len(data)),
    ) + bytes(data)


HALVES = np.array([0.5, -0.25, 1.5])
PIPES = {
    "zeros": (0, 0),
    "size of the header": (36, 0),
    "ffmpeg": (0xFFFFFFFF, 0xFFFFFFFF),
    "sox": (0x7FFFF024, 0x7FFFF000),
    "arecord": (0x80000024, 0x80000000),
    "data alone": (None, 0xFFFFFFFF),
}


@pytest.mark.parametrize("sizes", PIPES.values(), ids=PIPES)
@pytest.mark.parametrize("left_over", [b"", b"\x07"])
def test_files_without_sizes_are_read_to_their_end(sizes, left_over):
    """As programs write them that cannot go back to the header."""
    data = packed([0, 2**14, -(2**13)], 2) + left_over
    assert wav.parse(by_hand(data=data, sizes=sizes), "a.wav").tolist() == [
        *(0, 0.5, -0.25)
    ]
    with pytest.raises(DataError, match=r"a\.wav has no samples"):
        wav.parse(by_hand(data=b"", sizes=sizes), "a.wav")


def test_chunks_around_the_data():
    """Chunks of odd sizes are padded; what follows the data is no sound."""
    plain = by_hand(data=packed([2**14, -(2**14)], 2))
    odd = b"LIST" + struct.pack("<I", 5) + b"INFO\x01\x00"
    inside = plain[:12] + odd + plain[12:36] + odd + plain[36:] + odd
    assert wav.parse(inside, "a.wav").tolist() == [0.5, -0.5]
    nothing = by_hand(data=b"") + odd
    nothing = nothing[:4] + struct.pack("<I", len(nothing) - 8) + nothing[8:]
    with pytest.raises(DataError, match=r"a\.wav has no samples"):
        wav.parse(nothing, "a.wav")


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("make", [by_hand, extensible])
def test_floating_point_samples_are_read(make, bits):
    data = HALVES.astype(f"<f{bits // 8}").tobytes()
    found = wav.parse(make(coding=3, bits=bits, data=data), "a.wav")
    assert found.tolist() == HALVES.tolist() and found.dtype == np.float32


NOT_PCM = "a.wav is not a PCM wav file "
HOSTILE = {
    "empty": (b"", NOT_PCM + "(it does not begin with RIFF and WAVE)"),
    "text": (b"file\twords\n" * 9, NOT_PCM + "(it does not begin with RIFF"),
    "big-endian": (b"RIFX" + content()[4:], NOT_PCM + "(it does not begin with RIFF"),
    "header alone": (content()[:20], NOT_PCM + "(it has no data)"),
    "no data": (content()[:36], NOT_PCM + "(it has no data)"),
    "no format": (content()[:12] + content()[36:], NOT_PCM + "(it has no format)"),
    "cut short": (
        content()[:-3],
        "a.wav is truncated: its header announces 10 samples, but there are 8.",
    ),
    "no sample": (content(b""), "a.wav has no samples"),
    "no channel": (by_hand(channels=0, data=b"1"), "a.wav has 0 channels"),
    "4 kHz": (content(rate=4000), "a.wav has 4000 samples per second; 8000 to 192000"),
    "no rate": (by_hand(rate=0), "a.wav has 0 samples per second"),
    "64 bits": (by_hand(bits=64), "a.wav has 64 bits per sample; 1 to 32 bits"),
    "16-bit floats": (by_hand(3, 16), "has 16 bits per sample; 32 or 64 floating-"),
    "no bits": (by_hand(bits=0), "a.wav has 0 bits per sample"),
    "200 kHz": (content(rate=200000), "a.wav has 200000 samples per second;"),
    "mu-law": (by_hand(7, 8), "a.wav is coded as mu-law (7); only PCM and floating"),
    "another": (by_hand(0x1234), "coded as an unknown format (4660); only PCM"),
    "not finite": (
        by_hand(3, 32, data=np.float32([0, np.nan]).tobytes()),
        "a.wav has a sample that is not a finite number below 1e+30.",
    ),
    "a minute": (
        content(bytes(2 * 480080)),
        "a.wav lasts 60.01 seconds; at most 60 are supported.",
    ),
    "another, extensible": (extensible(end=14 * "00"), "unknown format (65534);"),
    "extensible, cut": (extensible()[:40], NOT_PCM + "(it has no data)"),
}


@pytest.mark.parametrize(("data", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_unusable_files_are_refused(data, sentence):
    with pytest.raises(DataError) as error:
        wav.parse(data, "a.wav")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_header_by_hand_is_read():
    assert wav.parse(by_hand(), "a.wav").tolist() == [0] * 4
    assert wav.parse(extensible(), "a.wav").tolist() == [0, 0, 0, 0.5]
    assert wav.parse(extensible(bits=24), "a.wav").tolist() == [0, 0, 0, 0.5]
    assert len(wav.parse(content(bytes(2 * 480000)), "a.wav")) == 480000
    assert len(wav.parse(content(rate=192000), "a.wav")) == 1
    with pytest.raises(DataError, match=r"b\.wav does not exist; a wav file was"):
        wav.read("b.wav")
