"""Windows of a text, and evaluation over a whole text."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from seqjax import training
from seqjax.data import batching
from tests.training_parts import CELLS, TOKENS, T, parts


def test_windows_are_the_slices():
    tokens = jnp.asarray(TOKENS)
    starts = jnp.asarray([0, 13, 97])
    got = training.windows(tokens, starts, T)
    for column, start in zip(got.T, starts.tolist(), strict=True):
        np.testing.assert_array_equal(column, TOKENS[start : start + T + 1])
    past = training.windows(tokens, jnp.asarray([100]), T)[:, 0]
    np.testing.assert_array_equal(past, [*TOKENS[100:], *[TOKENS[-1]] * 3])


@functools.cache
def rows_unrolled_whole(rows):
    """(total, count) over the rows of the text, each from a state of its own."""
    model, state, *_ = parts(CELLS[1])
    loss = jax.jit(model.loss)
    length = -(-(len(TOKENS) - 1) // rows)
    total = count = 0.0
    for begin in range(0, len(TOKENS) - 1, length):
        row = TOKENS[begin : begin + length + 1][:, None]
        (t, c), _ = loss(state.params, row, state=model.initial_state((1,)))
        total, count = total + float(t), count + float(c)
    return total, count


@pytest.mark.parametrize("rows", [1, 3, 4])
@pytest.mark.parametrize("steps", [1, 5, 200])
def test_evaluation_is_the_rows_unrolled_whole(rows, steps):
    """Every token but the first is scored once, with the state of its row carried."""
    model, state, *_ = parts(CELLS[1])
    evaluate = training.make_evaluate(
        lambda p, carry, window, mask: model.loss(p, window, state=carry, mask=mask),
        model.initial_state,
        steps,
    )
    plan = batching.whole_text(len(TOKENS), rows, steps)
    got = evaluate(state.params, jnp.asarray(TOKENS), *map(jnp.asarray, plan))
    total, count = rows_unrolled_whole(rows)
    np.testing.assert_allclose(got[0], total, rtol=1e-5)
    assert got[1] == count == len(TOKENS) - 1
