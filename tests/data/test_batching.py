"""Plans of minibatches: the windows of a text and their order."""

import re
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data.batching import (
    epoch_rng,
    longest,
    num_minibatches,
    random_sampling,
    sequential_partition,
    varied_partition,
    whole_text,
)
from seqjax.data.text import DataError

fuzz = settings(deadline=None, max_examples=50)
PLANS = {
    "sequential": sequential_partition,
    "rotated": partial(sequential_partition, rotate=True),
    "random": random_sampling,
}
every_plan = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
# (num_tokens, batch_size, num_steps) with at least one minibatch, and a generator.
sizes = st.tuples(st.integers(0, 200), st.integers(1, 8), st.integers(1, 12)).map(
    lambda s: (s[1] * s[2] + 1 + s[0], s[1], s[2])
)
rngs = st.integers(0, 2**32).map(np.random.default_rng)


def windows(starts, num_steps):
    """Positions in the text [n, B, T + 1] of a plan [n, B]."""
    return starts[..., None] + np.arange(num_steps + 1)


@every_plan
@pytest.mark.parametrize("seed", range(20))
def test_35_tokens_by_5_steps_are_6_subsequences_in_3_minibatches_of_2(plan, seed):
    tokens = np.arange(35)
    starts = plan(np.random.default_rng(seed), len(tokens), 2, 5)
    assert starts.shape == (3, 2)
    read = tokens[windows(starts, 5)]  # inside the text, or IndexError
    inputs, labels = read[..., :-1], read[..., 1:]
    np.testing.assert_array_equal(labels, inputs + 1)
    assert len({tuple(row) for row in inputs.reshape(6, 5)}) == 6


@every_plan
@fuzz
@given(size=sizes, rng=rngs)
def test_every_epoch_has_the_number_of_minibatches_that_fit(plan, size, rng):
    num_tokens, batch_size, num_steps = size
    n = (num_tokens - 1) // (batch_size * num_steps)
    assert num_minibatches(*size) == n
    starts = plan(rng, *size)
    assert starts.shape == (n, batch_size)
    assert starts.dtype == np.int32


@every_plan
@fuzz
@given(size=sizes, rng=rngs)
def test_every_window_is_in_the_text_and_no_token_is_predicted_twice(plan, size, rng):
    num_tokens, _, num_steps = size
    read = windows(plan(rng, *size), num_steps)
    assert read.min() >= 0
    assert read.max() < num_tokens
    labels = read[..., 1:].ravel()
    assert len(set(labels.tolist())) == labels.size


@fuzz
@given(size=sizes, rng=rngs)
def test_sequential_rows_continue_in_the_next_minibatch(size, rng):
    num_tokens, batch_size, num_steps = size
    starts = sequential_partition(rng, *size)
    np.testing.assert_array_equal(starts[1:], starts[:-1] + num_steps)
    offset = starts[0, 0]
    assert 0 <= offset < num_steps
    row_length = (num_tokens - 1 - offset) // batch_size  # B rows of equal length
    np.testing.assert_array_equal(np.diff(starts[0]), row_length)


@fuzz
@given(size=sizes, rng=rngs)
def test_random_subsequences_are_cut_from_one_offset(size, rng):
    num_steps = size[2]
    starts = random_sampling(rng, *size)
    assert len(set((starts % num_steps).ravel().tolist())) == 1
    assert starts.min() >= starts.ravel()[0] % num_steps


@every_plan
@pytest.mark.parametrize(
    ("num_tokens", "offsets"),
    [(31, 1), (32, 2), (34, 4), (35, 5), (40, 5)],  # 3 minibatches of 2 x 5 take 30 + 1
)
def test_every_offset_below_t_that_loses_no_minibatch_is_drawn(
    plan, num_tokens, offsets
):
    plans = [plan(np.random.default_rng(seed), num_tokens, 2, 5) for seed in range(200)]
    assert {int(starts.ravel()[0] % 5) for starts in plans} == set(range(offsets))


def test_random_neighbors_are_not_consecutive():
    starts = random_sampling(np.random.default_rng(0), 10_001, 4, 5)
    assert starts.shape == (500, 4)
    # By chance 1 in 2,000 is consecutive at a given position: 0.75 and 1 expected.
    assert np.sum(starts[:, 1:] == starts[:, :-1] + 5) < 8
    assert np.sum(starts[1:] == starts[:-1] + 5) < 8
    order = starts.ravel().argsort().argsort()
    assert abs(np.corrcoef(order, np.arange(2000))[0, 1]) < 5 / np.sqrt(2000)


@every_plan
def test_the_plan_is_decided_by_seed_and_epoch(plan):
    def draw(seed, epoch):  # of 1000 offsets
        return tuple(plan(epoch_rng(seed, epoch), 21_000, 2, 1000).ravel().tolist())

    assert draw(3, 4) == draw(3, 4)
    many = {draw(seed, epoch) for seed in range(4) for epoch in range(4)}
    assert len(many) > 12  # two may be equal by chance


def test_the_epochs_of_a_run_are_all_different():
    pairs = [(seed, epoch) for seed in range(20) for epoch in range(20)]
    draws = {tuple(epoch_rng(*pair).integers(2**32, size=2)) for pair in pairs}
    assert len(draws) == len(pairs)  # so (0, 1), (1, 0) and (1, 1) too


@every_plan
@pytest.mark.parametrize(
    ("num_tokens", "batch_size", "num_steps"), [(35, 5, 7), (0, 1, 1), (1, 1, 1)]
)
def test_a_text_one_token_short_of_a_minibatch_is_refused(
    plan, num_tokens, batch_size, num_steps
):
    needed = batch_size * num_steps + 1
    message = (
        f"the training text has {num_tokens} tokens, but one minibatch of "
        f"{batch_size} x {num_steps} needs {needed}."
    )
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        plan(rng, num_tokens, batch_size, num_steps)
    assert plan(rng, needed, batch_size, num_steps).shape == (1, batch_size)


@every_plan
@pytest.mark.parametrize(
    ("batch_size", "num_steps"), [(0, 5), (2, 0), (-1, 5), (2, -3)]
)
def test_sizes_below_one_are_refused(plan, batch_size, num_steps):
    figures = f"must be at least 1, got {batch_size} and {num_steps}."
    with pytest.raises(DataError, match=re.escape(figures)):
        plan(np.random.default_rng(0), 100, batch_size, num_steps)


@fuzz
@given(
    num_tokens=st.integers(2, 300),
    num_rows=st.integers(1, 20),
    num_steps=st.integers(1, 40),
)
def test_every_token_but_the_first_is_predicted_exactly_once(
    num_tokens, num_rows, num_steps
):
    starts, ends = whole_text(num_tokens, num_rows, num_steps)
    assert starts.dtype == ends.dtype == np.int32
    positions = windows(starts, num_steps)[..., :-1]  # [n, rows, T]
    counted = positions[positions < ends[:, None]]
    assert sorted((counted + 1).tolist()) == list(range(1, num_tokens))


@fuzz
@given(
    num_tokens=st.integers(2, 300),
    num_rows=st.integers(1, 20),
    num_steps=st.integers(1, 40),
)
def test_whole_text_continues_and_is_no_longer_than_necessary(
    num_tokens, num_rows, num_steps
):
    starts, _ = whole_text(num_tokens, num_rows, num_steps)
    np.testing.assert_array_equal(starts[1:], starts[:-1] + num_steps)
    longest_row = int(np.ceil((num_tokens - 1) / num_rows))
    assert len(starts) == int(np.ceil(longest_row / num_steps))


@pytest.mark.parametrize("sizes", [(1, 1, 1), (5, 0, 1), (5, 1, 0)])
def test_whole_text_refuses_a_text_without_predictions(sizes):
    with pytest.raises(DataError, match="at least 2 tokens, 1 row and 1 step, got"):
        whole_text(*sizes)


def test_whole_text_by_hand():
    starts, ends = whole_text(11, 3, 2)  # 10 predictions: rows of 4, 4 and 2
    assert starts.tolist() == [[0, 4, 8], [2, 6, 10]]
    assert ends.tolist() == [4, 8, 10]


@pytest.mark.parametrize("num_tokens", [31, 34, 37, 40])
def test_every_token_but_the_first_is_predicted_in_some_epoch(num_tokens):
    """Also those of the last windows, which an epoch may leave out."""
    drawn = set()
    for epoch in range(60):
        starts = random_sampling(epoch_rng(0, epoch), num_tokens, 2, 5)
        drawn |= set((windows(starts, 5)[..., :-1] + 1).ravel().tolist())
    assert drawn == set(range(1, num_tokens))


@fuzz
@given(size=sizes, rng=rngs)
def test_a_rotated_row_goes_round_once(size, rng):
    """Press 2019: each row is the same text from another begin."""
    _, batch_size, num_steps = size
    starts = sequential_partition(rng, *size, rotate=True)
    for row in range(batch_size):
        ordered = np.sort(starts[:, row])
        np.testing.assert_array_equal(np.diff(ordered), num_steps)
        breaks = np.flatnonzero(np.diff(starts[:, row]) != num_steps)
        assert len(breaks) <= 1
        if len(breaks):
            assert starts[breaks[0], row] == ordered[-1]
            assert starts[breaks[0] + 1, row] == ordered[0]


def test_rows_are_rotated_by_different_numbers():
    starts = sequential_partition(np.random.default_rng(0), 10_001, 10, 10, rotate=True)
    begins = (starts[0] - starts.min(axis=0)) // 10
    assert len(set(begins.tolist())) > 5
    again = sequential_partition(np.random.default_rng(0), 10_001, 10, 10, rotate=True)
    np.testing.assert_array_equal(starts, again)


@fuzz
@given(size=sizes, rng=rngs)
def test_minibatches_of_varied_lengths_cover_the_rows(size, rng):
    num_tokens, batch_size, num_steps = size
    starts, lengths = varied_partition(rng, *size)
    assert starts.shape == (len(lengths), batch_size)
    row_length = (num_tokens - 1) // batch_size
    assert lengths.sum() == row_length
    assert lengths.min() >= 1
    assert lengths.max() <= longest(num_steps)
    assert (lengths[:-1] >= min(5, row_length)).all()
    for row in range(batch_size):
        begin = row * row_length
        covered = [
            np.arange(s, s + n) for s, n in zip(starts[:, row], lengths, strict=True)
        ]
        np.testing.assert_array_equal(
            np.concatenate(covered), np.arange(begin, begin + row_length)
        )


def test_lengths_are_drawn_around_two_numbers():
    _, lengths = varied_partition(np.random.default_rng(0), 2_000_001, 20, 70)
    short = lengths[lengths < 52]
    assert 0.04 < len(short) / len(lengths) < 0.06
    assert abs(short.mean() - 34.5) < 1.5
    assert abs(lengths[lengths >= 52].mean() - 69.5) < 0.5
    assert 4 < lengths[lengths >= 52].std() < 6


def test_positions_beyond_32_bits_are_kept():
    starts = sequential_partition(np.random.default_rng(0), 2**33, 2**20, 2**10)
    assert starts.max() > 2**32
    assert starts.min() >= 0
