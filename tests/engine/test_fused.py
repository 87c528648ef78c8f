"""The fused backward pass against plain autodiff, for any cell.

The oracle is `unroll(..., fused=False)`, a `lax.scan` that JAX differentiates.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import seqjax
from seqjax.engine import fused
from seqjax.engine.run_cell import run_cell
from seqjax.nn.layers import matmul
from tests import odd_cells, odd_states, quick, references
from tests.gradients import (
    assert_both_same,
    both_ways,
    compiled,
    inputs,
    outputs_and_gradients,
)
from tests.law_cells import ALL, CELLS, FORWARD, MGU

LENGTHS = [6, 0, 2, 5]


def mgu_step(params, h, x):
    """The MGU in NumPy for one sequence, from the paper's equations."""
    w_x, w_f, w_h, b_f, b_h = params
    w_xf, w_xh = np.split(w_x, 2, axis=1)
    f = references.sigmoid(x @ w_xf + h @ w_f + b_f)
    h = (1 - f) * h + f * np.tanh(x @ w_xh + (f * h) @ w_h + b_h)
    return h, h


def parametrize(**cells):
    return pytest.mark.parametrize("cell", cells.values(), ids=cells)


def fused_and_plain(calls):
    with jax.enable_x64(True):
        return both_ways(calls(), {"fused": True}, {"fused": False})


MGU_TOO = {"mgu": MGU(5)}
CASES = {  # (T, batch shape, lengths, reverse, members)
    "lengths": (6, (4,), LENGTHS, False, FORWARD | MGU_TOO),
    "two_batch_axes": (6, (2, 2), [[6, 0], [2, 5]], True, ALL | MGU_TOO),
    "no_batch_axis": (5, (), None, True, FORWARD | MGU_TOO),
    "one_step": (1, (3,), None, False, CELLS | MGU_TOO | {"narrow": seqjax.LSTM(1)}),
    "no_step": (0, (3,), [0, 0, 0], False, ALL | MGU_TOO),
}


@functools.cache
def gradients_of_case(case):
    num_steps, batch_shape, lengths, reverse, cells = CASES[case]
    lengths = None if lengths is None else np.asarray(lengths)
    return fused_and_plain(
        lambda: {
            name: (cell, *inputs(cell, num_steps, batch_shape), lengths, reverse)
            for name, cell in cells.items()
        }
    )


@pytest.mark.parametrize(
    ("case", "name"), [(case, name) for case in CASES for name in CASES[case][-1]]
)
def test_gradients_are_those_of_plain_autodiff(case, name):
    assert_both_same(gradients_of_case(case)[name])


@functools.cache
def gradients_of_odd_cells():
    cells = odd_cells.ODD | odd_states.ODD
    return fused_and_plain(
        lambda: {k: (cell, *inputs(cell), None, False) for k, cell in cells.items()}
    )


@pytest.mark.parametrize("name", [*odd_cells.ODD, *odd_states.ODD])
def test_odd_cells_have_the_gradients_of_plain_autodiff(name):
    assert_both_same(gradients_of_odd_cells()[name])


STATES = {
    name: cell
    for name, cell in odd_states.ODD.items()
    if not name.startswith(("product", "bias", "input_m", "stopped", "straight"))
}


@functools.cache
def gradients_of_odd_states_with_lengths():
    return fused_and_plain(
        lambda: {
            name: (cell, *inputs(cell), np.asarray(LENGTHS), True)
            for name, cell in STATES.items()
        }
    )


@pytest.mark.parametrize("name", STATES)
def test_odd_states_are_held_past_the_lengths_in_reverse(name):
    assert_both_same(gradients_of_odd_states_with_lengths()[name])


@pytest.mark.parametrize("reverse", [False, True])
def test_a_cell_outside_of_the_library_is_its_textbook_loop(reverse, x64):
    params, xs, state = inputs(MGU(5))
    run = quick.optimized(functools.partial(seqjax.unroll, MGU(5), reverse=reverse))
    last, ys = run(params, xs, state, jnp.asarray(LENGTHS))
    expected, expected_ys = references.unroll(
        mgu_step, params, xs, list(np.asarray(state)), LENGTHS, reverse
    )
    np.testing.assert_allclose(last, expected, atol=1e-12)
    np.testing.assert_allclose(ys, expected_ys, atol=1e-12)


@parametrize(gru=FORWARD["gru"], own=FORWARD["own"])
def test_the_gradients_of_an_empty_batch_are_zero(cell, x64):
    (_, ys), gradients = outputs_and_gradients(cell, *inputs(cell, 3, (0,)))
    assert ys.shape == (3, 0, 5)
    assert not any(g.any() for g in jax.tree.leaves(gradients))


def test_gradients_without_jit(x64):
    """Under `jax.disable_jit`, tracing sees the products of a branch as the step's."""
    cell = odd_states.ODD["product_in_cond"]
    args = inputs(cell, num_steps=3)
    want = compiled(lambda args: outputs_and_gradients(cell, *args))(args)
    with jax.disable_jit():
        assert_both_same((outputs_and_gradients(cell, *args), want))


@settings(deadline=None, max_examples=5)
@given(data=st.data())
def test_any_stack_of_any_shape_has_the_gradients_of_plain_autodiff(data):
    num_steps = data.draw(st.integers(1, 7), "T")
    batch_shape = tuple(data.draw(st.lists(st.integers(1, 3), max_size=2), "batch"))
    sizes = st.integers(1, 5)
    kinds = [seqjax.RNN, seqjax.GRU, seqjax.LSTM, MGU]
    layer = st.builds(lambda kind, size: kind(size), st.sampled_from(kinds), sizes)
    cell = seqjax.Stack(data.draw(st.lists(layer, min_size=1, max_size=3), "cells"))
    length = st.integers(0, num_steps)
    size = int(np.prod(batch_shape, dtype=int))
    lengths = data.draw(
        st.none() | st.lists(length, min_size=size, max_size=size), "lengths"
    )
    reverse = data.draw(st.booleans(), "reverse")
    input_size = data.draw(sizes, "D")
    if lengths is not None:
        lengths = np.asarray(lengths, int).reshape(batch_shape)

    def calls():
        args = inputs(cell, num_steps, batch_shape, input_size)
        return {"drawn": (cell, *args, lengths, reverse)}

    assert_both_same(fused_and_plain(calls)["drawn"])


def loss_of(cell, fused):
    def loss(params, xs, state, lengths=None):
        last, ys = seqjax.unroll(cell, params, xs, state, lengths, fused=fused)
        return jnp.sum(jnp.cos(ys)) + jnp.sum(jax.tree.leaves(last)[0] ** 3)

    return loss


@parametrize(lstm=FORWARD["lstm"], mgu=MGU(5))
def test_second_derivatives_of_the_plain_loop_are_differences_of_first(cell, x64):
    params, xs, state = inputs(cell)
    direction = jnp.cos(jnp.arange(xs.size, dtype=float)).reshape(xs.shape)
    first = jax.grad(lambda xs: loss_of(cell, False)(params, xs, state))

    @compiled
    def second(xs):
        forward = jax.jvp(first, (xs,), (direction,))[1]
        return forward, jax.grad(lambda xs: jnp.vdot(first(xs), direction))(xs)

    forward, backward = second(xs)
    plus, minus = map(compiled(first), (xs + 1e-5 * direction, xs - 1e-5 * direction))
    np.testing.assert_allclose(forward, (plus - minus) / 2e-5, atol=1e-8)
    np.testing.assert_allclose(backward, forward, atol=1e-12)


@parametrize(lstm=FORWARD["lstm"], own=odd_cells.ODD["product_of_a_product"])
@pytest.mark.parametrize("jit", [False, True])
def test_second_derivatives_of_the_fused_loop_are_refused(cell, jit, x64):
    args = inputs(cell)
    first = jax.grad(loss_of(cell, True))
    second = jax.grad(lambda *args: jnp.sum(jnp.sin(first(*args).w_x)))
    with pytest.raises(TypeError, match="fused=False"):
        (jax.jit(second) if jit else second)(*args)


@parametrize(rnn=FORWARD["rnn"], stack=FORWARD["stack"])
def test_only_the_plain_loop_has_forward_mode(cell, x64):
    params, xs, state = inputs(cell)
    direction = jnp.cos(jnp.arange(xs.size, dtype=float)).reshape(xs.shape)

    def along(fused):
        run = jax.jit(lambda xs: loss_of(cell, fused)(params, xs, state))
        return jax.jvp(run, (xs,), (direction,))[1]

    slope = jnp.vdot(direction, jax.grad(loss_of(cell, True), 1)(params, xs, state))
    np.testing.assert_allclose(along(False), slope, rtol=1e-10)
    with pytest.raises(TypeError, match="forward-mode"):
        along(True)


def test_a_run_compiles_its_gradient_once():
    traced = []

    def step(params, h, z, dot):
        traced.append(1)
        h = jnp.tanh(z + dot(h, params.w))
        return h, h

    cell = odd_cells.Odd(
        step, (("w", (5, 5)),), odd_cells.zeros, odd_cells.product_of_inputs
    )
    params, xs, state = inputs(cell, dtype=jnp.float32)
    gradient = jax.grad(loss_of(cell, True))
    compiled = jax.jit(gradient)
    for run in (gradient, compiled):  # eager calls too, as in a notebook
        run(params, xs, state, jnp.asarray(LENGTHS))
        times, size = len(traced), run_cell._cache_size()
        assert times
        for lengths in ([1, 2, 3, 4], [6, 6, 6, 6]):
            changed = jax.tree.map(jnp.sin, params)
            run(changed, 2 * xs, state + 1, jnp.asarray(lengths))
        assert len(traced) == times
        assert run_cell._cache_size() == size
    assert compiled._cache_size() == 1


@parametrize(lstm=FORWARD["lstm"], own=FORWARD["own"])
def test_vmap_over_the_batch_has_the_gradients_of_the_batch(cell, x64):
    """Correct, though slow: each element then has its own weight gradient."""
    params, xs, state = inputs(cell)
    lengths = jnp.asarray(LENGTHS)

    def loss(params, xs, state):
        alone = jax.vmap(loss_of(cell, True), (None, 1, 0, 0))
        return jnp.sum(alone(params, xs, state, lengths))

    def gradient(loss):
        floats = jax.tree.map(jnp.asarray, (params, xs))
        of_floats = jax.grad(lambda p, x: loss(p, x, state), (0, 1))
        return quick.optimized(of_floats)(*floats)

    together = gradient(lambda p, x, s: loss_of(cell, True)(p, x, s, lengths))
    assert_both_same((gradient(loss), together))


@parametrize(lstm=FORWARD["lstm"], gru=FORWARD["gru"], rnn=FORWARD["rnn"])
def test_gradients_have_the_dtypes_of_their_arrays(cell):
    """With weights in bfloat16 and the state in float32, products are in float32."""
    params, xs, state = inputs(cell, dtype=jnp.float32)
    params = jax.tree.map(lambda p: p.astype(jnp.bfloat16), params)
    with jax.numpy_dtype_promotion("standard"):
        calls = {"mixed": (cell, params, xs, state, None, False)}
        pair = both_ways(calls, {"fused": True}, {"fused": False})["mixed"]
    assert_both_same(pair, tolerance=0.05)


@dataclasses.dataclass(frozen=True, eq=False)
class Closed:
    """A cell whose recurrent weights come from outside its parameters."""

    w: jax.Array  # [H, H]
    outputs: int = 1

    def init(self, key, input_size):
        return jax.random.normal(key, (input_size, len(self.w)))

    def initial_state(self, batch_shape=()):
        return jnp.zeros((*batch_shape, len(self.w)))

    def project(self, params, xs):
        return matmul(xs, params)

    def step(self, params, h, z, dot=jnp.dot):
        h = jnp.tanh(z + dot(h, self.w))
        return h, h if self.outputs == 1 else (h, h * h)


def test_values_that_a_cell_closes_over_may_be_differentiated_and_vmapped(x64):
    w = 0.3 * jnp.cos(jnp.arange(25.0)).reshape(5, 5)
    params, xs, _ = inputs(Closed(w))

    def loss(w, params, fused=True):
        return jnp.sum(seqjax.unroll(Closed(w), params, xs, fused=fused)[1] ** 2)

    want = jax.grad(loss, (0, 1))(w, params, False)
    assert_both_same((jax.grad(loss, (0, 1))(w, params), want))
    assert_both_same((quick.optimized(jax.grad(loss, (0, 1)))(w, params), want))
    both = jax.vmap(loss, (0, None))(jnp.stack([w, 2 * w]), params)
    assert_both_same((both, jnp.stack([loss(w, params), loss(2 * w, params)])))


def test_a_step_with_several_outputs_runs_in_the_plain_scan(x64):
    w = 0.3 * jnp.cos(jnp.arange(25.0)).reshape(5, 5)
    params, xs, _ = inputs(Closed(w))
    _, (ys, squares) = seqjax.unroll(Closed(w, outputs=2), params, xs)
    want = seqjax.unroll(Closed(w), params, xs)[1]
    assert_both_same(((ys, squares), (want, want * want)))


def test_a_state_of_weak_type_takes_the_type_of_the_weights():
    cell = seqjax.RNN(5)
    params = cell.init(jax.random.key(0), 3, dtype=jnp.bfloat16)
    xs = jnp.ones((6, 4, 3), jnp.bfloat16)
    last, ys = seqjax.unroll(cell, params, xs, jnp.full((4, 5), 0.0))
    assert (last.dtype, ys.dtype) == (jnp.bfloat16, jnp.bfloat16)


@pytest.mark.parametrize(
    ("kind", "reverse", "way", "axis"),
    [
        (seqjax.LSTM, False, "fused", 1),
        (seqjax.LSTM, True, "fused", 2),
        (seqjax.GRU, True, "fused", 1),
        *((seqjax.GRU, True, w, 1) for w in ("plain", "gpu", "one step", "none")),
        (seqjax.LSTM, False, "gpu", 2),
    ],
)
def test_time_may_be_another_axis(kind, reverse, axis, way, x64):
    """As for arrays whose time axis has been moved to the front."""
    cell, num_steps = kind(5), {"one step": 1, "none": 0}.get(way, 6)
    rng = np.random.default_rng(0)
    params = cell.init(jax.random.key(0), 3, jnp.float64)
    xs = jnp.asarray(rng.normal(size=(num_steps, 4, 2, 3)))
    state = jax.tree.map(
        lambda s: jnp.asarray(rng.normal(size=s.shape)), cell.initial_state((4, 2))
    )
    weights = jnp.asarray(rng.normal(size=(num_steps, 4, 2, 5)))
    options = {"valid": None, "reverse": reverse, "checkpoint_every": None}
    options |= {"fused": way != "plain", "on_gpu": way == "gpu"}

    def loss(axis, params, xs, state):
        xs = jnp.moveaxis(xs, 0, axis)
        last, ys = run_cell(cell, params, xs, state, **options, axis=axis)
        ys = jnp.moveaxis(ys, axis, 0)
        total = jnp.sum(weights * ys)
        for leaf in jax.tree.leaves(last):
            total += jnp.sum(jnp.cos(leaf))
        return total, (last, ys)

    found, expected = (
        jax.value_and_grad(functools.partial(loss, a), (0, 1, 2), has_aux=True)(
            params, xs, state
        )
        for a in (axis, 0)
    )
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-13),
        found,
        expected,
    )


def test_a_step_of_the_plain_scan_takes_time_at_another_axis(x64):
    """A step that closes over what is differentiated is not fused."""
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(4, 6, 5)))
    state = jnp.zeros((4, 5))

    def loss(scale, axis):
        def step(params, h, x, dot=matmul):
            h = jnp.tanh(scale * h + x)
            return h, h

        moved = xs if axis else jnp.moveaxis(xs, 1, 0)
        _, ys = fused.scan(step, {}, moved, state, 6, axis=axis)
        return jnp.sum(jnp.sin(ys if axis == 0 else jnp.moveaxis(ys, axis, 0)))

    found, expected = (jax.value_and_grad(loss)(0.7, axis) for axis in (1, 0))
    np.testing.assert_allclose(found, expected, rtol=1e-12)
