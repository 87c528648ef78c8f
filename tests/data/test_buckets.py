"""Minibatches by length: every pair once, few shapes, empty padding."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqjax.data.batching import epoch_rng
from seqjax.data.buckets import LENGTHS, Bucket, make_batch, plan
from seqjax.data.vocab import EOS, PAD

fuzz = settings(deadline=None, max_examples=60)
lengths = st.lists(st.tuples(st.integers(0, 70), st.integers(0, 70)), max_size=40)
sizes = st.one_of(
    st.integers(1, 9).map(lambda n: {"batch_size": n}),
    st.integers(1, 300).map(lambda n: {"batch_tokens": n}),
)
seeds = st.one_of(st.none(), st.integers(0, 2**32))


def sentences(lengths):
    """Pairs of these lengths in which all tokens are distinct."""
    ends = np.cumsum([n for pair in lengths for n in pair], dtype=int)
    parts = np.split(np.arange(10, 10 + sum(map(sum, lengths)), dtype=np.int32), ends)
    parts = parts[:-1]  # the rest after the last
    return parts[::2], parts[1::2]


def generator(seed):
    return None if seed is None else np.random.default_rng(seed)


def as_lists(buckets):
    return [(bucket.length, bucket.rows.tolist()) for bucket in buckets]


SIXTY = [(i * 7 % 30, i * 11 % 23) for i in range(60)]


def test_the_helper_makes_pairs_of_the_lengths():
    sources, targets = sentences([(2, 1), (0, 3)])
    assert [s.tolist() for s in sources] == [[10, 11], []]
    assert [t.tolist() for t in targets] == [[12], [13, 14, 15]]


@fuzz
@given(lengths=lengths, size=sizes, seed=seeds)
def test_every_pair_is_in_exactly_one_minibatch(lengths, size, seed):
    buckets = plan(*sentences(lengths), **size, rng=generator(seed))
    rows = [row for bucket in buckets for row in bucket.rows if row >= 0]
    assert sorted(rows) == list(range(len(lengths)))


@fuzz
@given(lengths=lengths, size=sizes, seed=seeds)
def test_a_pair_is_padded_to_the_next_of_the_lengths(lengths, size, seed):
    for bucket in plan(*sentences(lengths), **size, rng=generator(seed)):
        assert isinstance(bucket, Bucket)
        for row in bucket.rows[bucket.rows >= 0]:
            source, target = lengths[row]
            longest = max(source, target + 1)  # eos
            assert bucket.length == min(n for n in LENGTHS if n >= longest)


@pytest.mark.parametrize(
    ("pair", "length"),
    [((512, 1), 512), ((1, 511), 512), ((513, 1), 1024), ((0, 1024), 1536)],
)
def test_a_very_long_pair_is_padded_to_a_multiple_of_the_last(pair, length):
    for size in ({"batch_size": 1}, {"batch_tokens": 600}):
        assert as_lists(plan(*sentences([(3, 3), pair]), **size))[-1] == (length, [1])


@fuzz
@given(lengths=lengths, size=sizes, seed=seeds)
def test_at_most_one_minibatch_of_each_length_has_padding_rows(lengths, size, seed):
    buckets = plan(*sentences(lengths), **size, rng=generator(seed))
    unfilled = []
    for length, rows in buckets:
        want = size.get("batch_size") or max(1, size["batch_tokens"] // length)
        assert rows.shape == (want,)
        assert rows.dtype == np.int32
        real = int(np.sum(rows >= 0))
        assert real > 0
        assert np.all(rows[real:] == -1)  # padding rows come last
        unfilled += [length] * (real < want)
    assert len(unfilled) == len(set(unfilled))


@pytest.mark.parametrize(
    ("size", "want"),
    [
        ({"batch_size": 2}, [(4, [0, 2]), (4, [5, -1]), (8, [1, 3]), (12, [4, -1])]),
        ({"batch_tokens": 16}, [(4, [0, 2, 5, -1]), (8, [1, 3]), (12, [4])]),
        (
            {"batch_tokens": 24},
            [(4, [0, 2, 5, *[-1] * 3]), (8, [1, 3, -1]), (12, [4, -1])],
        ),
        (
            {"batch_tokens": 3},
            [(4, [0]), (4, [2]), (4, [5]), (8, [1]), (8, [3]), (12, [4])],
        ),
    ],
    ids=str,
)
def test_plans_by_hand_without_a_generator(size, want):
    pairs = [(4, 3), (1, 4), (0, 0), (8, 7), (2, 8), (3, 1)]
    assert as_lists(plan(*sentences(pairs), **size)) == want


@pytest.mark.parametrize("size", [{"batch_size": 4}, {"batch_tokens": 90}], ids=str)
def test_the_generator_decides_the_order(size):
    data = sentences(SIXTY)
    by_length = as_lists(plan(*data, **size))
    assert [n for n, _ in by_length] == sorted(n for n, _ in by_length)

    def planned(seed, epoch):
        return as_lists(plan(*data, **size, rng=epoch_rng(seed, epoch)))

    first = planned(0, 0)
    assert planned(0, 0) == first
    others = [planned(0, 1), planned(0, 2), planned(1, 0), by_length]
    for other in others:
        # The order of the minibatches, and the pairs in each.
        assert [n for n, _ in other] != [n for n, _ in first]
        assert {frozenset(r) for _, r in other} != {frozenset(r) for _, r in first}


def test_each_pair_comes_at_every_position():
    """Of four pairs in two minibatches, each comes first, and with each other pair."""
    data = sentences([(3, 3)] * 4)
    firsts, together = set(), set()
    for seed in range(60):
        buckets = plan(*data, batch_size=2, rng=generator(seed))
        firsts.add(int(buckets[0].rows[0]))
        together |= {frozenset(bucket.rows.tolist()) for bucket in buckets}
    assert firsts == {0, 1, 2, 3}
    assert len(together) == 6


@pytest.mark.parametrize("size", [{"batch_size": 32}, {"batch_tokens": 1000}], ids=str)
def test_shapes_are_few(size):
    rng = np.random.default_rng(0)
    data = sentences(rng.integers(0, 64, (3000, 2)).tolist())
    buckets = plan(*data, **size, rng=rng)
    shapes = {(bucket.length, bucket.rows.shape) for bucket in buckets}
    assert len(shapes) == 11  # of 64 different lengths
    padded = sum(2 * bucket.length * np.sum(bucket.rows >= 0) for bucket in buckets)
    assert sum(len(s) for side in data for s in side) > 0.6 * padded


def test_without_pairs_there_are_no_minibatches():
    assert plan([], [], batch_size=3) == []
    assert plan([], [], batch_tokens=3, rng=generator(0)) == []


def test_a_sentence_without_a_translation_is_an_error():
    sources, targets = sentences([(1, 1), (2, 2)])
    with pytest.raises(ValueError, match="zip"):
        plan(sources, targets[:1], batch_size=1)


# The minibatch itself.


def test_a_minibatch_by_hand():
    sources = [np.asarray(s, np.int32) for s in ([5, 6], [7], [8, 9, 8, 9])]
    targets = [np.asarray(t, np.int32) for t in ([4], [5, 6, 7], [])]
    batch = make_batch(sources, targets, Bucket(4, np.asarray([2, 0, 1, -1, -1])))
    assert batch.source.T.tolist() == [
        [8, 9, 8, 9],
        [5, 6, PAD, PAD],
        [7, PAD, PAD, PAD],
        [PAD] * 4,
        [PAD] * 4,
    ]
    assert batch.target.T.tolist() == [
        [EOS, PAD, PAD, PAD],
        [4, EOS, PAD, PAD],
        [5, 6, 7, EOS],
        [PAD] * 4,
        [PAD] * 4,
    ]
    assert batch.source_lengths.tolist() == [4, 2, 1, 0, 0]
    assert batch.target_lengths.tolist() == [1, 2, 4, 0, 0]
    assert {array.dtype for array in batch} == {np.dtype(np.int32)}


@fuzz
@given(lengths=lengths, size=sizes, seed=seeds)
def test_minibatches_hold_the_pairs_and_nothing_else(lengths, size, seed):
    sources, targets = sentences(lengths)
    for bucket in plan(sources, targets, **size, rng=generator(seed)):
        batch = make_batch(sources, targets, bucket)
        assert {array.dtype for array in batch} == {np.dtype(np.int32)}
        shape = bucket.length, len(bucket.rows)
        assert batch.source.shape == batch.target.shape == shape
        for i, row in enumerate(bucket.rows):
            source = sources[row].tolist() if row >= 0 else []
            target = [*targets[row].tolist(), EOS] if row >= 0 else []
            assert batch.source_lengths[i] == len(source)
            assert batch.target_lengths[i] == len(target)
            fill = [PAD] * bucket.length
            assert batch.source[:, i].tolist() == (source + fill)[: bucket.length]
            assert batch.target[:, i].tolist() == (target + fill)[: bucket.length]


def test_lists_are_accepted_in_place_of_arrays():
    batch = make_batch([[4, 5]], [[6]], plan([[4, 5]], [[6]], batch_size=1)[0])
    assert batch.source.T.tolist() == [[4, 5, PAD, PAD]]
    assert batch.target.T.tolist() == [[6, EOS, PAD, PAD]]
