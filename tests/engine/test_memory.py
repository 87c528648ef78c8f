"""Memory of long sequences: states stored every k steps, and locked dropout."""

import collections
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import seqjax
from tests import hlo, quick
from tests.gradients import (
    assert_both_same,
    both_ways,
    compiled,
    inputs,
    outputs_and_gradients,
)

CASES = {  # (cell, lengths, reverse) of 7 steps
    "lstm": (seqjax.LSTM(5, forget_bias=1.0), [7, 0, 2, 5], False),
    "stack": (seqjax.Stack((seqjax.RNN(4), seqjax.GRU(5, False))), None, True),
    "both": (seqjax.Bidirectional(seqjax.RNN(4)), [5, 7, 0, 2], False),
}
SIZES = [1, 3, 7, 9]  # one step, with a remainder, all steps, more than all


@functools.cache
def gradients_of_segments():
    """{case: results for each k in SIZES, and without segments}, as one program."""
    with jax.enable_x64(True):
        arrays = {name: inputs(cell, 7) for name, (cell, *_) in CASES.items()}

        @compiled
        def run(arrays):
            return {
                name: [
                    outputs_and_gradients(
                        *(cell, *arrays[name]),
                        lengths=None if lengths is None else jnp.asarray(lengths),
                        reverse=reverse,
                        checkpoint_every=size,
                    )
                    for size in (*SIZES, None)
                ]
                for name, (cell, lengths, reverse) in CASES.items()
            }

        return run(arrays)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", CASES)
def test_segments_have_the_outputs_and_gradients_of_the_whole(case, size):
    *segmented, whole = gradients_of_segments()[case]
    assert_both_same((segmented[SIZES.index(size)], whole))


@pytest.mark.parametrize("steps", [0, -1, 2.5])
def test_segments_of_fractional_or_no_steps_are_refused(steps):
    cell = seqjax.LSTM(5)
    params, xs, state = inputs(cell, dtype=jnp.float32)
    with pytest.raises(ValueError, match=f"an integer of at least 1, got {steps}"):
        seqjax.unroll(cell, params, xs, state, checkpoint_every=steps)


def rows_of_memory(num_steps, every, loss):
    """Temporary memory of the gradient of an LSTM as a number of [B, H] arrays."""
    batch, hidden = 2, 8
    cell = seqjax.LSTM(hidden)
    params, xs, _ = inputs(cell, num_steps, (batch,), dtype=jnp.float32)

    def run(params, xs):
        return loss(*seqjax.unroll(cell, params, xs, checkpoint_every=every))

    program = quick.optimized(jax.grad(run, (0, 1))).lower(params, xs).compile()
    return program.memory_analysis().temp_size_in_bytes / (4 * batch * hidden)


def test_segments_take_less_than_a_third_of_the_memory_where_all_outputs_are_used():
    """ys and its cotangent keep their length; gates and states do not."""

    def loss(state, ys):
        return jnp.sum(jnp.sin(ys))

    whole = rows_of_memory(2048, None, loss)
    assert rows_of_memory(2048, 64, loss) < whole / 3


@pytest.mark.parametrize("every", [32, 64])
def test_memory_of_segments_grows_like_the_root_of_the_length(every):
    """Per step of a segment 4 gates, and h and c after and before; per segment h, c."""
    num_steps = every**2
    rows = rows_of_memory(num_steps, every, lambda state, ys: jnp.sum(state.h))
    assert rows < 8 * every + 2 * num_steps / every + 40  # weights and single rows
    assert rows < 12 * num_steps**0.5


def identity(size):
    """A layer that returns its positive inputs unchanged, and its parameters."""
    layer = seqjax.RNN(size, activation="relu")
    params = layer.init(jax.random.key(0), size)
    eye = jnp.eye(size)
    return layer, params._replace(w_x=eye, w_h=0 * eye, b=jnp.zeros(size))


def masks_of(num_layers, rate, key, shape=(5, 64, 48)):
    """The factors of `Stack` with locked dropout: [T, B, H]."""
    layer, params = identity(shape[-1])
    stack = seqjax.Stack((layer,) * num_layers, dropout=rate, locked=True)
    xs = jnp.asarray(1 + np.random.default_rng(0).random(shape), jnp.float32)
    _, ys = seqjax.unroll(stack, (params,) * num_layers, xs, key=key)
    return np.asarray(ys / xs)


def test_locked_dropout_has_one_mask_for_all_steps_and_one_for_each_sequence(key):
    masks = masks_of(2, 0.25, key)
    np.testing.assert_array_equal(masks > 0, np.broadcast_to(masks[0] > 0, masks.shape))
    np.testing.assert_allclose(masks[masks > 0], 1 / 0.75, rtol=1e-6)
    assert len(np.unique(masks[0] > 0, axis=0)) == 64
    other = masks_of(2, 0.25, jax.random.key(1))
    assert ((masks > 0) != (other > 0)).any()
    assert (masks_of(2, 0.25, None) == 1).all()


def test_locked_dropout_keeps_the_mean_and_differs_between_layers(key):
    one, two = masks_of(2, 0.5, key)[0], masks_of(3, 0.5, key)[0]
    deviation = 1 / one.size**0.5  # of the mean of values in {0, 2}
    assert abs(one.mean() - 1) < 4 * deviation
    assert set(np.unique(np.round(two, 5))) == {0, 4}  # with the same mask: mean 2
    assert abs(two.mean() - 1) < 4 * 3**0.5 * deviation


DROPPED = seqjax.Stack((seqjax.LSTM(5), seqjax.GRU(4)), dropout=0.5, locked=True)


def test_gradients_with_locked_dropout_are_those_of_plain_autodiff(key):
    with jax.enable_x64(True):
        calls = {"stack": (DROPPED, *inputs(DROPPED), np.asarray([6, 0, 2, 5]), False)}
        pairs = both_ways(calls, {"key": key}, {"key": key, "fused": False})
    assert_both_same(pairs["stack"])


def test_the_loops_are_the_same_with_and_without_locked_dropout(key):
    """The loops contain no random bits and no mask."""
    args = inputs(DROPPED, dtype=jnp.float32)

    def operations(key):
        def loss(params, xs, state):
            _, ys = seqjax.unroll(DROPPED, params, xs, state, key=key)
            return jnp.sum(jnp.sin(ys))

        program = quick.optimized(jax.grad(loss, (0, 1, 2))).lower(*args).compile()
        found = hlo.operations(program.as_text())
        return [collections.Counter(o for o in found if o.in_loop == x) for x in (0, 1)]

    outside, inside = operations(None)
    outside_dropped, inside_dropped = operations(key)
    assert outside != outside_dropped
    assert inside == inside_dropped
