"""The form of the loop for GPUs, run on the CPU, against plain autodiff."""

import functools

import jax
import numpy as np
import pytest

import seqjax.recurrence
from seqjax.engine import aligned
from tests import odd_cells, odd_states
from tests.gradients import assert_both_same, both_ways, inputs
from tests.law_cells import FORWARD, MGU

ODD = {  # every use of a product and of a state
    name: (odd_cells.ODD | odd_states.ODD)[name]
    for name in (
        *("product_of_a_product", "weight_of_two_products", "biases_of_every_shape"),
        *("input_used_elsewhere", "product_in_cond", "random_keys_in_the_state"),
    )
}
CELLS = {name: FORWARD[name] for name in ("lstm", "gru", "rnn")} | ODD
BOTH = {  # in one loop
    "concat": seqjax.Bidirectional(FORWARD["lstm"]),
    "sum": seqjax.Bidirectional(MGU(5), "sum"),
}
CASES = {  # (T, batch shape, lengths, reverse, cells)
    "lengths_reverse": (6, (4,), [6, 0, 2, 5], True, CELLS),
    "both_directions": (6, (3,), [6, 0, 4], False, BOTH),
    "both_reversed": (6, (3,), [6, 0, 4], True, {"sum": BOTH["sum"]}),
    "one_sequence": (5, (), None, False, {"lstm": FORWARD["lstm"], "mgu": MGU(5)}),
}


@functools.cache
def results(case):
    num_steps, batch_shape, lengths, reverse, cells = CASES[case]
    lengths = None if lengths is None else np.asarray(lengths)
    with pytest.MonkeyPatch.context() as patch, jax.enable_x64(True):
        patch.setattr(seqjax.recurrence, "on_gpu", lambda: True)
        calls = {
            name: (cell, *inputs(cell, num_steps, batch_shape), lengths, reverse)
            for name, cell in cells.items()
        }
        return both_ways(calls, {}, {"fused": False})


@pytest.mark.parametrize(
    ("case", "name"), [(case, name) for case in CASES for name in CASES[case][-1]]
)
def test_gradients_are_those_of_plain_autodiff(case, name):
    assert_both_same(results(case)[name])


@pytest.mark.parametrize("gates", [1, 3, 4])
@pytest.mark.parametrize("width", [1, 5, 128, 150])
def test_padding_is_undone(gates, width):
    a = np.random.default_rng(0).normal(size=(2, gates * width)).astype(np.float32)
    size = aligned.aligned_size(gates * width, gates)
    assert size % aligned.ALIGNED == 0 and size >= gates * width
    padded = np.asarray(aligned.pad(a, size, gates))
    parts = padded.reshape(2, gates, -1)
    np.testing.assert_array_equal(parts[..., :width], a.reshape(2, gates, width))
    assert not parts[..., width:].any()
    np.testing.assert_array_equal(aligned.unpad(padded, gates * width, gates), a)
