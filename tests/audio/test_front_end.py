"""Front ends and features, against NumPy in float64 frame by frame, and by formula."""

from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.audio import features
from seqjax.audio.front_end import ConcatFrontEnd, FrontEnd

RATE = 8000
small = partial(FrontEnd, frame_size=20, hop=8, fft_size=32, num_mels=6)
SMALL = small()
FRONTS = {
    "logmel": SMALL,
    "mfcc": small(num_cepstra=4, with_deltas=True, normalized="each"),
    "plain": small(normalized="none", floor=1e-3),
}
FRONTS["concat"] = ConcatFrontEnd((FRONTS["mfcc"], FRONTS["plain"]))
every_front = pytest.mark.parametrize("front", FRONTS.values(), ids=FRONTS)


def draw(lengths=(100, 20, 0, 19, 61), size=110, seed=0):
    """(samples [N, B], lengths), nan past the lengths."""
    rng, lengths = np.random.default_rng(seed), np.array(lengths, np.int32)
    samples = 0.1 * rng.normal(size=(size, len(lengths)))
    samples[np.arange(size)[:, None] >= lengths] = np.nan
    return samples, lengths


def by_hand(front, samples):
    """The features [T, D] of one sequence, a loop over its frames."""
    if isinstance(front, ConcatFrontEnd):
        return np.concatenate([by_hand(f, samples) for f in front.fronts], axis=1)
    size, hop = front.frame_size, front.hop
    x = samples / np.sqrt(np.mean(samples**2) + features.EPSILON)
    x = np.array(
        [x[n] - front.preemphasis * (x[n - 1] if n else 0) for n in range(len(x))]
    )
    bins = np.arange(front.fft_size // 2 + 1) * front.rate / front.fft_size
    top = 2595 * np.log10(1 + front.rate / 2 / 700)
    centers = np.linspace(0, top, front.num_mels + 2)
    rows = []
    for begin in range(0, len(x) - size + 1, hop):
        frame = x[begin : begin + size].copy()
        for n in range(size):
            frame[n] *= 0.54 - 0.46 * np.cos(2 * np.pi * n / (size - 1))
        turns = np.outer(np.arange(front.fft_size // 2 + 1), np.arange(size))
        spectrum = (np.exp(-2j * np.pi * turns / front.fft_size) * frame).sum(axis=1)
        row = []
        for m in range(1, front.num_mels + 1):
            energy = 0.0
            for f, amount in zip(bins, np.abs(spectrum) ** 2, strict=True):
                pitch = 2595 * np.log10(1 + f / 700)
                up = (pitch - centers[m - 1]) / (centers[m] - centers[m - 1])
                down = (centers[m + 1] - pitch) / (centers[m + 1] - centers[m])
                energy += max(0.0, min(up, down)) * amount
            row.append(np.log(energy + front.floor))
        if front.num_cepstra:
            m = np.arange(front.num_mels)
            turned = [
                (row * np.cos(np.pi * k * (2 * m + 1) / (2 * front.num_mels))).sum()
                * np.sqrt((2 if k else 1) / front.num_mels)
                for k in range(front.num_cepstra)
            ]
            row = turned
        rows.append(row)
    rows = np.array(rows)
    if front.with_deltas:
        at = lambda t: rows[np.clip(t, 0, len(rows) - 1)]  # noqa: E731
        slopes = [
            (at(t + 1) - at(t - 1) + 2 * (at(t + 2) - at(t - 2))) / 10
            for t in range(len(rows))
        ]
        rows = np.concatenate([rows, slopes], axis=1)
    if front.normalized == "none":
        return rows
    axis = 0 if front.normalized == "each" else None
    return (rows - rows.mean(axis)) / np.sqrt(rows.var(axis) + features.EPSILON)


@every_front
def test_features_are_those_of_a_loop_over_frames(front, x64):
    samples, lengths = draw()
    xs, counts = jax.jit(front.apply)(samples, lengths)
    assert counts.tolist() == [11, 1, 0, 0, 6]
    assert xs.shape == (12, 5, front.size)
    for b, count in enumerate(counts):
        if count:
            want = by_hand(front, samples[: lengths[b], b])
            np.testing.assert_allclose(xs[:count, b], want, atol=1e-9)
        assert not np.any(xs[count:, b])


@every_front
def test_padding_and_neighbors_change_nothing(front, x64):
    samples, lengths = draw()
    run = jax.jit(front.apply)
    xs, counts = run(samples, lengths)
    longer = np.concatenate([samples, np.full((64, 5), np.inf)])
    more, again = run(longer, lengths)
    np.testing.assert_array_equal(again, counts)
    np.testing.assert_allclose(more[: len(xs)], xs, atol=1e-12)
    assert not np.any(more[len(xs) :])
    for b in (0, 4):
        alone, count = run(samples[: lengths[b], b], lengths[b])
        assert int(count) == counts[b]
        np.testing.assert_allclose(alone[:count], xs[:count, b], atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 200), st.integers(1, 50), st.integers(1, 60))
def test_frames_are_counted_as_they_are_cut(number, size, hop):
    frames = jax.jit(features.frames, static_argnums=(1, 2))
    count = int(features.num_frames(np.int32(number), size, hop))
    begins = range(0, number - size + 1, hop)
    assert count == len(begins)
    found = np.asarray(frames(np.arange(number), size, hop))
    assert found.shape == (count, size)
    assert found.tolist() == [list(range(b, b + size)) for b in begins]


def test_frames_compile_no_table_of_indices():
    samples = jax.ShapeDtypeStruct((5000, 2), np.float32)
    assert not jax.make_jaxpr(partial(features.frames, size=200, hop=80))(
        samples
    ).consts


def test_mel_is_the_published_formula():
    # HTK's: 1000 Hz are about 1000 mel.
    assert features.hertz_to_mel(1000) == pytest.approx(1000, abs=0.1)
    assert features.hertz_to_mel(700) == pytest.approx(2595 * np.log10(2))
    assert features.hertz_to_mel(0) == 0


def test_filter_weights_of_a_frequency_sum_to_one():
    filters = features.mel_filters(20, 256, RATE)
    assert filters.shape == (129, 20) and (filters >= 0).all()
    pitch = features.hertz_to_mel(np.arange(129) * RATE / 256)
    step = features.hertz_to_mel(4000) / 21
    inside = (pitch >= step) & (pitch <= 20 * step)
    np.testing.assert_allclose(filters[inside].sum(axis=1), 1)
    assert ((filters > 0).sum(axis=1) <= 2).all()
    assert not filters[0].any() and not filters[-1].any()
    # Every default band contains a bin of the transform.
    assert (features.mel_filters(40, 256, RATE).max(axis=0) > 0.2).all()


@pytest.mark.parametrize("hertz", [300, 1000, 2500])
def test_a_tone_is_in_the_band_of_its_pitch(hertz):
    front = FrontEnd(normalized="none", preemphasis=0.0)
    tone = np.sin(2 * np.pi * hertz * np.arange(2000) / RATE).astype(np.float32)
    xs, count = jax.jit(front.apply)(tone, np.int32(2000))
    centers = features.hertz_to_mel(4000) / 41 * np.arange(1, 41)
    nearest = np.abs(centers - features.hertz_to_mel(hertz)).argmin()
    assert set(np.asarray(xs[:count]).argmax(axis=1).tolist()) == {int(nearest)}


def test_features_do_not_depend_on_loudness(x64):
    samples, lengths = draw((100,))
    run = jax.jit(SMALL.apply)
    xs, _ = run(samples, lengths)
    louder, _ = run(7 * samples, lengths)
    np.testing.assert_allclose(louder, xs, atol=1e-4)


def test_power_is_parsevals(x64):
    frames = np.random.default_rng(0).normal(size=(3, 20))
    power = np.asarray(features.power_spectrum(frames, 32))
    both = power.sum(axis=1) + power[:, 1:-1].sum(axis=1)
    want = 32 * ((frames * np.hamming(20)) ** 2).sum(axis=1)
    np.testing.assert_allclose(both, want)


def test_the_dct_matrix_is_orthonormal():
    whole = features.dct_matrix(9, 9)
    np.testing.assert_allclose(whole.T @ whole, np.eye(9), atol=1e-12)
    np.testing.assert_array_equal(features.dct_matrix(9, 4), whole[:, :4])


def test_deltas_of_a_line_are_its_slope(x64):
    xs = 3.0 * np.arange(8)[:, None, None] + np.ones((8, 2, 1))
    found = np.asarray(features.deltas(xs, np.array([8, 5], np.int32)))[..., 0]
    np.testing.assert_allclose(found[2:6, 0], 3)
    np.testing.assert_allclose(found[2:3, 1], 3)
    # At the end, x is extended by its last value.
    assert found[4, 1] == pytest.approx((1 * 3 + 2 * 6) / 10)
    assert not found[5:, 1].any()


def test_invalid_settings_raise():
    for options in ({"frame_size": 300}, {"num_cepstra": 41}, {"normalized": "some"}):
        with pytest.raises(ValueError, match="FrontEnd: "):
            FrontEnd(**options)
    for fronts in ((), (SMALL, small(hop=9))):
        with pytest.raises(ValueError, match="ConcatFrontEnd: "):
            ConcatFrontEnd(fronts)
