"""Wav files: well-formed ones, headers that do not fit their samples, damage."""

import io
import wave

import numpy as np
import scipy.signal  # noqa: F401  # its import would count as the time of a case
from hypothesis import strategies as st

from tests.fuzz.contents import mostly

CHUNKS = (b"", b"LIST\x04\0\0\0abcd", b"fact\x04\0\0\0\1\0\0\0")
SAMPLE = mostly(
    st.floats(-2, 2, width=32), st.sampled_from((1e300, 3e38, -1e39, 9e29)), 60
)
FLOATS = st.lists(SAMPLE, min_size=6, max_size=24)


@st.composite
def wavs(draw) -> bytes:
    """A wav file, in a quarter of the cases with a header that may not fit."""
    kind, channels = draw(st.sampled_from(((1, 1), (1, 2), (1, 3), (3, 1), (3, 2))))
    bits = draw(st.sampled_from((32, 64) if kind == 3 else (8, 16, 24, 32, 12)))
    rate = draw(st.sampled_from((8000, 8000, 16000, 44100, 11025)))
    if kind == 3:
        with np.errstate(over="ignore"):
            data = np.array(draw(FLOATS)).astype(f"<f{bits // 8}").tobytes()
    else:
        data = draw(st.binary(min_size=24, max_size=96))
    frame = channels * -(-bits // 8)
    data = data[: len(data) // frame * frame]
    size, total = len(data), None
    if draw(st.sampled_from((False, False, False, True))):
        kind = draw(st.sampled_from((kind, 1, 3, 0xFFFE, 7)))
        channels = draw(st.sampled_from((channels, 1, 2, 0, 65535)))
        bits = draw(st.sampled_from((bits, 8, 16, 24, 32, 64, 12, 0)))
        rate = draw(st.sampled_from((rate, 8001, 0, 1, 192_000, 2**32 - 1)))
        size = draw(st.sampled_from((size, 0, 2**32 - 1, size + 5, 3)))
        total = draw(st.sampled_from((None, 0, 2**32 - 1)))
    header = b"".join(
        value.to_bytes(width, "little")
        for value, width in (
            *((kind, 2), (channels, 2), (rate, 4)),
            *((rate * frame % 2**32, 4), (frame % 65536, 2), (bits, 2)),
        )
    )
    body = b"WAVEfmt " + len(header).to_bytes(4, "little") + header
    body += draw(st.sampled_from(CHUNKS)) + b"data" + size.to_bytes(4, "little") + data
    total = len(body) if total is None else total
    return b"RIFF" + total.to_bytes(4, "little") + body


def check_wav(content: bytes, samples: np.ndarray) -> None:
    """Finite samples; those of PCM at 8 kHz as the standard library has them."""
    assert samples.dtype == np.float32 and samples.ndim == 1 and len(samples)
    assert np.isfinite(samples).all()
    try:
        with wave.open(io.BytesIO(content)) as file:
            form, data = file.getparams(), file.readframes(file.getnframes())
    except (wave.Error, EOFError):  # floating-point numbers and others
        return
    width, frame = form.sampwidth, form.sampwidth * form.nchannels
    octets = [data[i : i + width] for i in range(0, len(data), width)]
    # Of data of unknown size, wave reads what the size of the whole file leaves; a size
    # of 0 is unknown as well, in a file whose own size is wrong.
    if form.framerate != 8000 or not 0 < len(data) == form.nframes * frame:
        return
    if width == 1:
        numbers = np.array([int(o[0]) - 128 for o in octets])
    else:
        numbers = np.array([int.from_bytes(o, "little", signed=True) for o in octets])
    expected = (numbers / 2.0 ** (8 * width - 1)).reshape(-1, form.nchannels)
    np.testing.assert_allclose(samples, expected.mean(axis=1), rtol=1e-5, atol=1e-6)
