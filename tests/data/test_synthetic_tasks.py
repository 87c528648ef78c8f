"""The adding problem and the copy problem against their definitions; baselines."""

import numpy as np
import pytest

from seqjax.data.synthetic import memory_tasks as data


@pytest.mark.parametrize("num_steps", [2, 3, 50])
def test_the_adding_problem_is_the_sum_of_the_marked_numbers(num_steps):
    xs, targets = data.adding(np.random.default_rng(0), num_steps, 300)
    assert xs.shape == (num_steps, 300, 2) and targets.shape == (300,)
    assert xs.dtype == targets.dtype == np.float32
    for i in range(300):
        marked = [t for t in range(num_steps) if xs[t, i, 1] == 1]
        assert len(marked) == 2 and np.sum(xs[:, i, 1]) == 2
        assert marked[0] < num_steps // 2 <= marked[1]
        np.testing.assert_allclose(targets[i], xs[marked, i, 0].sum(), rtol=1e-6)
    positions = np.argwhere(xs[..., 1] == 1)[:, 0]
    assert set(positions) == set(range(num_steps))  # every step occurs
    assert xs.min() >= 0 and xs.max() < 1.001


def test_the_baseline_of_adding_is_the_error_of_answering_one():
    _, targets = data.adding(np.random.default_rng(0), 50, 100_000)
    found = np.mean((targets - 1) ** 2)
    assert data.adding_baseline(50) == pytest.approx(found, rel=0.02)


@pytest.mark.parametrize("delay", [1, 2, 30])
def test_the_copy_problem_repeats_the_letters(delay):
    tokens, targets = data.copying(np.random.default_rng(0), delay, 40)
    assert tokens.shape == targets.shape == (delay + 20, 40)
    for i in range(40):
        letters = list(tokens[:10, i])
        blanks = [data.BLANK] * (delay - 1)
        assert list(tokens[:, i]) == letters + blanks + [data.GO] + [data.BLANK] * 10
        assert list(targets[:, i]) == [data.BLANK] * (delay + 10) + letters
    assert set(tokens[:10].ravel()) == set(range(8))


def test_the_baseline_of_copying_guesses_one_of_eight_letters():
    targets = data.copying(np.random.default_rng(0), 30, 50)[1]
    probabilities = np.where(targets == data.BLANK, 1.0, 1 / 8)
    assert data.copying_baseline(30) == pytest.approx(-np.log(probabilities).mean())


def test_the_generator_decides_the_sequences():
    for draw in (data.adding, data.copying):
        one, same = (draw(np.random.default_rng(3), 7, 5) for _ in range(2))
        other = draw(np.random.default_rng(4), 7, 5)
        np.testing.assert_array_equal(one[0], same[0])
        assert (one[0] != other[0]).any()
