"""Wav files written and read, other widths and rates, refused files, changes."""

import io
import struct
import wave

import numpy as np
import pytest

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


@pytest.mark.parametrize("factor", [2, 3, 6])
def test_higher_rates_are_resampled(factor):
    rate, inner = 8000 * factor, slice(100, -100)
    data = packed(np.round(2**14 * tone(1000, rate)).astype(int).tolist(), 2)
    found = wav.parse(content(data, rate=rate), "a.wav")
    assert len(found) == 4000
    np.testing.assert_allclose(found[inner], 0.5 * tone(1000, 8000)[inner], atol=2e-3)
    # Without the filter, aliasing would give a tone of 3000 Hz.
    assert np.abs(wav.decimate(tone(5000, rate), factor)[inner]).max() < 5e-3
    np.testing.assert_allclose(wav.decimate(np.ones(4000), factor)[inner], 1, atol=1e-6)
    assert len(wav.decimate(np.ones(factor + 1), factor)) == 2


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


def broken_header(rate=8000, coding=1, bits=16):
    """A file with a header of 44 bytes, written by hand."""
    size = bits // 8
    return struct.pack(
        *("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + 4 * size, b"WAVE", b"fmt ", 16),
        *(coding, 1, rate, rate * size, size, bits, b"data", 4 * size),
    ) + bytes(4 * size)


def extensible(coding=1, bits=16, end="000000001000800000aa00389b71"):
    """A file with a header of 68 bytes, the format in an identifier of 16 bytes."""
    size = bits // 8
    return struct.pack(
        *("<4sI4s4sIHHIIHHHHIH14s4sI", b"RIFF", 60 + 4 * size, b"WAVE", b"fmt ", 40),
        *(0xFFFE, 1, 8000, 8000 * size, size, bits, 22, bits, 4),
        *(coding, bytes.fromhex(end), b"data", 4 * size),
    ) + bytes([0] * (4 * size - 1) + [0x40])


HOSTILE = {
    "empty": (b"", "a.wav is not a PCM wav file"),
    "text": (b"file\twords\n" * 9, "a.wav is not a PCM wav file (file does not"),
    "header alone": (content()[:20], "a.wav is not a PCM wav file"),
    "no data": (content()[:36], "a.wav is not a PCM wav file"),
    "cut short": (
        content()[:-3],
        "a.wav is truncated: its header announces 10 samples, but there are 8.",
    ),
    "no sample": (content(b""), "a.wav has no samples"),
    "stereo": (content(channels=2), "a.wav has 2 channels; only one is supp"),
    "44.1 kHz": (content(rate=44100), "a.wav has 44100 samples per second; only"),
    "4 kHz": (content(rate=4000), "a.wav has 4000 samples per second; only"),
    "floats": (broken_header(coding=3, bits=32), "not a PCM wav file (unknown format"),
    "no rate": (broken_header(rate=0), "a.wav has 0 samples per second"),
    "64 bits": (broken_header(bits=64), "a.wav has 64 bits per sample; at most 32"),
    "200 kHz": (content(rate=200000), "a.wav has 200000 samples per second;"),
    "1 MHz": (content(rate=10**6), "multiples up to 192000 are supported"),
    "a minute": (
        content(bytes(2 * 480080)),
        "a.wav lasts 60.01 seconds; at most 60 are supported.",
    ),
    "floats, extensible": (extensible(3, 32), "not a PCM wav file (unknown format: 3)"),
    "another, extensible": (extensible(end=14 * "00"), "(unknown format: 65534)"),
    "extensible, cut": (extensible()[:40], "a.wav is not a PCM wav file"),
    "no bits": (broken_header(bits=0), "a.wav is not a PCM wav file"),
}


@pytest.mark.parametrize(("data", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_unusable_files_are_refused(data, sentence):
    with pytest.raises(DataError) as error:
        wav.parse(data, "a.wav")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_header_by_hand_is_read():
    assert wav.parse(broken_header(), "a.wav").tolist() == [0] * 4
    assert wav.parse(extensible(), "a.wav").tolist() == [0, 0, 0, 0.5]
    assert wav.parse(extensible(bits=24), "a.wav").tolist() == [0, 0, 0, 0.5]
    assert len(wav.parse(content(bytes(2 * 480000)), "a.wav")) == 480000
    assert len(wav.parse(content(rate=192000), "a.wav")) == 1
    with pytest.raises(DataError, match=r"b\.wav does not exist; a wav file was"):
        wav.read("b.wav")
